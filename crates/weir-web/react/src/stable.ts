/** What is to stay the same from one render to the next. */

import { useInsertionEffect, useRef } from 'react'

/** Holds what was given last, for whoever is called between renders. */
export function useNewest<T>(given: T): { readonly current: T } {
  const newest = useRef(given)
  // Of all effects the first, so that each of the others finds it.
  useInsertionEffect(() => {
    newest.current = given
  })
  return newest
}

/** Two are equal where they say the same. Of a function only counts that there is one, since each render makes it anew. */
export const valueOf = (given: unknown): string =>
  JSON.stringify(given, (_, part: unknown) => (typeof part === 'function' ? '()' : part))
