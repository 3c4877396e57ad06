import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it, mock } from 'node:test'
import { notifyManager, QueryClient, QueryObserver, type QueryKey } from '@tanstack/react-query'
import type { Gap, Status, SubscribeOptions, Weir, WeirEvent } from '@weir/client'
import { patchQueries, type Envelope, type QueryPatches } from '../src/patches.js'

interface Order {
  id: string
  state: string
  note?: string
  ts?: number
}

const DETAIL = ['orders', 'detail', 'o1']
const LIST = ['orders', 'list']

const gap: Gap = { reason: 'trimmed', session: null, missed: 3, after: null, before: null }

/** A client that says what it is told to say. */
function scripted(state: Status['state'] = 'live') {
  const status = { state, by: 'stream' } as { state: Status['state']; by: Status['by'] }
  const heard = new Set<() => void>()
  let handle: (event: WeirEvent<any>) => void = () => {}
  let options: SubscribeOptions<any> = {}
  let nth = 0
  const weir = {
    status,
    on: (_: string, changed: () => void) => (heard.add(changed), () => heard.delete(changed)),
    subscribe(_: string, given: typeof handle, asked: typeof options) {
      ;[handle, options] = [given, asked]
      return { close: () => (handle = () => {}) }
    },
  } as unknown as Weir
  return {
    weir,
    heard,
    options: () => options,
    tell: (value: Envelope) =>
      handle({ id: `1-${++nth}`, session: 'orders', type: 'order.updated', key: null, data: '', value, ts: 0 }),
    miss: () => options.onGap?.(gap),
    turn(to: Status['state'], by: Status['by'] = 'stream') {
      Object.assign(status, { state: to, by })
      heard.forEach((changed) => changed())
    },
  }
}

/** A query that is looked at, and whose fetches are answered by hand. */
function looked(queries: QueryClient, queryKey: QueryKey) {
  const answers: ((data: unknown) => void)[] = []
  const observer = new QueryObserver(queries, { queryKey, queryFn: () => new Promise((resolve) => answers.push(resolve)) })
  const shown: unknown[] = []
  // As React does it: told at the end of a batch, and looking for itself then.
  const leave = observer.subscribe(notifyManager.batchCalls(() => shown.push(observer.getCurrentResult().data)))
  return {
    shown,
    leave,
    fetches: () => answers.length,
    async answer(data: unknown) {
      answers.at(-1)!(data)
      await turns()
    },
    data: () => queries.getQueryData(queryKey) as any,
  }
}

/** Promises that are kept go on, and timers that are due with them. */
async function turns(ms = 1) {
  for (let nth = 0; nth < 10; nth++) await Promise.resolve()
  mock.timers.tick(ms)
  for (let nth = 0; nth < 10; nth++) await Promise.resolve()
  mock.timers.tick(1)
  for (let nth = 0; nth < 10; nth++) await Promise.resolve()
}

describe('patches of queries', () => {
  let queries: QueryClient
  let ends: (() => void)[]

  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_000_000 })
    queries = new QueryClient({ defaultOptions: { queries: { retry: false, staleTime: Infinity } } })
    queries.mount()
    ends = []
  })

  afterEach(() => {
    ends.forEach((end) => end())
    queries.clear()
    mock.timers.reset()
  })

  async function begin(state: Status['state'] = 'live', more: Partial<QueryPatches<Envelope, Order>> = {}) {
    const client = scripted(state)
    const patches: QueryPatches<Envelope, Order> = {
      all: [['orders']],
      lists: [LIST],
      detail: ({ value }) => ['orders', 'detail', value.id],
      ...more,
    }
    const { close } = patchQueries(client.weir, queries, 'orders', () => patches)
    ends.push(close)
    await turns()
    return { ...client, close }
  }

  async function see(queryKey: QueryKey, first: unknown) {
    const query = looked(queries, queryKey)
    ends.push(query.leave)
    await turns()
    await query.answer(first)
    return query
  }

  it('lays a patch over a detail that is cached, and makes no other', async () => {
    const { tell } = await begin()
    const detail = await see(DETAIL, { id: 'o1', state: 'new', note: 'by hand' })
    tell({ id: 'o1', patch: { state: 'paid' } })
    tell({ id: 'o2', patch: { state: 'paid' } })
    await turns()
    assert.deepEqual(detail.data(), { id: 'o1', state: 'paid', note: 'by hand' })
    assert.equal(detail.fetches(), 1)
    assert.equal(queries.getQueryData(['orders', 'detail', 'o2']), undefined)
  })

  it('fetches a list once for a hundred events, and once more for those of the next second', async () => {
    const { tell } = await begin()
    const list = await see(LIST, [])
    for (let nth = 0; nth < 100; nth++) tell({ id: `o${nth}`, patch: {} })
    await turns()
    assert.equal(list.fetches(), 2)
    await list.answer([1])
    for (let nth = 0; nth < 9; nth++) {
      tell({ id: 'o1', patch: {} })
      await turns(100)
    }
    assert.equal(list.fetches(), 2)
    await turns(100)
    assert.equal(list.fetches(), 3)
  })

  it('fetches nothing that nobody looks at, but knows that it is old', async () => {
    const { tell } = await begin()
    const list = await see(LIST, [])
    list.leave()
    tell({ id: 'o1', patch: {} })
    await turns()
    assert.equal(list.fetches(), 1)
    assert.equal(queries.getQueryState(LIST)?.isInvalidated, true)
  })

  it('lets a fetch of a list come to its end, does not trust it, and fetches again', async () => {
    const { tell } = await begin()
    const list = await see(LIST, [])
    tell({ id: 'o1', patch: {} })
    await turns()
    assert.equal(list.fetches(), 2)
    for (let nth = 0; nth < 30; nth++) {
      tell({ id: 'o1', patch: {} })
      await turns(100)
    }
    assert.equal(list.fetches(), 2, 'it was begun anew while it was on its way')
    await list.answer(['older'])
    assert.deepEqual(list.data(), ['older'])
    await turns(1000)
    assert.equal(list.fetches(), 3)
    await list.answer(['newest'])
    await turns(5000)
    assert.equal(list.fetches(), 3)
  })

  it('patches what a fetch answers that was begun before the event', async () => {
    const { tell } = await begin()
    const detail = await see(DETAIL, { id: 'o1', state: 'new', ts: 1 })
    void queries.invalidateQueries({ queryKey: DETAIL })
    await turns()
    tell({ id: 'o1', patch: { state: 'paid' }, ts: 5 })
    await turns()
    assert.equal(detail.data().state, 'paid')
    await detail.answer({ id: 'o1', state: 'new', note: 'fetched', ts: 4 })
    assert.deepEqual(detail.data(), { id: 'o1', state: 'paid', note: 'fetched', ts: 4 })
    const states = detail.shown.map((data) => (data as Order | undefined)?.state)
    assert.ok(!states.slice(states.indexOf('paid')).includes('new'), `it went back for a moment: ${states}`)
    assert.equal(detail.fetches(), 2)
  })

  it('patches the first answer, too, and leaves alone what is newer than the event', async () => {
    const { tell } = await begin()
    const [early, late] = [looked(queries, DETAIL), looked(queries, ['orders', 'detail', 'o2'])]
    ends.push(early.leave, late.leave)
    tell({ id: 'o1', patch: { state: 'paid' }, ts: 5 })
    tell({ id: 'o2', patch: { state: 'paid' }, ts: 5 })
    await early.answer({ id: 'o1', state: 'new', ts: 4 })
    await late.answer({ id: 'o2', state: 'sent', ts: 6 })
    assert.equal(early.data().state, 'paid')
    assert.equal(late.data().state, 'sent')
    tell({ id: 'o2', patch: { state: 'paid' }, ts: 5 })
    assert.equal(late.data().state, 'sent')
  })

  it('does not patch an answer with what came before it was asked for', async () => {
    const { tell } = await begin()
    const detail = await see(DETAIL, { id: 'o1', state: 'new' })
    tell({ id: 'o1', patch: { state: 'paid' } })
    void queries.invalidateQueries({ queryKey: DETAIL })
    await turns()
    tell({ id: 'o1', patch: { note: 'late' } })
    await detail.answer({ id: 'o1', state: 'sent' })
    assert.deepEqual(detail.data(), { id: 'o1', state: 'sent', note: 'late' })
    void queries.invalidateQueries({ queryKey: DETAIL })
    await turns()
    await detail.answer({ id: 'o1', state: 'returned', note: 'by hand' })
    assert.deepEqual(detail.data(), { id: 'o1', state: 'returned', note: 'by hand' })
  })

  it('fetches anew what it cannot patch, and what too much happened to while it was fetched', async () => {
    const { tell } = await begin()
    const detail = await see(DETAIL, { id: 'o1', state: 'new' })
    tell({ id: 'o1' })
    await turns()
    assert.equal(detail.fetches(), 2)
    for (let nth = 0; nth < 150; nth++) tell({ id: 'o1', patch: { note: `${nth}` } })
    await turns(1000)
    await detail.answer({ id: 'o1', state: 'new' })
    assert.equal(detail.data().note, '99')
    await turns(1000)
    assert.equal(detail.fetches(), 3)
  })

  it('does not make a detail look fetched by patching it', async () => {
    const { tell } = await begin()
    const detail = await see(DETAIL, { id: 'o1', state: 'new' })
    detail.leave()
    await queries.invalidateQueries({ queryKey: DETAIL })
    const before = queries.getQueryState(DETAIL)!
    await turns(500)
    tell({ id: 'o1', patch: { state: 'paid' } })
    const after = queries.getQueryState(DETAIL)!
    assert.equal((after.data as Order).state, 'paid')
    assert.equal(after.dataUpdatedAt, before.dataUpdatedAt)
    assert.equal(after.isInvalidated, true)
  })

  it('doubts everything after a gap, and nothing else', async () => {
    const gaps: Gap[] = []
    const { miss } = await begin('live', { onGap: (told) => gaps.push(told) })
    const list = await see(LIST, [])
    const detail = await see(DETAIL, { id: 'o1', state: 'new' })
    const other = await see(['users'], [])
    miss()
    await turns()
    assert.deepEqual([list.fetches(), detail.fetches(), other.fetches()], [2, 2, 1])
    assert.deepEqual(gaps, [gap])
  })

  it('doubts what was fetched before the stream was open, once', async () => {
    const { turn } = await begin('connecting')
    const list = await see(LIST, [])
    turn('live')
    await turns()
    assert.equal(list.fetches(), 2)
    await list.answer([])
    for (const state of ['connecting', 'live'] as const) turn(state)
    await turns(5000)
    assert.equal(list.fetches(), 2)
  })

  it('doubts it once as well where long-poll brings the events, and not before somebody does', async () => {
    const { turn } = await begin('connecting')
    const list = await see(LIST, [])
    turn('degraded', 'poll')
    await turns(5000)
    assert.equal(list.fetches(), 1)
    turn('degraded', 'long-poll')
    await turns()
    assert.equal(list.fetches(), 2)
    await list.answer([])
    turn('live')
    await turns(5000)
    assert.equal(list.fetches(), 2)
  })

  it('fetches as often where the clock was set back', async () => {
    const { tell } = await begin()
    const list = await see(LIST, [])
    tell({ id: 'o1', patch: {} })
    await turns()
    await list.answer([1])
    mock.timers.setTime(500_000)
    tell({ id: 'o1', patch: {} })
    await turns(1000)
    assert.equal(list.fetches(), 3)
  })

  it('doubts nothing of it where it is said from where the events are to come', async () => {
    const { turn } = await begin('connecting', { from: '1-0' })
    const list = await see(LIST, [])
    turn('live')
    await turns(5000)
    assert.equal(list.fetches(), 1)
  })

  it('tells what is stale by the time in the envelope, of what an event replaces', async () => {
    const { options } = await begin()
    const { stale, parse } = options()
    const event = (key: string | null, value: Envelope) => ({ session: 'orders', key, value }) as WeirEvent<Envelope>
    assert.equal(stale!.at(event(null, { id: 'o1', ts: 7 })), 7)
    assert.equal(stale!.at(event(null, { id: 'o1' })), null)
    assert.equal(stale!.of!(event(null, { id: 'o1' })), stale!.of!(event(null, { id: 'o1', patch: {} })))
    assert.notEqual(stale!.of!(event('o1:state', { id: 'o1' })), stale!.of!(event('o1:note', { id: 'o1' })))
    assert.deepEqual(parse!('{"id":"o1"}'), { id: 'o1' })
  })

  it('lets go of everything when it ends', async () => {
    const { tell, heard, close } = await begin()
    const list = await see(LIST, [])
    tell({ id: 'o1', patch: {} })
    const listeners = () => (queries.getQueryCache() as unknown as { listeners: Set<unknown> }).listeners.size
    assert.equal(listeners(), 2)
    close()
    await turns(5000)
    assert.equal(list.fetches(), 1)
    // What it had no time for any more is not taken for new by whoever looks at it next.
    assert.equal(queries.getQueryState(LIST)?.isInvalidated, true)
    assert.deepEqual([heard.size, listeners()], [0, 0])
  })
})
