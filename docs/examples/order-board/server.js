// One of several API servers, started by start.js. Any of them answers any request, and publishes what it changed.
import { createServer } from 'node:http'
import { Publisher } from '@weir/client/publisher'

const { PORT, HOST, WEIR_URL } = process.env

// A caller never waits for weir, and is not told of it: what weir cannot take now is delivered once it is back.
const publisher = new Publisher({ url: WEIR_URL, onTrouble: ({ message, retryIn }) => console.error(`not published yet: ${message}; again in ${retryIn} ms`) })

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

async function body (request) {
  try {
    let text = ''
    for await (const chunk of request) text += chunk
    return { ...JSON.parse(text) }
  } catch (error) {
    throw Object.assign(new Error(`not JSON: ${error.message}`), { status: 400 })
  }
}

async function answer (request) {
  const { pathname, searchParams } = new URL(request.url, 'http://api')
  const id = decodeURIComponent(pathname.split('/')[3] ?? '')
  switch (`${request.method} ${pathname.replace(/(?<=orders)\/.+/, '/ID')}`) {
    case 'GET /api/orders': return ask('list', { state: searchParams.get('state') })
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
  throw Object.assign(new Error('there is nothing here'), { status: 404 })
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
}).listen(Number(PORT), HOST)

ask('files', {}).then((made) => { files = made })
