// @ts-check
// A watcher: a client with a connection of its own, which can be cut as a network cuts it.

/** @typedef {import('../../client/src/index.js').Weir} Weir */
/** @typedef {import('../../client/src/index.js').WeirEvent} WeirEvent */
/** @typedef {import('../../client/src/index.js').Gap} Gap */
/** @typedef {import('../../client/src/index.js').Options} Options */
/** @typedef {import('../../client/src/index.js').SubscribeOptions} SubscribeOptions */

/** @type {new (options?: Options) => Weir} */
let Client

/**
 * @typedef {object} Ears
 * @property {(event: WeirEvent, replayed: boolean) => void} [event]
 * @property {(gap: Gap) => void} [gap]
 * @property {() => void} [turn] The state, or the position, is another.
 */

class Watcher {
  /** @type {Weir | null} */
  weir = null
  /** How often it was connected. */
  connects = 0
  /** What was asked for last, as it went out. */
  asked = ''
  isCut = false
  had = 0
  #session
  #options
  #subscription
  #ears
  #attempt = new AbortController()
  /** The newest that was published before it came, or came back. */
  #known = ''
  #head

  /**
   * @param {string} session
   * @param {Ears} ears
   * @param {{ options?: Options, subscription?: SubscribeOptions, head?: () => string }} [how] `head` is the newest id there is.
   */
  constructor(session, ears, { options = {}, subscription = {}, head = () => '' } = {}) {
    this.#session = session
    this.#ears = ears
    this.#options = options
    this.#subscription = subscription
    this.#head = head
  }

  get state() {
    if (!this.weir) return 'rests, another scene plays'
    return this.isCut ? 'cut off' : this.weir.status.state
  }

  /** Opens a connection, and goes on where it was. */
  wake() {
    if (this.weir) return
    const from = this.position
    this.weir = new Client({ ...this.#options, pauseWhenHidden: 10_000, fetch: (input, init) => this.#fetch(input, init) })
    this.weir.on('status', ({ state }) => {
      if (state === 'live') this.connects++
      this.#ears.turn?.()
    })
    this.weir.subscribe(this.#session, (event) => this.#hear(event), {
      ...this.#subscription,
      ...from && { from },
      onGap: (gap) => this.#ears.gap?.(gap)
    })
    this.#ears.turn?.()
  }

  /** Gives its connection back, since a browser has six of them for a host. */
  rest() {
    this.#last = this.position
    this.weir?.close()
    this.weir = null
    this.#ears.turn?.()
  }

  /** Has nothing, as a page that is opened. */
  forget() {
    this.#last = null
    this.had = 0
    this.connects = 0
  }

  /** @type {string | null} */
  #last = null

  get position() {
    return this.weir?.position ?? this.#last
  }

  /** As when a train goes into a tunnel. */
  cut() {
    this.isCut = true
    this.#attempt.abort(new TypeError('the connection is cut'))
    this.#ears.turn?.()
  }

  /** And out of it. */
  restore() {
    this.isCut = false
    this.weir?.retry()
    this.#ears.turn?.()
  }

  /** @param {RequestInfo | URL} input @param {RequestInit} [init] */
  async #fetch(input, init = {}) {
    if (this.isCut) throw new TypeError('the connection is cut')
    this.#known = this.#head()
    this.#attempt = new AbortController()
    const signals = [this.#attempt.signal, ...init.signal ? [init.signal] : []]
    const url = new URL(input instanceof Request ? input.url : input, document.baseURI)
    const given = new Headers(init.headers).get('last-event-id')
    this.asked = `GET ${decodeURIComponent(url.pathname + url.search)}${given ? `\nLast-Event-ID: ${given}` : ''}`
    return fetch(input, { ...init, signal: AbortSignal.any(signals) })
  }

  /** @param {WeirEvent} event */
  #hear(event) {
    this.had++
    this.#ears.event?.(event, this.connects > 1 && this.#known !== '' && compareIds(event.id, this.#known) <= 0)
    this.#ears.turn?.()
  }
}

/**
 * @typedef {object} Published
 * @property {string} session
 * @property {string} data
 * @property {string} [type]
 * @property {string} [key]
 * @property {number} [snapshot]
 */

/**
 * Publishes all or none, and gives the ids.
 * @param {Published[]} events
 * @returns {Promise<string[]>}
 */
const publish = async (events) => {
  const answer = await fetch('v1/events', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(events)
  }).catch(() => { throw new Error('weir does not answer: is it running?') })
  const said = await answer.json()
  if (!answer.ok) throw new Error(said.detail ?? said.title)
  return said.ids
}
