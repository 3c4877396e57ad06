import assert from 'node:assert/strict'
import { it } from 'node:test'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { Weir, type Options } from '@weir/client'
import { createElement, type ReactElement } from 'react'
import { renderToString } from 'react-dom/server'
import { useLatest, useStatus, useSubscription, useWeir, WeirProvider } from '../src/index.js'
import { useQueryPatches } from '../src/query.js'

const asked: string[] = []
const options: Options = { url: 'http://127.0.0.1:9', fetch: async (url) => Promise.reject(asked.push(`${url}`)) }

const wrapped = (inside: ReactElement, client?: Weir) =>
  createElement(
    QueryClientProvider,
    { client: new QueryClient() },
    client ? createElement(WeirProvider, { client }, inside) : createElement(WeirProvider, { options }, inside),
  )

it('renders on a server, where nothing is opened and nothing known', async () => {
  function Page() {
    useSubscription('orders', () => assert.fail('an event on a server'))
    useQueryPatches(['orders'], { all: [['orders']] })
    return createElement('p', null, `${useStatus().state} ${useLatest('orders')?.data ?? 'nothing'}`)
  }
  assert.equal(renderToString(wrapped(createElement(Page))), '<p>idle nothing</p>')
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.deepEqual(asked, [])
})

it('hands on the client that it was given', () => {
  const client = new Weir(options)
  const found: Weir[] = []
  function Page() {
    found.push(useWeir())
    return null
  }
  renderToString(wrapped(createElement(Page), client))
  assert.deepEqual(found, [client])
})

it('says what is missing where there is no provider', () => {
  function Page() {
    useStatus()
    return null
  }
  assert.throws(() => renderToString(createElement(Page)), /no <WeirProvider> above/)
})
