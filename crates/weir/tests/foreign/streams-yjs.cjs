// Usage: node streams-yjs.cjs BASE BASE...
// One Yjs document, edited at once by as many people as there are servers, each by the npm package
// `@durable-streams/y-durable-streams` with a server of its own.
const assert = require('node:assert/strict')
const { setTimeout: sleep } = require('node:timers/promises')
const { YjsProvider } = require('@durable-streams/y-durable-streams')
const { YjsServer } = require('@durable-streams/y-durable-streams/server')
const Y = require('yjs')

async function main () {
  const people = []
  for (const dsServerUrl of process.argv.slice(2)) {
    const server = new YjsServer({ port: 0, host: '127.0.0.1', dsServerUrl })
    const doc = new Y.Doc()
    people.push({ url: await server.start(), doc, text: doc.getText('text'), list: doc.getArray('list') })
  }
  for (const person of people) {
    person.provider = new YjsProvider({ doc: person.doc, baseUrl: `${person.url}/v1/yjs/editor`, docId: 'notes/first' })
    person.provider.on('error', (error) => { console.log(String(error.stack)); process.exit(1) })
    while (!person.provider.synced) await sleep(5)
  }
  for (let round = 0; round < 20; round++) {
    people.forEach(({ text, list }, who) => {
      text.insert(Math.floor(text.length / 2), `${who}:${round} `)
      list.push([{ who, round }])
    })
    await sleep(5)
  }
  const all = 20 * people.length
  while (people.some(({ list }) => list.length < all)) await sleep(5)
  const [first, ...others] = people
  while (others.some(({ text }) => text.toString() !== first.text.toString())) await sleep(5)
  for (const { list } of others) assert.deepEqual(list.toJSON(), first.list.toJSON())
  // Everything is there once, whoever wrote in between.
  const sent = people.flatMap((_, who) => [...Array(20).keys()].map((round) => ({ who, round })))
  const order = (list) => list.map(({ who, round }) => `${who}:${round} `).sort()
  assert.deepEqual(order(first.list.toJSON()), order(sent))
  assert.deepEqual([...first.text.toString()].sort(), [...order(sent).join('')].sort())
  console.log('done')
}

sleep(60_000).then(() => process.exit(3))
main().then(() => process.exit(0), (error) => { console.log(String(error.stack ?? error)); process.exit(1) })
