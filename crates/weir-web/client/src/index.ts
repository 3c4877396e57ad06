/**
 * Live updates from weir in a page.
 *
 * ```ts
 * const weir = new Weir()
 * weir.subscribe('orders', (event) => show(event.value), { parse: JSON.parse, onGap: reload })
 * ```
 */

export { Weir } from './client.js'
export type * from './types.js'
