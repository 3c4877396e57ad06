/** The tab that has the connection: what all tabs want together is wanted of one link. */

import type { Heard, OpenLink, Want } from './link.js'
import { earlier } from './order.js'
import { IDLE } from './request.js'
import type { Options, Status } from './types.js'
import { union } from './union.js'

/** How long a new leader waits for what the others want, so that it asks once for all of them. */
const GATHER = 50

/** What a leader does for the tabs. */
export interface Leader {
  /** What this tab wants from now on. */
  want(tab: string, nth: number, want: Want): void
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
  const { signal } = gone
  let ready = false
  let wanted = ''
  let position: string | null = null
  let status: Status = IDLE

  const link = open(options, (heard) => {
    // That the link is closed is nothing to the others: the next leader opens another.
    if (signal.aborted) return
    if (heard.kind === 'position') position = heard.id
    if (heard.kind === 'status') status = heard.status
    tell([heard])
  })
  const refresh = () => {
    if (!ready || signal.aborted) return
    const want = union([...wants.values()])
    const next = JSON.stringify(want)
    let from = position
    for (const tab of fresh.keys()) from = earlier(from, wants.get(tab)!.from)
    if (next !== wanted || from !== position) {
      wanted = next
      position = from
      link.want({ ...want, from })
    }
    const answer: Heard[] = [{ kind: 'status', status }]
    if (position) answer.push({ kind: 'position', id: position })
    // Whoever is told may close it.
    for (const [tab, nth] of fresh) if (!signal.aborted) tell(answer, tab, nth)
    fresh.clear()
  }
  setTimeout(() => {
    ready = true
    refresh()
  }, GATHER)

  return {
    want(tab, nth, want) {
      // Each tab holds a lock of its own name: whoever gets it knows that the tab is gone, also where it crashed. To be told less is
      // not worth a connection: what it wanted is left out when another comes.
      const drop = () => wants.delete(tab) && fresh.delete(tab)
      if (!wants.has(tab)) navigator.locks.request(tab, { signal }, drop).catch(() => {})
      wants.set(tab, want)
      fresh.set(tab, nth)
      refresh()
    },
    retry: () => link.retry(),
    close() {
      gone.abort()
      link.close()
    },
  }
}
