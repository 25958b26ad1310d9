// better-auth with its bearer, two-factor and username plugins, verified e-mail addresses, and its in-memory database.
// Argument of the command: port.

import { createServer } from 'node:http'
import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { toNodeHandler } from 'better-auth/node'
import { bearer, twoFactor, username } from 'better-auth/plugins'

const port = Number(process.argv[2])
const tables = { user: [], session: [], account: [], verification: [], twoFactor: [], rateLimit: [] }
const sent = {} // address -> the last code that was sent
const mails = []
const send = (user, path) => mails.push({ to: user.email, text: `https://login.example.com/${path}` })
const auth = betterAuth({
  baseURL: `http://127.0.0.1:${port}`,
  secret: 'of-the-tests-and-long-enough-for-any-algorithm',
  database: memoryAdapter(tables),
  emailAndPassword: {
    enabled: true,
    requireEmailVerification: true,
    sendResetPassword: async ({ user, token }) => send(user, `auth/password/reset?token=${token}`),
  },
  emailVerification: {
    sendOnSignUp: true,
    sendVerificationEmail: async ({ user, token }) => send(user, `auth/email/verify?token=${token}`),
  },
  plugins: [bearer(), twoFactor({ otpOptions: { sendOTP: ({ user, otp }) => { sent[user.email] = otp } } }), username()],
  rateLimit: { enabled: true },
  telemetry: { enabled: false },
})
const handler = toNodeHandler(auth)

async function addSecondFactor(user, email, password) {
  const { token } = await auth.api.signInEmail({ body: { email, password } })
  const headers = new Headers({ Authorization: `Bearer ${token}` })
  const { totpURI, backupCodes } = await auth.api.enableTwoFactor({ body: { password }, headers })
  tables.twoFactor.find((row) => row.userId === user.id).verified = true
  await (await auth.$context).internalAdapter.updateUser(user.id, { twoFactorEnabled: true })
  return { secret: new URL(totpURI).searchParams.get('secret'), recovery_codes: backupCodes }
}

async function changeAccount(method, data) {
  const context = await auth.$context
  const accounts = context.internalAdapter
  if (method === 'POST') {
    const { email, name, password } = data
    const names = data.username === email ? {} : { username: data.username }
    await auth.api.signUpEmail({ body: { email, name, password, ...names } })
    const { user } = await accounts.findUserByEmail(data.email)
    await accounts.updateUser(user.id, { emailVerified: data.is_verified })
    return data.has_second_factor ? addSecondFactor(user, email, password) : {}
  }
  const { user } = await accounts.findUserByEmail(data.email)
  if (method === 'DELETE') {
    await accounts.deleteUser(user.id)
  } else if (data.password) {
    await accounts.updatePassword(user.id, await context.password.hash(data.password))
  } else {
    await accounts.updateUser(user.id, { name: data.name ?? user.name, email: data.new_email ?? user.email })
  }
}

createServer(async (request, response) => {
  if (request.url.startsWith('/test/sent?')) {
    return response.end(sent[new URL(request.url, 'http://any').searchParams.get('email')])
  }
  if (request.url.startsWith('/test/mails')) {
    const to = new URL(request.url, 'http://localhost').searchParams.get('to')
    return response.end(JSON.stringify(mails.filter((mail) => mail.to === to).map((mail) => mail.text)))
  }
  if (request.url !== '/test/account') return handler(request, response)
  let body = ''
  for await (const chunk of request) body += chunk
  response.end(JSON.stringify((await changeAccount(request.method, JSON.parse(body))) ?? {}))
}).listen(port, '127.0.0.1')
