/** What a client does when, by a clock of the test's own. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { afterEach, beforeEach, mock, test } from 'node:test'

import { Weir, type Options } from '../src/index.js'
import { connected, control, Dialogue, event, Heard, turns, until } from './dialogue.js'

const ends: (() => unknown)[] = []

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 })
  // All jitter at its most.
  mock.method(Math, 'random', () => 0.999_999)
})

afterEach(() => {
  for (const end of ends.splice(0)) end()
  mock.reset()
  mock.timers.reset()
})

/** Lets time pass, in steps that let what is due then set the next. */
async function pass(ms: number) {
  await turns()
  for (let left = ms; left > 0; left -= 250) {
    mock.timers.tick(Math.min(left, 250))
    await turns(5)
  }
  await turns()
}

function begin(options: Options = {}) {
  const server = Dialogue.fake()
  const weir = new Weir({ url: server.url, fetch: server.fetch!, ...options })
  ends.push(() => weir.close())
  return { server, weir, heard: new Heard(weir) }
}

/** Seconds until the next call, each of which ends in this way. */
async function pauses(server: Dialogue, count: number, end: (call: Awaited<ReturnType<Dialogue['next']>>) => void) {
  const found: number[] = []
  for (let n = 0; n < count; n++) {
    await turns()
    const from = Date.now()
    while (server.quiet && Date.now() - from < 100_000) await pass(250)
    found.push((Date.now() - from) / 1000)
    end(await server.next())
    await turns()
  }
  return found
}

test('pauses grow from one second to thirty, with full jitter', async () => {
  const { server, weir } = begin()
  weir.subscribe('a', () => {})
  assert.deepEqual(await pauses(server, 8, (call) => call.cut()), [0, 1.25, 2.25, 4.25, 8.25, 16.25, 30.25, 30.25])
  assert.equal(weir.status.failures, 8)
  assert.ok(Math.abs(weir.status.retryAt! - Date.now() - 30_000) < 1_000)
  mock.method(Math, 'random', () => 0)
  weir.retry()
  ;(await server.next()).cut()
  assert.deepEqual(await pauses(server, 3, (call) => call.cut()), [0.25, 0.25, 0.25])
})

test('a success begins them anew, once it has stood', async () => {
  const { server, weir, heard } = begin()
  weir.subscribe('a', () => {})
  const welcome = connected('1-0')
  assert.deepEqual(await pauses(server, 4, (call) => call.stream(welcome).end()), [0, 1.25, 2.25, 4.25])
  await pass(8_250)
  const last = (await server.next()).stream(welcome)
  await pass(1_000)
  last.end()
  await turns()
  assert.equal(weir.status.failures, 1)
  assert.equal(heard.problems.length, 5)
})

test('what weir asks for is waited for, however short the own pause is', async () => {
  const { server, weir, heard } = begin()
  weir.subscribe('a', () => {})
  const said = [
    (call: any) => call.stream('retry: 5231\n\n').end(),
    (call: any) => call.stream(control('refused', { reason: 'limit', reconnect: 7_000 })).end(),
    (call: any) => call.refuse(503, 'limit', { 'retry-after': '9' }),
    (call: any) => call.cut(),
  ]
  const next = (call: any) => (said.shift() ?? (() => call.stream(connected('1-0'))))(call)
  assert.deepEqual(await pauses(server, 5, next), [0, 5.25, 7, 9, 8.25])
  assert.deepEqual(heard.kinds, ['network', 'refused', 'refused', 'network'])
  // A pause that no timer can hold is none that ends at once.
  weir.close()
  const other = begin()
  other.weir.subscribe('a', () => {})
  ;(await other.server.next()).refuse(503, 'limit', { 'retry-after': '99999999' })
  await pass(10_000)
  assert.equal(other.server.calls.length, 1)
})

test('a goodbye is no failure', async () => {
  const { server, weir, heard } = begin({ tries: 1 })
  const got: string[] = []
  weir.subscribe('a', ({ data }) => got.push(data))
  const first = (await server.next()).stream(connected('1-0'))
  await pass(2_000)
  first.say(control('shutdown', { reconnect: 3_000 }) + event('9-0', 'a', 'after the goodbye'))
  await turns()
  assert.deepEqual([got, weir.position], [[], '1-0'])
  assert.deepEqual([weir.status.state, weir.status.retryAt], ['connecting', Date.now() + 3_000])
  await pass(2_750)
  assert.equal(server.calls.length, 1)
  await pass(250)
  const second = (await server.next()).stream(connected('1-0'))
  await pass(2_000)
  second.say(control('expired', { reason: 'expired' }))
  const third = (await server.next()).stream(connected('1-0'))
  await turns()
  assert.deepEqual([third.query.get('lastEventId'), heard.problems, weir.status.failures], ['1-0', [], 0])
  // One that comes at once, and again, is not answered at once.
  third.say(control('expired', { reason: 'expired' }))
  const short = connected('1-0') + control('shutdown', { reconnect: 1 })
  assert.deepEqual(await pauses(server, 2, (call) => call.stream(short)), [1, 1])
  assert.deepEqual(heard.problems, [])
})

test('a stream that says nothing at first, as behind a proxy that keeps it, is a failure', async () => {
  const { server, weir, heard } = begin({ fallback: 'long-poll' })
  weir.subscribe('a', () => {})
  const call = (await server.next()).stream()
  await pass(11_750)
  assert.ok(!call.left)
  await pass(250)
  assert.ok(call.left)
  assert.deepEqual([heard.kinds, weir.status.state], [['silence'], 'connecting'])
  // Three of them, and the other way is taken.
  assert.deepEqual((await pauses(server, 2, (call) => call.stream())).length, 2)
  await pass(12_000)
  assert.equal((await server.next()).query.get('wait'), '0')
})

test('whatever comes shows that a stream is there, and two heartbeats missed that it is not', async () => {
  const { server, weir, heard } = begin()
  weir.subscribe('a', () => {})
  const call = (await server.next()).stream(connected('1-0', 10_000))
  for (let n = 0; n < 5; n++) {
    await pass(20_000)
    call.say(':\n')
  }
  await pass(24_750)
  assert.deepEqual([call.left, weir.status.state], [false, 'live'])
  await pass(250)
  assert.deepEqual([call.left, heard.kinds, weir.status.state], [true, ['silence'], 'connecting'])
})

test('who slept comes back at once, and blames nobody', async () => {
  const { server, weir, heard } = begin({ tries: 1 })
  weir.subscribe('a', () => {})
  const call = (await server.next()).stream(connected('1-0', 10_000))
  await pass(1_000)
  // An hour in which no timer of the page ran.
  mock.timers.setTime(Date.now() + 3_600_000)
  await pass(250)
  assert.ok(call.left)
  assert.equal((await server.next()).query.get('lastEventId'), '1-0')
  assert.deepEqual([heard.states, heard.problems], [['connecting', 'live'], []])
})

test('a long-poll that is never answered is not waited for', async () => {
  const { server, weir, heard } = begin({ fallback: 'long-poll', backoff: { first: 60_000, most: 60_000 } })
  weir.subscribe('a', () => {})
  for (let n = 0; n < 3; n++) {
    ;(await server.next()).cut()
    await turns()
    if (n < 2) weir.retry()
  }
  ;(await server.next()).json({ events: [], lastEventId: '1-0', gap: null })
  await pass(1)
  const poll = await server.next()
  assert.deepEqual([poll.query.get('wait'), poll.query.get('lastEventId')], ['25', '1-0'])
  await pass(34_750)
  assert.ok(!poll.left)
  await pass(250)
  assert.ok(poll.left)
  assert.equal(heard.kinds.length, 4)
})

/** A page to be in. */
function page() {
  const window = new EventTarget()
  const kinds = ['online', 'visibilitychange', 'pagehide', 'pageshow']
  const listening = () => kinds.flatMap((kind) => getEventListeners(window, kind))
  const document = { hidden: false }
  const kept = new Map<string, string>()
  const sessionStorage = {
    getItem: (name: string) => kept.get(name) ?? null,
    setItem: (name: string, value: string) => void kept.set(name, value),
  }
  const globals: Record<string, unknown> = {
    document,
    sessionStorage,
    addEventListener: window.addEventListener.bind(window),
  }
  Object.assign(globalThis, globals)
  ends.push(() => Object.keys(globals).forEach((name) => Reflect.deleteProperty(globalThis, name)))
  const happens = (name: string) => void window.dispatchEvent(new Event(name))
  const turnHidden = (hidden: boolean) => ((document.hidden = hidden), happens('visibilitychange'))
  return { document, listening, kept, happens, turnHidden }
}

test('what wakes a page shortens its pause, and has it look whether its stream is still there', async () => {
  const { happens, turnHidden, listening } = page()
  const { server, weir, heard } = begin({ backoff: { first: 20_000, most: 20_000 } })
  weir.subscribe('a', () => {})
  ;(await server.next()).cut()
  await pass(1_000)
  turnHidden(true)
  await pass(2_000)
  assert.equal(server.calls.length, 1)
  turnHidden(false)
  await pass(1_250)
  ;(await server.next()).cut()
  await pass(1_000)
  happens('online')
  await pass(1_250)
  const call = (await server.next()).stream(connected('1-0', 10_000))
  await pass(15_000)
  happens('online')
  await turns()
  assert.ok(!call.left)
  await pass(250)
  happens('online')
  await server.next()
  assert.ok(call.left)
  assert.equal(heard.problems.length, 2)
  assert.equal(listening().length, 5)
  weir.close()
  assert.equal(listening().length, 0)
})

test('a page that is hidden for long enough pauses, and resumes when it is seen', async () => {
  const { turnHidden } = page()
  const { server, weir, heard } = begin({ pauseWhenHidden: 5_000 })
  weir.subscribe('a', () => {})
  const first = (await server.next()).stream(connected('1-0'))
  turnHidden(true)
  await pass(4_000)
  turnHidden(false)
  await pass(4_000)
  assert.ok(!first.left)
  turnHidden(true)
  await pass(5_000)
  assert.deepEqual([first.left, weir.status.state], [true, 'idle'])
  // What changes meanwhile waits, too.
  weir.subscribe('b', () => {})
  await pass(60_000)
  assert.equal(server.calls.length, 1)
  turnHidden(false)
  const second = await server.next()
  assert.deepEqual([second.query.getAll('session'), second.query.get('lastEventId')], [['a', 'b'], '1-0'])
  assert.deepEqual(heard.states, ['connecting', 'live', 'idle', 'connecting'])
})

test('one that begins hidden may pause at once; by default none does', async () => {
  const { document } = page()
  document.hidden = true
  const { server, weir } = begin({ pauseWhenHidden: true })
  weir.subscribe('a', () => {})
  await pass(250)
  assert.ok(server.calls.every((call) => call.left))
  const other = begin()
  other.weir.subscribe('a', () => {})
  await pass(250)
  assert.ok(!(await other.server.next()).left)
})

test('a page that is left has no connection, and has it again where one comes back to it', async () => {
  const { happens } = page()
  const { server, weir } = begin()
  weir.subscribe('a', () => {})
  const call = (await server.next()).stream(connected('1-0'))
  await turns()
  happens('pagehide')
  await until(() => call.left, 'it stays')
  happens('pageshow')
  assert.equal((await server.next()).query.get('lastEventId'), '1-0')
})

test('the next page of the tab goes on where this one was, session by session', async () => {
  const { kept } = page()
  const one = begin({ keep: true })
  one.weir.subscribe('a', () => {})
  one.weir.subscribe('b', () => {})
  ;(await one.server.next()).stream(connected('1-0'), event('2-0', 'a', ''))
  await turns()
  one.weir.close()
  assert.deepEqual(JSON.parse(kept.get('weir:http://weir.test')!), { a: '2-0', b: '2-0' })
  const two = begin({ keep: true })
  two.weir.subscribe('a', () => {}, { from: 'earliest' })
  const first = await two.server.next()
  assert.equal(first.query.get('lastEventId'), '2-0')
  first.stream(connected('2-0'), event('9-0', 'a', ''))
  await turns()
  assert.deepEqual(JSON.parse(kept.get('weir:http://weir.test')!), { a: '9-0', b: '2-0' })
  // Who comes for the second time begins now.
  two.weir.subscribe('a', () => {})
  await turns()
  assert.ok(two.server.quiet)
  // That of b is not forgotten by then, nor taken for that of a.
  two.weir.subscribe('b', () => {})
  assert.equal((await two.server.next()).query.get('lastEventId'), '2-0')
  // Another address has positions of its own, and nothing that is broken does harm.
  kept.set('weir:http://weir.test', '{')
  const three = begin({ keep: true })
  three.weir.subscribe('a', () => {})
  assert.equal((await three.server.next()).query.get('lastEventId'), null)
})

test('bytes may come in any pieces', async () => {
  const { server, weir } = begin()
  const got: string[] = []
  weir.subscribe('a', ({ data }) => got.push(data))
  const call = (await server.next()).stream()
  for (const byte of new TextEncoder().encode(connected('1-0') + event('2-0', 'a', 'ü💡\n'))) call.say(Uint8Array.of(byte))
  await turns(200)
  assert.deepEqual(got, ['ü💡\n'])
})

test('what a call that was given up says in the end is not listened to', async () => {
  const { server, weir, heard } = begin({ fallback: 'long-poll' })
  weir.subscribe('a', () => {})
  for (let n = 0; n < 3; n++) {
    ;(await server.next()).cut()
    await turns()
    if (n < 2) weir.retry()
  }
  const poll = await server.next()
  weir.retry()
  ;(await server.next()).stream(connected('5-0'))
  await until(() => weir.status.state === 'live', 'not live')
  assert.ok(poll.left)
  assert.deepEqual([heard.kinds, weir.position], [['network', 'network', 'network'], '5-0'])
})

test('what is kept is what each subscription was told', async () => {
  const { kept } = page()
  const shelf = 'weir:http://weir.test'
  kept.set(shelf, '{"a":"1-0","toString":"1-0","__proto__":"1-0"}')
  const { server, weir } = begin({ keep: true, snapshot: true })
  const got: string[] = []
  weir.subscribe(['a', 'toString', '__proto__'], ({ data }) => got.push(data))
  const call = await server.next()
  assert.equal(call.query.get('lastEventId'), '1-0')
  call.stream(connected('1-0'))
  const snapshot = await server.next()
  call.say(event('2-0', 'a', 'two'))
  await turns()
  // It still waits for its snapshots, and was told nothing.
  assert.deepEqual([got, Object.entries(JSON.parse(kept.get(shelf)!))], [[], [['a', '1-0'], ['toString', '1-0'], ['__proto__', '1-0']]])
  snapshot.json({ events: [], lastEventId: '2-0', gap: null })
  await turns()
  assert.deepEqual(got, ['two'])
  // One goes back, and those who were there before do not.
  weir.subscribe('b', () => {}, { from: '1-5' })
  const second = (await server.next()).stream(connected('1-5'))
  await turns()
  assert.deepEqual(JSON.parse(kept.get(shelf)!).a, '2-0')
  second.say(event('3-0', 'a', 'three'), control('ping', {}, '4-0'))
  await turns()
  assert.deepEqual(JSON.parse(kept.get(shelf)!).a, '4-0')
  // Whoever closes it in a handler keeps what was told.
  weir.on('event', ({ id }) => id === '6-0' && weir.close())
  second.say(event('5-0', 'a', 'five') + event('6-0', 'a', 'six'))
  await turns()
  assert.deepEqual(JSON.parse(kept.get(shelf)!).a, '4-0')
})

test('what somebody else kept there does no harm', async () => {
  const { kept } = page()
  for (const what of ['null', '5', '"text"', '{']) {
    kept.set('weir:http://weir.test', what)
    const { server, weir } = begin({ keep: true })
    weir.subscribe('a', () => {})
    assert.equal((await server.next()).query.get('lastEventId'), null)
  }
})

test('a page that is left is hidden after that, and does not come back for it', async () => {
  const { happens, turnHidden } = page()
  const { server, weir } = begin()
  weir.subscribe('a', () => {})
  ;(await server.next()).stream(connected('1-0'))
  await turns()
  happens('pagehide')
  await turns()
  turnHidden(true)
  await turns()
  assert.deepEqual([server.calls.length, weir.status.state], [1, 'idle'])
  turnHidden(false)
  happens('pageshow')
  assert.equal((await server.next()).query.get('lastEventId'), '1-0')
  await turns()
  assert.equal(server.calls.length, 2)
})

test('a token that lives for no time at all is not renewed without a pause', async () => {
  let asked = 0
  const { server, weir, heard } = begin({ token: () => `${++asked}` })
  weir.subscribe('a', () => {})
  const short = connected('1-0') + control('expiring', { in: 1 })
  assert.deepEqual(await pauses(server, 4, (call) => call.stream(short)), [0, 1, 1, 1])
  assert.deepEqual(heard.problems, [])
})

test('an instance that answers each long-poll at once is not asked all the time', async () => {
  const { server, weir } = begin({ fallback: 'long-poll', backoff: { first: 60_000, most: 60_000 } })
  weir.subscribe('a', () => {})
  for (let n = 0; n < 3; n++) {
    ;(await server.next()).cut()
    await turns()
    if (n < 2) weir.retry()
  }
  const answer = { events: [], lastEventId: '1-0', gap: null }
  assert.deepEqual(await pauses(server, 4, (call) => call.json(answer)), [0, 0.25, 1, 1])
})

test('Retry-After may be a date', async () => {
  const { server, weir } = begin()
  weir.subscribe('a', () => {})
  const in9s = new Date(Date.now() + 9_000).toUTCString()
  assert.deepEqual(await pauses(server, 2, (call) => call.refuse(503, 'limit', { 'retry-after': in9s })), [0, 9])
})

test('neither a heartbeat of years nor a clock that is set back puts the watch out', async () => {
  const { server, weir, heard } = begin()
  weir.subscribe('a', () => {})
  const call = (await server.next()).stream(connected('1-0', 3e10))
  await pass(1_000)
  assert.ok(!call.left)
  call.cut()
  await pass(2_000)
  const next = (await server.next()).stream(connected('1-0', 10_000))
  await pass(1_000)
  const now = Date.now.bind(Date)
  mock.method(Date, 'now', () => now() - 3_600_000)
  await pass(50_000)
  assert.deepEqual([next.left, heard.kinds], [true, ['network', 'silence']])
})
