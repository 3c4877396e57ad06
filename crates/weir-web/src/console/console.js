
// @ts-check
// What an instance sends once a second is shown as it comes. Every name on the page was chosen by somebody else, so texts
// are only ever set as text.

/**
 * @typedef {Record<string, number>} Reasons
 * @typedef {{ id: number, transport: string, sessions: string[], moreSessions: number, subject: string | null,
 *   connectedSeconds: number, lag: number, queued: number, catchingUp: boolean, delivered: number, dropped: number }} Client
 * @typedef {{ instance: string, version: string, revision: string, log: string, uptimeMs: number, ready: boolean,
 *   status: string, waitingFor: string | null, stage: string,
 *   clients: { sse: number, longPoll: number, durable: number, max: number, sessions: number, catchingUp: number },
 *   counts: { read: number, delivered: number, publishes: Reasons, dropped: Reasons, discarded: Reasons,
 *     disconnects: Reasons, rejected: Reasons },
 *   queue: { events: number, bytes: number }, window: { events: number, bytes: number },
 *   reader: { up: boolean, group: string | null, groups: number | null, length: number | null, pending: number | null,
 *     pendingOldestMs: number | null, lag: number | null, lagMs: number | null },
 *   slowest: Client[], busiest: Client[] }} Told
 * @typedef {{ id: string, ageMs: number, report: Told | null }} Peer
 * @typedef {Peer & { key: string }} Shown
 * @typedef {{ own: Told, peers: { trouble: string | null, leftOut: number, told: Peer[] } | null }} News
 */

const TOKEN = 'weir-admin-token'
/** Points of a sparkline, one a second. */
const POINTS = 61
/** An instance tells every two seconds; one that said nothing for longer than this is silent. */
const SILENT_MS = 7000
/** News come every second; after this long without, the connection is taken for lost. */
const DEAD_MS = 5000

// ---- Texts and elements

/** @param {string} id @returns {HTMLElement} */
const at = (id) => /** @type {HTMLElement} */ (document.getElementById(id))

/** @param {string} id */
const button = (id) => /** @type {HTMLButtonElement} */ (at(id))

/** Sets a text where it has changed, so that what somebody has selected stays selected. @param {Element} node @param {string} text */
function say (node, text) {
  if (node.textContent !== text) node.textContent = text
}

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 */
function make (tag, attributes = {}, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  node.append(...children)
  return node
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

/** @param {number} n */
const count = (n) => n < 100_000 ? whole.format(n) : short.format(n)

/** @param {number | null | undefined} n */
const rate = (n) => n === null || n === undefined ? '–' : n > 0 && n < 10 ? n.toFixed(1) : count(n)

/** @param {number} n */
function bytes (n) {
  const units = ['B', 'KiB', 'MiB', 'GiB']
  let unit = 0
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit++ }
  return `${unit === 0 || n >= 100 ? whole.format(n) : n.toFixed(1)} ${units[unit]}`
}

/** @param {number} ms */
function time (ms) {
  const s = Math.floor(ms / 1000)
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`
  return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`
}

/** @param {number} ms */
const brief = (ms) => ms < 1000 ? `${ms} ms` : time(ms)

/** @param {Reasons} reasons */
const sum = (reasons) => Object.values(reasons).reduce((all, n) => all + n, 0)

/** @param {Told} report */
const clientsOf = ({ clients }) => clients.sse + clients.longPoll + clients.durable

// ---- What was before, for rates

/** Numbers of one instance, as long as a rate or a sparkline looks back. */
class Past {
  /** @type {{ at: number, values: Record<string, number> }[]} */
  seen = []

  /** @param {number} at ms by the clock of the instance @param {Record<string, number>} values */
  add (at, values) {
    const last = this.seen.at(-1)
    if (last && at < last.at) this.seen = []
    if (last && at === last.at) return
    this.seen.push({ at, values })
    if (this.seen.length > POINTS) this.seen.shift()
  }

  /** How much more there is than so long ago, and in how long. @param {string} name @param {number} ms */
  grown (name, ms) {
    const last = this.seen.at(-1)
    const first = this.seen.find((one) => last && one.at >= last.at - ms && name in one.values)
    if (!last || !first || last === first || !(name in last.values)) return null
    return { by: Math.max(0, last.values[name] - first.values[name]), in: last.at - first.at }
  }

  /** A second, over the last few. @param {string} name */
  rate (name) {
    const grown = this.grown(name, 4500)
    return grown && grown.by * 1000 / grown.in
  }

  /** A second, from each point to the next. @param {string} name */
  rates (name) {
    return this.seen.slice(1).map((one, nth) =>
      Math.max(0, (one.values[name] - this.seen[nth].values[name]) * 1000 / (one.at - this.seen[nth].at)))
  }

  /** @param {string} name */
  values (name) {
    return this.seen.map((one) => one.values[name])
  }
}

/** @type {Map<string, Past>} */
const histories = new Map()

/** @param {string} id @param {Told} report */
function remember (id, report) {
  const history = histories.get(id) ?? new Past()
  histories.set(id, history)
  history.add(report.uptimeMs, {
    clients: clientsOf(report),
    read: report.counts.read,
    delivered: report.counts.delivered,
    published: sum(report.counts.publishes),
    dropped: sum(report.counts.dropped),
    lag: report.reader.lagMs ?? 0,
    queue: report.queue.events,
    window: report.window.events,
    ...Object.fromEntries(report.busiest.map((one) => [`client ${one.id}`, one.delivered]))
  })
  return history
}

// ---- Tiles

/** @param {string} kind */
const drawn = (kind) => document.createElementNS('http://www.w3.org/2000/svg', kind)

class Tile {
  value = make('p', { class: 'value' })
  number = document.createTextNode('')
  unit = make('small')
  note = make('p', { class: 'note' })
  area = drawn('path')
  edge = drawn('path')
  card

  /** @param {string} title @param {string} id */
  constructor (title, id) {
    const spark = drawn('svg')
    spark.setAttribute('class', 'spark')
    spark.setAttribute('viewBox', `0 0 ${POINTS - 1} 40`)
    spark.setAttribute('preserveAspectRatio', 'none')
    spark.setAttribute('aria-hidden', 'true')
    this.area.setAttribute('class', 'area')
    this.edge.setAttribute('class', 'edge')
    spark.append(this.area, this.edge)
    this.value.append(this.number, this.unit)
    this.card = make('div', { class: 'card tile', id }, make('h3', {}, title), this.value, this.note, spark)
    at('tiles').append(this.card)
  }

  /**
   * @param {{ number: string, unit?: string, note: string, points: number[], state?: string, most?: number }} shown
   */
  show ({ number, unit = '', note, points, state = '', most = 0 }) {
    if (this.number.data !== number) this.number.data = number
    say(this.unit, unit && ` ${unit}`)
    say(this.note, note)
    this.card.dataset.state = state
    const top = Math.max(1, most, ...points)
    const place = (/** @type {number} */ value, /** @type {number} */ nth) =>
      `${POINTS - points.length + nth} ${(38 - 34 * value / top).toFixed(2)}`
    const line = points.map(place).join('L')
    this.edge.setAttribute('d', points.length > 1 ? `M${line}` : '')
    this.area.setAttribute('d', points.length > 1 ? `M${POINTS - points.length} 40L${line}L${POINTS - 1} 40Z` : '')
  }
}

const tiles = {
  clients: new Tile('Clients', 'tile-clients'),
  read: new Tile('Events in', 'tile-read'),
  delivered: new Tile('Deliveries', 'tile-delivered'),
  published: new Tile('Publishes here', 'tile-published'),
  dropped: new Tile('Dropped', 'tile-dropped'),
  lag: new Tile('Reader lag', 'tile-lag'),
  queue: new Tile('Queued for clients', 'tile-queue'),
  window: new Tile('Window', 'tile-window')
}

/** @param {Told} own @param {Past} history */
function showTiles (own, history) {
  const { clients, counts, queue, reader } = own
  const all = clientsOf(own)
  tiles.clients.show({
    number: count(all),
    unit: `of ${count(clients.max)}`,
    note: `${count(clients.sessions)} sessions, ${count(clients.catchingUp)} catching up`,
    points: history.values('clients'),
    state: all >= clients.max * 0.9 ? 'warn' : ''
  })
  tiles.read.show({ number: rate(history.rate('read')), unit: '/s', note: `${count(counts.read)} since the start`, points: history.rates('read') })
  tiles.delivered.show({ number: rate(history.rate('delivered')), unit: '/s', note: `${count(counts.delivered)} since the start`, points: history.rates('delivered') })
  const failed = sum(counts.publishes) - (counts.publishes.ok ?? 0) - (counts.publishes.duplicate ?? 0)
  tiles.published.show({ number: rate(history.rate('published')), unit: '/s', note: `${count(failed)} refused since the start`, points: history.rates('published') })
  const lost = sum(counts.dropped)
  const lately = history.grown('dropped', 60_000)
  tiles.dropped.show({
    number: count(lost),
    unit: lost === 1 ? 'event' : 'events',
    note: lost === 0 ? 'nothing lost since the start' : `${count(lately?.by ?? 0)} of them in the last ${lately ? time(lately.in) : 'second'}`,
    points: history.rates('dropped'),
    state: lately && lately.by > 0 ? 'bad' : lost > 0 ? 'warn' : ''
  })
  const pending = reader.pending === null ? '' : `, ${count(reader.pending)} pending`
  tiles.lag.show({
    number: reader.lagMs === null ? '–' : reader.lagMs < 10_000 ? count(reader.lagMs) : count(reader.lagMs / 1000),
    unit: reader.lagMs === null ? '' : reader.lagMs < 10_000 ? 'ms' : 's',
    note: reader.up ? `${reader.lag === null ? 'unknown' : count(reader.lag)} entries behind${pending}` : 'the log does not answer',
    points: history.values('lag'),
    state: !reader.up || (reader.lagMs ?? 0) > 5000 ? 'bad' : ''
  })
  tiles.queue.show({ number: count(queue.events), unit: queue.events === 1 ? 'event' : 'events', note: bytes(queue.bytes), points: history.values('queue') })
  tiles.window.show({ number: count(own.window.events), unit: own.window.events === 1 ? 'event' : 'events', note: `${bytes(own.window.bytes)}, for resumes`, points: history.values('window') })
}

// ---- Lists

/** Makes a list of children be for these, keeping those that are there. @template T
 * @param {Element} parent @param {T[]} items @param {(item: T) => string} key
 * @param {(item: T) => HTMLElement} create @param {(node: HTMLElement, item: T) => void} update */
function keep (parent, items, key, create, update) {
  const old = new Map([...parent.children].map((node) => [/** @type {HTMLElement} */ (node).dataset.key, /** @type {HTMLElement} */ (node)]))
  items.forEach((item, nth) => {
    let node = old.get(key(item))
    if (!node) {
      node = create(item)
      node.dataset.key = key(item)
    }
    old.delete(key(item))
    if (parent.children[nth] !== node) parent.insertBefore(node, parent.children[nth] ?? null)
    update(node, item)
  })
  old.forEach((node) => node.remove())
}

/** Fills a row of cells, each a text and what stands small below it. @param {Element} row @param {[string, string?][]} cells */
function fill (row, cells) {
  cells.forEach(([text, below], nth) => {
    const cell = row.children[nth]
    if (!cell.firstElementChild) cell.append(make('span'), make('small'))
    say(/** @type {Element} */ (cell.firstElementChild), text)
    say(/** @type {Element} */ (cell.lastElementChild), below ?? '')
  })
}

/** @param {Client} one */
function nameOf (one) {
  const more = one.moreSessions > 0 ? ` and ${count(one.moreSessions)} more` : ''
  return one.sessions.join(', ') + more || 'no session'
}

/** The clients of an instance, slowest or busiest. @param {Element} box @param {Client[]} clients @param {'lag' | 'delivered'} by @param {Past} history */
function showClients (box, clients, by, history) {
  if (!box.firstElementChild) {
    const [one, two] = by === 'lag' ? ['Behind', 'Queued'] : ['Rate', 'Delivered']
    const head = (/** @type {string} */ text) => make('th', { scope: 'col', class: 'num' }, text)
    box.append(
      make('p', { class: 'none' }, by === 'lag' ? 'Nobody is behind.' : 'Nobody was sent anything yet.'),
      make('table', { class: 'clients' },
        make('thead', {}, make('tr', {}, make('th', { scope: 'col' }, 'Client'), head(one), head(two))), make('tbody')))
  }
  const [none, table] = /** @type {HTMLElement[]} */ ([...box.children])
  none.hidden = clients.length > 0
  table.hidden = clients.length === 0
  keep(/** @type {Element} */ (table.lastElementChild), clients, (one) => String(one.id),
    () => make('tr', {}, make('td', { class: 'who' }), make('td', { class: 'num' }), make('td', { class: 'num' })),
    (row, one) => {
      const who = [`#${one.id}`, one.transport, one.subject ?? 'no token', `for ${time(one.connectedSeconds * 1000)}`]
      if (one.dropped > 0) who.push(`${count(one.dropped)} dropped`)
      const about = who.join(' · ')
      fill(row, by === 'lag'
        ? [[nameOf(one), about], [count(one.lag), one.catchingUp ? 'catching up' : ''], [count(one.queued)]]
        : [[nameOf(one), about], [`${rate(history.rate(`client ${one.id}`))}/s`], [count(one.delivered)]])
    })
}

const REASONS = /** @type {const} */ ([
  ['dropped', 'Dropped', 'lost to a connected client'],
  ['discarded', 'Discarded', 'left in a queue, nothing lost'],
  ['disconnects', 'Disconnected', 'streams that ended'],
  ['rejected', 'Turned away', 'subscribes'],
  ['publishes', 'Publishes', 'answered here']
])

/** Losses are all named, so that it is said that there are none; of the rest what happened.
 * @param {Element} list @param {Reasons} reasons @param {boolean} isLoss */
function showReasons (list, reasons, isLoss) {
  const shown = Object.entries(reasons).filter(([, n]) => isLoss || n > 0)
  const items = (shown.length > 0 ? shown : [['none so far', 0]]).flatMap(([reason, n]) => [['dt', reason, n], ['dd', reason, n]])
  keep(list, items, ([kind, reason]) => `${kind} ${reason}`,
    ([kind]) => make(String(kind)),
    (node, [kind, reason, n]) => {
      say(node, kind === 'dt' ? String(reason) : shown.length > 0 ? count(Number(n)) : '')
      node.className = n === 0 ? 'zero' : isLoss ? 'lost' : ''
    })
}

/** @param {Told} own */
function showAllReasons (own) {
  const box = at('reasons')
  if (!box.firstElementChild) {
    for (const [, title, meaning] of REASONS) {
      box.append(make('div', { class: 'card' }, make('h3', {}, title), make('p', { class: 'muted' }, meaning), make('dl')))
    }
  }
  REASONS.forEach(([name], nth) => {
    const list = box.children[nth].lastElementChild
    if (list) showReasons(list, own.counts[name], name === 'dropped')
  })
}

// ---- Instances

/** @param {Told} report */
function stateOf ({ ready, status, stage }) {
  if (stage !== 'serving') return 'warn'
  return !ready ? 'bad' : status === 'ready' ? 'ok' : 'warn'
}

/** The row of the instance that is asked. No other has this key. */
const OWN = 'own'
const LABELS = ['', 'Clients', 'In', 'Deliveries', 'Dropped', 'Lag', 'Queued', 'Up']

function makePeer () {
  const open = make('button', { class: 'open', type: 'button', 'aria-expanded': 'false' }, make('span', { class: 'dot', 'aria-hidden': 'true' }), make('span', { class: 'name' }))
  const first = make('td', {}, open, make('small', {}, make('span', { class: 'silence' }), make('span')))
  open.addEventListener('click', () => {
    open.setAttribute('aria-expanded', String(open.getAttribute('aria-expanded') !== 'true'))
    if (latest) show(latest)
  })
  return make('tr', {}, first, ...LABELS.slice(1).map((label) => make('td', { 'data-label': label })))
}

/** @param {HTMLElement} row @param {Shown} peer */
function showPeer (row, { key, id, ageMs, report }) {
  const silent = ageMs > SILENT_MS
  row.className = silent ? 'silent' : ''
  const [open, below] = /** @type {HTMLElement[]} */ ([...row.children[0].children])
  const [dot, name] = [...open.children]
  open.dataset.state = !report ? 'warn' : silent ? '' : stateOf(report)
  dot.className = 'dot'
  const [silence, about] = [...below.children]
  say(silence, silent ? `silent for ${time(ageMs)} ` : '')
  const cells = [...row.children].slice(1)
  if (!report) {
    say(name, id)
    say(about, 'a release that this one cannot read')
    cells.forEach((cell) => say(cell, '–'))
    return
  }
  const history = remember(key, report)
  say(name, report.instance || id)
  const waiting = report.waitingFor ? `: waits for ${report.waitingFor}` : ''
  say(about, `${key === OWN ? 'this one · ' : ''}${report.status}${waiting} · ${report.version}`)
  const lost = sum(report.counts.dropped)
  const texts = [
    count(clientsOf(report)), `${rate(history.rate('read'))}/s`, `${rate(history.rate('delivered'))}/s`, count(lost),
    report.reader.lagMs === null ? '–' : brief(report.reader.lagMs), count(report.queue.events), time(report.uptimeMs)
  ]
  cells.forEach((cell, nth) => say(cell, texts[nth]))
  cells[3].className = lost > 0 ? 'bad-num' : ''
}

/** @param {HTMLElement} row @param {Shown} peer */
function showDetail (row, { key, report }) {
  const cell = /** @type {Element} */ (row.firstElementChild)
  if (!report) return
  if (!cell.firstElementChild) {
    const box = (/** @type {string} */ title) => make('div', {}, make('h3', {}, title), make('div', { class: 'card flush' }))
    cell.append(make('div', { class: 'pair' }, box('Slowest clients'), box('Busiest clients')), make('p', { class: 'muted' }))
  }
  const [pair, facts] = /** @type {Element[]} */ ([...cell.children])
  const boxes = [...pair.children].map((box) => /** @type {Element} */ (box.lastElementChild))
  const history = histories.get(key) ?? new Past()
  showClients(boxes[0], report.slowest, 'lag', history)
  showClients(boxes[1], report.busiest, 'delivered', history)
  const reasons = Object.entries(report.counts.dropped).filter(([, n]) => n > 0).map(([reason, n]) => `${reason} ${count(n)}`)
  say(facts, `Dropped: ${reasons.join(', ') || 'nothing'}. Window: ${count(report.window.events)} events, ${bytes(report.window.bytes)}. ` +
    `Queued: ${bytes(report.queue.bytes)}. Build ${report.revision}.`)
}

/** @param {News} news */
function showInstances ({ own, peers }) {
  const told = (peers?.told ?? []).map((peer) => ({ ...peer, key: `peer ${peer.id}` }))
  const all = [{ key: OWN, id: OWN, ageMs: 0, report: own }, ...told]
  const body = at('instances')
  const opened = new Set([...body.children].filter((row) => row.querySelector('.open')?.getAttribute('aria-expanded') === 'true')
    .map((row) => /** @type {HTMLElement} */ (row).dataset.key))
  const rows = all.flatMap((peer) => opened.has(`row ${peer.key}`) ? [{ peer, kind: 'row' }, { peer, kind: 'detail' }] : [{ peer, kind: 'row' }])
  keep(body, rows, ({ peer, kind }) => `${kind} ${peer.key}`,
    ({ kind }) => kind === 'row' ? makePeer() : make('tr', { class: 'detail' }, make('td', { colspan: '8' })),
    (row, { peer, kind }) => kind === 'row' ? showPeer(row, peer) : showDetail(row, peer))
  for (const key of histories.keys()) if (!all.some((peer) => peer.key === key)) histories.delete(key)
  say(at('instances-note'), noteOf(peers))
}

/** @param {News['peers']} peers */
function noteOf (peers) {
  if (!peers) return 'This instance has a log of its own: there are no others.'
  if (peers.trouble) return `The others cannot be seen now: ${peers.trouble}`
  const more = peers.leftOut > 0 ? ` ${count(peers.leftOut)} more are not shown.` : ''
  return peers.told.length === 0 ? 'No other is seen.' + more : `${count(peers.told.length + 1)} are seen.` + more
}

// ---- The whole page

const WORDS = /** @type {Record<string, string>} */ ({
  ready: 'Ready', degraded: 'Degraded', starting: 'Starting', draining: 'Draining', 'log-away': 'Log away', 'reader-stuck': 'Reader stuck'
})
const LOGS = /** @type {Record<string, string>} */ ({
  redis: 'log in Redis', file: 'log in a file of its own', memory: 'log in memory, gone with the process'
})

/** @type {News | null} */
let latest = null

/** @param {News} news */
function show (news) {
  latest = news
  const { own } = news
  const history = remember(OWN, own)
  document.title = `${own.instance} · ${own.status} · weir`
  say(at('build'), `${own.version}${own.revision === 'unknown' ? '' : ` (${own.revision.slice(0, 12)})`}`)
  say(at('name'), own.instance)
  at('state').dataset.state = stateOf(own)
  say(at('status'), WORDS[own.status] ?? own.status)
  say(at('waiting'), own.waitingFor ? `Waits for ${own.waitingFor}.` : own.ready ? 'Clients are welcome.' : '')
  const group = own.reader.group ? ` · group ${own.reader.group}` : ''
  const length = own.reader.length === null ? '' : ` · ${count(own.reader.length)} entries`
  say(at('facts'), `Up ${time(own.uptimeMs)} · ${LOGS[own.log] ?? own.log}${length}${group}`)
  const serves = own.stage === 'serving'
  button('drain').hidden = !serves
  button('undrain').hidden = serves
  button('undrain').disabled = own.stage === 'ending'
  say(button('undrain'), own.stage === 'ending' ? 'Ending' : 'Take clients again')
  showTiles(own, history)
  showInstances(news)
  showClients(at('slowest'), own.slowest, 'lag', history)
  showClients(at('busiest'), own.busiest, 'delivered', history)
  showAllReasons(own)
  for (const id of ['ask', 'refused']) at(id).hidden = true
  at('all').hidden = false
  button('forget').hidden = token() === null
}

// ---- Calls

const token = () => sessionStorage.getItem(TOKEN)

/** What no page of another origin can send along. @returns {Record<string, string>} */
function headers () {
  const given = token()
  return given === null ? { 'Weir-Admin': '1' } : { 'Weir-Admin': '1', Authorization: `Bearer ${given}` }
}

/** Why a call was refused, in the words of the instance. @param {Response} answer @returns {Promise<{ code: string, detail: string }>} */
async function problemOf (answer) {
  try {
    const { code, detail } = await answer.json()
    return { code: String(code), detail: String(detail || `it answered ${answer.status}`) }
  } catch {
    return { code: '', detail: `it answered ${answer.status}` }
  }
}

/** Has the instance do something; what is wrong is returned. @param {'drain' | 'undrain'} what */
async function order (what) {
  try {
    const answer = await fetch(what, { method: 'POST', headers: headers(), signal: AbortSignal.timeout(10_000) })
    return answer.ok ? null : `Not done: ${(await problemOf(answer)).detail}.`
  } catch {
    return 'Not known whether it was done: the instance did not answer.'
  }
}

function wireActs () {
  const dialog = /** @type {HTMLDialogElement} */ (at('confirm'))
  button('drain').addEventListener('click', () => {
    if (!latest) return
    const n = clientsOf(latest.own)
    say(at('confirm-title'), `Drain ${latest.own.instance}?`)
    say(at('confirm-text'), `${n === 1 ? 'Its one client is' : `Its ${count(n)} clients are`} told to go to another instance, and new ones are turned away. ` +
      'The process stays, and takes clients again when you say so.' + (latest.peers?.told.length ? '' : ' No other instance is seen that could take them.'))
    say(at('confirm-error'), '')
    dialog.showModal()
    // What changes something is not what Enter hits by accident.
    button('confirm-no').focus()
  })
  button('confirm-no').addEventListener('click', () => dialog.close())
  button('confirm-yes').addEventListener('click', async () => {
    button('confirm-yes').disabled = true
    const wrong = await order('drain')
    button('confirm-yes').disabled = false
    say(at('confirm-error'), wrong ?? '')
    if (!wrong) dialog.close()
  })
  button('undrain').addEventListener('click', async () => say(at('act-error'), await order('undrain') ?? ''))
  at('ask-form').addEventListener('submit', (event) => {
    event.preventDefault()
    const input = /** @type {HTMLInputElement} */ (at('token'))
    const given = input.value.trim()
    // Only these can stand in a header.
    if (!/^[\x21-\x7e]+$/.test(given)) return say(at('ask-error'), 'A token has visible ASCII characters and no spaces.')
    sessionStorage.setItem(TOKEN, given)
    input.value = ''
    say(at('ask-error'), '')
    again()
  })
  button('forget').addEventListener('click', () => {
    sessionStorage.removeItem(TOKEN)
    latest = null
    again()
  })
}

// ---- The stream

/** @param {'ok' | 'warn' | 'bad' | 'wait'} state @param {string} text */
function line (state, text) {
  at('line').dataset.state = state
  say(at('line-text'), text)
  document.body.classList.toggle('stale', state !== 'ok' && latest !== null)
}

let failures = 0
/** When there was news. */
let seen = 0
/** Whether to try again at once. */
let hurried = false
let wake = () => {}
/** @type {AbortController | null} */
let current = null

function again () {
  hurried = true
  current?.abort()
  wake()
}

/** The data of the events of a stream, until it ends. @param {ReadableStream<Uint8Array<ArrayBuffer>>} body */
async function * events (body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    text += value
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const data = block.split('\n').filter((one) => one.startsWith('data: ')).map((one) => one.slice(6))
      if (data.length > 0) yield data.join('\n')
    }
  }
}

/** Looks until the connection is over. Says why it was refused, or nothing where it broke. */
async function look () {
  const stop = new AbortController()
  current = stop
  let alive = setTimeout(() => stop.abort(), DEAD_MS)
  try {
    const answer = await fetch('console/events', { headers: headers(), cache: 'no-store', signal: stop.signal })
    if (!answer.ok || !answer.body) return { status: answer.status, ...await problemOf(answer) }
    for await (const data of events(answer.body)) {
      clearTimeout(alive)
      alive = setTimeout(() => stop.abort(), DEAD_MS)
      failures = 0
      seen = Date.now()
      show(JSON.parse(data))
      line('ok', 'Live')
    }
  } catch (error) {
    if (!stop.signal.aborted && !(error instanceof TypeError)) console.error(error)
  } finally {
    clearTimeout(alive)
    stop.abort()
  }
  return null
}

/** @param {{ status: number, code: string, detail: string }} why */
function refused ({ status, code, detail }) {
  latest = null
  at('all').hidden = true
  button('forget').hidden = true
  at('ask').hidden = status !== 401
  at('refused').hidden = status === 401
  if (status === 401) {
    sessionStorage.removeItem(TOKEN)
    say(at('ask-error'), code === 'admin_token_invalid' ? 'That is not the token of this instance.' : '')
    line('wait', 'Token needed')
    at('token').focus()
  } else {
    say(at('refused-why'), `${detail[0].toUpperCase()}${detail.slice(1)}.`)
    line('bad', 'Refused, retrying')
  }
}

/** @param {number} ms */
const pause = (ms) => hurried ? Promise.resolve() : new Promise((resolve) => {
  const timer = setTimeout(resolve, ms, undefined)
  wake = () => { clearTimeout(timer); resolve(undefined) }
})

/** Waits for the next try, and says so. */
async function rest () {
  // Seldom enough for an instance that is gone for long, soon enough for one that is replaced.
  const until = Date.now() + Math.min(10_000, 1000 * 2 ** failures) * (0.8 + Math.random() * 0.4)
  failures++
  while (Date.now() < until && !hurried) {
    line('bad', `Connection lost, retrying${latest ? `, last seen ${time(Date.now() - seen)} ago` : ''}`)
    await pause(Math.min(1000, until - Date.now()))
  }
}

async function run () {
  wireActs()
  for (;;) {
    hurried = false
    const why = await look()
    if (!why) {
      await rest()
      continue
    }
    refused(why)
    // Without a token there is nothing to try.
    await (why.status === 401 ? new Promise((resolve) => { wake = () => resolve(undefined) }) : pause(5000))
  }
}

run()
