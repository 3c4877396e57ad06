// Watches a room by a bare EventSource, and hosts it on request. `?room=NAME` says which.
import { clock, score, show } from './pitch.js'

const WEIR = document.querySelector('meta[name=weir]').content
const element = (id) => document.getElementById(id)
const session = (room) => `${WEIR}/v1/sessions/${encodeURIComponent(`match/${room}`)}`
const room = new URLSearchParams(location.search).get('room') ?? 'north'

// A match that is played is told of four times a second. Where nothing came for so long it is not, whatever the connection says: an
// EventSource notices neither that weir has stopped without an end, nor that the host cannot post.
const STILL = 5000

let newest
let came
let key
let hosting
const counts = { opens: 0, count: 0, missed: 0 }

function say (state) {
  document.body.dataset.state = state
  element('state').textContent = state
}

function count (what, more = 1) {
  counts[what] += more
  element(what).textContent = counts[what]
}

/** All there is to it: the snapshot comes first, then each state; the browser reconnects, and catches up, by itself. */
function watch () {
  const source = new EventSource(`${session(room)}/events?snapshot=1`)
  source.onopen = () => { say('live'); count('opens') }
  source.onmessage = ({ data }) => take(JSON.parse(data))
  source.onerror = () => {
    say('lost, trying again')
    // An answer that is no stream, as of a proxy that is told nothing, ends an EventSource for good.
    if (source.readyState === EventSource.CLOSED) setTimeout(watch, 3000)
  }
}

function take (match) {
  if (!newest) element('first').textContent = `${Math.round(performance.now())} ms`
  came = Date.now()
  if (document.body.dataset.state !== 'live') say('live')
  if (newest && match.n > newest.n + 1) count('missed', match.n - newest.n - 1)
  count('count')
  // Many at once, as after a reconnect, are drawn once.
  if (!newest?.waits) requestAnimationFrame(() => { newest.waits = false; paint(newest) })
  newest = { ...match, waits: true }
  if (key && match.host !== hosting) lose(match.host)
}

function paint (match) {
  show(match)
  const card = element('rooms').querySelector('[aria-current]')
  if (card) tell(card, match)
  element('delay').textContent = `${Math.max(0, Date.now() - match.at)} ms`
}

function lose (host) {
  key = undefined
  element('controls').hidden = true
  element('take').hidden = false
  element('told').textContent = `${host ?? 'somebody else'} hosts this room now`
}

async function order (what, body) {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`/api/rooms/${room}/${what}`, { method: 'POST', headers, body: JSON.stringify(body) })
  if (answer.status === 409) lose(newest?.host)
  return answer.ok ? answer.json() : {}
}

element('take').onsubmit = async (event) => {
  event.preventDefault()
  const name = element('name').value.trim()
  const taken = await order('host', { name })
  if (!taken.key) return
  // The state that says so may be on its way still.
  await until(() => newest?.host === name)
  ;[key, hosting] = [taken.key, name]
  element('take').hidden = true
  element('controls').hidden = false
  element('told').textContent = 'You host this room, until somebody else does.'
}

element('controls').onclick = ({ target }) => { if (target.dataset.action) order('act', { key, action: target.dataset.action }) }

async function until (condition) {
  for (let looks = 0; looks < 100 && !condition(); looks++) await new Promise((resolve) => setTimeout(resolve, 20))
}

function tell (card, match) {
  card.querySelector('small').textContent = match ? `${match.home} – ${match.away}, ${clock(match)}` : 'no match'
  card.querySelector('b').textContent = match ? score(match) : ''
}

/** The rooms there are change seldom, so this stays on polling; the score of each is its snapshot, by a plain GET. */
async function rooms () {
  const list = await fetch('/api/rooms').then((answer) => answer.json())
  const cards = await Promise.all(list.map(async ({ id, name }) => {
    const match = await fetch(`${session(id)}/snapshot`).then((answer) => answer.ok ? answer.json() : null, () => null)
    const card = document.createElement('a')
    card.className = 'card'
    card.href = `?room=${encodeURIComponent(id)}`
    if (id === room) card.setAttribute('aria-current', 'page')
    for (const tag of ['span', 'small', 'b']) card.append(document.createElement(tag))
    card.firstChild.textContent = name
    tell(card, match)
    return card
  }))
  element('rooms').replaceChildren(...cards)
}

watch()
rooms()
setInterval(() => {
  const still = newest?.state === 'playing' && Date.now() - came > STILL
  if (still && document.body.dataset.state === 'live') say(`nothing new since ${new Date(came).toLocaleTimeString()}`)
}, 1000)
setInterval(() => rooms().catch(() => {}), 15_000)
