// Strapi with its Users & Permissions plugin and confirmed e-mail addresses; without its admin panel.
// Arguments of the command: port, empty folder for the project that this program writes, value of `jwtManagement`, and
// how many seconds an access token lives.

const fs = require('node:fs')
const path = require('node:path')

const [port, folder, jwtManagement, accessSeconds] = process.argv.slice(2)
const sessions = accessSeconds ? { sessions: { accessTokenLifespan: Number(accessSeconds) } } : {}
const secret = 'of-the-tests-and-long-enough-for-any-algorithm'
const config = {
  // Without `proxy.koa`, the rate limit of sign-ins counts all people of the site as one: they share its address.
  server: { host: '127.0.0.1', port: Number(port), app: { keys: [secret] }, proxy: { koa: true } },
  admin: {
    auth: { secret },
    apiToken: { salt: secret },
    transfer: { token: { salt: secret } },
    secrets: { encryptionKey: secret },
    serveAdminPanel: false,
  },
  database: {
    connection: {
      client: 'sqlite',
      connection: { filename: path.join(folder, 'database.sqlite') },
      useNullAsDefault: true,
    },
  },
  plugins: {
    'users-permissions': { config: { jwtSecret: secret, jwtManagement, ...sessions, ratelimit: { interval: { min: 5 } } } },
  },
  middlewares: [
    ...['errors', 'security', 'cors', 'query', 'session', 'favicon', 'public'].map((name) => `strapi::${name}`),
    { name: 'strapi::body', config: { parsedMethods: ['POST', 'PATCH', 'DELETE'] } },
  ],
}
for (const [name, value] of Object.entries(config)) {
  fs.mkdirSync(path.join(folder, 'config'), { recursive: true })
  fs.writeFileSync(path.join(folder, 'config', `${name}.js`), `module.exports = ${JSON.stringify(value)}`)
}
for (const name of ['src', 'public/uploads']) fs.mkdirSync(path.join(folder, name), { recursive: true })
fs.copyFileSync(path.join(__dirname, 'package.json'), path.join(folder, 'package.json'))
fs.symlinkSync(path.join(__dirname, 'node_modules'), path.join(folder, 'node_modules'))

const SITE = 'https://login.example.com'
const USER = 'plugin::users-permissions.user'

async function changeAccount(strapi, method, data) {
  const users = strapi.plugin('users-permissions').service('user')
  if (method === 'POST') {
    const role = await strapi.db.query('plugin::users-permissions.role').findOne({ where: { type: 'authenticated' } })
    const { email, name, password, is_verified: confirmed } = data
    await users.add({ username: name, email, password, confirmed, provider: 'local', role: role.id })
    return
  }
  const user = await strapi.db.query(USER).findOne({ where: { email: data.email } })
  if (method === 'DELETE') return users.remove({ id: user.id })
  const { name, new_email: email, password } = data
  const changes = { username: name, email, password }
  await users.edit(user.id, Object.fromEntries(Object.entries(changes).filter(([, value]) => value)))
}

const mails = []

async function main() {
  process.env.STRAPI_TELEMETRY_DISABLED = 'true'
  const { createStrapi } = require('@strapi/strapi')
  const strapi = await createStrapi({ appDir: folder, distDir: folder }).load()
  strapi.server.routes([
    {
      method: 'ALL',
      path: '/test/account',
      handler: async (ctx) => {
        await changeAccount(strapi, ctx.method, ctx.request.body)
        ctx.status = 204
      },
      config: { auth: false },
    },
    {
      method: 'GET',
      path: '/test/mails',
      handler: (ctx) => {
        ctx.body = mails.filter((mail) => mail.to === ctx.query.to).map((mail) => mail.text.replace(/<[^>]*>/g, ' '))
      },
      config: { auth: false },
    },
  ])
  strapi.plugin('email').provider = { send: async (mail) => mails.push(mail) }
  const settings = strapi.store({ type: 'plugin', name: 'users-permissions', key: 'advanced' })
  await settings.set({ value: { ...(await settings.get()), email_confirmation: true, email_reset_password: `${SITE}/auth/password/reset` } })
  await strapi.start()
}

main()
