// Usage: node streams-producer.cjs BASE COUNT
// COUNT appends by the `IdempotentProducer` of the npm package `@durable-streams/client`, several calls in flight, read back.
const assert = require('node:assert/strict')
const { setTimeout: sleep } = require('node:timers/promises')
const { DurableStream, IdempotentProducer, stream } = require('@durable-streams/client')

async function main () {
  const [base, count] = [process.argv[2], Number(process.argv[3])]
  const url = `${base}/v1/stream/clients/producer`
  const handle = await DurableStream.create({ url, contentType: 'application/json' })
  const errors = []
  // Small batches, so that many calls race each other to different instances.
  const producer = new IdempotentProducer(handle, 'producer', {
    maxBatchBytes: 4096, lingerMs: 1, onError: (error) => errors.push(error)
  })
  for (let n = 0; n < count; n++) producer.append(JSON.stringify({ n }))
  await producer.flush()
  assert.deepEqual(errors, [])
  // Until it is up to date, since an answer may hold less than all.
  const session = await stream({ url, live: 'long-poll' })
  const items = await session.json()
  assert.equal(items.length, count)
  items.forEach(({ n }, place) => assert.equal(n, place))
  console.log('done')
}

sleep(100_000).then(() => process.exit(3))
main().then(() => process.exit(0), (error) => { console.log(String(error.stack ?? error)); process.exit(1) })
