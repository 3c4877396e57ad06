// Usage: node daemon.cjs
// Stands for what runs agents: whenever one of them changes its state, it appends that to the stream `agents` of the weir at
// WEIR_URL. An append is answered once it is kept, and made again until it is, without being there twice.
const { setTimeout: sleep } = require('node:timers/promises')
const { DurableStream, IdempotentProducer } = require('@durable-streams/client')

const { WEIR_URL = 'http://localhost:8080' } = process.env
const NAMES = ['Ada', 'Barbara', 'Edsger', 'Frances', 'Grace', 'Hedy', 'Leslie', 'Tony']
const TASKS = ['reads the issue', 'writes a test', 'builds', 'runs the tests', 'reviews', 'waits for a person']

const any = (list) => list[Math.floor(Math.random() * list.length)]

// The producer numbers its calls, so that none is carried out twice, but makes none again whose connection failed; and after a
// gap in the numbers all that follow are refused. Refusals that it has to see, to claim its place or to wait, are passed on.
async function untilAnswered (url, options) {
  for (let wait = 100; ; wait = Math.min(2000, wait * 2)) {
    try {
      const answer = await fetch(url, options)
      if (answer.status < 500 && answer.status !== 429) return answer
      await answer.body?.cancel()
      console.error(`not appended yet: ${answer.status}`)
    } catch (error) {
      console.error(`not appended yet: ${error.message}`)
    }
    await sleep(wait)
  }
}

async function main () {
  const stream = await DurableStream.create({ url: `${WEIR_URL}/v1/stream/agents`, contentType: 'application/json' })
  const producer = new IdempotentProducer(stream, 'daemon', {
    autoClaim: true,
    fetch: untilAnswered,
    onError: (error) => console.error(`not appended: ${error.message}`)
  })
  const done = new Map(NAMES.map((name) => [name, 0]))
  for (;;) {
    const name = any(NAMES)
    const percent = Math.min(100, done.get(name) + Math.ceil(Math.random() * 15))
    done.set(name, percent % 100)
    const value = { name, task: percent === 100 ? 'is done' : any(TASKS), percent, at: Date.now() }
    // The form of the State Protocol, which `createStreamDB` of @durable-streams/state reads, too.
    producer.append(JSON.stringify({ type: 'agent', key: name, value, headers: { operation: 'upsert' } }))
    await sleep(100 + Math.random() * 500)
  }
}

main().catch((error) => { console.error(error.message); process.exit(1) })
