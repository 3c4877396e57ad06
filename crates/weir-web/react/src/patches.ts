/** Events on one side, cached queries on the other. */

import { notifyManager, type Query, type QueryClient, type QueryFilters, type QueryKey } from '@tanstack/react-query'
import type { Gap, SubscribeOptions, Subscription, Weir, WeirEvent } from '@weir/client'

/** How long a list is left alone after it was invalidated, in milliseconds. */
const EVERY = 1_000

/** How many events are kept for a query that is being fetched; with more it is fetched once more. */
const KEPT = 100

/** What the events of an order board say of themselves; yours may say something else, see `patch`. */
export interface Envelope {
  readonly type?: string
  /** What it is about. */
  readonly id: string
  /** What is new of it; without one its detail is fetched anew. */
  readonly patch?: Record<string, unknown> | null
  /** When that was so, in a unit that rises. */
  readonly ts?: number | null
}

/** Which queries events change, and how. */
export interface QueryPatches<T = Envelope, D = unknown> extends SubscribeOptions<T> {
  /** All queries that show what these sessions tell, by the beginnings of their keys: what is in doubt after a gap. */
  readonly all: readonly QueryKey[]
  /** Those that an event makes old, by the beginnings of their keys: fetched anew, once in `every` milliseconds at most. */
  readonly lists?: readonly QueryKey[] | ((event: WeirEvent<T>) => readonly QueryKey[])
  /** The one that shows what an event is about, by its whole key; it is patched where it is cached. */
  readonly detail?: (event: WeirEvent<T>) => QueryKey | null | undefined
  /**
   * Makes the new detail of the old one. Undefined: it cannot, and the detail is fetched anew. It may be called twice for an event
   * and has to come to the same. Without it, the `patch` of the event is laid over the old detail.
   */
  readonly patch?: (old: D, event: WeirEvent<T>) => D | undefined
  /** Of when a fetched detail is, in the unit of `stale.at`; its `ts` without it. What is older than that is in it already. */
  readonly asOf?: (detail: D) => number | null | undefined
  /** 1,000 without it. */
  readonly every?: number
  /** Called for each event besides. */
  readonly onEvent?: (event: WeirEvent<T>) => void
}

/** Subscribes, and does to the cache what the events and gaps ask for. `read` tells what is wanted now. */
export function patchQueries<T, D>(
  weir: Weir,
  queries: QueryClient,
  sessions: string | readonly string[],
  read: () => QueryPatches<T, D>,
): Subscription {
  const cache = queries.getQueryCache()
  const refetches = batchRefetches(queries, () => read().every ?? EVERY)
  // Events that came while a query was being fetched, by its hash: the answer may be older than they are.
  const during = new Map<string, WeirEvent<T>[]>()

  const apply = (query: Query, event: WeirEvent<T>) => {
    const { patch = merge as (old: D, event: WeirEvent<T>) => D | undefined, asOf = tsOf } = read()
    const { data, dataUpdatedAt, isInvalidated } = query.state
    if (data === undefined) return
    const [told, had] = [timeOf(event), asOf(data as D)]
    if (told != null && had != null && told < had) return
    const next = patch(data as D, event)
    if (next === undefined) return refetches.add({ queryKey: query.queryKey, exact: true })
    // A detail that was patched was not fetched: it is as old as it was, and in doubt if it was.
    queries.setQueryData(query.queryKey, next, { updatedAt: dataUpdatedAt })
    if (isInvalidated) query.invalidate()
  }

  const timeOf = (event: WeirEvent<T>) => (read().stale?.at ?? tsOfEvent)(event)

  const hear = (event: WeirEvent<T>) => {
    const { lists = [], detail, onEvent } = read()
    for (const queryKey of typeof lists === 'function' ? lists(event) : lists) refetches.add({ queryKey })
    const queryKey = detail?.(event)
    const query = queryKey && cache.find({ queryKey })
    if (query) {
      if (query.state.fetchStatus === 'fetching') keep(query, event)
      apply(query, event)
    }
    onEvent?.(event)
  }

  const keep = (query: Query, event: WeirEvent<T>) => {
    const kept = during.get(query.queryHash) ?? []
    during.set(query.queryHash, kept)
    if (kept.length < KEPT) kept.push(event)
    else refetches.add({ queryKey: query.queryKey, exact: true })
  }

  const all = () => read().all.forEach((queryKey) => refetches.add({ queryKey }))

  const unsubscribe = onSettled(queries, (query, isFetched) => {
    const kept = during.get(query.queryHash) ?? []
    during.delete(query.queryHash)
    // Before anybody is shown the answer without them.
    if (isFetched) kept.forEach((event) => apply(query, event))
  })

  const { types, keys, from } = read()
  const subscription = weir.subscribe<T>(sessions, hear, {
    ...(types && { types }),
    ...(keys && { keys }),
    ...(from && { from }),
    parse: (data) => (read().parse ?? JSON.parse)(data),
    stale: {
      at: timeOf,
      of: (event) => (read().stale?.of ?? resourceOf)(event),
    },
    onGap: (gap: Gap) => {
      all()
      read().onGap?.(gap)
    },
  })
  // What was fetched before the first event could have come may lack what happened in between. Whoever says from where the events
  // are to come says that all before it is there.
  let open = from !== undefined
  const opened = () => {
    const { state, by } = weir.status
    // Where no stream passes long-poll brings the same events, and then that is their beginning.
    if (open || !(state === 'live' || (state === 'degraded' && by === 'long-poll'))) return
    open = true
    all()
  }
  const ignore = weir.on('status', opened)
  opened()

  return {
    close() {
      ignore()
      subscription.close()
      unsubscribe()
      refetches.end()
    },
  }
}

/**
 * Invalidates queries, all that were added within a while at once. A fetch that is on its way is neither ended, since then none
 * would ever come to its end while events keep coming, nor trusted: another one follows it.
 */
function batchRefetches(queries: QueryClient, every: () => number) {
  const cache = queries.getQueryCache()
  const due = new Map<string, QueryFilters>()
  const again = new Set<string>()
  let timer: ReturnType<typeof setTimeout> | undefined
  let last = -Infinity

  const add = (filters: QueryFilters) => {
    due.set(JSON.stringify(filters), filters)
    // No longer than that either, where the clock was set back.
    timer ??= setTimeout(flush, Math.min(Math.max(0, last + every() - Date.now()), every()))
  }

  const takeDue = () => {
    const found = new Set([...due.values()].flatMap((filters) => cache.findAll(filters)))
    due.clear()
    return found
  }

  const flush = () => {
    timer = undefined
    const found = takeDue()
    if (found.size > 0) last = Date.now()
    notifyManager.batch(() => {
      for (const { queryKey, queryHash, state } of found) {
        if (state.fetchStatus === 'fetching') again.add(queryHash)
        else void queries.invalidateQueries({ queryKey, exact: true })
      }
    })
  }

  const unsubscribe = onSettled(queries, ({ queryHash, queryKey }) => {
    if (again.delete(queryHash)) add({ queryKey, exact: true })
  })

  const end = () => {
    unsubscribe()
    clearTimeout(timer)
    // What was not fetched again by then is known to be old, and whoever looks at it next fetches it.
    for (const query of takeDue()) query.invalidate()
  }

  return { add, end }
}

/** Tells of each query that is not being fetched any longer, and whether an answer ended that. */
const onSettled = (queries: QueryClient, tell: (query: Query, isFetched: boolean) => void) =>
  queries.getQueryCache().subscribe((change) => {
    const { type, query } = change
    if (type === 'removed') tell(query, false)
    if (type !== 'updated' || query.state.fetchStatus === 'fetching') return
    tell(query, change.action.type === 'success' && !change.action.manual)
  })

/** What the default envelope says, wherever it stands. */
const tsOf = (thing: unknown) => (isObject(thing) && typeof thing['ts'] === 'number' ? thing['ts'] : null)

const tsOfEvent = ({ value }: WeirEvent<unknown>) => tsOf(value)

/** A key says what an event replaces; without one it is the resource. */
const resourceOf = ({ key, session, value }: WeirEvent<unknown>) =>
  JSON.stringify([session, key ?? (isObject(value) ? value['id'] : null)])

const merge = (old: unknown, { value }: WeirEvent<unknown>) =>
  isObject(old) && isObject(value) && isObject(value['patch']) ? { ...old, ...value['patch'] } : undefined

const isObject = (thing: unknown): thing is Record<string, unknown> =>
  typeof thing === 'object' && thing !== null && !Array.isArray(thing)
