'use client'

import { Weir, type Options } from '@weir/client'
import { createContext, createElement, useContext, useEffect, useMemo, useState, type ReactElement, type ReactNode } from 'react'
import { useNewest, valueOf } from './stable.js'

const Context = createContext<Weir | null>(null)

/** A client of the application's own, which is never closed here, or the options of one that lives as long as the provider. */
export type WeirProviderProps = { readonly children?: ReactNode } & (
  | { readonly client: Weir; readonly options?: never }
  | { readonly client?: never; readonly options?: Options }
)

/** Gives all that is below it one client, and with it one connection. */
export function WeirProvider({ client, options, children }: WeirProviderProps): ReactElement {
  const own = useOwnClient(options ?? {})
  return createElement(Context.Provider, { value: client ?? own }, children)
}

/** The client of the provider above. */
export function useWeir(): Weir {
  const weir = useContext(Context)
  if (!weir) throw new Error('no <WeirProvider> above: what uses weir has to be rendered inside of one')
  return weir
}

/** A client of its own opens nothing until somebody subscribes, so one that nobody asks for costs nothing. */
function useOwnClient(options: Options): Weir {
  const newest = useNewest(options)
  const [life, setLife] = useState(0)
  const key = valueOf(options)
  const own = useMemo(() => ({ weir: new Weir(throughNewest(options, newest)), held: false, closed: false }), [key, life])
  useEffect(() => {
    own.held = true
    // It was hidden and is shown again, which is a second life to React and none to a client that was closed.
    if (own.closed) setLife(life + 1)
    return () => {
      own.held = false
      // StrictMode ends every effect once and begins it again at once, for which a connection need not be closed.
      queueMicrotask(() => {
        if (own.held) return
        own.closed = true
        own.weir.close()
      })
    }
  }, [own])
  return own.weir
}

/** The same options, whose functions are always those of the newest render. */
function throughNewest(options: Options, newest: { readonly current: Options }): Options {
  const { token, fallback } = options
  return {
    ...options,
    ...(typeof token === 'function' && {
      token: () => {
        const { token: now } = newest.current
        return typeof now === 'function' ? now() : token()
      },
    }),
    ...(typeof fallback === 'object' && {
      fallback: {
        every: fallback.every,
        poll: (signal) => {
          const { fallback: now } = newest.current
          return typeof now === 'object' ? now.poll(signal) : fallback.poll(signal)
        },
      },
    }),
  }
}
