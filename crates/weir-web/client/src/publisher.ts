/**
 * Publishing to weir from a server that has other things to do: the caller never waits, and never fails because weir is away.
 *
 * ```ts
 * const publisher = new Publisher({ url: 'http://127.0.0.1:8080', token: process.env.WEIR_TOKEN })
 * publisher.publish(`user/${id}`, { guild: guild.id }, { type: 'guild.joined' })
 * // when the process ends
 * await publisher.close({ timeout: 5_000 })
 * ```
 *
 * For Node.js 20 and later, and whatever else has `fetch`. It is no part of what a page loads: who may publish is a secret.
 */

import { read, unanswered, type Answer } from './publisher/answer.js'
import { bytesOf, toLine, toPublish, type Publish, type PublishOptions, type Refusal } from './publisher/event.js'
import { after, Backoff, quietly } from './publisher/pause.js'

export type { Publish, PublishOptions, Refusal } from './publisher/event.js'

/** How a `Publisher` behaves. Only `url` is needed. */
export interface PublisherOptions {
  /** Where weir is; a path in it is a prefix. */
  readonly url: string | URL
  /** Sent as `Authorization: Bearer`. A function is asked before each try, so it should remember a token while it is good. */
  readonly token?: string | (() => string | Promise<string>) | undefined
  /** How much may wait, what is on its way included: 1,000 events and 16 MiB. */
  readonly queue?: { readonly events?: number; readonly bytes?: number }
  /** The pause after the first failure and the longest, in milliseconds: 250 and 30,000. */
  readonly backoff?: { readonly first?: number; readonly most?: number }
  /** An event that there was no room for, or that came after `close()`. It is gone. */
  readonly onOverflow?: (event: Publish, counts: Counts) => void
  /** An event that weir will never take, or that can be none. It is gone. */
  readonly onRefused?: (event: Publish | null, refusal: Refusal) => void
  /** A try that failed; nothing is lost by it. */
  readonly onTrouble?: (trouble: Trouble) => void
  /** An event that is published, with its id. */
  readonly onDelivered?: (event: Publish, id: string) => void
  /** A `fetch` to use instead of the platform's, as for a proxy. */
  readonly fetch?: typeof fetch
}

/**
 * - `queued`: it waits for delivery
 * - `full`: there was no room; it is gone, and counted as overflowed
 * - `closed`: the publisher is closed; it is gone, and counted as overflowed
 * - `refused`: it can be no event, such as for want of a session; it is gone, and counted as refused
 */
export type Offer = 'queued' | 'full' | 'closed' | 'refused'

/** What happened so far. Every event is in exactly one of them. */
export interface Counts {
  readonly delivered: number
  readonly refused: number
  readonly overflowed: number
  /** For delivery, or on its way. */
  readonly waiting: number
}

/** A try that failed. */
export interface Trouble {
  /** A sentence to show to a developer. */
  readonly message: string
  /** Of the answer; null where there was none. */
  readonly status: number | null
  /** weir's own code, such as `log_unavailable`; null where something else answered. */
  readonly code: string | null
  /** In a row. */
  readonly failures: number
  /** When it is tried again, in milliseconds. */
  readonly retryIn: number
}

/** An event as it waits. */
interface Job {
  readonly event: Publish
  readonly line: number
}

/** The longest wait for an answer; then its outcome is unknown. */
const ANSWER_TIMEOUT = 15_000

/** What goes out at once where much waits. Below what weir allows, and below the megabyte that nginx takes without being told. */
const BATCH = { events: 200, bytes: 512 * 1024 }

/** How often the console hears of what nobody listens to. */
const COMPLAIN_EVERY = 10_000

/** Delivers events in the background, in order. */
export class Publisher {
  readonly #options: PublisherOptions
  readonly #url: URL
  readonly #room: { events: number; bytes: number }
  readonly #backoff: Backoff
  readonly #fetch: typeof fetch
  #queue: Job[] = []
  #bytes = 0
  #delivered = 0
  #refused = 0
  #overflowed = 0
  /** So many of the oldest go one by one, since one of them was refused. */
  #alone = 0
  #delivering = false
  #closed = false
  /** Ends the try that is on its way, for good. */
  readonly #end = new AbortController()
  /** Somebody waits, so that a pause of its own making is over, or will be. */
  #hurried = false
  #wake = (): void => {}
  #watchers: (() => void)[] = []
  #complained = 0

  /** Throws a `TypeError` where it is told nonsense, which is when the program starts. */
  constructor(options: PublisherOptions) {
    this.#options = options
    this.#url = eventsOf(options.url)
    if (typeof options.token === 'string') bearer(options.token)
    this.#room = { events: options.queue?.events ?? 1000, bytes: options.queue?.bytes ?? 16 * 1024 * 1024 }
    this.#backoff = new Backoff(options.backoff?.first ?? 250, options.backoff?.most ?? 30_000)
    this.#fetch = options.fetch ?? globalThis.fetch
    if (Object.values(this.#room).some((bound) => !(bound > 0))) throw new TypeError('a queue has room for at least one event')
    if (!(this.#backoff.first > 0 && this.#backoff.most > 0)) throw new TypeError('a pause is longer than nothing')
  }

  /**
   * Hands over an event and returns at once. It never throws and never waits. Text is published as it is, anything else as its
   * JSON text, as it is now.
   */
  publish(session: string, data: unknown, options: PublishOptions = {}): Offer {
    // What types promise, a caller in plain JavaScript may not hold.
    const event = toPublish(session, data, options ?? {})
    if ('message' in event) {
      this.#refused += 1
      this.#refuse(null, event)
      return 'refused'
    }
    const line = bytesOf(toLine(event))
    const fits = this.#queue.length < this.#room.events && this.#bytes + line <= this.#room.bytes
    if (this.#closed || !fits) {
      this.#overflowed += 1
      const told = { overflowed: this.#overflowed }
      this.#tell(this.#options.onOverflow, [event, this.counts], 'there is no room for events that wait for weir', told)
      return this.#closed ? 'closed' : 'full'
    }
    this.#bytes += line
    this.#queue.push({ event, line })
    if (!this.#delivering) {
      this.#delivering = true
      // After the caller, and with all that it publishes in one go.
      queueMicrotask(() => void this.#deliver())
    }
    return 'queued'
  }

  get counts(): Counts {
    const [delivered, refused, overflowed, waiting] = [this.#delivered, this.#refused, this.#overflowed, this.#queue.length]
    return { delivered, refused, overflowed, waiting }
  }

  /**
   * Waits until all that waits now is dealt with, or `timeout` is over, 5 s without one, and returns the counts. It is tried once
   * more at once, and the process is kept alive meanwhile.
   */
  async flush({ timeout = 5000 }: { timeout?: number } = {}): Promise<Counts> {
    const last = this.#queue.at(-1)
    if (last === undefined || this.#end.signal.aborted) return this.counts
    this.#hurried = true
    this.#wake()
    await new Promise<void>((resolve) => {
      const timer = after(timeout, done)
      const watch = (): void => {
        // What waits is dealt with in order.
        if (this.#end.signal.aborted || !this.#queue.includes(last)) done()
      }
      const watchers = this.#watchers
      watchers.push(watch)
      function done(): void {
        clearTimeout(timer)
        watchers.splice(watchers.indexOf(watch), 1)
        resolve()
      }
    })
    // Who is not in a hurry any longer takes no pause from those that come.
    if (this.#watchers.length === 0) this.#hurried = false
    return this.counts
  }

  /**
   * Takes no more events, delivers what waits, but ends after `timeout`, 5 s without one. Returns the final counts: what still
   * waits then is not delivered, and of what was on its way nobody knows.
   */
  async close(options: { timeout?: number } = {}): Promise<Counts> {
    this.#closed = true
    if (!this.#end.signal.aborted) await this.flush(options)
    this.#end.abort()
    this.#wake()
    // Nobody waits for what is not tried any longer.
    for (const watch of [...this.#watchers]) watch()
    return this.counts
  }

  async #deliver(): Promise<void> {
    while (this.#queue.length > 0 && !this.#end.signal.aborted) await this.#deliverBatch(this.#nextBatch())
    this.#delivering = false
  }

  /** The oldest of what waits. It stays in the queue until it is dealt with. */
  #nextBatch(): Job[] {
    const batch: Job[] = []
    let bytes = 0
    for (const job of this.#queue) {
      bytes += job.line
      const separate = this.#alone > 0 || job.event.idempotencyKey !== undefined
      if (batch.length > 0 && (separate || batch.length === BATCH.events || bytes > BATCH.bytes)) break
      batch.push(job)
      if (separate) break
    }
    return batch
  }

  /** The batch is the same at each try, and its key as well: so a try whose answer was lost is known again. */
  async #deliverBatch(batch: readonly Job[]): Promise<void> {
    const body = batch.map(({ event }) => toLine(event)).join('')
    const key = batch[0]?.event.idempotencyKey ?? crypto.randomUUID()
    for (;;) {
      const answer = await this.#ask(body, key, batch.length)
      if (answer.kind === 'failed') {
        if (this.#end.signal.aborted) return
        await this.#pause(answer)
        if (this.#end.signal.aborted) return
        continue
      }
      this.#backoff.reset()
      if (answer.kind === 'refused' && batch.length > 1) {
        // One of them is bad and nothing was published, so each is asked for by itself.
        this.#alone = batch.length
      } else {
        this.#finish(batch, answer)
      }
      return
    }
  }

  async #ask(body: string, key: string, count: number): Promise<Answer> {
    const attempt = new AbortController()
    const stop = (): void => attempt.abort(new Error('there was no answer in time'))
    const timer = quietly(stop, ANSWER_TIMEOUT)
    this.#end.signal.addEventListener('abort', stop)
    try {
      const headers: Record<string, string> = { 'content-type': 'application/x-ndjson', 'idempotency-key': key }
      const token = await this.#token(attempt.signal)
      if (token !== undefined) headers.authorization = bearer(token)
      // A redirection that is followed makes a GET of a POST.
      const request: RequestInit = { method: 'POST', headers, body, redirect: 'manual', signal: attempt.signal }
      // Not as a method of this, which the `fetch` of some platforms refuses.
      const fetch = this.#fetch
      return await read(await fetch(this.#url, request), count)
    } catch (error) {
      return unanswered(attempt.signal.aborted ? attempt.signal.reason : error)
    } finally {
      clearTimeout(timer)
      this.#end.signal.removeEventListener('abort', stop)
    }
  }

  /** A token that does not come is a try that failed, like an answer that does not. */
  #token(signal: AbortSignal): string | undefined | Promise<string> {
    const { token } = this.#options
    if (typeof token !== 'function') return token
    const aborted = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    return Promise.race([token(), aborted])
  }

  #pause(answer: Answer & { kind: 'failed' }): Promise<void> {
    const retryIn = this.#backoff.afterFailure(answer.after)
    const { message, status, code } = answer
    this.#tell(this.#options.onTrouble, [{ message, status, code, failures: this.#backoff.failures, retryIn }])
    return new Promise((resolve) => {
      const timer = quietly(resolve, retryIn)
      this.#wake = () => {
        // What weir asked for is kept to, whoever is in a hurry; but not beyond the end.
        const over = this.#end.signal.aborted || (this.#hurried && answer.after === null)
        if (!over) return
        this.#hurried = false
        clearTimeout(timer)
        resolve()
      }
      this.#wake()
    })
  }

  #finish(batch: readonly Job[], answer: Answer & { kind: 'taken' | 'refused' }): void {
    this.#queue.splice(0, batch.length)
    this.#alone = Math.max(this.#alone - batch.length, 0)
    for (const [nth, { event, line }] of batch.entries()) {
      this.#bytes -= line
      if (answer.kind === 'taken') {
        this.#delivered += 1
        this.#tell(this.#options.onDelivered, [event, answer.ids[nth] ?? ''])
      } else {
        this.#refused += 1
        const { status, code, message } = answer
        this.#refuse(event, { status, code, message })
      }
    }
    for (const watch of [...this.#watchers]) watch()
  }

  #refuse(event: Publish | null, refusal: Refusal): void {
    this.#tell(this.#options.onRefused, [event, refusal], 'an event was refused and is dropped', refusal)
  }

  /** Calls back; what a callback throws is its own matter. Where nobody listens, the console hears of a loss now and then. */
  #tell<T extends unknown[]>(callback: ((...args: T) => unknown) | undefined, args: T, complaint?: string, about?: object): void {
    if (callback === undefined) {
      if (complaint === undefined || Date.now() - this.#complained < COMPLAIN_EVERY) return
      this.#complained = Date.now()
      console.warn(`@weir/client: ${complaint}`, { ...about, ...this.counts })
      return
    }
    const threw = (error: unknown): void => console.error('@weir/client: a callback of the publisher threw', error)
    try {
      // One that is asynchronous would otherwise end the process by what it rejects with.
      Promise.resolve(callback(...args)).catch(threw)
    } catch (error) {
      threw(error)
    }
  }
}

function eventsOf(server: string | URL): URL {
  const bad = new TypeError('a server is given as http://HOST:PORT or https://HOST, without user, password, query and fragment')
  // Not repeated in the error, because it may hold a password.
  if (!URL.canParse(String(server))) throw bad
  const url = new URL(server)
  const { protocol, username, password, search, hash } = url
  if (!/^https?:$/.test(protocol) || username || password || search || hash) throw bad
  url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/events`
  return url
}

/** It is not repeated in the error, and a `fetch` that was given a bad one would. */
function bearer(token: string): string {
  if (typeof token !== 'string' || !/^[!-~]+$/.test(token.trim())) {
    throw new TypeError('a token is one line of visible ASCII characters without spaces')
  }
  return `Bearer ${token.trim()}`
}
