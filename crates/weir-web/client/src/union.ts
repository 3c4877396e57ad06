/** What several want together. */

import type { Want } from './link.js'

/** As many types, and keys, weir filters by on one connection. */
const FILTERS = 64

/** Everything that one of them lists, in an order of its own; null, which is all, where one of them wants all, or it is too much to filter by. */
export const union = <List extends 'sessions' | 'types' | 'keys'>(wants: readonly Pick<Want, List>[], list: List) => {
  const lists = wants.map((want) => want[list] as Want[List])
  const names = lists.includes(null as never) ? null : [...new Set(lists.flatMap((names) => names!))].sort()
  return list !== 'sessions' && names && names.length > FILTERS ? null : names
}
