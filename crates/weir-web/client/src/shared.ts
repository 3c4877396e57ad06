/**
 * One connection for all tabs of an origin.
 *
 * Whoever holds the lock leads: it opens a link for what all tabs want together, and tells on a channel what it hears. The others wait
 * for the lock, which the browser gives to the next one as soon as the leader's tab is closed or has crashed. The new leader goes on
 * from the least position of all; each tab passes over what it was told already.
 */

import { openDirect } from './direct.js'
import { lead, type Leader } from './lead.js'
import type { Heard, OpenLink, Want } from './link.js'
import { about, had } from './order.js'
import { IDLE, listen } from './request.js'

/** How often a tab that is looked at makes sure that the leader is alive. After three times in silence the lead is taken over. */
const LOOK = 3_000

/** What a leader says: to one tab, or to all. Each has a higher term than the one before, so that one that was put out is not heard. */
interface Told {
  readonly term: number
  readonly heard: readonly Heard[]
  readonly tab: string | undefined
  readonly nth: number | undefined
}

/** One stay among the tabs. It ends when the tab is closed, or wants nothing, and before the page is frozen or kept for the way back. */
interface Seat {
  /** Says what this tab wants. */
  say(): void
  retry(): void
  leave(): void
}

/** Shares the links that `open` makes. */
export const share =
  (open: OpenLink): OpenLink =>
  (options, hear) => {
    // Web Locks are there in secure contexts alone: by https, and on localhost.
    const { locks } = globalThis.navigator ?? {}
    if (!locks || !globalThis.BroadcastChannel) return open(options, hear)

    // Another number is another way to talk: pages of before and after a deploy may be open at once.
    const name = `weir 1 ${options.shared}`
    const closed = new AbortController()
    let mine: Want | null = null
    let term = 0
    /** After a gap of this kind positions begin anew, perhaps below those of before. */
    let anew = false
    let seat: Seat | undefined

    const take = (heard: Heard) => {
      if (!mine) return
      const place = about(heard)
      const { session, reason } = place
      if (heard.kind === 'gap' && session && !mine.sessions.includes(session)) return
      if (reason === 'reset' || reason === 'unknown-id') anew = true
      // The leader goes back for a tab that comes later.
      if (!anew && had(place, mine.from)) return
      if (heard.kind === 'position') {
        anew = false
        mine = { ...mine, from: heard.id }
      }
      hear(heard)
    }

    const sit = (): Seat => {
      const me = crypto.randomUUID()
      const channel = new BroadcastChannel(name)
      const left = new AbortController()
      let turn: AbortController | undefined
      let leader: Leader | undefined
      let nth = 0
      /** Whether the leader knows what this tab wants. Until then what it tells may have holes for this tab. */
      let known = false
      let silent = 0

      const say = () => {
        known = false
        nth++
        if (leader) leader.want(me, nth, mine!)
        else channel.postMessage({ from: me, nth, want: mine })
      }
      const obey = ({ heard, tab, nth: to }: Told) => {
        if (tab === me && to === nth) known = true
        if (known && (tab ?? me) === me) heard.forEach(take)
      }
      const tell = (heard: readonly Heard[], tab?: string, to?: number) => {
        const told = { term, heard, tab, nth: to }
        if (tab !== me) channel.postMessage(told)
        obey(told)
      }
      channel.onmessage = ({ data }) => {
        const news = data.term > term
        if (leader ? news : data.term >= term) {
          silent = 0
          term = data.term
          // Of two that lead one was put out while its page stood still.
          if (leader) return again()
          if (news) say()
          obey(data)
        } else if (leader) {
          if (data.from) leader.want(data.from, data.nth, data.want)
          else if (data.retry) leader.retry()
          else if (data.ask) tell([])
        }
      }
      const held = (signal: AbortSignal) => new Promise((done) => signal.addEventListener('abort', done))
      const queue = (steal: boolean) => {
        turn?.abort()
        const { signal } = (turn = new AbortController())
        const begin = () => {
          if (signal.aborted) return
          // No two that take over at the same moment have the same.
          term = Math.max(term + 1, Date.now()) + Math.random()
          leader = lead(open, options, tell)
          tell([])
          say()
          return held(signal)
        }
        locks.request(name, steal ? { steal } : { signal }, begin).catch(() => signal.aborted || again())
      }
      const look = () => {
        if (leader || globalThis.document?.hidden) return
        if (++silent > 2) queue(true)
        else if (silent > 1) channel.postMessage({ ask: true })
      }
      const timer = setInterval(look, LOOK)
      const { signal } = left
      const begin = () => {
        say()
        queue(false)
        return held(signal)
      }
      locks.request(me, { signal }, begin).catch(() => {
        if (signal.aborted) return
        leave()
        // The browser lets it have no lock, as without cookies.
        const own = open(options, take)
        seat = { say: () => own.want(mine), retry: () => own.retry(), leave: () => own.close() }
        seat.say()
      })
      return {
        say,
        retry: () => (leader ? leader.retry() : channel.postMessage({ retry: true })),
        leave() {
          clearInterval(timer)
          leader?.close()
          turn?.abort()
          left.abort()
          channel.close()
        },
      }
    }

    const join = () => {
      if (mine) seat ??= sit()
    }
    const leave = () => {
      seat?.leave()
      seat = undefined
    }
    const again = () => {
      leave()
      join()
    }
    // A page that stands still must not hold the lead; and one with a lock or a channel is not kept for the way back.
    listen('freeze pagehide', closed.signal, leave)
    listen('resume pageshow', closed.signal, join)

    return {
      want(want) {
        const before = mine
        mine = want
        anew = false
        if (!want || !before) hear({ kind: 'status', status: { ...IDLE, state: want ? 'connecting' : 'idle' } })
        if (!want) leave()
        else if (seat) seat.say()
        else join()
      },
      retry() {
        seat?.retry()
      },
      close() {
        mine = null
        closed.abort()
        leave()
      },
    }
  }

export const openShared = share(openDirect)
