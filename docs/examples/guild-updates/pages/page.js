// A user's updates, live. All that it knows comes from weir: what was published before the page was opened, too.
import { Weir } from '/client.js'

const TYPES = { 'bot.joined': ['+', 'The bot joined'], 'bot.left': ['−', 'The bot left'], 'guild.renamed': ['✎', 'A new name:'] }
// What the list shows; weir keeps more.
const SHOWN = 50

const element = (id) => document.getElementById(id)
let session
let weir
let subscription
let lastLive = Date.now()

async function call (path, body) {
  const options = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const answer = await fetch(path, body === undefined ? {} : options)
  if (answer.ok) return answer.json()
  // The session ended, here or in another tab.
  if (answer.status === 401) left()
  throw new Error((await answer.json()).error)
}

function made (name, text, content = {}) {
  return Object.assign(document.createElement(name), { textContent: text }, content)
}

// --- What is shown

function status ({ state, problem }) {
  element('state').textContent = element('state').dataset.state = state
  if (state === 'live') lastLive = Date.now()
  element('offline').hidden = state !== 'offline'
  element('since').textContent = new Date(lastLive).toLocaleTimeString()
  element('why').textContent = problem?.message ?? 'the server cannot be reached'
}

function update ({ id, type, value, ts }) {
  const [mark, what] = TYPES[type] ?? ['·', type]
  const line = made('li', '')
  line.dataset.id = id
  line.append(made('span', mark, { className: 'mark' }), made('span', `${what} ${value.guild.name}`))
  line.append(made('time', new Date(ts).toLocaleTimeString()))
  show(line)
}

function gap ({ missed }) {
  show(made('li', `${missed ?? 'Some'} updates are missing here: they were too long ago.`, { className: 'gap' }))
}

function show (line) {
  element('updates').prepend(line)
  if (element('updates').children.length > SHOWN) element('updates').lastElementChild.remove()
  element('empty').hidden = true
}

// --- What is followed

function connect () {
  weir?.close()
  weir = new Weir({
    url: session.weir,
    // Asked for before each connection, and again before the last one expires.
    token: async () => (await call('/token')).token,
    // One connection for all tabs of this user.
    shared: `guild-updates ${session.user.id}`,
    // 1, 2, 4, 8 … 30 s, each shortened by chance, and five tries; then there is a button.
    backoff: { first: 1000, most: 30000 },
    tries: 5,
    pauseWhenHidden: element('pause').checked
  })
  weir.on('status', status)
  follow()
}

/** The server sends what is wanted, and nothing else. */
function follow () {
  subscription?.close()
  element('updates').replaceChildren()
  element('empty').hidden = false
  const guild = element('guild').value
  const types = [...document.getElementsByName('type')].filter(({ checked }) => checked).map(({ value }) => value)
  if (types.length === 0) return
  subscription = weir.subscribe(`user:${session.user.id}`, update, {
    types,
    ...guild && { keys: [guild] },
    from: 'earliest',
    parse: JSON.parse,
    onGap: gap
  })
}

// --- Who is here

function entered (entering) {
  for (const inside of document.querySelectorAll('.inside')) inside.hidden = !entering
  element('login').hidden = entering
  element('state').hidden = !entering
}

function left () {
  weir?.close()
  weir = subscription = undefined
  entered(false)
  element('to-figures').hidden = element('offline').hidden = true
  element('updates').replaceChildren()
}

async function begin () {
  const answer = await fetch('/session')
  if (answer.status === 401) return left()
  session = await answer.json()
  const { user, guilds } = session
  element('who').textContent = user.name
  element('to-figures').hidden = !user.operator
  element('guild').replaceChildren(made('option', 'All guilds', { value: '' }), ...guilds.map(({ id, name }) => made('option', name, { value: id })))
  element('guilds').replaceChildren(...guilds.map(({ id, name }) => {
    const line = made('li', name)
    const invite = made('button', 'Invite the bot', { onclick: () => call('/invite', { guild: id, event: 'bot-joined' }) })
    line.append(invite)
    return line
  }))
  entered(true)
  connect()
}

async function main () {
  const users = await call('/users')
  element('users').replaceChildren(...users.map(({ id, name }) => {
    const line = made('li', '')
    line.append(made('button', name, { onclick: () => call('/login', { user: id }).then(begin) }))
    return line
  }))
  element('leave').onclick = () => call('/logout', {}).finally(left)
  element('leave-everywhere').onclick = () => call('/logout-everywhere', {}).finally(left)
  element('again').onclick = () => weir.retry()
  element('guild').onchange = follow
  for (const type of document.getElementsByName('type')) type.onchange = follow
  element('pause').checked = localStorage.getItem('pause') === 'yes'
  element('pause').onchange = ({ target }) => {
    localStorage.setItem('pause', target.checked ? 'yes' : 'no')
    connect()
  }
  await begin()
}

main()
