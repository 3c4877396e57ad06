// Usage: node server.js, which start.js does
// The application: its pages, who is logged in, and the webhooks of the platform on which the guilds are.
import { createServer } from 'node:http'
import { timingSafeEqual, createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Publisher } from '@weir/client/publisher'
import { logIn, logOut, logOutEverywhere, pageToken, serverToken, tokenSeconds, userOf, users } from './accounts.js'
import { figures } from './figures.js'
import { invite } from './platform.js'

const { HOST, PORT, WEIR_URL, WEIR_ADMIN_URL, WEBHOOK_SECRET = 'only for this example', QUEUE = '1000' } = process.env

// What waits while weir is away, and no more: updates are not worth the memory of the process.
const publisher = new Publisher({
  url: WEIR_URL,
  token: serverToken,
  queue: { events: Number(QUEUE) },
  onOverflow: (event, { overflowed }) => console.log(`the queue is full: a ${event.type} is lost, ${overflowed} in all`),
  onRefused: (event, { message }) => console.log(`weir refused a ${event?.type ?? 'publish'}: ${message}`),
  onTrouble: ({ message, retryIn }) => console.log(`not published yet, tried again in ${Math.round(retryIn)} ms: ${message}`)
})

const WEBHOOKS = { '/webhooks/bot-joined': 'bot.joined', '/webhooks/bot-left': 'bot.left', '/webhooks/guild-renamed': 'guild.renamed' }

class Refusal extends Error {
  constructor (status, message) { super(message); this.status = status }
}

// Compared by their digests, which have the same length and tell nothing by the time that it takes.
const digest = (text) => createHash('sha256').update(text).digest()
const isPlatform = ({ headers }) => timingSafeEqual(digest(headers.authorization ?? ''), digest(`Bearer ${WEBHOOK_SECRET}`))

/** It is answered at once, whether weir is there or not. The platform repeats a delivery that it had no answer to, under the same id. */
async function webhook (request, type) {
  if (!isPlatform(request)) throw new Refusal(401, 'webhooks carry the secret of the platform')
  const { delivery, user, guild } = await read(request)
  if (!delivery || !user?.id || !guild?.id || !guild.name) throw new Refusal(400, 'a webhook has delivery, user.id, guild.id and guild.name')
  // Ids and names, whatever else the platform tells of them. A delivery that is repeated has to be the same as before.
  const update = { guild: { id: String(guild.id), name: String(guild.name) } }
  const offer = publisher.publish(`user:${user.id}`, update, { type, key: update.guild.id, idempotencyKey: String(delivery) })
  if (offer === 'refused') throw new Refusal(400, 'this can be no event')
  return [202, {}]
}

/** Ends the streams of a user, on every instance of weir; with `revoke`, no token of before is good any more. */
async function disconnect (user, revoke = '') {
  const call = `${WEIR_ADMIN_URL}/disconnect?subject=${encodeURIComponent(user.id)}${revoke}`
  // The token ends by itself soon, so who logs out is not kept waiting for a weir that is away.
  const options = { method: 'POST', headers: { 'weir-admin': '1' }, signal: AbortSignal.timeout(2000) }
  await fetch(call, options).catch((error) => console.log(`streams are not ended: ${error.message}`))
}

const loggedIn = (request) => userOf(request) ?? fail(401, 'nobody is logged in')
const fail = (status, message) => { throw new Refusal(status, message) }

const calls = {
  'GET /session': async (request) => {
    const { id, name, guilds, operator } = loggedIn(request)
    return [200, { user: { id, name, operator }, guilds, weir: WEIR_URL }]
  },
  'GET /users': async () => [200, users.map(({ id, name }) => ({ id, name }))],
  'GET /token': async (request) => [200, { token: await pageToken(loggedIn(request)) }],
  'POST /login': async (request) => {
    const { user } = await read(request)
    const found = users.find(({ id }) => id === user) ?? fail(403, 'there is no such user')
    return [200, {}, { 'set-cookie': logIn(found) }]
  },
  'POST /logout': async (request) => {
    await read(request)
    const user = loggedIn(request)
    logOut(request)
    // Other browsers of this user come back by themselves; this one is asked for a token that it does not get.
    await disconnect(user)
    return [200, {}]
  },
  'POST /logout-everywhere': async (request) => {
    await read(request)
    const user = loggedIn(request)
    logOutEverywhere(user)
    await disconnect(user, `&revoke=${tokenSeconds}`)
    return [200, {}]
  },
  'POST /invite': async (request) => {
    const { guild, event } = await read(request)
    const found = loggedIn(request).guilds.find(({ id }) => id === guild) ?? fail(403, 'this is a guild of others')
    if (!WEBHOOKS[`/webhooks/${event}`]) fail(400, 'there is no such event')
    invite(`http://${HOST}:${PORT}`, WEBHOOK_SECRET, userOf(request), found, event)
    return [202, {}]
  },
  'GET /figures.json': async (request) => {
    if (!loggedIn(request).operator) fail(403, 'figures are for operators')
    const queue = publisher.counts
    return [200, await figures(WEIR_ADMIN_URL).then((weir) => ({ weir, queue }), () => ({ weir: null, queue }))]
  }
}
for (const [path, type] of Object.entries(WEBHOOKS)) calls[`POST ${path}`] = (request) => webhook(request, type)

const pages = Object.fromEntries(['index.html', 'page.js', 'figures.html', 'figures.js', 'style.css'].map((name) => {
  const type = { html: 'text/html', js: 'text/javascript', css: 'text/css' }[name.split('.')[1]]
  return [name === 'index.html' ? '/' : `/${name}`, [`${type}; charset=utf-8`, readFileSync(new URL(`pages/${name}`, import.meta.url))]]
}))
pages['/client.js'] = ['text/javascript; charset=utf-8', readFileSync(fileURLToPath(import.meta.resolve('@weir/client')))]

/** The body of a post, which has to be JSON, since pages of other origins cannot send that unasked: the cookie alone would tell
 * other sites from this one, but not another port of this host. */
async function read (request) {
  if (request.headers['content-type'] !== 'application/json') throw new Refusal(415, 'a body is application/json')
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) if ((text += chunk).length > 65536) throw new Refusal(413, 'a body has 64 KiB at most')
  try { return { ...JSON.parse(text) } } catch { throw new Refusal(400, 'a body is JSON') }
}

const server = createServer(async (request, answer) => {
  const path = request.url.split('?')[0]
  const [type, content] = (request.method === 'GET' && pages[path]) || []
  if (content) return answer.writeHead(200, { 'content-type': type, 'cache-control': 'no-cache' }).end(content)
  const call = calls[`${request.method} ${path}`] ?? (() => fail(404, 'there is nothing here'))
  const [status, body, headers] = await Promise.resolve(request).then(call).catch((error) => {
    if (!error.status) console.error(error)
    return [error.status ?? 500, { error: error.status ? error.message : 'something went wrong here' }]
  })
  answer.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers }).end(JSON.stringify(body))
})
server.on('error', ({ message }) => {
  console.error(`no page at http://${HOST}:${PORT}: ${message}; PORT says where else`)
  process.exit(1)
})
server.listen(Number(PORT), HOST, () => console.log(`guild updates are at http://${HOST}:${PORT}`))

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, async () => {
    server.close()
    const { waiting } = await publisher.close({ timeout: 5000 })
    if (waiting > 0) console.log(`${waiting} updates were not published`)
    process.exit(0)
  })
}
