import { openDirect } from './direct.js'
import type { Heard, Link } from './link.js'
import { compare } from './order.js'
import { failure, IDLE, listen, poll, trouble } from './request.js'
import { openShared } from './shared.js'
import type { Events, Options, Problem, Status, SubscribeOptions, Subscription, WeirEvent } from './types.js'
import { union } from './union.js'

/** What a subscription is to its client. */
interface Listener {
  readonly sessions: readonly string[]
  readonly types: readonly string[] | null
  readonly keys: readonly string[] | null
  readonly options: SubscribeOptions<any>
  readonly handle: (event: WeirEvent<any>) => void
  /** The generation in which it came: what was told in that one or a later, it was told. */
  readonly born: number
  /** Where it begins; null: now. */
  readonly start: string | null
  /** Until its start was asked for. */
  fresh: boolean
  /** It has what was published up to here, or does not want it. */
  after: string | null
  /** The same, of sessions whose snapshot was fetched for it. */
  floors: Record<string, string>
  /** What came before its snapshots, which stand before that; null where it has them, or they come by themselves. */
  held: Heard[] | null
  fetching: boolean
  /** The newest time of each resource, for `stale`. */
  readonly times: Map<string, number>
}

/** How much is remembered of what was told, and of the times of resources: more than a window has by default. */
const MEMORY = 5_000

/** A client: any number of subscriptions on one connection. Nothing is opened before the first of them. */
export class Weir {
  readonly #options: Options
  readonly #link: Link
  readonly #listeners = new Set<Listener>()
  readonly #ears: { [K in keyof Events]: Set<(what: any) => void> } = {
    event: new Set(),
    gap: new Set(),
    status: new Set(),
    problem: new Set(),
  }
  readonly #closed = new AbortController()
  #status = IDLE
  #position: string | null = null
  /** What the link was asked for, but for the position. */
  #asked = ''
  /** In which generation an event was told last, by id and session. */
  #told = new Map<string, number>()
  #generation = 0
  readonly #warned = new Set<string>()
  /** The page is hidden and pauses, or it is left. */
  #away = false
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Positions by session, as an earlier page of this tab left them, and not taken up yet. */
  #kept: Record<string, string> = {}

  constructor(options: Options = {}) {
    this.#options = options
    this.#link = (options.shared ? openShared : openDirect)(options, (heard) => this.#hear(heard))
    if (!options.keep) return
    try {
      this.#kept = JSON.parse(sessionStorage.getItem(this.#shelf) ?? '{}')
    } catch {
      // A page without storage keeps nothing.
    }
  }

  /** Calls `handle` for each event of a session, or of several. */
  subscribe<T = string>(
    sessions: string | readonly string[],
    handle: (event: WeirEvent<T>) => void,
    options: SubscribeOptions<T> = {},
  ): Subscription {
    if (this.#closed.signal.aborted) return { close() {} }
    if (!this.#generation) {
      const { signal } = this.#closed
      listen(['pagehide'], signal, this.#leave)
      listen(['pageshow', 'visibilitychange'], signal, this.#look)
      this.#look()
    }
    const names = typeof sessions === 'string' ? [sessions] : [...new Set(sessions)]
    let start: string | null = null
    for (const name of names) {
      start = earlier(start, this.#kept[name] ?? null)
      delete this.#kept[name]
    }
    start ??= options.from ?? null
    const listener: Listener = {
      sessions: names,
      types: options.types ?? null,
      keys: options.keys ?? null,
      options,
      handle,
      born: ++this.#generation,
      start,
      fresh: true,
      after: start ?? this.#position,
      floors: {},
      held: this.#options.snapshot && this.#position ? [] : null,
      fetching: false,
      times: new Map(),
    }
    this.#listeners.add(listener)
    this.#update()
    return {
      close: () => {
        if (this.#listeners.delete(listener)) this.#update()
      },
    }
  }

  /** Listens to what happens to the client as a whole; what it returns ends that. */
  on<K extends keyof Events>(kind: K, handle: (what: Events[K]) => void): () => void {
    // One of its own, since the same function may be given twice.
    const ear = (what: Events[K]) => handle(what)
    this.#ears[kind].add(ear)
    return () => void this.#ears[kind].delete(ear)
  }

  get status(): Status {
    return this.#status
  }

  /** The position up to which everything was had; null before the first. */
  get position(): string | null {
    return this.#position
  }

  /** Tries at once rather than after the pause, and also after it was given up. */
  retry(): void {
    this.#link.retry()
  }

  /** Ends all subscriptions and the connection. */
  close(): void {
    this.#listeners.clear()
    this.#closed.abort()
    clearTimeout(this.#timer)
    this.#link.close()
  }

  // A page with a connection is not kept by browsers for going back to it.
  readonly #leave = () => {
    this.#away = true
    this.#update()
  }

  readonly #look = () => {
    const { pauseWhenHidden = false } = this.#options
    clearTimeout(this.#timer)
    if (globalThis.document?.hidden && pauseWhenHidden !== false) {
      this.#timer = setTimeout(this.#leave, Number(pauseWhenHidden))
    } else {
      this.#away = false
      this.#update()
    }
  }

  /** Tells the link what is wanted. */
  readonly #update = soon(() => {
    if (this.#closed.signal.aborted) return
    const all = [...this.#listeners]
    if (!all.length || this.#away) {
      if (this.#asked) this.#link.want(null)
      this.#asked = ''
      return
    }
    // In an order that does not depend on who came first.
    const list = (name: 'sessions' | 'types' | 'keys') => union(all, name)?.sort() ?? null
    const want = { sessions: list('sessions')!, types: list('types'), keys: list('keys') }
    const fresh = all.filter((listener) => listener.fresh)
    const from = fresh.reduce((from, { start }) => earlier(from, start), this.#position)
    const asked = JSON.stringify(want)
    if (asked !== this.#asked || from !== this.#position) {
      // Who was there before does not want it again.
      if (from !== this.#position) for (const listener of all) if (!listener.fresh) listener.after = this.#position
      this.#asked = asked
      this.#position = from
      this.#link.want({ ...want, from })
    }
    for (const listener of fresh) {
      listener.fresh = false
      // A stream that begins at a position does not bring snapshots, nor does one that another tab has.
      if (this.#options.snapshot && (from || this.#options.shared)) listener.held ??= []
    }
    this.#heal()
  })

  /** Fetches snapshots for those that came later, as soon as there is somebody to ask. */
  #heal() {
    const { state } = this.#status
    if (state !== 'live' && state !== 'degraded') return
    for (const listener of this.#listeners) if (listener.held && !listener.fetching) void this.#fetch(listener)
  }

  /** Brings a subscription its snapshots, and what was published after them. */
  async #fetch(listener: Listener) {
    listener.fetching = true
    const { sessions, types, keys } = listener
    let from: string | null = null
    let none: boolean
    try {
      do {
        none = true
        await poll(this.#options, { sessions, types, keys, from }, 0, this.#closed.signal, (heard) => {
          if (heard.kind === 'position') return (from = heard.id)
          none = false
          this.#give(listener, heard)
          if (heard.kind === 'event') listener.floors[heard.event.session] = heard.event.id
        })
      } while (!none && compare(from!, this.#position!) < 0)
    } catch (error) {
      this.#problem(failure(error).problem)
      // Without them it is as after a loss.
      this.#give(listener, { kind: 'gap', gap: { reason: 'unknown-id', session: null, missed: null, after: null, before: null } })
    }
    const held = listener.held!
    listener.held = null
    for (const heard of held) this.#pass(listener, heard)
  }

  #hear(heard: Heard) {
    switch (heard.kind) {
      case 'event':
        return this.#event(heard)
      case 'gap':
        return this.#gap(heard)
      case 'position':
        this.#position = heard.id
        return this.#save()
      case 'status':
        this.#status = heard.status
        this.#heal()
        return this.#emit('status', heard.status)
      case 'problem':
        return this.#problem(heard.problem)
    }
  }

  #event(heard: Heard & { kind: 'event' }) {
    const { event } = heard
    const name = `${event.id} ${event.session}`
    const told = this.#told.get(name) ?? 0
    remember(this.#told, name, this.#generation)
    let taken = false
    for (const listener of [...this.#listeners]) {
      if (told < listener.born && this.#listeners.has(listener)) taken = this.#pass(listener, heard) || taken
    }
    if (taken) this.#emit('event', event)
  }

  #gap(heard: Heard & { kind: 'gap' }) {
    const { reason, session } = heard.gap
    if (reason === 'reset') this.#told.clear()
    for (const listener of [...this.#listeners]) {
      if (reason === 'reset' || reason === 'unknown-id') {
        // The ids of another log say nothing about those of this one.
        listener.after = null
        listener.floors = {}
      }
      if (session === null || listener.sessions.includes(session)) this.#pass(listener, heard)
    }
    this.#emit('gap', heard.gap)
  }

  /** Gives a subscription what the link told, unless it has it, or now is too soon. */
  #pass(listener: Listener, heard: Heard): boolean {
    if (listener.held) return !!listener.held.push(heard)
    if (heard.kind === 'event') {
      const { id, session } = heard.event
      const floor = listener.floors[session] ?? listener.after
      if (floor !== null && compare(id, floor) <= 0) return false
    }
    return this.#give(listener, heard)
  }

  /** Whether it was for this subscription. */
  #give({ sessions, types, keys, options, handle, times }: Listener, heard: Heard): boolean {
    if (heard.kind === 'gap') this.#call(null, () => options.onGap?.(heard.gap))
    if (heard.kind === 'problem') this.#problem(heard.problem)
    if (heard.kind !== 'event') return true
    const { event } = heard
    const { parse, stale } = options
    if (!sessions.includes(event.session) || (types && !types.includes(event.type))) return false
    if (keys && (event.key === null || !keys.includes(event.key))) return false
    this.#call(event, () => {
      const made = parse ? { ...event, value: parse(event.data) } : event
      if (stale) {
        const time = stale.at(made)
        const of = stale.of ? stale.of(made) : `${event.session} ${event.key ?? ''}`
        if (time != null) {
          if (time < (times.get(of) ?? -Infinity)) return
          remember(times, of, time)
        }
      }
      handle(made)
    })
    return true
  }

  /** Calls what belongs to the page, which must not end anything here. */
  #call(event: WeirEvent | null, what: () => void, deaf = false) {
    try {
      what()
    } catch (error) {
      // Who throws on a problem is not told that as another.
      if (!deaf) this.#problem(trouble('event', error, { event }))
    }
  }

  #problem(problem: Problem) {
    const { kind, message } = problem
    if (this.#ears.problem.size) return this.#emit('problem', problem)
    // Once for each kind: seen while a page is written, and not filling the console of one that runs.
    if (!this.#warned.has(kind)) console.warn(`weir: ${kind}: ${message}`)
    this.#warned.add(kind)
  }

  #emit<K extends keyof Events>(kind: K, what: Events[K]) {
    for (const ear of [...this.#ears[kind]]) this.#call(null, () => ear(what), kind === 'problem')
  }

  /** Keeps the position for the next page of this tab. */
  readonly #save = soon(() => {
    if (!this.#options.keep) return
    const positions = { ...this.#kept }
    for (const { sessions } of this.#listeners) for (const name of sessions) positions[name] = this.#position!
    try {
      sessionStorage.setItem(this.#shelf, JSON.stringify(positions))
    } catch {
      // No room, or none allowed.
    }
  })

  get #shelf() {
    return `weir:${this.#options.url ?? ''}`
  }
}

/** The earlier of two positions, where there are two. */
const earlier = (one: string | null, other: string | null) =>
  one === null || (other !== null && compare(other, one) < 0) ? other : one

/** Sets a name in a map, in place of the oldest where it is full. */
const remember = (map: Map<string, number>, name: string, what: number) => {
  map.delete(name)
  map.set(name, what)
  if (map.size > MEMORY) map.delete(map.keys().next().value!)
}

/** Does it once for all that happens at the same moment. */
const soon = (work: () => void) => {
  let due = false
  return () => {
    if (!due) queueMicrotask(() => ((due = false), work()))
    due = true
  }
}
