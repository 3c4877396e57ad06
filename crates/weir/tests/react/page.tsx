// A page that a test tells what to render, and that remembers what happened.
import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query'
import { Weir } from '@weir/client'
import { useLatest, useStatus, useSubscription, WeirProvider } from '@weir/react'
import { type Envelope, useQueryPatches } from '@weir/react/query'
import { Activity, StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'

interface Given {
  url: string
  /** Makes another client. */
  tries?: number
  sessions: string | string[] | null
  types?: string[]
  /** Which handler is at work. */
  handler: string
  /** Whether the orders are shown. */
  board: boolean
  /** Whether React keeps all of it without its effects. */
  hidden?: boolean
  rendered: () => void
}

interface Order {
  id: string
  state: string
  ts: number
}

const given = { sessions: 'a', handler: 'first', board: false } as Given

/** What happened, for the test to look at. */
const seen = {
  events: [] as string[],
  gaps: [] as string[],
  states: [] as string[],
  mounts: 0,
  subscribed: 0,
  closed: 0,
  effects: 0,
  fetches: { list: 0, detail: 0 },
}

const { subscribe, close } = Weir.prototype
Weir.prototype.subscribe = function (this: Weir, ...given: Parameters<typeof subscribe>) {
  seen.subscribed += 1
  return subscribe.apply(this, given)
} as typeof subscribe
Weir.prototype.close = function () {
  seen.closed += 1
  close.call(this)
}

/** What the application's own server answers, and whether it keeps callers waiting. */
const api = {
  list: [] as string[],
  detail: { id: 'o1', state: 'new', ts: 1 } as Order,
  waiting: null as (() => void)[] | null,
}

/** Answers with what was so when it was asked, as a server does whose answer is on its way. */
async function ask<T>(what: 'list' | 'detail'): Promise<T> {
  seen.fetches[what] += 1
  const answer = structuredClone(api[what]) as T
  if (api.waiting) await new Promise<void>((resolve) => api.waiting!.push(resolve))
  return answer
}

function Handler({ sessions, types, handler }: Given) {
  useSubscription(sessions, ({ session, value }) => seen.events.push(`${handler} ${session} ${value}`), {
    ...(types && { types }),
    parse: (data) => data.toUpperCase(),
    onGap: ({ reason }) => seen.gaps.push(`${handler} ${reason}`),
  })
  return null
}

function Latest({ sessions }: Given) {
  const latest = useLatest<{ n: number }>(sessions, { parse: JSON.parse, types: ['count'] })
  return <p id="latest">{latest ? `${latest.session} ${latest.value.n}` : 'none'}</p>
}

function State() {
  const { state, failures } = useStatus()
  if (seen.states.at(-1) !== state) seen.states.push(state)
  return (
    <p id="state" data-failures={failures}>
      {state}
    </p>
  )
}

function Board() {
  useQueryPatches<Envelope, Order>('orders', {
    all: [['orders']],
    lists: [['orders', 'list']],
    detail: ({ value }) => ['orders', 'detail', value.id],
    onGap: ({ reason }) => seen.gaps.push(reason),
  })
  const { data: list } = useQuery({ queryKey: ['orders', 'list'], queryFn: () => ask<string[]>('list') })
  const { data: detail } = useQuery({ queryKey: ['orders', 'detail', 'o1'], queryFn: () => ask<Order>('detail') })
  return (
    <>
      <p id="list">{list ? list.join(' ') : 'loading'}</p>
      <p id="detail">{detail?.state ?? 'loading'}</p>
    </>
  )
}

function Kept({ rendered }: Given) {
  // What is below a provider keeps its state, also where the client changes.
  const [mount] = useState(() => (seen.mounts += 1))
  useEffect(() => void (seen.effects += 1), [])
  useEffect(rendered)
  return <p id="mount">{mount}</p>
}

const queries = new QueryClient({
  defaultOptions: { queries: { staleTime: Infinity, refetchOnWindowFocus: false, retry: false } },
})

function Page(props: Given) {
  return (
    <QueryClientProvider client={queries}>
      <WeirProvider
        options={{
          url: props.url,
          backoff: { first: 50, most: 200 },
          fetch: (...given) => fetch(...given),
          ...(props.tries && { tries: props.tries }),
        }}
      >
        <State />
        <Kept {...props} />
        <Handler {...props} />
        <Latest {...props} />
        {props.board && <Board />}
      </WeirProvider>
    </QueryClientProvider>
  )
}

let root = createRoot(document.getElementById('root')!)

Object.assign(window, {
  seen,
  api,
  text: (id: string) => document.getElementById(id)?.textContent,
  render: (more: Partial<Given>) =>
    new Promise<void>((rendered) => {
      Object.assign(given, more, { rendered })
      // Anywhere but at the top of the root it would not end and begin the effects of a first render.
      root.render(
        <StrictMode>
          <Activity mode={given.hidden ? 'hidden' : 'visible'}>
            <Page {...given} />
          </Activity>
        </StrictMode>
      )
    }),
  unmount() {
    root.unmount()
    root = createRoot(document.getElementById('root')!)
  },
})
