// The public suite of Durable Streams, unchanged. Its own command runs it from within `node_modules`, where vitest looks for no tests.
import { runConformanceTests } from '@durable-streams/server-conformance-tests'

runConformanceTests({
  baseUrl: process.env.CONFORMANCE_URL,
  longPollTimeoutMs: Number(process.env.CONFORMANCE_LONG_POLL_MS),
  subscriptions: false
})
