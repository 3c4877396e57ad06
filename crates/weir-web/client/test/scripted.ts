/** A server that does with each request what a test tells it, and says what it was asked. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

// Of this process alone: nobody else takes a port of it that was free, before it is listened on or after.
const { pid } = process
const HOST = `127.${64 | ((pid >> 16) & 63)}.${(pid >> 8) & 255}.${pid & 255}`

export interface Asked {
  readonly method: string | undefined
  readonly path: string | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: string
  /** The lines of the body. */
  readonly events: { session: string; data: string; type?: string; key?: string; snapshot?: number }[]
}

/** What to do with a request: answer it, or let its connection break. */
export type Deed = (asked: Asked, response: ServerResponse) => void

/** A port of this process, as a URL. */
export const at = (port: number) => `http://${HOST}:${port}`

export class Scripted {
  readonly asked: Asked[] = []
  #server: Server
  #script: Deed[]
  #heard: (() => void)[] = []

  private constructor(script: Deed[]) {
    this.#script = script
    this.#server = createServer((request, response) => void this.#serve(request, response))
  }

  /** Does one deed of the script with each request, and takes what comes after its end. */
  static async start(script: Deed[] = [], port = 0): Promise<Scripted> {
    const scripted = new Scripted(script)
    await new Promise<void>((resolve) => scripted.#server.listen(port, HOST, resolve))
    return scripted
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return at(this.port)
  }

  /** What was asked for by then, once it is so much. */
  async after(count: number): Promise<Asked[]> {
    while (this.asked.length < count) await new Promise<void>((resolve) => this.#heard.push(resolve))
    return this.asked
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of request.setEncoding('utf8')) body += chunk
    const events = body.split('\n').filter(Boolean).map((line) => JSON.parse(line))
    const asked = { method: request.method, path: request.url, headers: request.headers, body, events }
    this.asked.push(asked)
    ;(this.#script.shift() ?? take)(asked, response)
    for (const heard of this.#heard.splice(0)) heard()
  }
}

export const take: Deed = ({ events }, response) => {
  response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ ids: events.map((_, n) => `7-${n}`) }))
}

/** The events arrive, the answer is lost. */
export const lose: Deed = (_, response) => void response.destroy()

/** The connection stays open, and nothing is said. */
export const hang: Deed = () => {}

export function refuse(status: number, code: string | null, headers: Record<string, string> = {}): Deed {
  const type = code === null ? 'text/html' : 'application/problem+json'
  const body = code === null ? '<html>' : JSON.stringify({ status, code, detail: `because of ${code}` })
  return (_, response) => void response.writeHead(status, { 'content-type': type, ...headers }).end(body)
}

/** A promise and who keeps it; Node.js 20 has no `Promise.withResolvers`. */
export function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>((keep) => {
    resolve = keep
  })
  return { promise, resolve }
}
