import { openDirect } from './direct.js'
import type { Heard, Link } from './link.js'
import { about, compare, earlier, had, later } from './order.js'
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
  /** Where it begins, until that was asked for; null: now. */
  start: string | null
  /** It has what was published up to here, or does not want it. */
  after: string | null
  /** The same, of sessions whose snapshot was fetched for it. */
  readonly floors: Map<string, string>
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
  /** Where positions are kept. */
  readonly #shelf: string
  /** There from the first subscription on. */
  #link: Link | undefined
  readonly #listeners = new Set<Listener>()
  readonly #ears = new Set<{ readonly kind: keyof Events; readonly handle: (what: any) => void }>()
  readonly #closed = new AbortController()
  #status = IDLE
  #position: string | null = null
  /** The latest there was: behind it only while an earlier `from` is made up for. */
  #head: string | null = null
  /** What the link was asked for, but for the position. */
  #asked = ''
  /** In which generation an event was told last, by id and session. */
  #told = new Map<string, number>()
  #generation = 0
  readonly #warned = new Set<string>()
  /** The page is hidden and pauses, or it is left. */
  #away = false
  #timer: ReturnType<typeof setTimeout> | undefined
  /** The sessions that were subscribed to: what an earlier page of this tab kept of them was taken up. */
  readonly #taken = new Set<string>()

  constructor(options: Options = {}) {
    this.#options = options
    this.#shelf = `weir:${options.url ?? ''}`
  }

  /** Calls `handle` for each event of a session, or of several. */
  subscribe<T = string>(
    sessions: string | readonly string[],
    handle: (event: WeirEvent<T>) => void,
    options: SubscribeOptions<T> = {},
  ): Subscription {
    if (this.#closed.signal.aborted) return { close() {} }
    if (!this.#link) {
      this.#link = (this.#options.shared ? openShared : openDirect)(this.#options, (heard) => this.#hear(heard))
      const { signal } = this.#closed
      listen('pagehide', signal, this.#leave)
      listen('pageshow', signal, this.#come)
      listen('visibilitychange', signal, this.#look)
      this.#look()
    }
    const names = [...new Set([sessions].flat())]
    const kept = this.#kept()
    let start: string | null = null
    for (const name of names) {
      if (!this.#taken.has(name)) start = earlier(start, kept.get(name) ?? null)
      this.#taken.add(name)
    }
    const { types = null, keys = null, from = null } = options
    start ??= from
    const listener: Listener = {
      sessions: names,
      types,
      keys,
      options,
      handle,
      born: ++this.#generation,
      start,
      after: start ?? this.#head,
      floors: new Map(),
      held: this.#options.snapshot ? [] : null,
      fetching: false,
      times: new Map(),
    }
    this.#listeners.add(listener)
    this.#update()
    return {
      close: () => {
        this.#listeners.delete(listener)
        this.#update()
      },
    }
  }

  /** Listens to what happens to the client as a whole; what it returns ends that. */
  on<K extends keyof Events>(kind: K, handle: (what: Events[K]) => void): () => void {
    const ear = { kind, handle }
    this.#ears.add(ear)
    return () => void this.#ears.delete(ear)
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
    this.#link?.retry()
  }

  /** Ends all subscriptions and the connection. */
  close(): void {
    this.#listeners.clear()
    this.#closed.abort()
    clearTimeout(this.#timer)
    this.#link?.close()
  }

  // A page with a connection is not kept by browsers for going back to it.
  readonly #leave = () => {
    this.#away = true
    this.#update()
  }

  readonly #come = () => {
    this.#away = false
    this.#update()
    this.#look()
  }

  // A page that is left is hidden after that, which is no reason to come back.
  readonly #look = () => {
    const { pauseWhenHidden = false } = this.#options
    clearTimeout(this.#timer)
    if (globalThis.document?.hidden) {
      if (pauseWhenHidden !== false) this.#timer = setTimeout(this.#leave, +pauseWhenHidden)
    } else if (this.#away) this.#come()
  }

  /** Tells the link what is wanted. */
  readonly #update = soon(() => {
    if (this.#closed.signal.aborted) return
    const all = [...this.#listeners]
    if (!all.length || this.#away) {
      if (this.#asked) this.#link!.want(null)
      this.#asked = ''
      // Whoever comes later begins then, not where those ended who are gone.
      if (!all.length) this.#position = this.#head = null
      return
    }
    const want = union(all)
    const from = all.reduce((from, { start }) => earlier(from, start), this.#position)
    for (const listener of all) {
      // Who was there before does not want it again.
      if (from !== this.#position && !listener.start) listener.after = later(listener.after, this.#position)
      listener.start = null
      // A stream brings snapshots, unless it begins at a position, or another tab has it.
      if (!from && !this.#options.shared) listener.held = null
    }
    const asked = JSON.stringify(want)
    if (asked !== this.#asked || from !== this.#position) {
      this.#asked = asked
      this.#position = from
      this.#link!.want({ ...want, from })
    }
    this.#heal()
  })

  /** Fetches snapshots for those that came later, as soon as there is somebody to ask. */
  #heal() {
    if (!['live', 'degraded'].includes(this.#status.state)) return
    for (const listener of this.#listeners) if (listener.held && !listener.fetching) void this.#fetch(listener)
  }

  /** Brings a subscription its snapshots, and what was published after them. */
  async #fetch(listener: Listener) {
    listener.fetching = true
    let from: string | null = null
    let until: string | undefined
    try {
      // Whoever is asked may be behind whoever has the connection, but not for long.
      for (let calm = 0; calm < 3 && !(from && compare(from, until!) >= 0) && this.#listeners.has(listener); calm++) {
        const some = await poll(this.#options, { ...listener, from }, calm, this.#closed.signal, (heard) => {
          if (heard.kind === 'position') return (from = heard.id)
          this.#give(listener, heard)
          if (heard.kind === 'event') listener.floors.set(heard.event.session, heard.event.id)
        })
        if (some) calm = -1
        until ??= this.#position ?? ''
      }
    } catch (error) {
      if (!this.#listeners.has(listener)) return
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
        this.#head = later(this.#head, (this.#position = heard.id))
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
    const taken = [...this.#listeners].filter(({ born }) => told < born).filter((listener) => this.#pass(listener, heard))
    if (taken.length) this.#emit('event', event)
  }

  #gap(heard: Heard & { kind: 'gap' }) {
    const { reason, session } = heard.gap
    const anew = reason === 'reset' || reason === 'unknown-id'
    if (anew) this.#head = null
    if (reason === 'reset') this.#told.clear()
    for (const listener of [...this.#listeners]) {
      if (anew) {
        // The ids of another log say nothing about those of this one.
        listener.after = null
        listener.floors.clear()
      }
      if (session === null || listener.sessions.includes(session)) this.#pass(listener, heard)
    }
    this.#emit('gap', heard.gap)
  }

  /** Gives a subscription what the link told, unless it has it, or now is too soon. */
  #pass(listener: Listener, heard: Heard): boolean {
    if (listener.held) return !!listener.held.push(heard)
    const place = about(heard)
    // It is made up for to somebody else.
    if (had(place, listener.floors.get(place.session!) ?? listener.after)) return false
    return this.#give(listener, heard)
  }

  /** Whether it was for this subscription. */
  #give(listener: Listener, heard: Heard): boolean {
    // It may have ended while others were told, or while it was waited for its snapshots.
    if (!this.#listeners.has(listener)) return false
    const { sessions, types, keys, options, handle, times } = listener
    if (heard.kind === 'gap') void this.#call(null, () => options.onGap?.(heard.gap))
    if (heard.kind === 'problem') this.#problem(heard.problem)
    if (heard.kind !== 'event') return true
    const { event } = heard
    const { parse, stale } = options
    if (!sessions.includes(event.session) || (types && !types.includes(event.type))) return false
    if (keys && (event.key === null || !keys.includes(event.key))) return false
    void this.#call(event, () => {
      const made = parse ? { ...event, value: parse(event.data) } : event
      if (stale) {
        const time = stale.at(made)
        const of = stale.of ? stale.of(made) : `${event.session} ${event.key ?? ''}`
        if (time != null) {
          if (time < (times.get(of) ?? -Infinity)) return
          remember(times, of, time)
        }
      }
      return handle(made)
    })
    return true
  }

  /** Calls what belongs to the page, which must not end anything here. */
  async #call(event: WeirEvent | null, what: () => unknown, deaf = false) {
    try {
      await what()
    } catch (error) {
      // Who throws on a problem is not told that as another.
      if (!deaf) this.#problem(trouble('event', error, { event }))
    }
  }

  #problem(problem: Problem) {
    const { kind, message } = problem
    if (this.#emit('problem', problem) || this.#warned.has(kind)) return
    // Once for each kind: seen while a page is written, and not filling the console of one that runs.
    this.#warned.add(kind)
    console.warn(`weir: ${kind}: ${message}`)
  }

  /** Whether anybody listens. */
  #emit<K extends keyof Events>(kind: K, what: Events[K]) {
    const ears = [...this.#ears].filter((ear) => ear.kind === kind)
    // It may have ended while others were told.
    for (const ear of ears) if (this.#ears.has(ear)) void this.#call(null, () => ear.handle(what), kind === 'problem')
    return ears.length
  }

  /** Keeps the position for the next page of this tab. */
  readonly #save = soon(() => {
    // Whoever was ended while being told was not told the rest.
    if (!this.#options.keep || !this.#listeners.size) return
    // Another client of the page may keep there, too.
    const positions = this.#kept()
    for (const name of this.#taken) positions.delete(name)
    for (const { sessions, held, after } of this.#listeners) {
      // Who waits for snapshots was told nothing yet, and who was there before others went back has more than these.
      const told = held ? after : later(after, this.#position)
      for (const name of sessions) positions.set(name, earlier(positions.get(name) ?? null, told))
    }
    try {
      sessionStorage.setItem(this.#shelf, JSON.stringify(Object.fromEntries(positions)))
    } catch {
      // No room, or none allowed.
    }
  })

  /** Positions by session, as they are kept now. */
  #kept(): Map<string, string | null> {
    try {
      return new Map(Object.entries(JSON.parse(`${this.#options.keep && sessionStorage.getItem(this.#shelf)}`)))
    } catch {
      // Nothing was kept, or by something else, or there is no storage.
      return new Map()
    }
  }
}

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
