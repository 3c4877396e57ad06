/** A link of this tab's own: one stream at a time, which it opens anew whenever it ends, and the fallback. */

import type { Heard, Link, OpenLink, Want } from './link.js'
import { attend, failure, IDLE, poll, within } from './request.js'
import { type End, openStream, type Stream } from './stream.js'
import type { Options, Problem, Status } from './types.js'

/** Failures in a row before the fallback takes over. */
const PATIENCE = 3

/** How long a long-poll waits, in seconds: below what proxies allow an answer. */
const LONG_POLL = 25

/** How long a page's own endpoint may take. */
const OWN_POLL = 60_000

export const openDirect: OpenLink = (options, hear) => new Direct(options, hear)

class Direct implements Link {
  readonly #options: Options
  readonly #hear: (heard: Heard) => void
  #want: Want | null = null
  #position: string | null = null
  #status = IDLE
  /** Aborted when nothing is wanted any longer, or it was given up. */
  #life: AbortController | undefined
  #stream: Stream | undefined
  /** Ends the pause before the next stream: after so many milliseconds at the latest. */
  #hurry: ((within: number) => void) | undefined
  #fallback: AbortController | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Whether the fallback brings events. */
  #covered = false
  /** Failures of the stream in a row, */
  #row = 0
  /** and those while nothing else brought events. */
  #lost = 0
  /** Whether the token was refused, and is asked for anew. */
  #denied = false
  #token: string | undefined
  /** What `retry:` said last. */
  #retry = 0

  constructor(options: Options, hear: (heard: Heard) => void) {
    this.#options = options
    this.#hear = (heard) => {
      if (heard.kind === 'position') this.#position = heard.id
      hear(heard)
    }
  }

  want(want: Want | null) {
    this.#want = want
    if (!want) {
      this.#stop()
      return this.#tell(IDLE)
    }
    this.#position = want.from
    // A pause goes on: what is wanted anew is no reason to ask sooner.
    if (this.#life) this.#stream!.abort()
    else if (this.#status.state !== 'offline') void this.#run()
    if (this.#fallback && this.#options.fallback === 'long-poll') void this.#fall()
  }

  retry() {
    if (this.#life) return this.#hurry?.(0)
    this.#row = this.#lost = 0
    if (this.#want) void this.#run()
  }

  close() {
    this.want(null)
  }

  #stop() {
    this.#life?.abort()
    this.#life = undefined
    this.#stream?.abort()
    this.#hurry?.(0)
    this.#denied = this.#covered = false
    this.#land()
    attend('removeEventListener', this.#page)
  }

  /** One stream after the other. */
  async #run() {
    const { signal } = (this.#life = new AbortController())
    attend('addEventListener', this.#page)
    while (!signal.aborted) {
      // Where one stream takes over from the other nothing is amiss.
      const { state } = this.#status
      this.#tell({ state: state === 'live' || state === 'degraded' ? state : 'connecting', retryAt: null })
      this.#stream = openStream(this.#options, { ...this.#want!, from: this.#position }, this.#token, {
        hear: this.#hear,
        turn: this.#turn,
        retry: (ms) => (this.#retry = ms),
        renewed: (token) => (this.#token = token),
      })
      this.#token = undefined
      const end = await this.#stream.ended
      if (signal.aborted) return
      const pause = end.problem ? this.#failed(end.problem, end) : end.after
      if (pause) await this.#pause(pause, end.problem)
    }
  }

  readonly #turn = (to: 'connected' | 'degraded' | 'restored') => {
    if (to !== 'connected') return this.#tell({ state: to === 'degraded' ? to : 'live' })
    this.#denied = this.#covered = false
    this.#land()
    this.#tell({ ...IDLE, state: 'live' })
  }

  /** Counts a failure; what it returns is how long to pause. */
  #failed(problem: Problem, { stood, after }: End) {
    const { token, fallback, tries = Infinity } = this.#options
    const { kind } = problem
    const denied = this.#denied || typeof token !== 'function'
    this.#denied = kind === 'unauthorized'
    if (this.#denied && !denied) return 0
    if (stood) this.#row = this.#lost = 0
    this.#row++
    if (!this.#covered) this.#lost++
    this.#hear({ kind: 'problem', problem })
    // The fallback has its chance before it is given up.
    const given = fallback ? Math.max(tries, PATIENCE + 1) : tries
    if (this.#denied || kind === 'forbidden' || kind === 'invalid' || this.#lost >= given) {
      this.#stop()
      this.#tell({ state: 'offline', by: 'stream', failures: this.#row, retryAt: null, problem })
      return 0
    }
    if (fallback && this.#row >= PATIENCE && !this.#fallback) void this.#fall()
    return Math.max(after, this.#backoff())
  }

  #backoff() {
    const { first, most } = this.#options.backoff ?? { first: 1_000, most: 30_000 }
    return Math.max(this.#retry, 1 + Math.random() * Math.min(most, first * 2 ** (this.#row - 1)))
  }

  #pause(ms: number, problem: Problem | null) {
    const failed = problem && { failures: this.#row, problem }
    this.#tell({ state: this.#covered ? 'degraded' : 'connecting', retryAt: Date.now() + ms, ...failed })
    return new Promise<void>((done) => {
      let due = Infinity
      let timer: ReturnType<typeof setTimeout>
      const end = () => {
        clearTimeout(timer)
        this.#hurry = undefined
        done()
      }
      this.#hurry = (within) => {
        if (!within) return end()
        due = Math.min(due, Date.now() + within)
        clearTimeout(timer)
        // More than a timer can hold would end it at once.
        timer = setTimeout(end, Math.min(due - Date.now(), 2 ** 31 - 1))
      }
      this.#hurry(ms)
    })
  }

  /** The page is seen again, or the network is back. */
  readonly #rouse = () => {
    if (globalThis.document?.hidden) return
    this.#stream!.check()
    // Not all pages of an office at the same moment.
    this.#hurry?.(1 + Math.random() * 1_000)
  }

  readonly #page = { online: this.#rouse, visibilitychange: this.#rouse }

  /** Brings events in another way, until the stream is back. */
  async #fall() {
    this.#land()
    const { signal } = (this.#fallback = new AbortController())
    const { fallback } = this.#options
    const own = typeof fallback === 'object' ? fallback : null
    const by = own ? 'poll' : 'long-poll'
    let rest = own?.every ?? 0
    try {
      if (own) await within(OWN_POLL, signal, (signal) => own.poll(signal))
      else {
        // The first is answered at once, so that it is known whether this way is open.
        const wait = this.#covered ? LONG_POLL : 0
        await poll(this.#options, { ...this.#want!, from: this.#position }, wait, signal, this.#hear)
      }
      if (signal.aborted) return
      this.#covered = true
      this.#lost = 0
      this.#tell({ state: 'degraded', by })
    } catch (error) {
      if (signal.aborted) return
      const { problem } = failure(error)
      rest = this.#backoff()
      this.#covered = false
      this.#hear({ kind: 'problem', problem })
      this.#tell({ state: 'connecting', by, problem })
    }
    this.#timer = setTimeout(() => this.#fall(), rest)
  }

  #land() {
    this.#fallback?.abort()
    this.#fallback = undefined
    clearTimeout(this.#timer)
  }

  #tell(change: Partial<Status>) {
    const status = { ...this.#status, ...change }
    if (JSON.stringify(status) === JSON.stringify(this.#status)) return
    this.#status = status
    this.#hear({ kind: 'status', status })
  }
}
