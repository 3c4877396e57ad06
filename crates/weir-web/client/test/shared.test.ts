// One connection for all tabs, with a link that only writes down what it is told. Browsers have their part in crates/weir/tests/client.

import assert from 'node:assert/strict'
import { afterEach, beforeEach, mock, test } from 'node:test'
import type { Heard, Link, OpenLink, Want } from '../src/link.js'
import { share } from '../src/shared.js'
import type { Status } from '../src/types.js'
import { Locks } from './locks.js'

const LOOK = 3_000

/** What only the tab with the connection needs. */
const SECRET = 'secret'

/** What a link was told, and a way to have it tell something. */
class Wire implements Link {
  readonly wants: (Want | null)[] = []
  retried = 0
  closed = false

  constructor(readonly tell: (heard: Heard) => void) {
    wires.push(this)
  }

  want(want: Want | null) {
    this.wants.push(want)
    this.tell({ kind: 'status', status: status(want ? 'connecting' : 'idle') })
  }

  retry() {
    this.retried++
  }

  close() {
    this.closed = true
    this.want(null)
  }

  get wanted() {
    return this.wants.at(-1)
  }
}

const status = (state: Status['state']): Status => ({ state, by: 'stream', failures: 0, retryAt: null, problem: null })
const open: OpenLink = (_, hear) => new Wire(hear)

let wires: Wire[]
let tabs: Tab[]
let locks: Locks
let group = 0

class Tab {
  readonly heard: Heard[] = []
  readonly page = new EventTarget()
  readonly link: Link

  constructor() {
    const { page } = this
    globalThis.addEventListener = page.addEventListener.bind(page) as typeof globalThis.addEventListener
    this.link = share(open)({ shared: `${group}`, token: SECRET }, (heard) => this.heard.push(heard))
    tabs.push(this)
  }

  want(sessions: string[], from: string | null = null, more: Partial<Want> = {}) {
    this.link.want({ sessions, types: null, keys: null, from, ...more })
    return this
  }

  get ids() {
    return this.heard.flatMap((heard) => (heard.kind === 'event' ? [heard.event.id] : []))
  }

  get positions() {
    return this.heard.flatMap((heard) => (heard.kind === 'position' ? [heard.id] : []))
  }

  get state() {
    return this.heard.flatMap((heard) => (heard.kind === 'status' ? [heard.status.state] : [])).at(-1)
  }

  get gaps() {
    return this.heard.filter((heard) => heard.kind === 'gap').length
  }
}

const event = (wire: Wire, session: string, id: string) => {
  wire.tell({ kind: 'event', event: { id, session, type: 'message', key: null, data: '', value: '', ts: 0 } })
  wire.tell({ kind: 'position', id })
}

const gap = (wire: Wire, reason: 'trimmed' | 'reset', after: string, before: string, session: string | null = null) =>
  wire.tell({ kind: 'gap', gap: { reason, session, missed: null, after, before } })

/** Waits until what this gives is what is expected. */
const until = async <T>(look: () => T, expected: T) => {
  for (const end = performance.now() + 20_000; performance.now() < end; ) {
    try {
      return assert.deepEqual(look(), expected)
    } catch {
      await new Promise((done) => setTimeout(done, 1))
    }
  }
  assert.deepEqual(look(), expected)
}

/** Two tabs, the first of which leads. */
const two = async () => {
  const first = new Tab().want(['a'])
  await until(() => wires.length, 1)
  const wire = wires[0]!
  await until(() => wire.wanted?.sessions, ['a'])
  wire.tell({ kind: 'status', status: status('live') })
  wire.tell({ kind: 'position', id: '5-0' })
  const second = new Tab().want(['b'])
  await until(() => wire.wanted?.sessions, ['a', 'b'])
  wire.tell({ kind: 'status', status: status('live') })
  await until(() => second.state, 'live')
  return { first, second, wire }
}

beforeEach(() => {
  wires = []
  tabs = []
  locks = new Locks()
  group++
  Object.defineProperty(globalThis, 'navigator', { value: { locks }, configurable: true })
  mock.timers.enable({ apis: ['setInterval'] })
})

afterEach(() => {
  for (const tab of tabs) tab.link.close()
  mock.timers.reset()
})

test('what a tab shows weir stays in the tab', async () => {
  const said: string[] = []
  const ear = new BroadcastChannel(`weir 1 ${group}`)
  ear.onmessage = ({ data }) => said.push(JSON.stringify(data))
  const { second, wire } = await two()
  event(wire, 'b', '6-0')
  await until(() => second.ids, ['6-0'])
  await until(() => said.some((message) => message.includes('6-0')), true)
  ear.close()
  assert.deepEqual(said.filter((message) => message.includes(SECRET)), [])
})

test('tabs have one link, which wants what they want together, and all are told what it tells', async () => {
  const { first, second, wire } = await two()
  assert.deepEqual(wire.wanted, { sessions: ['a', 'b'], types: null, keys: null, from: '5-0' })
  event(wire, 'a', '6-0')
  event(wire, 'b', '7-0')
  await until(() => second.positions.at(-1), '7-0')
  assert.deepEqual([first.ids, second.ids], [['6-0', '7-0'], ['6-0', '7-0']])
  assert.equal(wires.length, 1)
})

test('filters of tabs are joined, and none is one for everything', async () => {
  const wanted = () => wires[0]?.wanted
  new Tab().want(['a'], null, { types: ['x'], keys: ['1'] })
  await until(() => wanted()?.keys, ['1'])
  const second = new Tab().want(['a'], null, { types: ['y'], keys: ['2'] })
  await until(wanted, { sessions: ['a'], types: ['x', 'y'], keys: ['1', '2'], from: null })
  second.want(['a'], null, { types: ['y'] })
  await until(wanted, { sessions: ['a'], types: ['x', 'y'], keys: null, from: null })
})

test('a tab that wants nothing new is told at once how things stand, and the connection is left alone', async () => {
  const { wire } = await two()
  const asked = wire.wants.length
  const late = new Tab().want(['b'])
  await until(() => [late.state, late.positions], ['live', ['5-0']])
  // One tab fewer is no reason either.
  late.link.close()
  const other = new Tab().want(['a'])
  await until(() => other.state, 'live')
  assert.equal(wire.wants.length, asked)
})

test('for a tab that is behind the link goes back, and nobody else does', async () => {
  const { first, second, wire } = await two()
  const late = new Tab().want(['a'], '2-0')
  await until(() => wire.wanted?.from, '2-0')
  await until(() => late.heard.length, 2)
  event(wire, 'a', '3-0')
  gap(wire, 'trimmed', '3-0', '4-0')
  event(wire, 'a', '6-0')
  await until(() => late.ids, ['3-0', '6-0'])
  assert.deepEqual([late.gaps, first.gaps, second.gaps], [1, 0, 0])
  assert.deepEqual(first.positions, ['5-0', '6-0'])
})

test('what is told before the leader knows what a tab wants is not for it', async () => {
  const { second, wire } = await two()
  // It is behind, and the leader has not heard of it yet.
  const late = new Tab().want(['a'], '2-0')
  event(wire, 'a', '8-0')
  await until(() => second.positions.at(-1), '8-0')
  await until(() => wire.wanted?.from, '2-0')
  await until(() => late.heard.length, 2)
  assert.deepEqual([late.ids, late.positions], [[], []])
})

test('where the leader is closed another leads, from the least position of all', async () => {
  const { first, second, wire } = await two()
  const third = new Tab().want(['a'])
  await until(() => third.state, 'live')
  event(wire, 'a', '6-0')
  event(wire, 'b', '7-0')
  await until(() => [second.positions.at(-1), third.positions.at(-1)], ['7-0', '7-0'])
  // As one that was frozen while the others went on.
  third.want(['a'], '4-0')
  await until(() => wire.wanted?.from, '4-0')
  first.link.close()
  assert.equal(wire.closed, true)
  await until(() => wires.length, 2)
  const heir = wires[1]!
  await until(() => heir.wanted, { sessions: ['a', 'b'], types: null, keys: null, from: '4-0' })
  event(heir, 'b', '7-0')
  event(heir, 'b', '8-0')
  await until(() => third.positions.at(-1), '8-0')
  // It never said that it is idle because its link was closed.
  assert.equal(second.state, 'connecting')
})

test('a leader that says nothing loses the lead', async () => {
  let robbed = false
  locks.request(`weir 1 ${group}`, {}, () => new Promise(() => {})).catch(() => (robbed = true))
  const tab = new Tab().want(['a'])
  await until(() => locks.names().length, 2)
  mock.timers.tick(2 * LOOK)
  assert.equal(wires.length, 0)
  mock.timers.tick(LOOK)
  await until(() => robbed, true)
  await until(() => wires[0]?.wanted?.sessions, ['a'])
  assert.equal(tab.state, 'connecting')
})

test('a leader that has nothing to tell keeps the lead', async () => {
  const { wire } = await two()
  for (let look = 0; look < 10; look++) {
    mock.timers.tick(LOOK)
    await new Promise((done) => setTimeout(done, 10))
  }
  assert.deepEqual([wires.length, wire.closed], [1, false])
})

test('whoever lost the lead waits for it again, and is told what it missed', async () => {
  const { first, second, wire } = await two()
  event(wire, 'a', '6-0')
  await until(() => second.positions.at(-1), '6-0')
  let release = () => {}
  const name = `weir 1 ${group}`
  void locks.request(name, { steal: true }, () => new Promise<void>((done) => (release = done)))
  await until(() => wire.closed, true)
  // What comes from a connection that is being closed is nobody's any more.
  event(wire, 'b', '7-0')
  release()
  await until(() => wires.length, 2)
  await until(() => wires[1]!.wanted?.from, '6-0')
  event(wires[1]!, 'a', '8-0')
  await until(() => [first.ids, second.positions.at(-1)], [['6-0', '8-0'], '8-0'])
  assert.deepEqual(second.ids, ['6-0', '8-0'])
})

test('of two that lead the one with the lower term steps down', async () => {
  const { wire } = await two()
  const other = new BroadcastChannel(`weir 1 ${group}`)
  other.postMessage({ term: Date.now() - 100_000, heard: [] })
  await new Promise((done) => setTimeout(done, 10))
  assert.equal(wire.closed, false)
  other.postMessage({ term: Date.now() + 100_000, heard: [] })
  await until(() => wire.closed, true)
  await until(() => wires.filter((wire) => !wire.closed && wire.wanted?.sessions.length === 2).length, 1)
  other.close()
})

test('a tab that wants nothing holds nothing, and goes on from now when it wants something', async () => {
  const { first, second, wire } = await two()
  first.link.want(null)
  assert.deepEqual([wire.closed, first.state], [true, 'idle'])
  await until(() => wires[1]?.wanted?.sessions, ['b'])
  // However often, nobody waits for it any longer.
  for (let n = 0; n < 100; n++) {
    first.want(['a'])
    await until(() => wires[1]!.wanted?.sessions[0], 'a')
    first.link.want(null)
    await until(() => locks.names().length, 2)
    second.want([`b${n}`], '5-0')
    await until(() => wires[1]!.wanted?.sessions, [`b${n}`])
  }
  second.link.want(null)
  await until(() => [locks.names(), locks.waiting], [[], 0])
  first.want(['a'])
  await until(() => wires[2]?.wanted?.from, null)
  await until(() => first.state, 'connecting')
  assert.equal(wires.length, 3)
})

test('a tab that crashed is not wanted for', async () => {
  const { wire } = await two()
  const crashed = locks.names().filter((name) => name.length === 36)[1]!
  locks.drop(crashed)
  new Tab().want(['c'])
  await until(() => wire.wanted?.sessions, ['a', 'c'])
})

test('any tab can have it tried again', async () => {
  const { first, second, wire } = await two()
  second.link.retry()
  await until(() => wire.retried, 1)
  first.link.retry()
  assert.equal(wire.retried, 2)
})

test('a page that is frozen or left gives up the lead, and comes back behind the others', async () => {
  const { first, second, wire } = await two()
  first.page.dispatchEvent(new Event('freeze'))
  assert.equal(wire.closed, true)
  await until(() => wires[1]?.wanted?.sessions, ['b'])
  first.page.dispatchEvent(new Event('resume'))
  await until(() => wires[1]?.wanted, { sessions: ['a', 'b'], types: null, keys: null, from: '5-0' })
  // Not twice: the page was not left.
  first.page.dispatchEvent(new Event('pageshow'))
  second.page.dispatchEvent(new Event('pagehide'))
  await until(() => wires[2]?.wanted?.sessions, ['a'])
  assert.equal(wires.length, 3)
})

test('after a reset positions begin anew for all', async () => {
  const { first, second, wire } = await two()
  gap(wire, 'reset', '5-0', '3-0')
  wire.tell({ kind: 'position', id: '1-0' })
  await until(() => [first.positions.at(-1), second.positions.at(-1)], ['1-0', '1-0'])
  assert.deepEqual([first.gaps, second.gaps], [1, 1])
})

test('a gap of one session is told to whom wants it', async () => {
  const { first, second, wire } = await two()
  gap(wire, 'trimmed', '5-0', '9-0', 'b')
  await until(() => second.gaps, 1)
  assert.equal(first.gaps, 0)
})

test('without locks each tab has a link of its own', async () => {
  Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true })
  new Tab().want(['a'])
  new Tab().want(['b'])
  assert.deepEqual(
    wires.map((wire) => wire.wanted?.sessions),
    [['a'], ['b']],
  )
})

test('where locks are forbidden each tab has a link of its own', async () => {
  const request = () => Promise.reject(new DOMException('no', 'SecurityError'))
  Object.defineProperty(globalThis, 'navigator', { value: { locks: { request } }, configurable: true })
  const tab = new Tab().want(['a'])
  await until(() => wires[0]?.wanted?.sessions, ['a'])
  tab.want(['b'])
  assert.deepEqual(wires[0]!.wanted?.sessions, ['b'])
  tab.link.close()
  assert.equal(wires[0]!.closed, true)
})

test('what a tab has is not told again, however far the link goes back for another', async () => {
  const { first, second, wire } = await two()
  event(wire, 'a', '6-0')
  new Tab().want(['a'], '2-0')
  await until(() => wire.wanted?.from, '2-0')
  for (const id of ['3-0', '5-0', '6-0', '7-0']) event(wire, 'a', id)
  await until(() => second.ids, ['6-0', '7-0'])
  assert.deepEqual(first.ids, ['6-0', '7-0'])
  // Another log may have the same ids.
  gap(wire, 'reset', '7-0', '3-0')
  event(wire, 'a', '3-0')
  await until(() => second.ids, ['6-0', '7-0', '3-0'])
})

test('no two that begin to lead at the same moment have the same term', async () => {
  const now = mock.method(Date, 'now', () => 1_000_000)
  // Each says its own more than once.
  const terms = new Map<number, number>()
  const ears = [0, 1].map((nth) => {
    const ear = new BroadcastChannel(`weir 1 ${++group}`)
    ear.onmessage = ({ data }) => data.term && terms.set(nth, data.term)
    new Tab().want(['a'])
    return ear
  })
  await until(() => terms.size, 2)
  now.mock.restore()
  for (const ear of ears) ear.close()
  assert.notEqual(terms.get(0), terms.get(1))
})
