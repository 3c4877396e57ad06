import assert from 'node:assert/strict'
import { it } from 'node:test'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

/** What docs/react.md promises, in bytes. */
const MOST = 2560

it('is small', async () => {
  const { outputFiles } = await build({
    stdin: { contents: "export * from './index.js'; export * from './query.js'", resolveDir: 'react/src' },
    bundle: true,
    packages: 'external',
    format: 'esm',
    target: 'es2022',
    minify: true,
    write: false,
  })
  const size = gzipSync(outputFiles[0]!.contents).length
  assert.ok(size <= MOST, `${size} bytes, gzip`)
})
