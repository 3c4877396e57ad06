// Usage: node streams-client.cjs BASE
// The npm package `@durable-streams/client` with every way to follow a stream, against the server at BASE.
const assert = require('node:assert/strict')
const { setTimeout: sleep } = require('node:timers/promises')
const { DurableStream, stream } = require('@durable-streams/client')

const at = (name) => `${process.argv[2]}/v1/stream/clients/${name}`

// Line ends that a stream of text may carry, and what an encoder may get wrong.
const TEXTS = ['plain', ' spaces ', 'a\nb', '\n', 'event: control', 'data: x\n\ndata: y', 'ünï 日本 🦀', 'x'.repeat(70_000)]

// What a follower has got, and a promise for the moment when that is enough.
function collector (enough) {
  const items = []
  let done
  const complete = new Promise((resolve) => { done = resolve })
  return { items, complete, take: (more) => { items.push(...more); if (items.length >= enough) done() } }
}

async function until (condition) {
  while (!condition()) await sleep(5)
}

async function catchesUpAndResumes () {
  const url = at('catch-up')
  const handle = await DurableStream.create({ url, contentType: 'application/json' })
  for (const n of [1, 2, 3]) await handle.append(JSON.stringify({ n }))
  const first = await stream({ url, live: false })
  assert.deepEqual(await first.json(), [{ n: 1 }, { n: 2 }, { n: 3 }])
  const nothing = await stream({ url, live: false, offset: first.offset })
  assert.deepEqual(await nothing.json(), [])
  await handle.append(JSON.stringify([{ n: 4 }, { n: 5 }]))
  const rest = await stream({ url, live: false, offset: first.offset })
  // What is appended at once is one value, an array too.
  assert.deepEqual(await rest.json(), [[{ n: 4 }, { n: 5 }]])
  const { offset, contentType } = await DurableStream.head({ url })
  assert.deepEqual([offset, contentType], [rest.offset, 'application/json'])
  const now = await stream({ url, live: false, offset: 'now' })
  assert.deepEqual([await now.json(), now.offset], [[], offset])
}

async function follows (live) {
  const url = at(`live-${live}`)
  const handle = await DurableStream.create({ url, contentType: 'application/json' })
  await handle.append('{"n":0}')
  const leaving = new AbortController()
  const session = await stream({ url, live, signal: leaving.signal })
  session.closed.catch(() => {})
  const got = collector(10)
  session.subscribeJson(({ items }) => got.take(items))
  for (let n = 1; n < 10; n++) await handle.append(JSON.stringify({ n }))
  await got.complete
  assert.deepEqual(got.items.map(({ n }) => n), [...Array(10).keys()])

  // Who has left gets nothing more, and goes on later where it was.
  const offset = session.offset
  leaving.abort()
  await handle.append('{"n":10}')
  const later = await stream({ url, live, offset })
  const rest = collector(1)
  later.subscribeJson(({ items }) => rest.take(items))
  await rest.complete
  assert.deepEqual(rest.items, [{ n: 10 }])
  assert.equal(got.items.length, 10)

  // A stream that ends, ends its followers.
  await handle.close({ body: '{"n":11}' })
  await later.closed
  assert.equal(later.streamClosed, true)
  // The session may end before its subscriber was told all of it.
  await until(() => rest.items.length === 2)
  assert.deepEqual(rest.items, [{ n: 10 }, { n: 11 }])
}

async function keepsTexts (live) {
  const url = at(`text-${live}`)
  const handle = await DurableStream.create({ url, contentType: 'text/plain' })
  const session = await stream({ url, live })
  let text = ''
  session.subscribeText((chunk) => { text += chunk.text })
  for (const one of TEXTS) await handle.append(one)
  await handle.close()
  await session.closed
  await until(() => text.length >= TEXTS.join('').length)
  assert.equal(text, TEXTS.join(''))
}

async function keepsBytes (live) {
  const url = at(`bytes-${live}`)
  const handle = await DurableStream.create({ url, contentType: 'application/octet-stream' })
  const session = await stream({ url, live })
  const chunks = []
  session.subscribeBytes(({ data }) => { chunks.push(data) })
  const sent = [...Array(16).keys()].map((nth) => Uint8Array.from({ length: 1 + 997 * nth }, (_, i) => (i * 7 + nth) & 255))
  for (const one of sent) await handle.append(one)
  await handle.close()
  await session.closed
  await until(() => Buffer.concat(chunks).length >= Buffer.concat(sent).length)
  assert.ok(Buffer.concat(chunks).equals(Buffer.concat(sent)))
}

async function isRefused () {
  const url = at('refused')
  await assert.rejects(stream({ url, live: 'sse' }), { status: 404 })
  const handle = await DurableStream.create({ url, contentType: 'application/json' })
  await handle.append('1', { seq: '5' })
  await assert.rejects(handle.append('2', { seq: '4' }), { status: 409 })
  await handle.close()
  await assert.rejects(handle.append('3'))
  await DurableStream.delete({ url })
  assert.deepEqual(await DurableStream.head({ url }), { exists: false })
}

async function main () {
  await catchesUpAndResumes()
  for (const live of ['sse', 'long-poll', true]) await follows(live)
  for (const live of ['sse', 'long-poll']) {
    await keepsTexts(live)
    await keepsBytes(live)
  }
  await isRefused()
  console.log('done')
}

sleep(60_000).then(() => process.exit(3))
main().then(() => process.exit(0), (error) => { console.log(String(error.stack ?? error)); process.exit(1) })
