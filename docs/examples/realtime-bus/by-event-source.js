// The same by a bare EventSource, which reconnects and resumes by itself, and leaves the rest to us.

/** After so many errors in a row the page polls. */
const MOST_ERRORS = 3

export function follow ({ url, types, event, lost, status, poll, every }) {
  let errors = 0
  let polling

  function open () {
    // Across reconnects the browser keeps the last id; across reloads of the page somebody has to.
    const last = sessionStorage.getItem('last-event-id')
    const source = new EventSource(`${url}/v1/sessions/matches/events${last ? `?lastEventId=${encodeURIComponent(last)}` : ''}`)
    const on = (type, handle) => source.addEventListener(type, ({ data, lastEventId }) => {
      if (lastEventId) sessionStorage.setItem('last-event-id', lastEventId)
      handle(JSON.parse(data))
    })
    // Not at `open`: a balancer without instances answers, too, with a stream that ends at once and says when to come back.
    on('weir.connected', () => {
      clearInterval(polling)
      errors = 0
      polling = undefined
      status('live', 0)
    })
    for (const type of types) on(type, (value) => event(type, value))
    on('weir.gap', lost)
    on('weir.ping', () => {})
    on('weir.degraded', () => status('degraded', 0))
    on('weir.restored', () => status('live', 0))
    on('weir.shutdown', ({ reconnect }) => status(`going away, back in ${(reconnect / 1000).toFixed(1)} s`, errors))
    source.onerror = () => {
      errors += 1
      if (errors >= MOST_ERRORS && !polling) {
        polling = setInterval(poll, every)
        poll()
      }
      status(polling ? 'polling' : 'connecting', errors)
      // An answer that is no stream ends an EventSource for good; a lost connection and a soft refusal do not.
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 4000 + Math.random() * 2000)
    }
  }
  open()
}
