// Usage: node start.js
// Makes the key by which the application and weir trust each other, and starts both. With WEIR_URL weir is not started: the one there
// is used, which needs the same key, WEIR_JWT_SECRET_FILE. HOST and PORT say where the page is, DATA where events and the key are.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const { HOST = 'localhost', PORT = '4001', DATA = join(here, 'data'), WEIR_URL, WEIR_LISTEN = 'localhost:8080' } = process.env
const { WEIR_ADMIN_LISTEN = 'localhost:8081', WEIR_JWT_SECRET_FILE = join(DATA, 'weir.secret') } = process.env

mkdirSync(DATA, { recursive: true })
if (!existsSync(WEIR_JWT_SECRET_FILE)) writeFileSync(WEIR_JWT_SECRET_FILE, randomBytes(32).toString('hex'), { mode: 0o600 })

const env = {
  ...process.env,
  HOST,
  PORT,
  WEIR_JWT_SECRET_FILE,
  WEIR_CORS_ORIGIN: `http://${HOST}:${PORT}`,
  WEIR_DATA_DIR: join(DATA, 'weir'),
  WEIR_URL: WEIR_URL ?? `http://${WEIR_LISTEN}`,
  WEIR_ADMIN_URL: process.env.WEIR_ADMIN_URL ?? `http://${WEIR_ADMIN_LISTEN}`
}
const children = new Map()

// What is killed is started again. What ends by itself, as where a port is taken, ends everything.
function run (name, command, args) {
  const child = spawn(command, args, { stdio: 'inherit', env })
  children.set(name, child)
  child.on('error', ({ code, message }) => {
    console.error(code === 'ENOENT' ? `${command} is not in the path: in the clone of weir, cargo install --path crates/weir --locked puts it there` : message)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    console.error(`${name} ended by ${signal}, and is started again`)
    setTimeout(run, 1000, name, command, args)
  })
}

process.on('exit', () => children.forEach((child) => child.kill()))
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0))
if (WEIR_URL === undefined) run('weir', 'weir', ['serve', '--config', join(here, 'weir.toml')])
run('the application', process.execPath, [join(here, 'server.js')])
