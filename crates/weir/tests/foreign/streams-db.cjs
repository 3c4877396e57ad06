// Usage: node streams-db.cjs BASE [LIVE]
// `createStreamDB` of the npm package `@durable-streams/state`: its collection follows what is appended to the stream. LIVE is
// how; without it the package decides.
const assert = require('node:assert/strict')
const { randomUUID } = require('node:crypto')
const { setTimeout: sleep } = require('node:timers/promises')
const { DurableStream } = require('@durable-streams/client')
const { createStateSchema, createStreamDB } = require('@durable-streams/state/db')

// Any object is one.
const schema = { '~standard': { version: 1, vendor: 'weir', validate: (value) => ({ value }) } }
const state = createStateSchema({ agents: { schema, type: 'agent', primaryKey: 'id' } })

async function main () {
  const [base, live] = process.argv.slice(2)
  const url = `${base}/v1/stream/clients/db-${live}`
  const handle = await DurableStream.create({ url, contentType: 'application/json' })
  const append = (event) => handle.append(JSON.stringify(event))
  await append(state.agents.insert({ value: { id: 'a', does: 'idle' } }))
  const db = createStreamDB({ streamOptions: { url, contentType: 'application/json' }, state, live })
  await db.preload()
  const { agents } = db.collections
  assert.equal(agents.get('a').does, 'idle')

  const until = async (condition) => { while (!condition()) await sleep(5) }
  for (let n = 0; n < 50; n++) {
    await append(state.agents.update({ value: { id: 'a', does: `task ${n}` } }))
    await append(state.agents.insert({ value: { id: `b${n}`, does: 'idle' } }))
  }
  await until(() => agents.size === 51)
  assert.equal(agents.get('a').does, 'task 49')
  await append(state.agents.delete({ key: 'b7' }))
  await until(() => agents.size === 50)
  assert.equal(agents.get('b7'), undefined)

  const txid = randomUUID()
  await Promise.all([
    db.utils.awaitTxId(txid),
    append(state.agents.update({ value: { id: 'a', does: 'last' }, headers: { txid } }))
  ])
  assert.equal(agents.get('a').does, 'last')
  db.close()
  console.log('done')
}

sleep(60_000).then(() => process.exit(3))
main().then(() => process.exit(0), (error) => { console.log(String(error.stack ?? error)); process.exit(1) })
