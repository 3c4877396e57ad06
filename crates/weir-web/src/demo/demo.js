// @ts-check
// Publishes to a session, and shows what comes of it.

const address = 'v1/sessions/demo/events'
const form = /** @type {HTMLFormElement} */ (document.getElementById('form'))
const text = /** @type {HTMLInputElement} */ (document.getElementById('text'))

new EventSource(address).onmessage = ({ data }) => {
  const row = document.createElement('li')
  row.textContent = data
  document.getElementById('events')?.prepend(row)
}

form.addEventListener('submit', (event) => {
  event.preventDefault()
  void fetch(address, { method: 'POST', body: text.value })
  form.reset()
})
