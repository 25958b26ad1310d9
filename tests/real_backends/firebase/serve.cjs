// Firebase's auth emulator, as `firebase emulators:start --only auth` runs it, without the emulators around it.
// Argument of the command: port.

const http = require('node:http')
const { createApp } = require('firebase-tools/lib/emulator/auth/server')

const port = Number(process.argv[2])
const admin = `http://127.0.0.1:${port}/identitytoolkit.googleapis.com/v1/projects/demo-munjigi/accounts`

async function call(action, body) {
  const headers = { 'Content-Type': 'application/json', Authorization: 'Bearer owner' }
  const response = await fetch(admin + action, { method: 'POST', headers, body: JSON.stringify(body) })
  if (!response.ok) throw new Error(await response.text())
  return response.json()
}

async function changeAccount(method, data) {
  if (method === 'POST') {
    const { email, name: displayName, password, is_verified: emailVerified } = data
    await call('', { email, displayName, password, emailVerified })
    return
  }
  const { users } = await call(':lookup', { email: [data.email] })
  const { localId } = users[0]
  if (method === 'DELETE') await call(':delete', { localId })
  else await call(':update', { localId, displayName: data.name, email: data.new_email, password: data.password })
}

// The links of the mails that were sent to this address.
async function listMails(to) {
  const response = await fetch(`http://127.0.0.1:${port}/emulator/v1/projects/demo-munjigi/oobCodes`)
  const { oobCodes } = await response.json()
  return oobCodes.filter((code) => code.email === to).map((code) => code.oobLink)
}

async function main() {
  const emulator = await createApp('demo-munjigi')
  const server = http.createServer(async (request, response) => {
    if (request.url.startsWith('/test/mails')) {
      const mails = await listMails(new URL(request.url, 'http://any').searchParams.get('to'))
      return response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(mails))
    }
    if (request.url !== '/test/account') return emulator(request, response)
    let body = ''
    for await (const chunk of request) body += chunk
    await changeAccount(request.method, JSON.parse(body))
    response.writeHead(204).end()
  })
  server.listen(port, '127.0.0.1')
}

main()
