// Builds what npm and the binary carry: `node build.mjs` into dist of each package, `node build.mjs DIR` below DIR instead, so that a
// test can compare, and `--tests` the tests of the units, into target of each package.
import { build } from 'esbuild'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
process.chdir(here)

const common = { bundle: true, format: 'esm', target: 'es2022', charset: 'utf8', logLevel: 'warning' }
const packages = {
  // The browser's is one file, and small, since a page may load it as it is.
  client: [
    { entryPoints: { client: 'client/src/index.ts' }, minify: true },
    { entryPoints: { publisher: 'client/src/publisher.ts' } },
  ],
  // One file for each, since two bundles would have two contexts, and the ones of React Server Components begin with 'use client'.
  react: [{ entryPoints: readdirSync('react/src').map((file) => `react/src/${file}`), bundle: false }],
}

const [into] = process.argv.slice(2)
if (into === '--tests') {
  for (const name of Object.keys(packages)) {
    const tests = existsSync(`${name}/test`) ? readdirSync(`${name}/test`).filter((file) => file.endsWith('.test.ts')) : []
    if (tests.length === 0) continue
    await build({
      ...common,
      platform: 'node',
      packages: 'external',
      sourcemap: 'inline',
      outExtension: { '.js': '.mjs' },
      outdir: `node_modules/.tests/${name}`,
      entryPoints: tests.map((file) => join(name, 'test', file)),
    })
  }
} else {
  for (const [name, builds] of Object.entries(packages)) {
    const outdir = into ? resolve(into, name) : join(name, 'dist')
    for (const options of builds) await build({ ...common, ...options, outdir })
    const tsc = ['--project', `${name}/tsconfig.json`, '--outDir', outdir]
    execFileSync('node_modules/.bin/tsc', tsc, { stdio: 'inherit' })
  }
}
