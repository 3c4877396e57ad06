import assert from 'node:assert/strict'
import { afterEach, mock, test } from 'node:test'

import { Weir, type Options, type WeirEvent } from '../src/index.js'
import { connected, control, Dialogue, event, facts, Heard, turns, until } from './dialogue.js'

const ends: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

/** A client whose pauses are short, what it says, and whom it calls. */
async function begin(options: Options = {}) {
  const server = await Dialogue.http()
  const weir = new Weir({ url: server.url, backoff: { first: 1, most: 2 }, ...options })
  ends.push(() => weir.close(), server.stop)
  return { server, weir, heard: new Heard(weir) }
}

/** The data that a subscription is given. */
function collect() {
  const got: string[] = []
  return { got, handle: ({ data }: WeirEvent<unknown>) => void got.push(data) }
}

const same = (got: unknown[], wanted: unknown[]) => until(() => JSON.stringify(got) === JSON.stringify(wanted), `got ${got}`)

test('nothing is opened before the first subscription, and then one stream for all of them', async () => {
  const { server, weir, heard } = await begin()
  await turns()
  assert.equal(server.calls.length, 0)
  assert.equal(weir.status.state, 'idle')
  weir.subscribe(['b', 'a & ü'], () => {}, { types: ['t'], keys: ['k'] })
  weir.subscribe('a & ü', () => {}, { types: ['u', 't'], keys: ['l'] })
  const call = await server.next()
  assert.equal(call.path, '/v1/events')
  const sent = ['format=json', 'session=a & ü', 'session=b', 'type=t', 'type=u', 'key=k', 'key=l']
  assert.deepEqual([...call.query].map((pair) => pair.join('=')), sent)
  // Nothing that would have a browser ask another origin first.
  const plain = /^(accept|accept-encoding|accept-language|cache-control|connection|host|pragma|sec-fetch-mode|user-agent)$/
  assert.deepEqual(Object.keys(call.headers).filter((name) => !plain.test(name)), [])
  call.stream(connected('5-0'))
  await until(() => weir.status.state === 'live', 'not live')
  assert.deepEqual(heard.states, ['connecting', 'live'])
  assert.equal(weir.position, '5-0')
  assert.equal(server.calls.length, 1)
})

test('who was there while the log was empty says so', async () => {
  const { server, weir } = await begin()
  weir.subscribe('a', () => {})
  const call = (await server.next()).stream(connected('0-0'))
  await until(() => weir.status.state === 'live', 'not live')
  assert.equal(weir.position, '0-1')
  call.cut()
  assert.equal((await server.next()).query.get('lastEventId'), '0-1')
})

test('what was asked for goes with the call', async () => {
  const { server, weir } = await begin({ token: 'secret', snapshot: true, overflow: 'latest', conflate: 250 })
  weir.subscribe('a', () => {}, { from: 'earliest' })
  const { query, headers } = await server.next()
  assert.equal(headers['authorization'], 'Bearer secret')
  const sent = { format: 'json', session: 'a', lastEventId: 'earliest', snapshot: '1', overflow: 'latest', conflate: '250' }
  assert.deepEqual(Object.fromEntries(query), sent)
})

test('an event is told whole, to whoever wants it and nobody else', async () => {
  const { server, weir, heard } = await begin()
  const all: WeirEvent<unknown>[] = []
  weir.on('event', (event) => all.push(event))
  const [a, typed, keyed, both] = [collect(), collect(), collect(), collect()]
  let whole: unknown
  weir.subscribe('a', (event) => (whole ??= event))
  weir.subscribe('a', a.handle)
  weir.subscribe('a', typed.handle, { types: ['t', 'message'] })
  weir.subscribe('b', keyed.handle, { keys: ['k'] })
  weir.subscribe(['a', 'b'], both.handle, { parse: (data) => data.toUpperCase() })
  const call = (await server.next()).stream(connected('1-0'))
  // One of them takes every type, and one every key.
  assert.deepEqual([...call.query.keys()], ['format', 'session', 'session'])
  call.say(event('2-0', 'a', 'x'), event('3-0', 'a', 'y', { type: 'u' }), event('4-0', 'a', 'z', { type: 't', key: 'k' }))
  call.say(event('5-0', 'b', 'v', { key: 'k' }), event('6-0', 'b', 'w'), event('7-0', 'c', 'nobody'))
  await until(() => weir.position === '7-0', 'not all')
  const wanted = { id: '2-0', session: 'a', type: 'message', key: null, data: 'x', value: 'x', ts: 2 }
  assert.deepEqual(whole, wanted)
  assert.deepEqual([a.got, typed.got, keyed.got], [['x', 'y', 'z'], ['x', 'z'], ['v']])
  assert.deepEqual(both.got, ['x', 'y', 'z', 'v', 'w'])
  assert.deepEqual(all.map(({ id }) => id), ['2-0', '3-0', '4-0', '5-0', '6-0'])
  assert.deepEqual(heard.problems, [])
})

test('what is more than weir filters by is filtered by the page', async () => {
  const { server, weir } = await begin()
  const { got, handle } = collect()
  const types = Array.from({ length: 65 }, (_, n) => `t${n}`)
  weir.subscribe('a', handle, { types, keys: ['k'] })
  const call = (await server.next()).stream(connected('1-0'))
  assert.deepEqual([...call.query.keys()], ['format', 'session', 'key'])
  call.say(event('2-0', 'a', 'other', { type: 'u', key: 'k' }), event('3-0', 'a', 'one', { type: 't64', key: 'k' }))
  await same(got, ['one'])
})

test('who was ended by another that was told before is not told', async () => {
  const { server, weir } = await begin()
  const [first, second] = [collect(), collect()]
  weir.subscribe('a', (event) => {
    first.handle(event)
    subscription.close()
  })
  const subscription = weir.subscribe('a', second.handle)
  ;(await server.next()).stream(connected('1-0'), event('2-0', 'a', 'one'))
  await same(first.got, ['one'])
  assert.deepEqual(second.got, [])
})

test('subscriptions that change at the same moment change the connection once, which goes on where it was', async () => {
  const { server, weir, heard } = await begin()
  const [a, b] = [collect(), collect()]
  weir.subscribe('a', a.handle)
  const first = (await server.next()).stream(connected('1-0'), event('2-0', 'a', 'one'))
  await same(a.got, ['one'])
  const subscription = weir.subscribe('b', b.handle)
  weir.subscribe('c', () => {}).close()
  const second = await server.next()
  await until(() => first.left, 'the first stream stays')
  assert.deepEqual([second.query.getAll('session'), second.query.get('lastEventId')], [['a', 'b'], '2-0'])
  // What the position says again is told once.
  second.stream(connected('2-0'), event('2-0', 'a', 'one'), event('3-0', 'b', 'two'), event('4-0', 'a', 'three'))
  await same([a.got, b.got], [['one', 'three'], ['two']])
  // The same again is no change.
  weir.subscribe('a', () => {})
  await turns()
  subscription.close()
  subscription.close()
  const third = await server.next()
  assert.deepEqual([third.query.getAll('session'), third.query.get('lastEventId')], [['a'], '4-0'])
  assert.equal(server.calls.length, 3)
  assert.deepEqual(heard.states, ['connecting', 'live'])
})

test('who begins earlier than the others has it alone', async () => {
  const { server, weir } = await begin()
  const [now, before] = [collect(), collect()]
  weir.subscribe('a', now.handle)
  ;(await server.next()).stream(connected('5-0'), event('6-0', 'a', 'six'))
  await same(now.got, ['six'])
  weir.subscribe('a', before.handle, { from: '2-0' })
  const call = await server.next()
  assert.equal(call.query.get('lastEventId'), '2-0')
  call.stream(connected('2-0'), event('3-0', 'a', 'three'), event('5-1', 'a', 'five'))
  call.say(event('6-0', 'a', 'six'), event('7-0', 'a', 'seven'))
  await same([now.got, before.got], [['six', 'seven'], ['three', 'five', 'six', 'seven']])
  // One that is behind the position needs nothing.
  weir.subscribe('a', () => {}, { from: '7-0' })
  await turns()
  assert.equal(server.calls.length, 2)
})

test('a gap is told to those whom it concerns, and after a reset what was told counts no longer', async () => {
  const { server, weir, heard } = await begin()
  const { got, handle } = collect()
  const gaps: string[] = []
  weir.subscribe('a', handle, { onGap: ({ reason }) => gaps.push(`a ${reason}`) })
  weir.subscribe('b', () => {}, { onGap: ({ reason }) => gaps.push(`b ${reason}`) })
  const call = (await server.next()).stream(connected('5-0'), event('6-0', 'a', 'old'))
  const overflow = { reason: 'overflow', session: 'a', missed: 3, after: '6-0', before: '9-1' }
  call.say(control('gap', overflow), control('ping', { ts: 9 }, '9-0'), event('6-0', 'a', 'old'))
  await until(() => gaps.length === 1 && weir.position === '6-0', 'no gap')
  assert.deepEqual([heard.gaps, gaps, got], [[overflow], ['a overflow'], ['old']])
  const reset = { reason: 'reset', session: null, missed: null, after: null, before: null }
  call.say(control('gap', reset), control('ping', { ts: 9 }, '3-0'), event('6-0', 'a', 'other'), event('4-0', 'b', 'x'))
  await same(got, ['old', 'other'])
  assert.deepEqual(gaps, ['a overflow', 'a reset', 'b reset'])
})

test('what cannot be read, parsed or handled is skipped and reported', async () => {
  const { server, weir, heard } = await begin()
  const { got, handle } = collect()
  weir.subscribe('a', handle, { parse: JSON.parse })
  weir.subscribe('a', ({ data }) => {
    if (data === '2') throw new RangeError('no two')
  }, { onGap: () => { throw 'no gap' } })
  weir.on('status', () => { throw 'no status' })
  weir.on('problem', () => { throw 'no problem' })
  const call = (await server.next()).stream(connected('1-0'), event('2-0', 'a', '1'))
  call.say(event('3-0', 'a', '{'), event('4-0', 'a', '2'))
  call.say('id: 5-0\ndata: {"half":\n\n', 'id: 6-0\ndata: null\n\n', control('gap', { reason: 'reader', session: null }))
  call.say(control('unheard-of', {}, '7-0'), event('8-0', 'a', '3'))
  await same(got, ['1', '2', '3'])
  const told = heard.problems.filter(({ message }) => !message.includes('no status'))
  assert.deepEqual(told.map(({ kind, event }) => `${kind} ${event?.id}`),
    ['event 3-0', 'event 4-0', 'event undefined', 'event undefined', 'event undefined'])
  assert.match(told[1]!.message, /no two/)
  assert.equal(weir.position, '8-0')
  assert.deepEqual([weir.status.state, server.calls.length], ['live', 1])
})

test('a console is told of each kind of problem once, where nobody listens', async () => {
  const warn = mock.method(console, 'warn', () => {})
  ends.push(() => warn.mock.restore())
  const server = await Dialogue.http()
  const weir = new Weir({ url: server.url, backoff: { first: 1, most: 2 } })
  ends.push(() => weir.close(), server.stop)
  weir.subscribe('a', () => {}, { parse: JSON.parse })
  const call = (await server.next()).stream(connected('1-0'), event('2-0', 'a', '{'), event('3-0', 'a', '{'))
  await until(() => weir.position === '3-0', 'not all')
  call.cut()
  ;(await server.next()).cut()
  await server.next()
  const said = warn.mock.calls.map(({ arguments: [text] }) => String(text).split(':').slice(0, 2).join())
  assert.deepEqual(said, ['weir, event', 'weir, network'])
})

test('what is older than what was seen of the same resource is dropped', async () => {
  const { server, weir } = await begin()
  const { got, handle } = collect()
  const [own, mine] = [collect(), (data: string) => JSON.parse(data) as { at?: number; of: string }]
  weir.subscribe('a', handle, { parse: mine, stale: { at: ({ value }) => value.at } })
  weir.subscribe('a', own.handle, { parse: mine, stale: { at: ({ value }) => value.at, of: ({ value }) => value.of } })
  const one = (id: string, key: string | null, at: number | undefined, of: string) =>
    event(id, 'a', JSON.stringify({ at, of }), { key })
  const call = (await server.next()).stream(connected('1-0'), one('2-0', 'k', 5, 'x'), one('3-0', 'k', 4, 'y'))
  call.say(one('4-0', 'l', 4, 'x'), one('5-0', 'k', 5, 'z'), one('6-0', 'k', undefined, 'x'), one('7-0', null, 1, 'y'))
  await until(() => weir.position === '7-0', 'not all')
  const ids = (list: string[]) => list.map((data) => `${mine(data).at} ${mine(data).of}`)
  assert.deepEqual(ids(got), ['5 x', '4 x', '5 z', 'undefined x', '1 y'])
  assert.deepEqual(ids(own.got), ['5 x', '4 y', '5 z', 'undefined x'])
})

test('a stream that breaks off is resumed', async () => {
  const { server, weir, heard } = await begin()
  const { got, handle } = collect()
  weir.subscribe('a', handle)
  const call = (await server.next()).stream(connected('1-0'), event('2-0', 'a', 'one'), 'id: 3-0\nda')
  await same(got, ['one'])
  call.cut()
  const next = await server.next()
  assert.equal(next.query.get('lastEventId'), '2-0')
  next.stream(connected('2-0'), event('3-0', 'a', 'two'))
  await same(got, ['one', 'two'])
  assert.deepEqual(heard.kinds, ['network'])
  const states = heard.statuses.map(({ state, failures }) => `${state} ${failures}`)
  assert.deepEqual(states, ['connecting 0', 'live 0', 'connecting 1', 'connecting 1', 'live 0'])
  assert.equal(weir.status.problem, null)
})

test('what cannot be had by retrying is given up', async () => {
  for (const [status, code, kind] of [
    [400, 'too_many_sessions', 'invalid'],
    [403, 'forbidden', 'forbidden'],
    [404, 'unknown_path', 'invalid'],
  ] as const) {
    const { server, weir, heard } = await begin()
    weir.subscribe('a', () => {})
    ;(await server.next()).refuse(status, code)
    await until(() => weir.status.state === 'offline', 'not given up')
    const problem = { kind, message: `because of ${code}`, status, code, event: null }
    assert.deepEqual([weir.status.problem, heard.problems], [problem, [problem]])
    // Another subscription is no reason to try again; only the page is.
    weir.subscribe('b', () => {})
    await turns()
    assert.equal(server.calls.length, 1)
    weir.retry()
    ;(await server.next()).stream(connected('1-0'))
    await until(() => weir.status.state === 'live', 'not live')
  }
})

test('a token that is refused is asked for once more', async () => {
  let asked = 0
  const { server, weir, heard } = await begin({ token: async () => `token-${++asked}` })
  weir.subscribe('a', () => {})
  const first = await server.next()
  assert.equal(first.headers['authorization'], 'Bearer token-1')
  first.refuse(401, 'token_expired')
  const second = await server.next()
  assert.equal(second.headers['authorization'], 'Bearer token-2')
  second.stream(connected('1-0'))
  await until(() => weir.status.state === 'live', 'not live')
  assert.deepEqual(heard.problems, [])
  second.cut()
  // The same again later, and the second refusal is the last.
  ;(await server.next()).refuse(401, 'token_expired')
  ;(await server.next()).refuse(401, 'token_revoked')
  await until(() => weir.status.state === 'offline', 'not given up')
  assert.deepEqual([heard.kinds, weir.status.problem?.code, asked], [['network', 'unauthorized'], 'token_revoked', 4])
  weir.retry()
  assert.equal((await server.next()).headers['authorization'], 'Bearer token-5')
})

test('one that cannot be asked for anew is not', async () => {
  const { server, weir } = await begin({ token: 'fixed' })
  weir.subscribe('a', () => {})
  ;(await server.next()).refuse(401, 'token_expired')
  await until(() => weir.status.state === 'offline', 'not given up')
  assert.equal(weir.status.problem?.kind, 'unauthorized')
})

test('a token that cannot be had is tried for again', async () => {
  let asked = 0
  const { server, weir, heard } = await begin({ token: () => (++asked === 1 ? Promise.reject('log-in is away') : 't') })
  weir.subscribe('a', () => {})
  await server.next()
  assert.deepEqual(heard.problems.map(({ kind, message }) => [kind, message]), [['network', 'log-in is away']])
})

test('a token that is none shows nowhere', async () => {
  const tokens = ['se\ncret', 'good\n']
  const { server, weir, heard } = await begin({ token: () => tokens.shift()! })
  weir.subscribe('a', () => {})
  const call = await server.next()
  assert.equal(call.headers['authorization'], 'Bearer good')
  assert.deepEqual(heard.problems.map(({ kind, message }) => [kind, message]), [['network', 'bad token']])
})

test('before a token expires the stream goes on with another, or stays where there is none', async () => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() })
  ends.push(() => mock.timers.reset())
  let token = 'one'
  const { server, weir, heard } = await begin({ token: () => token })
  weir.subscribe('a', () => {})
  const first = (await server.next()).stream(connected('1-0'), control('expiring', { in: 30_000 }), event('2-0', 'a', ''))
  await until(() => weir.position === '2-0', 'it ended')
  await turns()
  assert.equal(server.calls.length, 1)
  token = 'two'
  mock.timers.tick(1_000)
  first.say(control('expiring', { in: 15_000 }))
  const second = await server.next()
  await until(() => first.left, 'the old stream stays')
  assert.deepEqual([second.headers['authorization'], second.query.get('lastEventId')], ['Bearer two', '2-0'])
  second.stream(connected('2-0'))
  await turns()
  assert.deepEqual([heard.states, heard.problems], [['connecting', 'live'], []])
})

test('who is turned away says so, and comes back', async () => {
  const { server, weir, heard } = await begin()
  weir.subscribe('a', () => {})
  ;(await server.next()).stream('retry: 1\n', control('refused', { reason: 'limit', reconnect: 1 })).end()
  ;(await server.next()).refuse(429, 'ip', { 'retry-after': '0' })
  ;(await server.next()).page()
  ;(await server.next()).stream(connected('1-0'))
  await until(() => weir.status.state === 'live', 'not live')
  assert.deepEqual(heard.problems.map(({ kind, status, code }) => [kind, status, code]),
    [['refused', 200, 'limit'], ['refused', 429, 'ip'], ['network', 200, null]])
})

test('after three failures long-poll takes over on the same position, until the stream is back', async () => {
  const { server, weir, heard } = await begin({ fallback: 'long-poll', tries: 8 })
  const { got, handle } = collect()
  weir.subscribe('a', handle)
  ;(await server.next()).stream(connected('1-0'), event('2-0', 'a', 'one')).end()
  ;(await server.next()).cut()
  ;(await server.next()).stream(control('refused', { reason: 'limit' })).end()
  const gap = { reason: 'trimmed', session: null, missed: null, after: '4-0', before: '6-0' }
  const answers = [
    { asked: ['0', '2-0'], answer: { events: [facts('3-0', 'a', 'two')], lastEventId: '4-0', gap: null } },
    { asked: ['25', '4-0'], answer: { events: [facts('6-0', 'a', 'three')], lastEventId: '6-0', gap } },
  ]
  // The stream fails on meanwhile, more often than would be its bound.
  let failures = 0
  let back
  while (!back) {
    assert.ok(server.calls.length < 100, 'it goes on and on')
    const call = await server.next()
    const polled = call.query.has('wait') ? answers.shift() : null
    if (polled) {
      assert.deepEqual([call.query.get('wait'), call.query.get('lastEventId')], polled.asked)
      call.json(polled.answer)
    } else if (polled === null && got.length === 3 && ++failures > 8) back = call
    else if (polled === null) call.cut()
  }
  assert.deepEqual([heard.gaps, weir.status.state, weir.status.by], [[gap], 'degraded', 'long-poll'])
  assert.equal(back.query.get('lastEventId'), '6-0')
  back.stream(connected('6-0'), event('7-0', 'a', 'four'))
  await same(got, ['one', 'two', 'three', 'four'])
  assert.deepEqual([weir.status.state, weir.status.by, weir.status.failures], ['live', 'stream', 0])
  assert.ok(!heard.states.includes('offline'))
  await until(() => server.calls.filter((call) => call.query.has('wait')).every((call) => call.left), 'a long-poll is left')
})

test('or an endpoint of the page takes over, which need not be perfect', async () => {
  let polled = 0
  let aborted = false
  const poll = async (signal: AbortSignal) => {
    if (++polled === 1) throw new Error('not yet')
    if (polled < 4) return
    await new Promise<void>((done) => signal.addEventListener('abort', () => done()))
    aborted = true
  }
  const { server, weir, heard } = await begin({ fallback: { every: 1, poll } })
  weir.subscribe('a', () => {})
  for (let n = 0; n < 3; n++) (await server.next()).cut()
  const call = await server.next()
  await until(() => weir.status.by === 'poll' && weir.status.state === 'degraded' && polled === 4, 'nobody polls')
  assert.ok(heard.problems.some(({ message }) => message.includes('not yet')))
  call.stream(connected('1-0'))
  await until(() => aborted && weir.status.state === 'live', 'it polls on')
  assert.deepEqual([weir.status.by, polled], ['stream', 4])
})

test('after so many tries it is given up, until the page says otherwise', async () => {
  const { server, weir, heard } = await begin({ tries: 3 })
  weir.subscribe('a', () => {})
  for (let n = 0; n < 3; n++) (await server.next()).cut()
  await until(() => weir.status.state === 'offline', 'it goes on')
  assert.deepEqual([weir.status.failures, weir.status.retryAt, weir.status.problem?.kind], [3, null, 'network'])
  assert.equal(heard.problems.length, 3)
  await turns(50)
  assert.equal(server.calls.length, 3)
  weir.retry()
  ;(await server.next()).cut()
  ;(await server.next()).stream(connected('1-0'))
  await until(() => weir.status.state === 'live', 'not live')
})

test('whoever subscribes after it was given up has all tries', async () => {
  const { server, weir } = await begin({ tries: 3 })
  const first = weir.subscribe('a', () => {})
  for (let n = 0; n < 3; n++) (await server.next()).cut()
  await until(() => weir.status.state === 'offline', 'it goes on')
  first.close()
  await until(() => weir.status.state === 'idle', 'it is wanted')
  weir.subscribe('b', () => {})
  for (let n = 0; n < 2; n++) (await server.next()).cut()
  ;(await server.next()).stream(connected('1-0'))
  await until(() => weir.status.state === 'live', 'not live')
})

test('a fallback that fails as well does not save it', async () => {
  const { server, weir } = await begin({ tries: 2, fallback: 'long-poll' })
  weir.subscribe('a', () => {})
  while (weir.status.state !== 'offline') {
    await until(() => weir.status.state === 'offline' || !server.quiet, 'neither another call nor the end')
    assert.ok(server.calls.length < 50, 'it goes on and on')
    if (!server.quiet) (await server.next()).cut()
  }
  assert.equal(server.calls.filter((call) => !call.query.has('wait')).length, 4)
})

test('an instance that lost its log says so', async () => {
  const { server, weir, heard } = await begin()
  weir.subscribe('a', () => {})
  const call = (await server.next()).stream(connected('1-0'), control('degraded', { since: 5 }))
  await until(() => weir.status.state === 'degraded', 'not degraded')
  assert.equal(weir.status.by, 'stream')
  call.say(control('restored'))
  await until(() => weir.status.state === 'live', 'not restored')
  assert.deepEqual(heard.states, ['connecting', 'live', 'degraded', 'live'])
})

test('a subscription that comes later is given its snapshot first, and everything once', async () => {
  const { server, weir, heard } = await begin({ snapshot: true })
  const [a, b] = [collect(), collect()]
  weir.subscribe('a', a.handle)
  const first = await server.next()
  assert.equal(first.query.get('snapshot'), '1')
  first.stream(connected('1-0'), event('2-0', 'a', 'snapshot'))
  await same(a.got, ['snapshot'])
  weir.subscribe('b', b.handle, { types: ['t'] })
  const second = (await server.next()).stream(connected('2-0'), event('8-0', 'b', 'eight', { type: 't' }))
  second.say(event('9-0', 'b', 'nine', { type: 't' }))
  const snapshot = await server.next()
  assert.deepEqual(Object.fromEntries(snapshot.query), { format: 'json', session: 'b', type: 't', snapshot: '1', wait: '0' })
  await until(() => weir.position === '9-0', 'not there')
  assert.deepEqual(b.got, [])
  const events = [facts('5-0', 'b', 'five', { type: 't' }), facts('8-0', 'b', 'eight', { type: 't' })]
  snapshot.json({ events, lastEventId: '9-0', gap: null })
  await same(b.got, ['five', 'eight', 'nine'])
  second.say(event('10-0', 'b', 'ten', { type: 't' }))
  await same(b.got, ['five', 'eight', 'nine', 'ten'])
  assert.deepEqual([heard.problems, a.got], [[], ['snapshot']])
})

test('where its snapshot cannot be had it is as after a loss', async () => {
  const { server, weir, heard } = await begin({ snapshot: true })
  const { got, handle } = collect()
  const gaps: string[] = []
  weir.subscribe('a', () => {})
  const call = (await server.next()).stream(connected('1-0'))
  await until(() => weir.status.state === 'live', 'not live')
  weir.subscribe('a', handle, { onGap: ({ reason }) => gaps.push(reason) })
  const snapshot = await server.next()
  call.say(event('2-0', 'a', 'two'))
  await until(() => weir.position === '2-0', 'not there')
  snapshot.refuse(503, 'memory')
  await same(got, ['two'])
  assert.deepEqual([gaps, heard.kinds], [['unknown-id'], ['refused']])
})

test('after the end nothing is open, nothing runs, and nobody is called', async () => {
  const { server, weir, heard } = await begin({ fallback: { every: 1e6, poll: () => {} }, backoff: { first: 1e6, most: 1e6 } })
  const { got, handle } = collect()
  let closing: Weir | undefined
  weir.subscribe('a', handle)
  weir.subscribe('a', () => closing?.close())
  const call = (await server.next()).stream(connected('1-0'), event('2-0', 'a', 'one'))
  await same(got, ['one'])
  closing = weir
  // Both in one piece: the second is not told any longer.
  call.say(event('3-0', 'a', 'two') + event('4-0', 'a', 'three'))
  await until(() => call.left, 'the stream stays')
  assert.deepEqual([got, weir.status.state, heard.problems], [['one', 'two'], 'idle', []])
  weir.subscribe('b', handle).close()
  weir.retry()
  weir.close()
  await turns()
  assert.equal(server.calls.length, 1)
  await server.stop()
  await until(() => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length === 0, 'a timer is left')
})

test('whoever ends it while being told of something has ended it', async () => {
  const cases: [string, Options][] = [
    ['connecting', {}],
    ['problem', {}],
    ['problem', { fallback: 'long-poll' }],
    ['offline', { tries: 1 }],
    ['degraded', { fallback: { every: 1, poll: () => {} } }],
    ['degraded', { fallback: 'long-poll' }],
  ]
  for (const [what, options] of cases) {
    const { server, weir, heard } = await begin(options)
    weir.subscribe('a', () => {})
    const end = () => (weir.close(), turns().then(() => (ended = server.calls.length)))
    let ended: number | undefined
    let problems = 0
    weir.on('status', ({ state }) => state === what && end())
    weir.on('problem', () => what === 'problem' && ++problems === 3 && end())
    while (ended === undefined) {
      await turns()
      if (server.quiet) continue
      const call = await server.next()
      if (call.query.has('wait')) call.json({ events: [], lastEventId: '1-0', gap: null })
      else call.cut()
    }
    await new Promise((done) => setTimeout(done, 20))
    assert.deepEqual([what, server.calls.length, heard.states.at(-1)], [what, ended, 'idle'])
    assert.ok(server.quiet, what)
    await until(() => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length === 0, `${what}: a timer is left`)
  }
})

test('a subscription that ended while it waited for its snapshot is told nothing', async () => {
  for (const answer of ['snapshot', 'refusal', 'none']) {
    const { server, weir, heard } = await begin({ snapshot: true })
    const { got, handle } = collect()
    weir.subscribe('a', () => {})
    const call = (await server.next()).stream(connected('1-0'))
    await until(() => weir.status.state === 'live', 'not live')
    const onGap = () => got.push('gap')
    const subscription = weir.subscribe('a', handle, { onGap })
    const snapshot = await server.next()
    call.say(event('2-0', 'a', 'two'))
    await until(() => weir.position === '2-0', 'not there')
    if (answer === 'none') weir.close()
    else subscription.close()
    if (answer === 'snapshot') snapshot.json({ events: [facts('2-0', 'a', 'two')], lastEventId: '2-0', gap: null })
    if (answer === 'refusal') snapshot.refuse(503, 'memory')
    await turns(50)
    assert.deepEqual([got, heard.problems], [[], []])
  }
})

test('an instance that is behind is asked for what lies between its snapshot and the stream', async () => {
  const { server, weir, heard } = await begin({ snapshot: true })
  const { got, handle } = collect()
  weir.subscribe('a', () => {})
  ;(await server.next()).stream(connected('5-0'))
  await until(() => weir.status.state === 'live', 'not live')
  weir.subscribe('b', handle)
  ;(await server.next()).stream(connected('5-0'), event('6-0', 'b', 'six'))
  ;(await server.next()).json({ events: [facts('2-0', 'b', 'snapshot')], lastEventId: '2-0', gap: null })
  ;(await server.next()).json({ events: [], lastEventId: '3-0', gap: null })
  const late = await server.next()
  assert.deepEqual([late.query.get('lastEventId'), late.query.get('wait')], ['3-0', '1'])
  late.json({ events: [facts('4-0', 'b', 'four')], lastEventId: '6-0', gap: null })
  await same(got, ['snapshot', 'four', 'six'])
  await turns()
  assert.ok(server.quiet)
  assert.deepEqual(heard.problems, [])
})

test('whoever subscribes after all others have ended begins then', async () => {
  const { server, weir } = await begin()
  const { got, handle } = collect()
  const subscription = weir.subscribe('a', () => {})
  ;(await server.next()).stream(connected('1-0'))
  await until(() => weir.position === '1-0', 'not there')
  subscription.close()
  await until(() => weir.status.state === 'idle', 'not idle')
  assert.equal(weir.position, null)
  weir.subscribe('b', handle)
  const call = await server.next()
  assert.equal(call.query.get('lastEventId'), null)
  call.stream(connected('9-0'), event('10-0', 'b', 'ten'))
  await same(got, ['ten'])
})

test('a session may have any name', async () => {
  const { server, weir } = await begin({ snapshot: true })
  const { got, handle } = collect()
  weir.subscribe(['constructor', '__proto__'], handle)
  const call = await server.next()
  assert.deepEqual(call.query.getAll('lastEventId'), [])
  call.stream(connected('1-0'), event('2-0', 'constructor', 'one'), event('3-0', '__proto__', 'two'))
  await same(got, ['one', 'two'])
})
