// The board. What is shown is what TanStack Query has fetched; what happens elsewhere patches it, and has lists fetched anew.
import { keepPreviousData, QueryClient, QueryClientProvider, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useStatus, useWeir, WeirProvider } from '@weir/react'
import { useQueryPatches } from '@weir/react/query'
import { useEffect, useReducer, useRef, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { fetchWithHeartbeat, useHeartbeat } from './heartbeat.js'

const STATES = ['new', 'paid', 'packing', 'sent']
const NEXT = { new: ['paid', 'Mark as paid'], paid: ['packing', 'Start packing'], packing: ['sent', 'Mark as sent'] }

const euros = new Intl.NumberFormat('en', { style: 'currency', currency: 'EUR' })
const money = (cents) => euros.format(cents / 100)

async function call (path, method = 'GET', body) {
  // An API server that is killed in the middle never answers.
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`/api/${path}`, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(5000) })
  const said = await answer.json()
  if (!answer.ok) throw new Error(said.error)
  return said
}

/** Everything that happened, the newest first. */
function useLog () {
  const weir = useWeir()
  const [entries, add] = useReducer((all, entry) => [{ nth: (all[0]?.nth ?? 0) + 1, ...entry }, ...all].slice(0, 40), [])
  useEffect(() => weir.on('problem', ({ kind, message }) => {
    console.warn(`${kind}: ${message}`)
    add({ what: kind === 'event' ? 'skipped' : kind, text: message })
  }), [weir])
  const hear = ({ type, value: { id, patch } }) => add({ what: type, text: `${id} ${JSON.stringify(patch)}` })
  const miss = ({ reason }) => add({ what: 'gap', text: `${reason}: everything is fetched anew` })
  return { entries, hear, miss }
}

function Connection () {
  const weir = useWeir()
  const { state, failures, retryAt } = useStatus()
  const { at, ping } = useHeartbeat()
  const [, tick] = useReducer((n) => n + 1, 0)
  useEffect(() => {
    const timer = setInterval(tick, 1000)
    return () => clearInterval(timer)
  }, [])
  const wait = retryAt && Math.max(0, Math.ceil((retryAt - Date.now()) / 1000))
  return (
    <div className="connection" data-state={state}>
      <span role="status"><i aria-hidden="true" /><b id="state">{state}</b></span>
      {state !== 'live' && wait !== null && <span id="wait">try {failures + 1} in {wait} s</span>}
      {(state === 'offline' || retryAt) && <button onClick={() => weir.retry()}>Try now</button>}
      <span className="quiet">heard <time id="heartbeat" data-ping={ping}>{at ? new Date(at).toLocaleTimeString('en-GB') : '–'}</time></span>
    </div>
  )
}

/** Not subscribed to where it is not shown: then the server does not send it at all. */
function Figures ({ log }) {
  const { data } = useQuery({ queryKey: ['figures'], queryFn: () => call('figures') })
  useQueryPatches('orders', {
    types: ['metric.updated'],
    all: [['figures']],
    detail: () => ['figures'],
    patch: (old, { value: { id, patch } }) => ({ ...old, [id]: patch.value }),
    onEvent: log.hear
  })
  return (
    <dl className="figures">
      <div><dt>open</dt><dd id="open">{data?.open ?? '–'}</dd></div>
      <div><dt>sent</dt><dd id="sent">{data?.sent ?? '–'}</dd></div>
      <div><dt>revenue</dt><dd id="revenue">{data ? money(data.revenue) : '–'}</dd></div>
    </dl>
  )
}

function Row ({ order, isChosen, choose }) {
  const row = useRef(null)
  const seen = useRef(order.ts)
  useEffect(() => {
    if (seen.current !== order.ts) row.current.animate([{ backgroundColor: 'var(--flash)' }, {}], 1500)
    seen.current = order.ts
  }, [order.ts])
  return (
    <tr ref={row} id={order.id} className={isChosen ? 'chosen' : ''}>
      <th scope="row"><button aria-pressed={isChosen} onClick={() => choose(order.id)}>{order.id}</button></th>
      <td>{order.customer}</td>
      <td><span className={`pill ${order.state}`}>{order.state}</span></td>
      <td className="packed">{order.packed} / {order.items}</td>
      <td className="money">{money(order.total)}</td>
    </tr>
  )
}

function List ({ chosen, choose }) {
  const [state, setState] = useState(null)
  const { data, error } = useQuery({
    queryKey: ['orders', 'list', state],
    queryFn: () => call(`orders${state ? `?state=${state}` : ''}`),
    placeholderData: keepPreviousData
  })
  return (
    <section className="list" aria-label="Orders">
      <div className="chips" role="group" aria-label="State">
        <button aria-pressed={!state} onClick={() => setState(null)}>all</button>
        {STATES.map((name) => (
          <button key={name} aria-pressed={state === name} onClick={() => setState(name)}>{name} <small>{data?.counts[name]}</small></button>
        ))}
      </div>
      {error && <p role="alert">{error.message}</p>}
      <table>
        <thead>
          <tr>{['order', 'customer', 'state', 'packed', 'money'].map((name) => <th key={name} scope="col" className={name}>{name === 'money' ? 'total' : name}</th>)}</tr>
        </thead>
        <tbody>{data?.orders.map((order) => <Row key={order.id} order={order} isChosen={chosen === order.id} choose={choose} />)}</tbody>
      </table>
    </section>
  )
}

function Detail ({ id }) {
  const section = useRef(null)
  const queries = useQueryClient()
  const queryKey = ['orders', 'detail', id]
  const { data: order, error } = useQuery({ queryKey, queryFn: () => call(`orders/${id}`) })
  const change = useMutation({
    mutationFn: (patch) => call(`orders/${id}`, 'PATCH', patch),
    // The answer may be older than an event that came meanwhile.
    onSuccess: (made) => queries.setQueryData(queryKey, (old) => (old && old.ts > made.ts ? old : made))
  })
  const pack = async () => {
    for (let packed = order.packed + 1; packed <= order.items; packed++) await change.mutateAsync({ packed })
  }
  // On a phone it is far below.
  useEffect(() => section.current.scrollIntoView({ block: 'nearest' }), [id])
  if (!order) return <section ref={section} className="detail"><p role={error ? 'alert' : undefined}>{error?.message ?? 'loading …'}</p></section>
  const [next, label] = NEXT[order.state] ?? []
  return (
    <section ref={section} className="detail" aria-label={`Order ${id}`}>
      <h2>{id} <span id="detail-state" className={`pill ${order.state}`}>{order.state}</span></h2>
      <p>{order.customer}, {money(order.total)}</p>
      <label>packed <span id="detail-packed">{order.packed} / {order.items}</span>
        <progress max={order.items} value={order.packed} />
      </label>
      <p id="detail-note" className="quiet">{order.note || 'no note'}</p>
      <div className="actions">
        {next && <button id="next" onClick={() => change.mutate({ state: next })}>{label}</button>}
        {order.state === 'packing' && order.packed < order.items && <button id="pack" onClick={pack}>Pack all</button>}
      </div>
      {change.error && <p role="alert">{change.error.message}</p>}
    </section>
  )
}

function Board () {
  const [chosen, choose] = useState(null)
  const [withFigures, setWithFigures] = useState(true)
  const log = useLog()
  useQueryPatches('orders', {
    types: ['order.created', 'order.updated'],
    all: [['orders']],
    // The detail, too, is fetched anew: what came in the same quarter of a second is merged, and of two API servers the older may be kept.
    lists: ({ value }) => [['orders', 'list'], ['orders', 'detail', value.id]],
    detail: ({ value }) => ['orders', 'detail', value.id],
    onEvent: log.hear,
    onGap: log.miss
  })
  return (
    <>
      <header><h1>Orders</h1><Connection /></header>
      <main>
        <div className="top">
          {withFigures && <Figures log={log} />}
          <label className="quiet"><input id="with-figures" type="checkbox" checked={withFigures} onChange={() => setWithFigures(!withFigures)} /> figures</label>
        </div>
        <List chosen={chosen} choose={choose} />
        <aside>
          {chosen ? <Detail key={chosen} id={chosen} /> : <section className="detail"><p className="quiet">Choose an order to see it here.</p></section>}
          <section className="log" aria-label="Events">
            <h2>Events</h2>
            <ol id="log">{log.entries.map(({ nth, what, text }) => <li key={nth} data-what={what}><b>{what}</b> {text}</li>)}</ol>
          </section>
        </aside>
      </main>
    </>
  )
}

const queries = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } })
// At most one event per key in a quarter of a second: nobody reads faster.
const options = { url: WEIR_URL, conflate: 250, fetch: fetchWithHeartbeat }

createRoot(document.getElementById('root')).render(
  <QueryClientProvider client={queries}>
    <WeirProvider options={options}><Board /></WeirProvider>
  </QueryClientProvider>
)
