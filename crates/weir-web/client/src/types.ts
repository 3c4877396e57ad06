/** What callers see: events, gaps, states, and what a client can be told. */

/** Something that was published. */
export interface WeirEvent<T = string> {
  /** Its position in the log, `<ms>-<seq>`: the same on every instance of weir, and rising. */
  readonly id: string
  readonly session: string
  /** `message` where it was published without one. */
  readonly type: string
  /** What it is about, if its publisher said so. */
  readonly key: string | null
  /** As it was published. */
  readonly data: string
  /** What `parse` of its subscription made of `data`; `data` itself without one. */
  readonly value: T
  /** When it was published, in milliseconds since 1970, by the clock of whoever published. */
  readonly ts: number
}

/** Events that were meant for this page and will not come: what shows them should be loaded anew. */
export interface Gap {
  /** `trimmed`: away for longer than the log reaches back. `overflow`: this client was too slow. `unknown-id`, `reader`, `oversize`, `reset`: see the contract. */
  readonly reason: 'trimmed' | 'unknown-id' | 'overflow' | 'reader' | 'oversize' | 'reset'
  /** The session that misses them; null where it may be any. */
  readonly session: string | null
  /** How many; null where nobody can know. */
  readonly missed: number | null
  /** They were published after this position, */
  readonly after: string | null
  /** and before this one. */
  readonly before: string | null
}

/**
 * - `idle`: nothing is subscribed to, or the page is hidden and pauses
 * - `connecting`: for the first time, or again; nothing is lost meanwhile that is not told as a gap
 * - `live`: events arrive when they are published
 * - `degraded`: events may be late: the fallback is at work, or the instance has lost its log for now
 * - `offline`: it was given up; `retry()` starts again
 */
export type State = 'idle' | 'connecting' | 'live' | 'degraded' | 'offline'

/** A state, and why. */
export interface Status {
  readonly state: State
  /** What brings events, or would: the stream, long-poll, or the application's own endpoint. */
  readonly by: 'stream' | 'long-poll' | 'poll'
  /** Failures in a row. */
  readonly failures: number
  /** When the stream is tried next, in milliseconds since 1970; null where it is open, being opened, or given up. */
  readonly retryAt: number | null
  /** What went wrong last; null where nothing did. */
  readonly problem: Problem | null
}

/** What went wrong. */
export interface Problem {
  /**
   * - `network`: no answer, or an answer that broke off
   * - `silence`: nothing came for longer than the heartbeat allows
   * - `refused`: turned away for now: a limit, draining, starting
   * - `unauthorized`: the token is missing or not accepted, even after it was asked for anew
   * - `forbidden`, `invalid`: what was asked for cannot be had by retrying
   * - `event`: an event that `parse` or a callback threw on; it is skipped
   */
  readonly kind: 'network' | 'silence' | 'refused' | 'unauthorized' | 'forbidden' | 'invalid' | 'event'
  /** A sentence to show to a developer. */
  readonly message: string
  /** The status of the answer, where there was one. */
  readonly status: number | null
  /** weir's own code of the problem, such as `forbidden_session`. */
  readonly code: string | null
  /** The event it is about, for `event`. */
  readonly event: WeirEvent | null
}

/** What brings events while the stream cannot. */
export type Fallback =
  /** The same events, by long-poll from weir. */
  | 'long-poll'
  /** The application's own endpoint, every so many milliseconds. What it brings is the application's own business. */
  | { readonly every: number; readonly poll: (signal: AbortSignal) => Promise<void> | void }

/** How a `Weir` behaves. Only `url` matters to most. */
export interface Options {
  /** Where weir is; the page's own origin without it. */
  readonly url?: string | URL
  /** Sent as `Authorization: Bearer`. A function is asked for it before each connection, and again when one expires. */
  readonly token?: string | (() => string | Promise<string>)
  /** `include` sends the cookie to another origin, too. */
  readonly credentials?: RequestCredentials
  /** Keeps the position across reloads of the page, in the tab. */
  readonly keep?: boolean
  /** One connection for all tabs of the origin. Those that share give the same name: same server, same user. */
  readonly shared?: string
  /** What takes over after three failures in a row, until the stream is back. */
  readonly fallback?: Fallback
  /** Failures in a row before it is given up; without it, never. */
  readonly tries?: number
  /** The bounds of the pause before the first retry and of all, in milliseconds: 1,000 and 30,000. None is shorter than `retry:` of weir, nor longer than ten minutes. */
  readonly backoff?: { readonly first?: number; readonly most?: number }
  /** Closes the connection while the page is hidden, after so many milliseconds (true: at once); it resumes when the page is seen again. */
  readonly pauseWhenHidden?: boolean | number
  /** Begins with each session's snapshot, and gets it again after a gap. */
  readonly snapshot?: boolean
  /** What the server does when this page is too slow; its own setting without it. */
  readonly overflow?: 'catch-up' | 'drop-oldest' | 'latest' | 'disconnect'
  /** At most one event per key (per session without) in so many milliseconds; the newest wins. */
  readonly conflate?: number
  /** A `fetch` to use instead of the page's. */
  readonly fetch?: typeof fetch
}

/** What a subscription wants. */
export interface SubscribeOptions<T = string> {
  /** These types only. */
  readonly types?: readonly string[]
  /** These keys only. */
  readonly keys?: readonly string[]
  /** Begins after this position rather than now: an id, `earliest`, or milliseconds since 1970 as text. */
  readonly from?: string
  /** Makes a value of what was published, such as `JSON.parse`. Where it throws, the event is skipped and reported. */
  readonly parse?: (data: string) => T
  /** Drops an event that is older than one of the same resource before it. */
  readonly stale?: {
    /** The time of an event, in any rising unit; without one it is never stale. */
    readonly at: (event: WeirEvent<T>) => number | null | undefined
    /** What it is about; its key without it, or its session. */
    readonly of?: (event: WeirEvent<T>) => string
  }
  /** Told of each gap that concerns its sessions. */
  readonly onGap?: (gap: Gap) => void
}

/** What can be listened to with `on`. */
export interface Events {
  event: WeirEvent<unknown>
  gap: Gap
  status: Status
  problem: Problem
}

/** Something to end. Ending it twice does nothing. */
export interface Subscription {
  close(): void
}
