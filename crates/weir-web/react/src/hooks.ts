'use client'

import type { Status, SubscribeOptions, WeirEvent } from '@weir/client'
import { useCallback, useEffect, useState, useSyncExternalStore } from 'react'
import { useWeir } from './provider.js'
import { useNewest, valueOf } from './stable.js'

/** One session, several, or none for now. */
export type Sessions = string | readonly string[] | null | undefined

/** Calls `handle` for each event. Handler and options may be made anew by every render: only what they say counts. */
export function useSubscription<T = string>(
  sessions: Sessions,
  handle: (event: WeirEvent<T>) => void,
  options: SubscribeOptions<T> = {},
): void {
  useEvents(sessions, (event) => handle(event), options)
}

/** The newest event; null before the first, and again once other sessions or other options are asked for. */
export function useLatest<T = string>(sessions: Sessions, options: SubscribeOptions<T> = {}): WeirEvent<T> | null {
  const [latest, setLatest] = useState<{ readonly of: string; readonly event: WeirEvent<T> } | null>(null)
  const asked = useEvents<T>(sessions, (event, of) => setLatest({ of, event }), options)
  return latest?.of === asked ? latest.event : null
}

const unopened: Status = { state: 'idle', by: 'stream', failures: 0, retryAt: null, problem: null }

/** What the connection is doing. On a server, and while its page is taken over, it is `idle`. */
export function useStatus(): Status {
  const weir = useWeir()
  const subscribe = useCallback((changed: () => void) => weir.on('status', changed), [weir])
  return useSyncExternalStore(
    subscribe,
    () => weir.status,
    () => unopened,
  )
}

/** What it returns stands for all that was asked for, and each event comes with that for which it came. */
function useEvents<T>(
  sessions: Sessions,
  handle: (event: WeirEvent<T>, of: string) => void,
  options: SubscribeOptions<T>,
): string {
  const weir = useWeir()
  const newest = useNewest({ handle, options })
  const asked = valueOf([sessions, options])
  useEffect(() => {
    if (!isAny(sessions)) return
    const hear = (event: WeirEvent<T>) => newest.current.handle(event, asked)
    const subscription = weir.subscribe(sessions, hear, throughNewest(options, () => newest.current.options))
    return () => subscription.close()
  }, [weir, asked])
  return asked
}

/** Whether it is about any session at all. */
export const isAny = (sessions: Sessions): sessions is string | readonly string[] => !!sessions && sessions.length > 0

/** The same options, whose functions are always those of the newest render. */
export function throughNewest<T>(options: SubscribeOptions<T>, newest: () => SubscribeOptions<T>): SubscribeOptions<T> {
  const { parse, stale } = options
  const of = stale?.of
  return {
    ...options,
    ...(parse && { parse: (data) => (newest().parse ?? parse)(data) }),
    ...(stale && {
      stale: {
        at: (event) => (newest().stale ?? stale).at(event),
        ...(of && { of: (event) => (newest().stale?.of ?? of)(event) }),
      },
    }),
    onGap: (gap) => newest().onGap?.(gap),
  }
}
