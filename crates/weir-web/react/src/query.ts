'use client'

/** weir and TanStack Query: patch the detail, invalidate the list. */

import { useQueryClient } from '@tanstack/react-query'
import { useEffect } from 'react'
import { isAny, type Sessions } from './hooks.js'
import { patchQueries, type Envelope, type QueryPatches } from './patches.js'
import { useWeir } from './provider.js'
import { useNewest, valueOf } from './stable.js'

export type { Envelope, QueryPatches } from './patches.js'

/**
 * Keeps what TanStack Query has fetched up to date by the events of these sessions. Once on a page is enough, above whatever
 * queries. `D` is what a detail holds.
 */
export function useQueryPatches<T = Envelope, D = unknown>(sessions: Sessions, options: QueryPatches<T, D>): void {
  const weir = useWeir()
  const queries = useQueryClient()
  const newest = useNewest(options)
  const { types, keys, from } = options
  useEffect(() => {
    if (!isAny(sessions)) return
    const subscription = patchQueries(weir, queries, sessions, () => newest.current)
    return () => subscription.close()
  }, [weir, queries, valueOf([sessions, types, keys, from])])
}
