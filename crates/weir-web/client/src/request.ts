/** Calls to weir, and what their answers say. */

import type { Heard, Want } from './link.js'
import type { Options, Problem, Status } from './types.js'

export const IDLE: Status = { state: 'idle', by: 'stream', failures: 0, retryAt: null, problem: null }

/** A problem without what it has not. */
export const trouble = (kind: Problem['kind'], message: unknown, more?: Partial<Problem>): Problem => ({
  kind,
  message: `${message}`,
  status: null,
  code: null,
  event: null,
  ...more,
})

/** What went wrong with a call, and for how long weir does not want another. */
export interface Failure {
  readonly problem: Problem
  readonly after: number
}

/** Whatever was thrown. */
export const failure = (error: any): Failure => (error?.problem ? error : { problem: trouble('network', error), after: 0 })

/** The token to call with now. */
export const ask = async ({ token }: Options) => (typeof token === 'function' ? token() : token)

/** Subscribes, for one answer where `wait` says how many seconds that may take. Throws a `Failure` where it is refused. */
export const subscribe = async (options: Options, want: Want, bearer: string | undefined, signal: AbortSignal, wait?: number) => {
  const query = new URLSearchParams()
  const all = {
    format: 'json',
    session: want.sessions,
    type: want.types,
    key: want.keys,
    lastEventId: want.from,
    snapshot: options.snapshot ? 1 : null,
    overflow: options.overflow,
    conflate: options.conflate,
    wait,
  }
  for (const [name, values] of Object.entries(all)) {
    for (const value of [values ?? []].flat()) query.append(name, `${value}`)
  }
  // It is not repeated in the problem, and a `fetch` that was given a bad one would.
  if (/\S\s+\S/.test(bearer!)) throw 'bad token'
  // Not as a method of the options, which a page's own `fetch` refuses.
  const { fetch = globalThis.fetch, credentials, url = '' } = options
  const response = await fetch(`${`${url}`.replace(/\/$/, '')}/v1/events?${query}`, {
    headers: bearer ? { Authorization: `Bearer ${bearer}` } : {},
    credentials: credentials!,
    cache: 'no-store',
    signal,
  })
  const { status, headers } = response
  const type = headers.get('Content-Type') ?? ''
  if (response.ok && type.startsWith(wait == null ? 'text/event-stream' : 'application/json')) return response
  const { code = null, detail = `got ${status} ${type}` } = (await response.json().catch(() => null)) ?? {}
  const kind =
    // The page of a captive portal is as good as no answer.
    status < 400 ? 'network'
    : /408|42[59]|5../.test(`${status}`) ? 'refused'
    : status === 401 ? 'unauthorized'
    : status === 403 ? 'forbidden'
    : 'invalid'
  const pause = headers.get('Retry-After')!
  const after = +pause * 1000 || Date.parse(pause) - Date.now() || 0
  throw { problem: trouble(kind, detail, { status, code }), after } satisfies Failure
}

/** What `work` comes to, unless the time is up or the signal comes first. */
export const within = <T>(ms: number, outer: AbortSignal, work: (signal: AbortSignal) => Promise<T> | T) =>
  new Promise<T>((resolve, reject) => {
    const inner = new AbortController()
    const end = () => {
      clearTimeout(timer)
      inner.abort()
      reject(`nothing came for ${ms} ms`)
    }
    const timer = setTimeout(end, ms)
    outer.addEventListener('abort', end, { signal: inner.signal })
    Promise.resolve(inner.signal).then(work).then(resolve, reject).then(end)
  })

/** Asks once for what is there, or comes within `wait` seconds, and tells it, the position to go on from last. Whether there was any. */
export const poll = (options: Options, want: Want, wait: number, outer: AbortSignal, hear: (heard: Heard) => void) =>
  // Whatever stands on the way may keep the answer to itself.
  within(wait * 1000 + 10_000, outer, async (signal) => {
    const response = await subscribe(options, want, await ask(options), signal, wait)
    const { events, lastEventId, gap } = await response.json()
    if (signal.aborted) return false
    if (gap) hear({ kind: 'gap', gap })
    for (const event of events) hear(read(event))
    hear(at(lastEventId))
    return gap || events.length
  })

/** Up to where everything was told. To come back with the `0-0` of an empty log would ask for whatever is held then, without a word of what is not. */
export const at = (id: string): Heard => ({ kind: 'position', id: id === '0-0' ? '0-1' : id })

/** An event of `format=json` as callers see it, or the problem with it. */
export const read = (said: any): Heard => {
  const { id, session, type, key, data, ts } = said ?? {}
  return [id, session, data].every((text) => typeof text === 'string')
    ? { kind: 'event', event: { id, session, type: type ?? 'message', key, data, value: data, ts } }
    : { kind: 'problem', problem: trouble('event', 'cannot be read') }
}

/** Listens to the page, where there is one, until the signal. `freeze` does not bubble, so only a capturing window hears it. */
export const listen = (kinds: string, signal: AbortSignal, then: () => void) =>
  kinds.split(' ').forEach((kind) => globalThis.addEventListener?.(kind, then, { signal, capture: true }))
