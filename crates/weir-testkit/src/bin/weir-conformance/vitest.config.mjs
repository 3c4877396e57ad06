const { CONFORMANCE_REPORT, CONFORMANCE_RETRIES } = process.env

export default {
  test: {
    include: ['suite.test.mjs'],
    // Nothing outlives the process.
    pool: 'threads',
    // A bound, not a demand: a busy machine is no failure of the server.
    testTimeout: 20_000,
    retry: Number(CONFORMANCE_RETRIES),
    // What connections.mjs counts is of the one test that runs, also where the suite would have some of them run together.
    maxConcurrency: CONFORMANCE_RETRIES === '0' ? 5 : 1,
    setupFiles: CONFORMANCE_RETRIES === '0' ? [] : ['./connections.mjs'],
    reporters: [['json', { outputFile: CONFORMANCE_REPORT }]]
  }
}
