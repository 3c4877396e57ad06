/** One stream, from its opening to its end. */

import { parser } from './events.js'
import type { Heard, Want } from './link.js'
import { ask, at, failure, read, subscribe, trouble } from './request.js'
import type { Options, Problem } from './types.js'

/** How long an opening stream may be silent. weir answers at once, and refuses within 10 s where it is starting. */
const OPENING = 12_000

/** Beyond the heartbeats that are waited for: what may delay one. */
const MARGIN = 5_000

/** A stream that ends sooner has not stood, so that the failures before it count on. */
export const STOOD = 1_000

/** The longest of all pauses and timers: neither a broken `Retry-After` stops a page for good, nor does a timer overflow. */
export const LONGEST = 600_000

/** How a stream ended: by a failure, or as it was meant to. */
export interface End {
  readonly problem: Problem | null
  /** For how long weir does not want to be asked again. */
  readonly after: number
  /** Whether it was open for long enough to count as a success. */
  readonly stood: boolean
}

/** What a stream tells, besides what is heard by all. */
export interface Told {
  hear(heard: Heard): void
  /** It is open; later its instance may lose its log, and find it again. */
  turn(state: 'live' | 'degraded'): void
  retry(ms: number): void
  /** The token to go on with. */
  renewed(token: string | undefined): void
}

/** A stream that opens, or is open. */
export interface Stream {
  readonly ended: Promise<End>
  /** Nothing is heard of it after this. */
  abort(): void
  /** Looks whether it is still there. */
  check(): void
}

export const openStream = (options: Options, want: Want, bearer: string | undefined, told: Told): Stream => {
  const attempt = new AbortController()
  const { signal } = attempt
  let opened = Infinity
  let last = Date.now()
  let beat = OPENING
  let limit = beat
  let timer: ReturnType<typeof setTimeout>
  let settle: (end: End) => void

  const stood = () => Date.now() - opened >= STOOD
  const over = (problem: Problem | null, after = 0) => {
    clearTimeout(timer)
    settle({ problem, after, stood: stood() })
    attempt.abort()
  }
  // Whoever says goodbye right after the welcome is not asked again right after it.
  const goodbye = ({ reconnect = 0 }) => over(null, Math.max(reconnect, stood() ? 0 : STOOD))
  const watch = () => {
    // A clock that was set back.
    last = Math.min(last, Date.now())
    const late = Date.now() - last - limit
    // Who slept may have slept through anything, which is nobody's failure.
    if (late >= 0) over(late > limit ? null : trouble('silence', `nothing came for ${limit} ms`))
    else timer = setTimeout(watch, Math.min(-late, LONGEST))
  }
  // By what follows `weir.` in its name; an event has none.
  const controls: Record<string, (said: any) => unknown> = {
    '': (said) => told.hear(read(said)),
    connected: ({ heartbeat }) => {
      beat = heartbeat || beat
      limit = 2 * beat + MARGIN
      opened = Date.now()
      clearTimeout(timer)
      watch()
      told.turn('live')
    },
    gap: (gap) => told.hear({ kind: 'gap', gap }),
    degraded: () => told.turn('degraded'),
    restored: () => told.turn('live'),
    shutdown: goodbye,
    expired: goodbye,
    refused: ({ reason, reconnect }) =>
      over(trouble('refused', 'turned away', { status: 200, code: reason }), reconnect),
    // Comes back with another token before this one expires; with the same one it would only be told so again.
    expiring: async () => {
      const next = await ask(options).catch(() => bearer)
      if (signal.aborted || next === bearer) return
      told.renewed(next)
      goodbye({})
    },
  }
  const feed = parser(({ id, event, data }) => {
    // What is left of the piece with which it ended.
    if (signal.aborted) return
    try {
      if (data) controls[event.slice(5)]?.(JSON.parse(data))
    } catch {
      told.hear({ kind: 'problem', problem: trouble('event', 'cannot be read') })
    }
    if (id && !signal.aborted) told.hear(at(id))
  }, told.retry)
  const follow = async () => {
    bearer ??= await ask(options)
    const reader = (await subscribe(options, want, bearer, signal)).body!.getReader()
    const decoder = new TextDecoder()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) throw 'broke off'
      last = Date.now()
      feed(decoder.decode(value, { stream: true }))
    }
  }
  const ended = new Promise<End>((resolve) => (settle = resolve))
  watch()
  follow().catch((error) => {
    const { problem, after } = failure(error)
    over(problem, after)
  })
  return {
    ended,
    abort: () => over(null),
    check: () => {
      if (Date.now() - last > beat + MARGIN) over(null)
    },
  }
}
