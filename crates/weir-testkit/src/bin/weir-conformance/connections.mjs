// For servers that are killed while the suite runs, which has no notion of a connection that fails. A call without effect
// is made again where its connection failed; any other is not, since it may have been carried out. Which connections failed
// during each try of each test is written down, one line of JSON for each try, so that a failure is only excused where one did, and
// not where a call got no answer at all.
import { appendFileSync } from 'node:fs'
import diagnostics from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach } from 'vitest'

const FAILED = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])
const WITHOUT_EFFECT = new Set(['GET', 'HEAD'])
const MOST_TRIES = 5
// A call without an answer for so long hangs: no long-poll of the suite waits longer than a second.
const PATIENCE_MS = 10_000

let failures = []
let repeated = 0
let hung = 0

const isFailure = (error) => FAILED.has(error?.code) || FAILED.has(error?.cause?.code)

// Of bodies too, which end long after their call was answered.
diagnostics.subscribe('undici:request:error', ({ request, error }) => {
  if (isFailure(error)) failures.push(`${request.method}: ${error.code ?? error.cause.code}`)
})

const call = globalThis.fetch
globalThis.fetch = async (input, init) => {
  const method = (init?.method ?? input.method ?? 'GET').toUpperCase()
  for (let tries = 1; ; tries++) {
    const last = tries === MOST_TRIES || !WITHOUT_EFFECT.has(method)
    const patience = setTimeout(() => { hung += 1 }, PATIENCE_MS)
    try {
      const answer = await call(input, init)
      // The balancer's own, for an instance that went away in between.
      if (!answer.headers.has('x-no-instance')) return answer
      failures.push(`${method}: ${answer.status} of the balancer`)
      if (last) return answer
      await answer.body?.cancel()
    } catch (error) {
      if (last || !isFailure(error)) throw error
    } finally {
      clearTimeout(patience)
    }
    repeated += 1
    await sleep(100 * tries)
  }
}

beforeEach(() => {
  failures = []
  repeated = 0
  hung = 0
})

afterEach(({ task }) => {
  const passed = task.result.state !== 'fail'
  const error = passed ? null : task.result.errors?.at(-1)?.message
  const line = { test: task.fullTestName, passed, error, failures, repeated, hung }
  appendFileSync(process.env.CONFORMANCE_TRIES, JSON.stringify(line) + '\n')
})
