// Usage: node start.cjs
// Serves the page, and starts what belongs to it: the daemon, and weir itself unless WEIR_URL says where one runs, at WEIR_LISTEN.
// PORT and HOST say where the page is; with DAEMON=off nobody appends.
const { spawn } = require('node:child_process')
const { readFileSync } = require('node:fs')
const { createServer } = require('node:http')
const { join } = require('node:path')
const { buildSync } = require('esbuild')

const { HOST = 'localhost', PORT = '4000', DAEMON, WEIR_URL, WEIR_LISTEN = 'localhost:8080' } = process.env
const page = `http://${HOST}:${PORT}`
const weir = WEIR_URL ?? `http://${WEIR_LISTEN}`

// The published client and the page's own script in one file. It is made anew at every start, and kept nowhere.
const script = buildSync({
  entryPoints: [join(__dirname, 'page.js')],
  bundle: true,
  format: 'esm',
  target: 'es2022',
  write: false,
  define: { STREAM_URL: JSON.stringify(`${weir}/v1/stream/agents`) },
  nodePaths: process.env.NODE_PATH?.split(':') ?? []
}).outputFiles[0].contents

const files = {
  '/': ['text/html; charset=utf-8', readFileSync(join(__dirname, 'index.html'))],
  '/page.js': ['text/javascript; charset=utf-8', script]
}

function fail (message) {
  console.error(message)
  process.exit(1)
}

createServer(({ url }, answer) => {
  const [type, content] = files[url.split('?')[0]] ?? []
  answer.writeHead(type ? 200 : 404, { 'content-type': type ?? 'text/plain', 'cache-control': 'no-cache' })
  answer.end(content ?? 'not found')
}).on('error', ({ message }) => fail(`no page at ${page}: ${message}; PORT says where else`)).listen(Number(PORT), HOST, () => console.log(`the dashboard is at ${page}`))

const children = new Map()

// What is killed is started again. What ends by itself, as where a port is taken, ends everything.
function run (command, args, env = {}) {
  const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, ...env } })
  children.set(command, child)
  child.on('error', ({ code, message }) => fail(code === 'ENOENT' ? `${command} is not in the path: in the clone of weir, `
    + 'cargo install --path crates/weir --locked puts it there' : message))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    console.error(`${command} ended by ${signal}, and is started again`)
    setTimeout(run, 1000, command, args, env)
  })
}

process.on('exit', () => children.forEach((child) => child.kill()))
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0))
if (WEIR_URL === undefined) run('weir', ['serve', '--data-dir', 'data', '--cors-origin', page])
if (DAEMON !== 'off') run(process.execPath, [join(__dirname, 'daemon.cjs')], { WEIR_URL: weir })
