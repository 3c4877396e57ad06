// Follows the stream of all agents, from its beginning on. STREAM_URL is filled in by start.cjs.
import { stream } from '@durable-streams/client'

// Events that the list shows.
const SHOWN = 50
// An SSE connection that ends sooner was ended by something on the way; the client gives up after three of them.
const SHORT_MS = 1000
const MOST_SHORT = 3

const element = (id) => document.getElementById(id)
const agents = new Map()
let count = 0

function say (state, transport) {
  document.body.dataset.state = state
  element('state').textContent = state
  if (transport) element('transport').textContent = transport
}

// Which transport is in use shows in what is asked for, and that it works in the head of the answer.
async function watchedFetch (url, options) {
  const live = new URL(url).searchParams.get('live')
  if (live === 'long-poll') say('live', 'long-poll')
  try {
    const answer = await fetch(url, options)
    if (!answer.ok) say(`refused (${answer.status})`)
    else if (live === 'sse') say('live', 'SSE')
    else if (live === null) say('catching up')
    return answer
  } catch (error) {
    if (!options?.signal?.aborted) say('lost, trying again')
    throw error
  }
}

function card (name) {
  const made = element('agent').content.firstElementChild.cloneNode(true)
  made.querySelector('.mark').textContent = name[0]
  made.querySelector('h2').textContent = name
  const cards = [...element('agents').children]
  const next = cards.find((other) => other.querySelector('h2').textContent > name)
  element('agents').insertBefore(made, next ?? null)
  agents.set(name, made)
  return made
}

function show ({ key, value }, fresh) {
  const agent = agents.get(key) ?? card(key)
  agent.dataset.task = agent.querySelector('p').textContent = value.task
  agent.querySelector('output').textContent = `${value.percent} %`
  agent.querySelector('progress').value = value.percent
  const line = document.createElement('li')
  const time = document.createElement('time')
  time.textContent = new Date(value.at).toLocaleTimeString()
  line.append(time, `${key} ${value.task}, ${value.percent} %`)
  element('events').prepend(line)
  if (element('events').children.length > SHOWN) element('events').lastElementChild.remove()
  if (!fresh) return
  element('delay').textContent = `${Math.max(0, Date.now() - value.at)} ms`
  agent.getAnimations().forEach((animation) => animation.cancel())
  agent.animate([{ outlineColor: 'var(--accent)' }, { outlineColor: 'transparent' }], 1200)
}

function forget () {
  agents.clear()
  element('agents').replaceChildren()
  element('events').replaceChildren()
  count = 0
  element('count').textContent = count
}

async function follow () {
  let [offset, live, short] = ['-1', 'sse', 0]
  for (;;) {
    let begun
    let caughtUp = false
    try {
      const session = await stream({
        url: STREAM_URL,
        offset,
        live,
        json: true,
        fetch: watchedFetch,
        warnOnHttp: false,
        backoffOptions: { initialDelay: 100, maxDelay: 2000, multiplier: 1.5 }
      })
      begun = Date.now()
      session.subscribeJson(({ items, offset: next, upToDate }) => {
        for (const item of items) show(item, caughtUp)
        caughtUp ||= upToDate
        count += items.length
        element('count').textContent = count
        // Whatever happens now, this is where to go on.
        offset = next
      })
      await session.closed
      if (session.streamClosed) return say('ended')
      // This is how the client says that it gives up on SSE.
      live = 'long-poll'
    } catch (error) {
      // What followed there is no longer kept, so what is shown may be of another life of the stream.
      if (error.status === 410) {
        offset = '-1'
        forget()
      }
      short = Date.now() - begun < SHORT_MS ? short + 1 : 0
      if (short >= MOST_SHORT) live = 'long-poll'
      say('lost, trying again')
      await new Promise((resolve) => setTimeout(resolve, 250 + Math.random() * 500))
    }
  }
}

follow()
