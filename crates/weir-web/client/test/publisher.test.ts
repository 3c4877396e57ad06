import assert from 'node:assert/strict'
import { after, afterEach, test } from 'node:test'

import { Publisher, type Publish, type PublisherOptions, type Refusal, type Trouble } from '../src/publisher.js'
import { at, deferred, hang, lose, refuse, Scripted, take, type Deed } from './scripted.js'

const QUICK = { first: 1, most: 5 }
const ends: (() => Promise<unknown>)[] = []

// A publisher keeps no process alive, not even this one.
const alive = setInterval(() => {}, 1000)
after(() => clearInterval(alive))

afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

async function serving(script: Deed[] = [], port = 0): Promise<Scripted> {
  const server = await Scripted.start(script, port)
  ends.push(() => server.stop())
  return server
}

function publishing(url: string, options: Partial<PublisherOptions> = {}): Publisher {
  const publisher = new Publisher({ url, backoff: QUICK, ...options })
  ends.unshift(() => publisher.close({ timeout: 0 }))
  return publisher
}

/** A port on which nobody listens. */
async function nobody(): Promise<number> {
  const server = await Scripted.start()
  const { port } = server
  await server.stop()
  return port
}

function dataOf(server: Scripted): string[] {
  return server.asked.flatMap(({ events }) => events.map(({ data }) => data))
}

function keysOf(server: Scripted): unknown[] {
  return server.asked.map(({ headers }) => headers['idempotency-key'])
}

const settled = { delivered: 0, refused: 0, overflowed: 0, waiting: 0 }

test('all that an event has goes out, text as it is and the rest as JSON', async () => {
  const server = await serving()
  const publisher = publishing(`${server.url}/prefix/`, { token: ' secret\n' })
  assert.equal(publisher.publish('room/1 ü', 'é\n{}', { type: 'order.created', key: 'ord 42&', snapshot: 60 }), 'queued')
  const changing = { at: 1, of: [null] as unknown[] }
  publisher.publish('..', changing)
  changing.at = 2
  assert.deepEqual(await publisher.flush(), { ...settled, delivered: 2 })
  const [asked, ...more] = server.asked
  assert.equal(more.length, 0)
  assert.deepEqual([asked?.method, asked?.path], ['POST', '/prefix/v1/events'])
  assert.equal(asked?.headers['content-type'], 'application/x-ndjson')
  assert.equal(asked?.headers.authorization, 'Bearer secret')
  assert.deepEqual(asked?.events, [
    { session: 'room/1 ü', data: 'é\n{}', type: 'order.created', key: 'ord 42&', snapshot: 60 },
    { session: '..', data: '{"at":1,"of":[null]}' },
  ])
})

test('the caller has its answer before anything is asked', async () => {
  const calls: string[] = []
  const slow = (async () => {
    calls.push('fetch')
    throw new Error('away')
  }) as typeof fetch
  const publisher = publishing('http://127.0.0.1:1', { fetch: slow, token: () => (calls.push('token'), 't') })
  assert.equal(publisher.publish('s', 'a'), 'queued')
  calls.push('caller')
  await publisher.flush({ timeout: 1 })
  assert.deepEqual(calls.slice(0, 3), ['caller', 'token', 'fetch'])
})

test('what waits goes out in order, many at once, each batch under a key of its own', async () => {
  const first = deferred<void>()
  const server = await serving([(asked, response) => void first.promise.then(() => take(asked, response))])
  const publisher = publishing(server.url)
  publisher.publish('s', '0')
  await server.after(1)
  const rest = Array.from({ length: 450 }, (_, n) => `${n + 1}`)
  for (const data of rest) publisher.publish('s', data)
  assert.equal(publisher.counts.waiting, 451)
  first.resolve()
  assert.deepEqual(await publisher.flush(), { ...settled, delivered: 451 })
  assert.deepEqual(dataOf(server), ['0', ...rest])
  assert.deepEqual(server.asked.map(({ events }) => events.length), [1, 200, 200, 50])
  assert.equal(new Set(keysOf(server)).size, 4)
})

test('a batch is bounded in bytes, too, but an event always fits one', async () => {
  const server = await serving()
  const publisher = publishing(server.url)
  for (const size of [600, 300, 300]) publisher.publish('s', 'x'.repeat(size * 1024))
  await publisher.flush()
  assert.deepEqual(server.asked.map(({ events }) => events.length), [1, 1, 1])
})

test('a lost answer and an outage are repeated under the same key and in the same words', async () => {
  const server = await serving([lose, refuse(503, 'outcome_unknown'), refuse(502, null), refuse(408, 'body_timeout')])
  const troubles: Trouble[] = []
  const delivered: string[] = []
  const publisher = publishing(server.url, {
    onTrouble: (trouble) => troubles.push(trouble),
    onDelivered: (event, id) => delivered.push(`${event.data} ${id}`),
  })
  publisher.publish('s', 'a')
  publisher.publish('s', 'b')
  await server.after(1)
  // What comes meanwhile must not change what goes out under that key.
  publisher.publish('s', 'c')
  assert.deepEqual(await publisher.flush(), { ...settled, delivered: 3 })
  const keys = keysOf(server)
  assert.equal(keys.length, 6)
  assert.equal(new Set(keys.slice(0, 5)).size, 1)
  assert.equal(new Set(server.asked.slice(0, 5).map(({ body }) => body)).size, 1)
  assert.notEqual(keys[5], keys[0])
  assert.deepEqual(delivered, ['a 7-0', 'b 7-1', 'c 7-0'])
  assert.deepEqual(troubles.map(({ status, code, failures }) => [status, code, failures]), [
    [null, null, 1],
    [503, 'outcome_unknown', 2],
    [502, null, 3],
    [408, 'body_timeout', 4],
  ])
  assert.equal(troubles[1]?.message, 'because of outcome_unknown')
})

test('what waited is delivered when somebody is there again', async () => {
  const port = await nobody()
  const trouble = deferred<Trouble>()
  const publisher = publishing(at(port), { onTrouble: trouble.resolve })
  for (const data of ['a', 'b']) publisher.publish('s', data)
  const { message, status } = await trouble.promise
  assert.match(message, /ECONNREFUSED/)
  assert.equal(status, null)
  const server = await serving([], port)
  assert.deepEqual(await publisher.flush(), { ...settled, delivered: 2 })
  assert.deepEqual(dataOf(server), ['a', 'b'])
})

test('it comes back no earlier than it is asked to, whoever is in a hurry', async () => {
  const server = await serving([refuse(429, 'rate', { 'retry-after': '1' })])
  const trouble = deferred<Trouble>()
  const publisher = publishing(server.url, { onTrouble: trouble.resolve })
  publisher.publish('s', 'a')
  const { retryIn } = await trouble.promise
  assert.ok(retryIn >= 1000 && retryIn <= 1200, `${retryIn}`)
  const before = performance.now()
  assert.equal((await publisher.flush()).delivered, 1)
  assert.ok(performance.now() - before > 900)
})

test('what was delivered ends a row of failures', async () => {
  const server = await serving([refuse(503, null), take, refuse(422, null), refuse(503, null)])
  const failures: number[] = []
  const publisher = publishing(server.url, { onTrouble: (trouble) => failures.push(trouble.failures), onRefused: () => {} })
  for (const data of ['a', 'b', 'c']) {
    publisher.publish('s', data)
    await publisher.flush()
  }
  assert.deepEqual(failures, [1, 1])
})

test('pauses double up to a bound, and a date is understood', async () => {
  const later = new Date(Date.now() + 60_000).toUTCString()
  const pauses: number[] = []
  const headers = (): Record<string, string> => (pauses.length === 7 ? { 'retry-after': later } : {})
  const away = (async () => new Response('', { status: 503, headers: headers() })) as typeof fetch
  const publisher = publishing('http://127.0.0.1:1', {
    fetch: away,
    backoff: { first: 0.5, most: 8 },
    onTrouble: ({ retryIn }) => {
      pauses.push(retryIn)
      if (pauses.length === 8) all.resolve()
    },
  })
  const all = deferred<void>()
  publisher.publish('s', 'a')
  await all.promise
  for (const [nth, step] of [0.5, 1, 2, 4, 8, 8, 8].entries()) {
    const pause = pauses[nth] ?? 0
    assert.ok(pause >= Math.max(0.5, 0.8 * step) && pause <= Math.max(0.6, step), `${nth}: ${pause}`)
  }
  assert.equal(new Set(pauses.slice(4, 7)).size, 3)
  assert.ok((pauses[7] ?? 0) > 55_000 && (pauses[7] ?? 0) < 75_000, `${pauses[7]}`)
})

test('an event that is refused for good holds up nobody, and takes no other with it', async () => {
  const bad: Deed = (asked, response) => (asked.body.includes('bad') ? refuse(422, 'invalid_key') : take)(asked, response)
  const server = await serving(Array.from({ length: 9 }, () => bad))
  const refused: [string | undefined, Refusal][] = []
  const publisher = publishing(server.url, { onRefused: (event, refusal) => refused.push([event?.data, refusal]) })
  for (const data of ['a', 'bad', 'b']) publisher.publish('s', data)
  assert.deepEqual(await publisher.flush(), { ...settled, delivered: 2, refused: 1 })
  assert.deepEqual(refused, [['bad', { status: 422, code: 'invalid_key', message: 'because of invalid_key' }]])
  const batches = server.asked.map(({ events }) => events.map(({ data }) => data))
  assert.deepEqual(batches, [['a', 'bad', 'b'], ['a'], ['bad'], ['b']])
  assert.equal(new Set(keysOf(server)).size, 4)
  // And then it is as it was.
  for (const data of ['c', 'd']) publisher.publish('s', data)
  await publisher.flush()
  assert.equal(server.asked.length, 5)
})

test('what is about the way there costs no event', async () => {
  const about = [404, 405, 301, 200, 429, 421].map((status) => refuse(status, null, { location: '/elsewhere' }))
  const few: Deed = (_, response) => void response.writeHead(201).end('{"ids":[]}')
  const server = await serving([...about, few])
  const messages: string[] = []
  const publisher = publishing(server.url, { onTrouble: ({ message }) => messages.push(message) })
  publisher.publish('s', 'a')
  assert.deepEqual(await publisher.flush(), { ...settled, delivered: 1 })
  assert.equal(new Set(keysOf(server)).size, 1)
  assert.deepEqual(server.asked.map(({ method, path }) => `${method} ${path}`), Array(8).fill('POST /v1/events'))
  assert.equal(messages[0], 'it was answered with HTTP 404, and not by a weir')
  assert.match(messages[2] ?? '', /redirection/)
})

test('a token is asked for before each try, and a refused one costs no event', async () => {
  const server = await serving([refuse(401, 'token_expired'), refuse(401, 'token_expired')])
  const tokens = ['old', '', 'new']
  const messages: string[] = []
  const all = deferred<void>()
  const publisher = publishing(server.url, {
    token: async () => tokens.shift() ?? Promise.reject(new Error('no more')),
    onTrouble: ({ message }) => messages.push(message) === 4 && all.resolve(),
  })
  publisher.publish('s', 'a')
  await all.promise
  assert.deepEqual(server.asked.map(({ headers }) => headers.authorization), ['Bearer old', 'Bearer new'])
  assert.deepEqual(messages.slice(0, 4), [
    'because of token_expired',
    'a token is one line of visible ASCII characters without spaces',
    'because of token_expired',
    'no more',
  ])
  assert.equal(publisher.counts.waiting, 1)
})

test('a token that is none shows nowhere', async () => {
  assert.throws(() => new Publisher({ url: 'http://h', token: 'se\ncret' }), (error: Error) => !/cret/.test(String(error.stack)))
  const trouble = deferred<Trouble>()
  const publisher = publishing('http://127.0.0.1:1', { token: () => 'se\ncret', onTrouble: trouble.resolve })
  publisher.publish('s', 'a')
  assert.ok(!(await trouble.promise).message.includes('cret'))
})

test('overflow is told and counted, and the rest is delivered once', async () => {
  const first = deferred<void>()
  const server = await serving([(asked, response) => void first.promise.then(() => take(asked, response))])
  const over: [Publish, number][] = []
  const publisher = publishing(server.url, {
    queue: { events: 2 },
    onOverflow: (event, counts) => over.push([event, counts.overflowed]),
  })
  const offers = ['a', 'b', 'c', 'd'].map((data) => publisher.publish('s', data, { type: 't' }))
  assert.deepEqual(offers, ['queued', 'queued', 'full', 'full'])
  assert.deepEqual(publisher.counts, { ...settled, overflowed: 2, waiting: 2 })
  assert.deepEqual(over.map(([{ session, data, type }, count]) => [session, data, type, count]), [
    ['s', 'c', 't', 1],
    ['s', 'd', 't', 2],
  ])
  first.resolve()
  assert.deepEqual(await publisher.flush(), { ...settled, delivered: 2, overflowed: 2 })
  assert.equal(publisher.publish('s', 'e'), 'queued')
  await publisher.close()
  assert.equal(publisher.publish('s', 'f'), 'closed')
  assert.deepEqual(dataOf(server), ['a', 'b', 'e'])
  assert.equal(publisher.counts.overflowed, 3)
})

test('bytes are bounded, too, and count as UTF-8', async () => {
  const publisher = publishing(at(await nobody()), { queue: { bytes: 60 }, onOverflow: () => {} })
  const line = Buffer.byteLength('{"session":"s","data":"éé"}\n')
  assert.equal(publisher.publish('s', 'é'.repeat(2 + (60 - line) / 2 + 1)), 'full')
  assert.equal(publisher.publish('s', 'é'.repeat(2 + (60 - line) / 2)), 'queued')
  assert.equal(publisher.publish('s', ''), 'full')
})

test('room is given back', async () => {
  const server = await serving([refuse(422, 'invalid_type')])
  const publisher = publishing(server.url, { queue: { events: 1, bytes: 40 }, onRefused: () => {} })
  for (let n = 0; n < 5; n += 1) {
    assert.equal(publisher.publish('s', 'a'), 'queued')
    await publisher.flush()
  }
  assert.deepEqual(publisher.counts, { ...settled, delivered: 4, refused: 1 })
})

test('what can be no event is told at once, and never thrown', async () => {
  const server = await serving()
  const refused: unknown[] = []
  const publisher = publishing(server.url, { onRefused: (event, { status, code }) => refused.push([event, status, code]) })
  const round: { self?: unknown } = {}
  round.self = round
  const wrong: [unknown, unknown, unknown, string][] = [
    ['', 'x', {}, 'invalid_session'],
    ['a\nb', 'x', {}, 'invalid_session'],
    ['a\u0085b', 'x', {}, 'invalid_session'],
    ['ü'.repeat(129), 'x', {}, 'invalid_session'],
    ['\ud800', 'x', {}, 'invalid_session'],
    [undefined, 'x', {}, 'invalid_session'],
    ['s', 'x', { type: '' }, 'invalid_type'],
    ['s', 'x', { type: 'a b' }, 'invalid_type'],
    ['s', 'x', { type: 't'.repeat(129) }, 'invalid_type'],
    ['s', 'x', { type: 7 }, 'invalid_type'],
    ['s', 'x', { type: 'weir.gap' }, 'reserved_type'],
    ['s', 'x', { key: '' }, 'invalid_key'],
    ['s', 'x', { key: 'a\0' }, 'invalid_key'],
    ['s', 'x', { key: 'k'.repeat(257) }, 'invalid_key'],
    ['s', 'x', { snapshot: 1.5 }, 'invalid_parameter'],
    ['s', 'x', { snapshot: -1 }, 'invalid_parameter'],
    ['s', 'x', { idempotencyKey: 'ü' }, 'invalid_idempotency_key'],
    ['s', undefined, {}, 'invalid_data'],
    ['s', round, {}, 'invalid_data'],
    ['s', 1n, {}, 'invalid_data'],
    ['s', '\ud800', {}, 'invalid_utf8'],
  ]
  for (const [session, data, options] of wrong) {
    assert.equal(publisher.publish(session as string, data, options as object), 'refused', JSON.stringify(options))
  }
  assert.deepEqual(refused, wrong.map(([, , , code]) => [null, null, code]))
  const fits = ['ü'.repeat(128), 'x', { type: 't'.repeat(128), key: 'k'.repeat(256), snapshot: 0 }] as const
  assert.equal(publisher.publish(...fits), 'queued')
  assert.equal(publisher.publish('s', '', null as never), 'queued')
  assert.deepEqual(await publisher.flush(), { ...settled, refused: wrong.length, delivered: 2 })
})

test("an event with the caller's own key goes alone and under it", async () => {
  const server = await serving([refuse(503, 'log_unavailable')])
  const publisher = publishing(server.url)
  publisher.publish('s', 'a')
  publisher.publish('s', 'b', { idempotencyKey: 'delivery-7' })
  publisher.publish('s', 'c')
  publisher.publish('s', 'd')
  await publisher.flush()
  const first = { session: 's', data: 'a' }
  assert.deepEqual(server.asked[0]?.events, [first])
  assert.deepEqual(server.asked.slice(1).map(({ events }) => events.map(({ data }) => data)), [['a'], ['b'], ['c', 'd']])
  assert.equal(keysOf(server)[2], 'delivery-7')
})

test('callbacks that throw or reject harm nobody', async (t) => {
  const told = t.mock.method(console, 'error', () => {})
  const server = await serving([refuse(503, null)])
  const fail = (): never => {
    throw new Error('of the callback')
  }
  const callbacks = { onTrouble: fail, onDelivered: async () => fail(), onOverflow: fail }
  const publisher = publishing(server.url, { queue: { events: 1 }, ...callbacks })
  assert.equal(publisher.publish('s', 'a'), 'queued')
  assert.equal(publisher.publish('s', 'b'), 'full')
  assert.deepEqual(await publisher.flush(), { ...settled, delivered: 1, overflowed: 1 })
  assert.equal(told.mock.callCount(), 3)
})

test('a loss that nobody listens to is told to the console, once', async (t) => {
  const told = t.mock.method(console, 'warn', () => {})
  const publisher = publishing(at(await nobody()), { queue: { events: 1 } })
  for (const data of ['a', 'b', 'c']) publisher.publish('s', data)
  publisher.publish('', 'd')
  assert.equal(told.mock.callCount(), 1)
  assert.match(String(told.mock.calls[0]?.arguments[0]), /no room/)
})

test('closing ends in time and says what is left', { timeout: 10_000 }, async () => {
  const left = deferred<void>()
  const server = await serving([(_, response) => void response.on('close', () => left.resolve())])
  const publisher = publishing(server.url)
  publisher.publish('s', 'a')
  await server.after(1)
  publisher.publish('s', 'b')
  assert.deepEqual(await publisher.close({ timeout: 20 }), { ...settled, waiting: 2 })
  assert.deepEqual(await publisher.close(), { ...settled, waiting: 2 })
  await left.promise
  assert.equal(server.asked.length, 1)
})

test('flushing does not wait for a pause of its own making', async () => {
  const port = await nobody()
  const trouble = deferred<void>()
  const publisher = publishing(at(port), { backoff: { first: 60_000 }, onTrouble: () => trouble.resolve() })
  publisher.publish('s', 'a')
  await trouble.promise
  await serving([], port)
  assert.equal((await publisher.flush({ timeout: 10_000 })).delivered, 1)
})

test('it keeps the process alive while it is asked something, or waited for, and no longer', async () => {
  const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
  const before = timers()
  const trouble = deferred<void>()
  const url = at(await nobody())
  const publisher = publishing(url, { backoff: { first: 60_000 }, onTrouble: () => trouble.resolve() })
  publisher.publish('s', 'a')
  await trouble.promise
  assert.equal(timers(), before)
  const flushed = publisher.flush({ timeout: 50 })
  assert.equal(timers(), before + 1)
  assert.equal((await flushed).waiting, 1)
  assert.equal(timers(), before)
})

test('a flush waits for what waited before it, and for no more', { timeout: 10_000 }, async () => {
  const server = await serving([take, hang])
  const publisher = publishing(server.url)
  publisher.publish('s', 'a')
  const flushed = publisher.flush({ timeout: 60_000 })
  await server.after(1)
  publisher.publish('s', 'b')
  assert.equal((await flushed).delivered, 1)
})

test('an answer that does not come is given up, and so is a token', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const troubles: string[] = []
  const tick = async (ms: number): Promise<void> => {
    for (let n = 0; n < 20; n += 1) await null
    t.mock.timers.tick(ms)
    for (let n = 0; n < 20; n += 1) await null
  }
  const never = ((_: unknown, { signal }: RequestInit) =>
    new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))) as typeof fetch
  const asked = { url: 'http://127.0.0.1:1', fetch: never, onTrouble: ({ message }: Trouble) => troubles.push(message) }
  const [silent, tokenless] = [new Publisher(asked), new Publisher({ ...asked, token: () => new Promise(() => {}) })]
  silent.publish('s', 'a')
  tokenless.publish('s', 'a')
  await tick(14_000)
  assert.deepEqual(troubles, [])
  await tick(1000)
  assert.deepEqual(troubles, ['there was no answer in time', 'there was no answer in time'])
})

test('whoever waits without end waits to the end', { timeout: 10_000 }, async () => {
  const port = await nobody()
  const trouble = deferred<void>()
  const publisher = publishing(at(port), { onTrouble: () => trouble.resolve() })
  publisher.publish('s', 'a')
  const closed = publisher.close({ timeout: Infinity })
  await trouble.promise
  await serving([], port)
  assert.equal((await closed).delivered, 1)
})

test('whoever has less patience ends it for all that wait', { timeout: 10_000 }, async () => {
  const server = await serving([hang])
  const publisher = publishing(server.url)
  publisher.publish('s', 'a')
  const waiting = [publisher.flush({ timeout: 600_000 }), publisher.close({ timeout: Infinity })]
  await server.after(1)
  const left = { ...settled, waiting: 1 }
  assert.deepEqual(await publisher.close({ timeout: 10 }), left)
  assert.deepEqual(await Promise.all([...waiting, publisher.flush({ timeout: 600_000 })]), [left, left, left])
})

test('a hurry ends with those who were in one', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const trouble = deferred<void>()
  const server = await serving([take, lose])
  const publisher = publishing(server.url, { onTrouble: () => trouble.resolve() })
  publisher.publish('s', 'a')
  await publisher.flush()
  publisher.publish('s', 'b')
  await trouble.promise
  for (let n = 0; n < 20; n += 1) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(server.asked.length, 2)
})

test('an answer is not read without end, whoever gives it', { timeout: 10_000 }, async () => {
  const flood = (status: number, type: string): Deed => (_, response) => {
    const piece = ' '.repeat(64 * 1024)
    const more = (): void => {
      while (!response.destroyed && response.write(piece)) {}
    }
    response.writeHead(status, { 'content-type': type }).on('drain', more)
    more()
  }
  const troubles: string[] = []
  const server = await serving([flood(201, 'application/json'), flood(503, 'application/problem+json')])
  const publisher = publishing(server.url, { onTrouble: ({ status }) => troubles.push(`${status}`) })
  publisher.publish('s', 'a')
  assert.equal((await publisher.close({ timeout: 9_000 })).delivered, 1)
  assert.deepEqual(troubles, ['201', '503'])
})

test('a fetch is called as no method of anything', async () => {
  const server = await serving()
  async function strict(this: unknown, ...call: Parameters<typeof fetch>): Promise<Response> {
    assert.equal(this, undefined)
    return fetch(...call)
  }
  const publisher = publishing(server.url, { fetch: strict as typeof fetch })
  publisher.publish('s', 'a')
  assert.equal((await publisher.flush()).delivered, 1)
})

test('nonsense is told when the program starts', () => {
  for (const url of ['', '127.0.0.1:8080', 'redis://h', 'http://u:secret@h', 'http://h?x=1', 'http://h#f']) {
    const secretive = (error: Error): boolean => error instanceof TypeError && !error.message.includes('secret')
    assert.throws(() => new Publisher({ url }), secretive, url)
  }
  assert.throws(() => new Publisher({ url: 'http://h', queue: { events: 0 } }), TypeError)
  assert.throws(() => new Publisher({ url: 'http://h', queue: { bytes: NaN } }), TypeError)
  assert.throws(() => new Publisher({ url: 'http://h', backoff: { first: -1 } }), TypeError)
  assert.throws(() => new Publisher({ url: 'http://h', backoff: { most: NaN } }), TypeError)
})
