// @ts-check
// The scenes. One has the connections at a time: who presses something in another gives them to that.

/** Of this page alone, where nobody else should join in. */
const own = `demo-${Math.random().toString(36).slice(2, 10)}`
/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** @type {Watcher[]} */
let playing = []

/** @param {Watcher[]} watchers */
const play = (watchers) => {
  for (const watcher of playing) if (!watchers.includes(watcher)) watcher.rest()
  playing = watchers
  for (const watcher of watchers) watcher.wake()
}

/** @param {() => boolean} is */
const until = async (is) => {
  for (const end = Date.now() + 20_000; !is();) {
    if (Date.now() > end) throw new Error('weir did not answer in time: is it still there?')
    await pause(20)
  }
}

/** @param {Watcher[]} watchers */
const live = (watchers) => until(() => watchers.every(({ weir }) => weir?.status.state === 'live'))

/**
 * Has a button do something, once at a time, and says what went wrong.
 * @param {string} id @param {() => Promise<void> | void} act
 */
const onPress = (id, act) => {
  const button = /** @type {HTMLButtonElement} */ (at(id))
  button.addEventListener('click', async () => {
    if (button.getAttribute('aria-disabled') === 'true') return
    button.setAttribute('aria-disabled', 'true')
    try {
      await act()
    } catch (error) {
      say(button, error instanceof Error ? error.message : String(error))
    }
    button.removeAttribute('aria-disabled')
  })
}

/** Tells what happened in the scene of a node. @param {HTMLElement} node @param {string} text */
const say = (node, text) => {
  const told = node.closest('section')?.querySelector('.told')
  // After what it tells of is drawn.
  if (told) setTimeout(() => { told.textContent = text }, DRAWN)
}

/**
 * A lane with a name, a text beside it and a strip.
 * @param {Tape} tape @param {string} where @param {string} name @param {string} title
 */
const lane = (tape, where, name, title) => {
  const row = make('div', 'lane')
  const head = make('div', 'lane-head')
  const text = make('span', 'lane-text')
  head.append(make('span', 'lane-name', title), text)
  const strip = make('div', 'strip')
  strip.setAttribute('aria-hidden', 'true')
  row.append(head, strip)
  at(where).append(row)
  tape.lane(name, strip)
  return { row, head, text }
}

// Publish and watch.

const sceneLive = () => {
  const tape = new Tape(24)
  const input = /** @type {HTMLInputElement} */ (at('live-text'))
  const newest = () => tape.columns.at(-1)?.id ?? ''
  const log = lane(tape, 'live-tape', 'log', 'The log')
  const watchers = ['Ada', 'Ben', 'Cleo'].map((name) => {
    const { row, head, text } = lane(tape, 'live-tape', name, name)
    const button = make('button', 'small', 'Cut off')
    button.setAttribute('type', 'button')
    button.id = `live-cut-${name}`
    const newsText = make('span', 'news')
    head.append(button)
    row.append(newsText)
    let replayed = 0
    let asked = ''
    const turn = () => {
      const state = watcher.state === 'connecting' && watcher.connects === 0 ? 'connecting' : watcher.state
      row.dataset['state'] = state
      text.textContent = state === 'live' ? `has ${counted(tape.count(name, 'had', 'replayed'), 'event')}` : state
      if (watcher.asked !== asked) at('live-asked').textContent = asked = watcher.asked
    }
    const watcher = new Watcher('demo', {
      turn,
      event: (event, again) => {
        replayed += again ? 1 : 0
        tape.mark(name, event.id, event.key, again ? 'replayed' : 'had')
        newsText.textContent = event.data.slice(0, 80)
        if (again) say(row, `${name} is back and has ${counted(replayed, 'event')} that came meanwhile, in order.`)
        log.text.textContent = counted(tape.columns.length, 'event')
      },
      gap: ({ missed }) => say(row, `${name} was told of a gap: ${missed ?? 'some'} missed.`)
    }, { head: newest })
    button.addEventListener('click', () => {
      play(watchers)
      if (watcher.isCut) {
        replayed = 0
        watcher.restore()
        button.textContent = 'Cut off'
      } else {
        watcher.cut()
        button.textContent = 'Bring back'
        say(row, `${name} is cut off at ${watcher.position ?? 'the beginning'}. Publish something, then bring ${name} back.`)
      }
    })
    return watcher
  })
  /** @param {string} data */
  const one = async (data) => {
    const [id = ''] = await publish([{ session: 'demo', data }])
    tape.column(id)
    log.text.textContent = counted(tape.columns.length, 'event')
  }
  at('live-form').addEventListener('submit', (event) => event.preventDefault())
  onPress('live-publish', async () => {
    play(watchers)
    await one(input.value || 'hello')
  })
  onPress('live-ten', async () => {
    play(watchers)
    for (let nth = 1; nth <= 10; nth++) {
      await one(`number ${nth}`)
      await pause(120)
    }
  })
  play(watchers)
}

// Away for too long.

const sceneGap = () => {
  const session = `${own}-gap`
  const tape = new Tape(24)
  const log = lane(tape, 'gap-tape', 'log', 'The log')
  const { row, text } = lane(tape, 'gap-tape', 'Dora', 'Dora')
  let newest = ''
  /** @type {Gap | null} */
  let told = null
  let last = ''
  /** What she had before its publisher was answered. @type {Map<string, 'had' | 'replayed'>} */
  const early = new Map()
  const dora = new Watcher(session, {
    turn: () => {
      row.dataset['state'] = dora.state
      text.textContent = dora.state
    },
    event: ({ id }, again) => {
      last = id
      const how = again ? 'replayed' : 'had'
      if (tape.has(id)) tape.mark('Dora', id, null, how)
      else early.set(id, how)
    },
    gap: (gap) => {
      told = gap
      tape.lose('Dora', gap)
      say(row, `Dora was told: ${gap.reason}, ${gap.missed === null ? 'and nobody knows any more how many' : `${counted(gap.missed, 'event')} missed`}. Her page would load anew what it shows.`)
    }
  }, { head: () => newest })
  /** @param {number} count @param {number} each One in so many has a column. */
  const write = async (count, each) => {
    const ids = await publish(Array.from({ length: count }, (_, nth) => ({ session, data: `${nth}` })))
    ids.forEach((id, nth) => {
      if (nth % each !== 0) return
      tape.column(id)
      const how = early.get(id)
      if (how) tape.mark('Dora', id, null, how)
    })
    early.clear()
    newest = ids.at(-1) ?? ''
  }
  const few = async () => {
    for (let nth = 0; nth < 4; nth++) {
      await write(1, 1)
      await pause(60)
    }
  }
  onPress('gap-play', async () => {
    play([dora])
    tape.clear()
    told = null
    dora.restore()
    await live([dora])
    await few()
    await until(() => tape.count('Dora', 'had') === 4)
    dora.cut()
    say(row, 'Dora is away, and 8,000 events are written.')
    for (let nth = 1; nth <= 8; nth++) {
      await write(1000, 500)
      log.text.textContent = `${counted(nth * 1000, 'event')} while Dora is away`
    }
    dora.restore()
    await live([dora])
    await few()
    await until(() => last === newest)
    if (!told) say(row, 'This log reaches back further than 8,000 events: Dora has them all.')
  })
}

// More than a queue holds.

const POLICIES = /** @type {const} */ (['catch-up', 'drop-oldest', 'latest', 'disconnect'])
const BURST = 60
/** For so many milliseconds the page is busy. */
const BUSY = 1000

const sceneQueue = () => {
  const session = `${own}-queue`
  const tape = new Tape(BURST)
  const log = lane(tape, 'queue-tape', 'log', 'The log')
  const keys = ['a', 'b', 'c', 'd']
  const watchers = POLICIES.map((policy) => {
    const { row, text } = lane(tape, 'queue-tape', policy, policy)
    row.id = `queue-${policy}`
    let missed = 0
    let first = 0
    const turn = () => {
      row.dataset['state'] = watcher.state
      const has = tape.count(policy, 'had', 'replayed')
      if (tape.columns.length === 0) {
        [missed, first] = [0, watcher.connects]
        text.textContent = watcher.state
        return
      }
      const parts = [`has ${has} of ${tape.columns.length}`]
      if (missed > 0) parts.push(`was told of ${missed} dropped`)
      if (watcher.state === 'connecting') parts.push('was closed, and comes back in a few seconds')
      else if (watcher.connects > first) parts.push('was closed, and came back')
      if (policy === 'latest' && has < tape.columns.length) parts.push('the newest of each key among them')
      text.textContent = parts.join(', ')
    }
    const watcher = new Watcher(session, {
      turn,
      event: ({ id, key }, again) => tape.mark(policy, id, key, again ? 'replayed' : 'had'),
      gap: (gap) => {
        missed += gap.missed ?? 0
        tape.lose(policy, gap)
      }
    }, { options: { overflow: policy, backoff: { first: 300, most: 2000 } }, head: () => tape.columns.at(-1)?.id ?? '' })
    return watcher
  })
  const filler = ' '.repeat(130_000)
  const batch = Array.from({ length: BURST }, (_, nth) => ({ session, key: keys[nth % 4] ?? '', data: `${nth}${filler}` }))
  const burst = async () => {
    tape.clear()
    // As much as a batch may have, twice.
    const answered = Promise.all([publish(batch.slice(0, BURST / 2)), publish(batch.slice(BURST / 2))])
    // Until it has left; then nothing of what comes is read for a while.
    await pause(30)
    for (const end = performance.now() + BUSY; performance.now() < end;);
    for (const ids of await answered) ids.forEach((id, nth) => tape.column(id, keys[nth % 4]))
    log.text.textContent = `${BURST} events at once, 7.8 MB`
    const newest = () => tape.columns.at(-1)
    await until(() => POLICIES.every((policy) => newest()?.had.has(policy)))
  }
  onPress('queue-play', async () => {
    play(watchers)
    tape.clear()
    // A connection that is fast enough has no need of any policy.
    for (let tries = 0; tries < 4 && !(tape.count('drop-oldest', 'lost') && tape.count('disconnect', 'replayed')); tries++) {
      await live(watchers)
      await burst()
    }
    say(at('queue-tape'), 'All four end with the newest event. What was dropped was told, and nothing else is missing but values that a newer one replaced.')
  })
}

// Only what matters: the same events by other subscriptions.

const PARCELS = ['Oslo', 'Lima', 'Kyoto', 'Accra']
const TICKS = 56

/** @type {Record<string, { subscription?: SubscribeOptions, options?: Options, code: string }>} */
const FILTERS = {
  key: { subscription: { keys: ['Lima'] }, code: 'keys: [\'Lima\']' },
  type: { subscription: { types: ['arrived'] }, code: 'types: [\'arrived\']' },
  conflate: { options: { conflate: 1000 }, code: 'conflate: 1000' }
}

/** A board of parcels. @param {string} where */
const board = (where) => {
  const meters = new Map(PARCELS.map((name) => {
    const row = make('div', 'parcel')
    const meter = /** @type {HTMLProgressElement} */ (make('progress'))
    meter.max = 100
    meter.setAttribute('aria-label', name)
    const value = make('span', 'parcel-value', '–')
    row.append(make('span', 'parcel-name', name), meter, value)
    at(where).append(row)
    return [name, { meter, value }]
  }))
  return {
    clear: () => {
      for (const { meter, value } of meters.values()) [meter.value, value.textContent] = [0, '–']
    },
    /** @param {WeirEvent} event */
    show: ({ key, data, type }) => {
      const row = meters.get(key ?? '')
      if (!row) return
      row.meter.value = Number(data)
      row.value.textContent = type === 'arrived' ? 'arrived' : `${Number(data)} %`
    }
  }
}

const sceneFilters = () => {
  const session = `${own}-parcels`
  const [whole, chosen] = [board('filters-all'), board('filters-chosen')]
  let published = 0
  const turn = () => {
    at('filters-all-count').textContent = `got ${all.had} of ${published}`
    at('filters-chosen-count').textContent = `got ${some.had} of ${published}`
  }
  const all = new Watcher(session, { turn, event: whole.show })
  /** @type {Watcher} */
  let some
  const choose = () => {
    const name = /** @type {HTMLInputElement} */ (document.querySelector('input[name=filter]:checked')).value
    const { code = '', ...how } = FILTERS[name] ?? {}
    some?.rest()
    some = new Watcher(session, { turn, event: chosen.show }, how)
    at('filters-code').textContent = how.options
      ? `new Weir({ ${code} }).subscribe('parcels', show)`
      : `weir.subscribe('parcels', show, { ${code} })`
  }
  choose()
  for (const radio of document.querySelectorAll('input[name=filter]')) radio.addEventListener('change', choose)
  onPress('filters-play', async () => {
    const watchers = [all, some]
    play(watchers)
    await live(watchers)
    published = 0
    for (const watcher of watchers) watcher.had = 0
    for (const one of [whole, chosen]) one.clear()
    for (let nth = 0; nth < TICKS; nth++) {
      const far = Math.min(100, 4 + Math.floor(nth / 4) * 8)
      const key = PARCELS[nth % 4] ?? ''
      await publish([{ session, key, type: far === 100 ? 'arrived' : 'moved', data: String(far) }])
      published++
      turn()
      await pause(100)
    }
    // What is conflated may be a second behind.
    await pause(1100)
    turn()
    say(at('filters-all'), `Of ${published} events one page got ${all.had}, the other ${some.had}. Nothing was filtered in the browser.`)
  })
}

// Late, and up to date at once.

const sceneSnapshot = () => {
  const session = `${own}-match`
  const score = [0, 0]
  const pages = [
    { id: 'snapshot-with', options: { snapshot: true } },
    { id: 'snapshot-without', options: {} }
  ].map(({ id, options }) => {
    const turn = () => {
      if (watcher.state === 'live' && watcher.had === 0) at(id).textContent = 'nothing yet'
    }
    const event = (/** @type {WeirEvent} */ { data }) => { at(id).textContent = data }
    const watcher = new Watcher(session, { turn, event }, { options })
    return watcher
  })
  onPress('snapshot-goal', async () => {
    const side = Math.random() < 0.5 ? 0 : 1
    score[side] = (score[side] ?? 0) + 1
    const data = score.join(' : ')
    await publish([{ session, data, snapshot: 600 }])
    at('snapshot-score').textContent = data
  })
  onPress('snapshot-open', async () => {
    for (const page of pages) {
      page.rest()
      page.forget()
    }
    play(pages)
    await live(pages)
    say(at('snapshot-with'), 'Both pages are open. One knew the score at once; the other learns of it with the next goal.')
  })
}

const begin = async () => {
  // A path of its own, since the page may stand below another.
  const where = new URL('client.js', document.baseURI).href
  Client = (await import(where)).Weir
  for (const scene of [sceneLive, sceneGap, sceneQueue, sceneFilters, sceneSnapshot]) scene()
  at('live-url').textContent = new URL('v1/sessions/demo/events', document.baseURI).href
  document.body.dataset['ready'] = 'yes'
}

begin().catch((error) => {
  at('broken').textContent = `This page could not begin: ${error instanceof Error ? error.message : error}`
})
