// Usage: node node-eventsource-client.cjs URL
// The npm package `eventsource-client`: hands on events of any name. It reconnects by itself, with the last id it saw.
const { createEventSource } = require('eventsource-client')

createEventSource({
  url: process.argv[2],
  onMessage: ({ id, event, data }) => {
    console.log(JSON.stringify({ id: id ?? '', event: event ?? 'message', data }))
  },
})
// Whatever the test does, this process does not stay.
setTimeout(() => process.exit(3), 120_000)
