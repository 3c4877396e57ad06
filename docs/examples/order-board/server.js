// One of several API servers, started by start.js. Any of them answers any request, and publishes what it changed.
import { createServer } from 'node:http'
import { Publisher } from '@weir/client/publisher'

const { PORT, HOST, WEIR_URL } = process.env

// A caller never waits for weir, and is not told of it: what weir cannot take now is delivered once it is back.
const publisher = new Publisher({ url: WEIR_URL, onTrouble: ({ message, retryIn }) => console.error(`not published yet: ${message}; again in ${Math.round(retryIn)} ms`) })

/** The envelope is the application's own. The key says what the event replaces, for whoever wants only the newest of each. */
function publish (type, id, patch, ts) {
  publisher.publish('orders', { type, id, patch, ts }, { type, key: `${id}:${Object.keys(patch).sort().join('+')}` })
}

function publishChange (type, { order, patch, ts, figures }) {
  publish(type, order.id, patch, ts)
  for (const [name, value] of Object.entries(figures)) publish('metric.updated', name, { value }, ts)
}

const waiting = new Map()
let nth = 0

/** Asks the database. */
function ask (call, given) {
  return new Promise((resolve, reject) => {
    waiting.set(++nth, { resolve, reject })
    process.send({ nth, call, given })
  })
}

process.on('message', ({ nth, value, error }) => {
  const { resolve, reject } = waiting.get(nth)
  waiting.delete(nth)
  error ? reject(Object.assign(new Error(error.message), error)) : resolve(value)
})

function refuse (status, message) {
  throw Object.assign(new Error(message), { status })
}

/** What was sent, which has to be JSON, since pages of other sites cannot send that unasked. */
async function body (request) {
  if (request.headers['content-type'] !== 'application/json') refuse(415, 'a body is application/json')
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) if ((text += chunk).length > 65536) refuse(413, 'a body has 64 KiB at most')
  try { return { ...JSON.parse(text) } } catch { refuse(400, 'a body is JSON') }
}

/** The part of a path that names an order. */
function named (part) {
  try { return decodeURIComponent(part) } catch { refuse(400, 'this can be no path') }
}

async function answer (request) {
  const [pathname, query] = request.url.split('?')
  const id = named(pathname.split('/')[3] ?? '')
  switch (`${request.method} ${pathname.replace(/(?<=orders)\/.+/, '/ID')}`) {
    case 'GET /api/orders': return ask('list', { state: new URLSearchParams(query).get('state') })
    case 'GET /api/orders/ID': return ask('get', { id })
    case 'GET /api/figures': return ask('figures', {})
    case 'POST /api/orders': {
      const made = await ask('create', await body(request))
      publishChange('order.created', made)
      return made.order
    }
    case 'PATCH /api/orders/ID': {
      const made = await ask('update', { ...await body(request), id })
      publishChange('order.updated', made)
      return made.order
    }
  }
  return refuse(404, 'there is nothing here')
}

let files = {}

createServer(async (request, response) => {
  const send = (status, type, content) => {
    response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', 'x-api-server': process.pid })
    response.end(content)
  }
  const file = files[request.url.split('?')[0]]
  if (file) return send(200, ...file)
  try {
    send(200, 'application/json', JSON.stringify(await answer(request)))
  } catch (error) {
    console.error(`${request.method} ${request.url}: ${error.message}`)
    send(error.status ?? 500, 'application/json', JSON.stringify({ error: error.message }))
  }
}).on('error', ({ message }) => {
  console.error(`no page at http://${HOST}:${PORT}: ${message}; PORT says where else`)
  process.exit(1)
}).listen(Number(PORT), HOST)

ask('files', {}).then((made) => { files = made })
