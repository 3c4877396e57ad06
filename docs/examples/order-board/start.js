// Usage: node start.js
// Starts the board: API servers that share one address and one database, and weir itself unless WEIR_URL says where one runs, at
// WEIR_LISTEN, which keeps what it has to keep in DATA. PORT and HOST say where the page is, SERVERS how many answer there; with DEMO=off
// nothing happens by itself.
import { spawn } from 'node:child_process'
import cluster from 'node:cluster'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildSync } from 'esbuild'
import { calls, somethingHappens } from './orders.js'

const { HOST = 'localhost', PORT = '4100', SERVERS = '2', DEMO, DATA = 'data', WEIR_URL, WEIR_LISTEN = 'localhost:8080' } = process.env
const page = `http://${HOST}:${PORT}`
const weir = WEIR_URL ?? `http://${WEIR_LISTEN}`
const here = (file) => new URL(file, import.meta.url).pathname

const script = buildSync({
  entryPoints: [here('page.jsx')],
  bundle: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  minify: true,
  write: false,
  // The packages of weir are linked into node_modules, and are to find the same React as the page.
  preserveSymlinks: true,
  define: { WEIR_URL: JSON.stringify(weir), 'process.env.NODE_ENV': '"production"' }
}).outputFiles[0].text

const files = {
  '/': ['text/html; charset=utf-8', readFileSync(here('index.html'), 'utf8')],
  '/board.css': ['text/css; charset=utf-8', readFileSync(here('board.css'), 'utf8')],
  '/page.js': ['text/javascript; charset=utf-8', script]
}

// Connections go to the servers in turn, whoever made them, and each has all it needs from the database.
cluster.setupPrimary({ exec: here('server.js') })

function startServer () {
  const server = cluster.fork({ HOST, PORT, WEIR_URL: weir })
  server.on('message', ({ nth, call, given }) => {
    const value = call === 'files' ? files : calls[call](given)
    server.send(value instanceof Error ? { nth, error: { message: value.message, status: value.status } } : { nth, value })
  })
  server.once('listening', () => console.log(`API server ${server.process.pid} listens`))
}

cluster.on('exit', (server, code, signal) => {
  if (!signal) process.exit(code)
  console.error(`API server ${server.process.pid} ended by ${signal}, and another is started`)
  startServer()
})

function startWeir () {
  const child = spawn('weir', ['serve', '--data-dir', DATA, '--cors-origin', page, '--retry', '1s'], { stdio: 'inherit' })
  child.on('error', ({ code, message }) => {
    console.error(code === 'ENOENT' ? 'weir is not in the path: in the clone of weir, cargo install --path crates/weir --locked puts it there' : message)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (!signal) process.exit(code)
    console.error(`weir ended by ${signal}, and is started again`)
    setTimeout(startWeir, 1000)
  })
  process.on('exit', () => child.kill())
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0))
// One that is still starting would complain of an end that was told already.
process.on('exit', () => Object.values(cluster.workers).forEach((server) => server.process.kill('SIGKILL')))
if (WEIR_URL === undefined) startWeir()
for (let nth = 0; nth < Number(SERVERS); nth++) startServer()
cluster.once('listening', () => console.log(`the order board is at ${page}`))

while (DEMO !== 'off') {
  await sleep(100 + Math.random() * 900)
  const [method, path, body] = somethingHappens()
  const headers = { 'content-type': 'application/json' }
  await fetch(page + path, { method, headers, body: JSON.stringify(body) }).catch((error) => console.error(error.message))
}
