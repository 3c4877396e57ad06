// Live updates by weir's own client, which does the counting, the polling and the coming back.
import { Weir } from './weir-client.js'

export function follow ({ url, types, event, lost, status, poll, every }) {
  const weir = new Weir({ url, keep: true, fallback: { every, poll } })
  weir.on('status', ({ state, by, failures }) => status(by === 'poll' ? 'polling' : state, failures))
  weir.subscribe('matches', ({ type, value }) => event(type, value), { types, parse: JSON.parse, onGap: lost })
}
