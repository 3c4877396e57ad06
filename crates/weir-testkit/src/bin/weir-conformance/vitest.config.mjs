const { CONFORMANCE_REPORT, CONFORMANCE_RETRIES } = process.env

export default {
  test: {
    include: ['suite.test.mjs'],
    // Nothing outlives the process.
    pool: 'threads',
    // A bound, not a demand: a busy machine is no failure of the server.
    testTimeout: 20_000,
    retry: Number(CONFORMANCE_RETRIES),
    setupFiles: CONFORMANCE_RETRIES === '0' ? [] : ['./connections.mjs'],
    reporters: [['json', { outputFile: CONFORMANCE_REPORT }]]
  }
}
