// better-auth with its bearer and passkey plugins, and its in-memory database. Argument of the command: port.

import { createServer } from 'node:http'
import { passkey } from '@better-auth/passkey'
import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { toNodeHandler } from 'better-auth/node'
import { bearer } from 'better-auth/plugins'

const port = Number(process.argv[2])
const origin = [] // of the sites that use it
const auth = betterAuth({
  baseURL: `http://127.0.0.1:${port}`,
  secret: 'of-the-tests-and-long-enough-for-any-algorithm',
  database: memoryAdapter({ user: [], session: [], account: [], verification: [], passkey: [] }),
  emailAndPassword: { enabled: true },
  plugins: [
    bearer(),
    passkey({
      rpID: 'localhost',
      rpName: 'Tests',
      origin,
      authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
    }),
  ],
  telemetry: { enabled: false },
})
const handler = toNodeHandler(auth)

createServer(async (request, response) => {
  if (!request.url.startsWith('/test/')) return handler(request, response)
  let text = ''
  for await (const chunk of request) text += chunk
  const { email, name, password, site_url } = JSON.parse(text)
  if (request.url === '/test/site') origin.push(site_url)
  else await auth.api.signUpEmail({ body: { email, name, password } })
  response.end('{}')
}).listen(port, '127.0.0.1')
