// Shows matches: what /api/matches says when the page loads, and from then on each event. `?by=event-source` does without weir's
// client, which the link at the bottom is for.
const EVERY = 5000
// Events that the list shows.
const LOGGED = 8
const element = (id) => document.getElementById(id)
const params = new URLSearchParams(location.search)
const bare = params.get('by') === 'event-source'
const shown = new Map()
const counts = { events: 0, missed: 0, gaps: 0, polls: 0 }
let last

function count (what, more = 1) {
  counts[what] += more
  element(what).textContent = counts[what]
}

function card (id) {
  const made = element('match').content.firstElementChild.cloneNode(true)
  made.id = id
  const next = [...element('matches').children].find((other) => other.id > id)
  element('matches').insertBefore(made, next ?? null)
  return made
}

/** Whichever way it came: what is older than what is shown changes nothing. */
function show (match) {
  const before = shown.get(match.id)
  if (before && before.updated >= match.updated) return
  shown.set(match.id, match)
  const made = element(match.id) ?? card(match.id)
  for (const [name, text] of Object.entries({ home: match.home, away: match.away, score: match.score.join(' : '), minute: `${match.minute}′` })) {
    made.querySelector(`.${name}`).textContent = text
  }
  made.classList.toggle('scored', Boolean(before) && String(before.score) !== String(match.score))
}

function log (type, text) {
  const line = document.createElement('li')
  line.textContent = `${new Date().toLocaleTimeString()}  ${type}  ${text}`
  element('log').prepend(line)
  if (element('log').children.length > LOGGED) element('log').lastElementChild.remove()
}

async function load (path, signal) {
  const answer = await fetch(path, { signal })
  for (const match of (await answer.json()).matches) show(match)
}

function say (state, failures) {
  document.body.dataset.state = state
  element('state').textContent = failures > 0 && state !== 'polling' ? `${state}, after ${failures} failed` : state
  element('banner').hidden = state !== 'polling'
}

const handlers = {
  'match.updated' (match) {
    count('events')
    // The bot numbers what it writes.
    if (last !== undefined && match.n > last + 1) count('missed', match.n - last - 1)
    last = match.n
    log('match.updated', `${match.home} ${match.score.join(' : ')} ${match.away}, ${match.minute}′`)
    show(match)
  },
  'audience.updated' ({ watching }) {
    element('watching').textContent = watching
    log('audience.updated', `${watching} watching`)
  }
}

const { follow } = await import(bare ? './by-event-source.js' : './by-client.js')
element('by').textContent = bare ? 'a bare EventSource' : 'weir’s client'
element('other').href = bare ? '?' : '?by=event-source'
element('other').textContent = bare ? 'the same by weir’s client' : 'the same by a bare EventSource'

follow({
  url: document.querySelector('meta[name=bus]').content,
  types: Object.keys(handlers),
  event: (type, value) => handlers[type](value),
  // Events that will not come: what they said is in what the application itself says now.
  lost: () => { count('gaps'); load('/api/matches?cache=refresh').catch(() => {}) },
  status: say,
  poll: async (signal) => { count('polls'); await load('/api/matches?cache=refresh', signal).catch(() => {}) },
  every: EVERY
})
load('/api/matches').catch(() => {})
