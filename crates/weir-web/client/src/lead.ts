/** The tab that has the connection: what all tabs want together is wanted of one link. */

import type { Heard, Link, OpenLink, Want } from './link.js'
import { compare } from './order.js'
import type { Options, Status } from './types.js'
import { union } from './union.js'

/** How long a new leader waits for what the others want, so that it asks once for all of them. */
const GATHER = 50

/** What a leader does for the tabs. */
export interface Leader {
  /** What this tab wants from now on. */
  want(tab: string, nth: number, want: Want | null): void
  retry(): void
  close(): void
}

/** Whom a leader tells something: one tab, as an answer to its want with this number; or all of them. */
export type Tell = (heard: readonly Heard[], tab?: string, nth?: number) => void

/** Leads until it is closed. */
export const lead = (open: OpenLink, options: Options, tell: Tell): Leader => {
  const wants = new Map<string, Want>()
  /** Tabs that were not answered yet. Up to the position of the link all the others were told everything. */
  const fresh = new Map<string, number>()
  const gone = new AbortController()
  let wanted: Want | null = null
  let position: string | null = null
  let status: Status | undefined

  const link: Link = open(options, (heard) => {
    // That the link is closed is nothing to the others: the next leader opens another.
    if (gone.signal.aborted) return
    if (heard.kind === 'position') position = heard.id
    if (heard.kind === 'status') status = heard.status
    tell([heard])
  })

  const refresh = () => {
    let from = wanted && position
    for (const tab of fresh.keys()) {
      const theirs = wants.get(tab)?.from ?? null
      if (theirs !== null && (from === null || compare(theirs, from) < 0)) from = theirs
    }
    const all = [...wants.values()]
    const next = all.length
      ? { sessions: union(all, 'sessions')!, types: union(all, 'types'), keys: union(all, 'keys'), from }
      : null
    // What no tab wants any more is left out when there is something to ask for anew: to be told less is not worth a connection.
    if (next && wanted && from === position ? !covers(wanted, next) : next !== wanted) {
      wanted = next
      position = from
      link.want(next)
    }
    const answer: Heard[] = []
    if (position !== null) answer.push({ kind: 'position', id: position })
    if (status) answer.push({ kind: 'status', status })
    for (const [tab, nth] of fresh) tell(answer, tab, nth)
    fresh.clear()
  }

  let gathering: unknown = setTimeout(() => {
    gathering = null
    refresh()
  }, GATHER)

  return {
    want(tab, nth, want) {
      // Each tab holds a lock of its own name: whoever gets it knows that the tab is gone, also where it crashed.
      if (!wants.has(tab)) {
        const left = () => {
          wants.delete(tab)
          if (!gathering) refresh()
        }
        navigator.locks.request(tab, { signal: gone.signal }, left).catch(() => {})
      }
      if (want) wants.set(tab, want)
      else wants.delete(tab)
      fresh.set(tab, nth)
      if (!gathering) refresh()
    },
    retry: () => link.retry(),
    close() {
      gone.abort()
      clearTimeout(gathering as number)
      link.close()
    },
  }
}

/** Whether who wants `much` has `some` as well. */
const covers = (much: Want, some: Want) =>
  (['sessions', 'types', 'keys'] as const).every(
    (list) => !much[list] || (some[list]?.every((name) => much[list]!.includes(name)) ?? false),
  )
