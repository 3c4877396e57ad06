// @ts-check
// A tape: every event of a scene is a column, and every watcher a lane that shows which of them it has.

/** @param {string} id */
const at = (id) => {
  const found = document.getElementById(id)
  if (!found) throw new Error(`there is no ${id}`)
  return found
}

/** @param {string} tag @param {string} [kind] @param {string} [text] */
const make = (tag, kind = '', text = '') => {
  const node = document.createElement(tag)
  if (kind) node.className = kind
  if (text) node.textContent = text
  return node
}

/**
 * Ids are `<ms>-<seq>`, and rise.
 * @param {string} one @param {string} other
 */
const compareIds = (one, other) => {
  const [[a = 0, b = 0], [c = 0, d = 0]] = [one, other].map((id) => id.split('-').map(Number))
  return a - c || b - d
}

/** @param {number} count @param {string} one @param {string} [many] */
const counted = (count, one, many = `${one}s`) => `${count.toLocaleString('en')} ${count === 1 ? one : many}`

/** @typedef {{ id: string, key: string | null, had: Map<string, string> }} Column */
/** @typedef {{ after: string | null, before: string | null }} Lost */

/** @param {Column} column @param {string} name @param {Lost} gap */
const loseIn = ({ id, had }, name, { after, before }) => {
  const within = (!after || compareIds(id, after) > 0) && (!before || compareIds(id, before) < 0)
  if (within && !had.has(name)) had.set(name, 'lost')
}

/** What happens within so many milliseconds is drawn at once. */
const DRAWN = 30

class Tape {
  /** @type {Column[]} */
  columns = []
  /** @type {Map<string, HTMLElement>} */
  #lanes = new Map()
  /** Those that were told, since their columns may come later. @type {[string, Lost][]} */
  #gaps = []
  #most
  #due = false

  /** @param {number} most Columns that are shown. */
  constructor(most) {
    this.#most = most
  }

  /** @param {string} name @param {HTMLElement} strip */
  lane(name, strip) {
    strip.style.setProperty('--columns', String(this.#most))
    strip.replaceChildren(...Array.from({ length: this.#most }, () => make('i')))
    this.#lanes.set(name, strip)
  }

  /**
   * The column of an event, which may come from its publisher or from whoever sees it first.
   * @param {string} id @param {string | null} [key]
   */
  column(id, key = null) {
    let place = this.columns.length
    while (place > 0 && compareIds(this.columns[place - 1]?.id ?? '', id) > 0) place--
    const before = this.columns[place - 1]
    if (before?.id === id) {
      before.key ??= key
      return before
    }
    const column = { id, key, had: new Map([['log', 'had']]) }
    for (const [name, gap] of this.#gaps) loseIn(column, name, gap)
    this.columns.splice(place, 0, column)
    while (this.columns.length > this.#most) this.columns.shift()
    this.draw()
    return column
  }

  /** @param {string} id */
  has(id) {
    return this.columns.some((column) => column.id === id)
  }

  /** @param {string} name @param {string} id @param {string | null} key @param {'had' | 'replayed'} how */
  mark(name, id, key, how) {
    this.column(id, key).had.set(name, how)
    this.draw()
  }

  /**
   * What a watcher was told that it will not have.
   * @param {string} name @param {Lost} gap
   */
  lose(name, gap) {
    this.#gaps.push([name, gap])
    for (const column of this.columns) loseIn(column, name, gap)
    this.draw()
  }

  clear() {
    this.columns = []
    this.#gaps = []
    this.draw()
  }

  /** How many of the columns are so for a watcher. @param {string} name @param {string[]} how */
  count(name, ...how) {
    return this.columns.filter(({ had }) => how.includes(had.get(name) ?? '')).length
  }

  draw() {
    if (this.#due) return
    this.#due = true
    setTimeout(() => {
      this.#due = false
      for (const [name, strip] of this.#lanes) this.#drawLane(name, strip)
    }, DRAWN)
  }

  /** @param {string} name @param {HTMLElement} strip */
  #drawLane(name, strip) {
    const newest = this.columns.findLast(({ had }) => ['had', 'replayed', 'lost'].includes(had.get(name) ?? ''))
    this.columns.forEach((column, nth) => {
      const cell = strip.children[nth]
      if (!cell) return
      const how = column.had.get(name) ?? 'wanting'
      const kind = `${how}${column === newest && name !== 'log' ? ' here' : ''}`
      if (cell.className !== kind) cell.className = kind
      cell.setAttribute('data-key', column.key ?? '')
    })
    for (let nth = this.columns.length; nth < strip.children.length; nth++) {
      const cell = strip.children[nth]
      if (cell && cell.className) cell.className = ''
    }
  }
}
