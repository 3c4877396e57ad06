// Usage: node node-eventsource.cjs URL NAME...
// The npm package `eventsource`: the interface of browsers. It reconnects by itself, with the last id it saw.
const { EventSource } = require('eventsource')

const [url, ...names] = process.argv.slice(2)
const source = new EventSource(url)
for (const name of names) {
  source.addEventListener(name, ({ lastEventId, type, data }) => {
    console.log(JSON.stringify({ id: lastEventId, event: type, data }))
  })
}
// Whatever the test does, this process does not stay.
setTimeout(() => process.exit(3), 120_000)
