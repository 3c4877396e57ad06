/** What is rare: who comes, goes, fails or keeps something in the middle of other things. */
import assert from 'node:assert/strict'
import { afterEach, beforeEach, mock, test } from 'node:test'

import { Weir, type Options } from '../src/index.js'
import { connected, control, Dialogue, event, Heard, turns } from './dialogue.js'

const ends: (() => unknown)[] = []

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 })
})

afterEach(() => {
  for (const end of ends.splice(0)) end()
  mock.reset()
  mock.timers.reset()
})

function begin(options: Options = {}) {
  const server = Dialogue.fake()
  const weir = new Weir({ url: server.url, fetch: server.fetch!, ...options })
  ends.push(() => weir.close())
  return { server, weir, heard: new Heard(weir) }
}

async function pass(ms: number) {
  await turns()
  mock.timers.tick(ms)
  await turns()
}

/** What the pages of a tab keep. */
function shelf() {
  const kept = new Map<string, string>()
  const value = { getItem: (name: string) => kept.get(name) ?? null, setItem: (name: string, text: string) => void kept.set(name, text) }
  Object.defineProperty(globalThis, 'sessionStorage', { value, configurable: true })
  ends.push(() => Reflect.deleteProperty(globalThis, 'sessionStorage'))
  return kept
}

/** From where a client asks next. */
const asked = async ({ server }: ReturnType<typeof begin>) => (await server.next()).query.get('lastEventId')

test('whoever ends it because the fallback failed has ended it', async () => {
  const fallback = { every: 1, poll: () => Promise.reject('no endpoint') }
  const { server, weir, heard } = begin({ fallback, backoff: { first: 1, most: 1 } })
  weir.subscribe('a', () => {})
  weir.on('problem', ({ message }) => message === 'no endpoint' && weir.close())
  for (let n = 0; n < 3; n++) {
    ;(await server.next()).cut()
    await pass(10)
  }
  assert.deepEqual([heard.problems.at(-1)?.message, heard.states.at(-1), weir.status.state], ['no endpoint', 'idle', 'idle'])
})

test('one bound of the pauses alone leaves the other as it is', async () => {
  mock.method(Math, 'random', () => 0.999_999)
  for (const [backoff, pause] of [[{ first: 5_000 }, 5_000], [{ most: 500 }, 500]] as const) {
    const { server, weir } = begin({ backoff })
    weir.subscribe('a', () => {})
    ;(await server.next()).cut()
    await pass(pause - 10)
    assert.equal(server.calls.length, 1)
    await pass(20)
    assert.equal(server.calls.length, 2)
  }
})

test('nobody is waited for longer than ten minutes', async () => {
  const refusals = [{ 'retry-after': '99999999999999' }, { 'retry-after': 'Fri, 31 Dec 9999 23:59:59 GMT' }]
  for (const headers of refusals) {
    const { server, weir } = begin()
    weir.subscribe('a', () => {})
    ;(await server.next()).refuse(503, 'full', headers)
    await turns()
    assert.equal(weir.status.retryAt, Date.now() + 600_000)
    await pass(599_000)
    assert.ok(server.quiet)
    await pass(1_000)
    assert.equal(server.calls.length, 2)
  }
})

test('clients of one page do not forget what the others keep, and forget what they ended', async () => {
  const kept = shelf()
  const [one, two] = [begin({ keep: true }), begin({ keep: true })]
  one.weir.subscribe('a', () => {})
  const ended = one.weir.subscribe('c', () => {})
  two.weir.subscribe('b', () => {})
  ;(await one.server.next()).stream(connected('1-0'))
  ;(await two.server.next()).stream(connected('2-0'))
  await turns()
  ended.close()
  ;(await one.server.next()).stream(connected('3-0'))
  await turns()
  assert.deepEqual(JSON.parse(kept.get('weir:http://weir.test')!), { a: '3-0', b: '2-0' })
  const [next, other] = [begin({ keep: true }), begin({ keep: true })]
  next.weir.subscribe('a', () => {})
  other.weir.subscribe('b', () => {})
  assert.deepEqual([await asked(next), await asked(other)], ['3-0', '2-0'])
})

test('a position that is no text does no harm', async () => {
  shelf().set('weir:http://weir.test', '{"a":5,"b":{"c":1},"c":[]}')
  const client = begin({ keep: true })
  client.weir.subscribe(['a', 'b', 'c'], () => {})
  assert.equal(typeof (await asked(client)), 'string')
})

test('what is missing for the earlier beginning of one is not missing for another', async () => {
  const { server, weir } = begin()
  const gaps: string[] = []
  const misses = (who: string, from?: string) => weir.subscribe('a', () => {}, { ...(from && { from }), onGap: () => gaps.push(who) })
  misses('now')
  ;(await server.next()).stream(connected('5-0'))
  await turns()
  misses('before', '1-0')
  const call = (await server.next()).stream(connected('1-0'))
  const trimmed = { reason: 'trimmed', session: null, missed: 1, after: '1-0', before: '5-0' }
  call.say(control('gap', trimmed), control('ping', {}, '4-9'))
  await turns()
  assert.deepEqual(gaps, ['before'])
  call.say(event('6-0', 'a', ''), control('gap', { ...trimmed, after: '6-0', before: '8-0' }), control('ping', {}, '7-9'))
  await turns()
  assert.deepEqual(gaps, ['before', 'now', 'before'])
})

test('whoever comes while another goes back begins now, and is told everything from there', async () => {
  const { server, weir } = begin()
  const got: string[] = []
  weir.subscribe('a', () => {})
  ;(await server.next()).stream(connected('9-0'))
  await turns()
  weir.subscribe('a', () => {}, { from: '1-0' })
  const call = (await server.next()).stream(connected('1-0'), event('2-0', 'a', '2'))
  await turns()
  weir.subscribe('a', ({ data }) => got.push(data))
  call.say(event('3-0', 'a', '3'), event('9-1', 'a', '9'))
  await turns()
  assert.deepEqual(got, ['9'])
  // After a reset positions may be lower.
  const reset = { reason: 'reset', session: null, missed: null, after: null, before: null }
  call.say(control('gap', reset), control('ping', {}, '4-0'))
  await turns()
  weir.subscribe('a', ({ data }) => got.push(`later ${data}`))
  call.say(event('5-0', 'a', '5'))
  await turns()
  assert.deepEqual(got, ['9', '5', 'later 5'])
})

test('who stopped listening is told nothing, though it happened before', async () => {
  const { server, weir, heard } = begin()
  const told: string[] = []
  weir.on('status', () => off())
  const off = weir.on('status', ({ state }) => told.push(state))
  weir.subscribe('a', () => {})
  await server.next()
  assert.deepEqual([told, heard.states], [[], ['connecting']])
})

test('what a handler rejects with is a problem as what it throws', async () => {
  const { server, weir, heard } = begin()
  const got: string[] = []
  weir.subscribe('a', async ({ data }) => {
    got.push(data)
    await null
    throw 'no'
  })
  weir.on('problem', () => Promise.reject('no problem'))
  ;(await server.next()).stream(connected('1-0'), event('2-0', 'a', 'one'), event('3-0', 'a', 'two'))
  await turns()
  assert.deepEqual([got, heard.problems.map(({ kind, event }) => `${kind} ${event?.id}`)], [['one', 'two'], ['event 2-0', 'event 3-0']])
})
