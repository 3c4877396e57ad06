/** A link of this tab's own: one stream at a time, which it opens anew whenever it ends, and the fallback. */

import type { Heard, OpenLink, Want } from './link.js'
import { failure, IDLE, listen, poll, within } from './request.js'
import { LONGEST, openStream, STOOD, type Stream } from './stream.js'
import type { Problem, Status } from './types.js'

/** Failures in a row before the fallback takes over. */
const PATIENCE = 3

/** How long a long-poll waits, in seconds: below what proxies allow an answer. */
const LONG_POLL = 25

/** How long a page's own endpoint may take. */
const OWN_POLL = 60_000

export const openDirect: OpenLink = (options, tellAll) => {
  const { token, fallback, tries = Infinity, backoff: { first = 1_000, most = 30_000 } = {} } = options
  const own = typeof fallback === 'object' && fallback
  // The fallback has its chance before it is given up.
  const patience = fallback ? Math.max(tries, PATIENCE + 1) : tries
  let wanted: Want | null = null
  let status = IDLE
  /** Aborted when nothing is wanted any longer, or it was given up. */
  let life: AbortController | undefined
  let stream: Stream | undefined
  /** Ends the pause before the next stream: after so many milliseconds at the latest. */
  let hurry: ((within: number) => void) | undefined
  let falling: AbortController | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  /** Whether the fallback brings events. */
  let covered = false
  /** Failures of the stream in a row, */
  let row = 0
  /** and those while nothing else brought events. */
  let lost = 0
  /** Whether the token was refused, and is asked for anew. */
  let denied = false
  let fresh: string | undefined
  /** What `retry:` said last. */
  let asked = 0

  const hear = (heard: Heard) => {
    if (heard.kind === 'position' && wanted) wanted = { ...wanted, from: heard.id }
    tellAll(heard)
  }

  const tell = (change: Partial<Status>) => {
    const next = { ...status, ...change }
    if (JSON.stringify(next) === JSON.stringify(status)) return
    status = next
    hear({ kind: 'status', status })
  }

  const land = () => {
    falling?.abort()
    falling = undefined
    clearTimeout(timer)
  }

  const stop = () => {
    life?.abort()
    life = undefined
    stream?.abort()
    hurry?.(0)
    denied = covered = false
    land()
  }

  const backoff = () => Math.max(asked, 1 + Math.random() * Math.min(most, first * 2 ** (row - 1)))

  /** One stream after the other. */
  const run = async () => {
    // What begins anew has all tries.
    row = lost = 0
    const { signal } = (life = new AbortController())
    listen('online visibilitychange', signal, () => {
      if (globalThis.document?.hidden) return
      stream!.check()
      // Not all pages of an office at the same moment.
      hurry?.(1 + Math.random() * 1_000)
    })
    // Later it is so by a pause alone: where one stream takes over from the other nothing is amiss.
    tell({ state: 'connecting' })
    while (!signal.aborted) {
      stream = openStream(options, wanted!, fresh, {
        hear,
        turn,
        retry: (ms) => (asked = ms),
        renewed: (token) => (fresh = token),
      })
      fresh = undefined
      const { problem, after, stood } = await stream.ended
      if (signal.aborted) return
      const pause = problem ? failed(problem, after, stood) : after
      if (pause) await rest(Math.min(pause, LONGEST), problem)
    }
  }

  const turn = (state: 'live' | 'degraded') => {
    denied = covered = false
    land()
    tell({ ...IDLE, state })
  }

  /** Counts a failure; what it returns is how long to pause. */
  const failed = (problem: Problem, after: number, stood: boolean) => {
    const { kind } = problem
    const last = denied || typeof token !== 'function'
    denied = kind === 'unauthorized'
    if (denied && !last) return 0
    if (stood) row = lost = 0
    row++
    if (!covered) lost++
    hear({ kind: 'problem', problem })
    if (!life) return 0
    if (denied || kind === 'forbidden' || kind === 'invalid' || lost >= patience) {
      stop()
      tell({ ...IDLE, state: 'offline', failures: row, problem })
      return 0
    }
    if (fallback && row >= PATIENCE && !falling) void fall()
    return Math.max(after, backoff())
  }

  const rest = async (ms: number, problem: Problem | null) => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const over = new Promise<void>((done) => {
      hurry = (within) => {
        clearTimeout(timer)
        timer = setTimeout(done, within)
        if (!within) done()
      }
      hurry(ms)
    })
    tell({ state: covered ? 'degraded' : 'connecting', retryAt: Date.now() + ms, ...(problem && { failures: row, problem }) })
    await over
    clearTimeout(timer)
    hurry = undefined
    tell({ retryAt: null })
  }

  /** Brings events in another way, until the stream is back. */
  const fall = async () => {
    land()
    const { signal } = (falling = new AbortController())
    const by = own ? 'poll' : 'long-poll'
    let pause = own ? own.every : 0
    const wait = covered ? LONG_POLL : 0
    try {
      if (own) await within(OWN_POLL, signal, (signal) => own.poll(signal))
      // The first is answered at once, so that it is known whether this way is open.
      // An instance that is about to end does not wait.
      else if (!(await poll(options, wanted!, wait, signal, hear)) && wait) pause = STOOD
      if (signal.aborted) return
      covered = true
      lost = 0
      tell({ state: 'degraded', by })
    } catch (error) {
      if (signal.aborted) return
      const { problem } = failure(error)
      pause = backoff()
      covered = false
      // Last, since whoever is told may end it all.
      tell({ state: 'connecting', by, problem })
      hear({ kind: 'problem', problem })
    }
    if (!signal.aborted) timer = setTimeout(fall, pause)
  }

  const want = (want: Want | null) => {
    wanted = want
    if (!want) {
      stop()
      return tell(IDLE)
    }
    // A pause goes on: what is wanted anew is no reason to ask sooner.
    if (life) stream!.abort()
    else if (status.state !== 'offline') void run()
    if (falling && !own) void fall()
  }

  return {
    want,
    retry() {
      if (life) return hurry?.(0)
      if (wanted) void run()
    },
    close: () => want(null),
  }
}
