// Stands for the database that all API servers share: every call is one transaction, and its time rises with each change.
const CUSTOMERS = ['Ada Lovelace', 'Barbara Liskov', 'Edsger Dijkstra', 'Frances Allen', 'Grace Hopper', 'Hedy Lamarr', 'Leslie Lamport', 'Tony Hoare']
const STATES = ['new', 'paid', 'packing', 'sent']

const orders = new Map()
let last = 0

const now = () => (last = Math.max(Date.now(), last + 1))

const count = (given) => Number.isSafeInteger(given) && given > 0 ? given : 0

function missing (id) {
  return Object.assign(new Error(`there is no order ${id}`), { status: 404 })
}

/** A change, and the figures that are others because of it. */
function change (order, patch) {
  const before = calls.figures()
  orders.set(order.id, Object.assign(order, patch, { ts: now() }))
  const figures = Object.entries(calls.figures()).filter(([name, value]) => name !== 'ts' && value !== before[name])
  return { order, patch, ts: order.ts, figures: Object.fromEntries(figures) }
}

export const calls = {
  list: ({ state, most = 12 }) => {
    const all = [...orders.values()].reverse()
    const counts = Object.fromEntries(STATES.map((name) => [name, all.filter((order) => order.state === name).length]))
    return { orders: all.filter((order) => !state || order.state === state).slice(0, most), counts }
  },
  get: ({ id }) => orders.get(id) ?? missing(id),
  create: ({ customer, items, total }) => {
    const id = `ord_${1001 + orders.size}`
    // Whatever a caller sends: an object can be made neither a text nor a number of without its help.
    const name = typeof customer === 'string' ? customer.slice(0, 100) : ''
    const order = { customer: name, items: count(items), total: count(total), state: 'new', packed: 0, note: '' }
    return change({ id }, order)
  },
  // Nothing else may be set, and each of them says all that its event replaces.
  update: ({ id, state, packed, note }) => {
    const order = orders.get(id)
    if (!order) return missing(id)
    const patch = {}
    if (STATES.includes(state)) patch.state = state
    if (Number.isInteger(packed)) patch.packed = Math.max(0, Math.min(order.items, packed))
    if (typeof note === 'string') patch.note = note.slice(0, 200)
    return change(order, patch)
  },
  figures: () => {
    const all = [...orders.values()]
    const sent = all.filter(({ state }) => state === 'sent')
    return { open: all.length - sent.length, sent: sent.length, revenue: sent.reduce((sum, { total }) => sum + total, 0), ts: last }
  }
}

const any = (list) => list[Math.floor(Math.random() * list.length)]

/** What customers and packers do, one thing at a time, as a call to the API. */
export function somethingHappens () {
  const open = [...orders.values()].filter(({ state }) => state !== 'sent')
  if (open.length < 8 || (open.length < 14 && Math.random() < 0.2)) {
    const items = 2 + Math.floor(Math.random() * 8)
    return ['POST', '/api/orders', { customer: any(CUSTOMERS), items, total: items * (900 + Math.floor(Math.random() * 4000)) }]
  }
  const { id, state, packed, items } = any(open)
  if (state === 'packing' && packed < items) return ['PATCH', `/api/orders/${id}`, { packed: packed + 1 }]
  return ['PATCH', `/api/orders/${id}`, { state: STATES[STATES.indexOf(state) + 1] }]
}

for (let nth = 0; nth < 24; nth++) {
  const { id, items } = calls.create({ customer: CUSTOMERS[nth % 8], items: 3 + nth % 5, total: 1900 + 731 * (nth % 11) }).order
  const state = STATES[Math.min(3, Math.floor((23 - nth) / 4))]
  calls.update({ id, state, packed: { packing: 1, sent: items }[state] ?? 0 })
}
