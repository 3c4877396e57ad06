/** What several want together. */

import type { Want } from './link.js'

/** As many types, and keys, weir filters by on one connection. */
const FILTERS = 64

/**
 * Everything that one of them lists, in an order that does not depend on who came first; null, which is all, where one of them wants
 * all, or it is too much to filter by.
 */
export const union = (wants: readonly Omit<Want, 'from'>[]) => ({
  sessions: join(wants, 'sessions', Infinity)!,
  types: join(wants, 'types', FILTERS),
  keys: join(wants, 'keys', FILTERS),
})

const join = (wants: readonly Omit<Want, 'from'>[], list: 'sessions' | 'types' | 'keys', most: number) => {
  const names = new Set(wants.flatMap((want) => want[list]))
  return names.has(null) || names.size > most ? null : ([...names] as string[]).sort()
}
