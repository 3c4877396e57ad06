// Usage: node streams-fallback.cjs BASE
// The npm package `@durable-streams/client` where something on the way ends every `live=sse` at once. It gives up after
// three, and says that it falls back to long-polls; what it does is to end its session. A new one by long-poll goes on.
const assert = require('node:assert/strict')
const { setTimeout: sleep } = require('node:timers/promises')
const { DurableStream, stream } = require('@durable-streams/client')

async function main () {
  const url = `${process.argv[2]}/v1/stream/clients/fallback`
  const handle = await DurableStream.create({ url, contentType: 'application/json' })
  await handle.append('{"n":1}')
  const items = []
  const blocked = await stream({ url, live: 'sse' })
  blocked.subscribeJson((batch) => { items.push(...batch.items) })
  await blocked.closed
  while (items.length < 1) await sleep(5)
  assert.equal(blocked.streamClosed, false)
  await handle.append('{"n":2}')
  const session = await stream({ url, live: 'long-poll', offset: blocked.offset })
  session.subscribeJson((batch) => { items.push(...batch.items) })
  await handle.append('{"n":3}')
  await handle.close()
  await session.closed
  // The session may end before its subscriber was told all of it.
  while (items.length < 3) await sleep(5)
  assert.deepEqual(items, [{ n: 1 }, { n: 2 }, { n: 3 }])
  console.log('done')
}

sleep(60_000).then(() => process.exit(3))
main().then(() => process.exit(0), (error) => { console.log(String(error.stack ?? error)); process.exit(1) })
