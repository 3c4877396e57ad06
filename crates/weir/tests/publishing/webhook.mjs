// A web hook as an application has one: it answers whoever calls, and publishes. It also tells what its publisher counted.
import { createServer } from 'node:http'

const { Publisher } = await import(process.env.PUBLISHER)
const told = []
const publisher = new Publisher({
  url: process.env.WEIR_URL,
  token: () => process.env.WEIR_TOKEN,
  queue: { events: Number(process.env.EVENTS) },
  backoff: { most: 500 },
  onOverflow: (event) => told.push(JSON.parse(event.data).n),
  onRefused: (event, refusal) => told.push(refusal.code)
})

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost')
  if (pathname === '/counts') return response.end(JSON.stringify({ ...publisher.counts, told }))
  const offer = publisher.publish(searchParams.get('session'), { n: Number(searchParams.get('n')) }, { type: 'guild.joined' })
  response.end(offer)
})
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`))
