/** A weir that says what a test has it say, by HTTP or, where time is the test's own as well, without a network. */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Weir } from '../src/index.js'
import type { Gap, Problem, Status } from '../src/types.js'

/** A call that waits for its answer. */
export class Call {
  readonly path: string
  readonly query: URLSearchParams
  /** Whether whoever called has left. */
  left = false

  constructor(
    url: string,
    readonly headers: Record<string, string | string[] | undefined>,
    private readonly answer: {
      head(status: number, headers: Record<string, string>): void
      write(piece: string | Uint8Array): void
      end(): void
      cut(): void
    },
  ) {
    const parsed = new URL(url, 'http://weir')
    this.path = parsed.pathname
    this.query = parsed.searchParams
  }

  /** Begins a stream, with this. */
  stream(...pieces: (string | Uint8Array)[]): this {
    this.answer.head(200, { 'content-type': 'text/event-stream' })
    return this.say(...pieces)
  }

  /** Goes on with it. */
  say(...pieces: (string | Uint8Array)[]): this {
    for (const piece of pieces) this.answer.write(piece)
    return this
  }

  end(): void {
    this.answer.end()
  }

  /** Ends in the middle. */
  cut(): void {
    this.answer.cut()
  }

  json(body: unknown, status = 200, headers: Record<string, string> = {}): void {
    this.answer.head(status, { 'content-type': status < 400 ? 'application/json' : 'application/problem+json', ...headers })
    this.answer.write(JSON.stringify(body))
    this.answer.end()
  }

  refuse(status: number, code: string, headers: Record<string, string> = {}): void {
    this.json({ status, code, detail: `because of ${code}` }, status, headers)
  }

  page(): void {
    this.answer.head(200, { 'content-type': 'text/html' })
    this.answer.write('<p>Please log in to this hotel')
    this.answer.end()
  }
}

/** Whom a client calls. */
export class Dialogue {
  /** All calls so far. */
  readonly calls: Call[] = []
  #unheard: Call[] = []

  private constructor(
    readonly url: string,
    readonly stop: () => Promise<void>,
    readonly fetch: typeof globalThis.fetch | undefined,
  ) {}

  /** A server. */
  static async http(): Promise<Dialogue> {
    const server = createServer((request, response) => {
      const call = new Call(request.url!, request.headers, byHttp(response))
      response.on('close', () => (call.left = true))
      dialogue.#add(call)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const stop = async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
    const dialogue = new Dialogue(`http://127.0.0.1:${port}`, stop, undefined)
    return dialogue
  }

  /** A `fetch`, for clocks that are mocked. */
  static fake(): Dialogue {
    const fetch = (url: string, { headers, signal }: RequestInit) =>
      new Promise<Response>((resolve, reject) => {
        let body: ReadableStreamDefaultController
        const stream = new ReadableStream({ start: (controller) => void (body = controller) })
        const call = new Call(url, { ...(headers as Record<string, string>) }, {
          head: (status, headers) => resolve(new Response(stream, { status, headers })),
          write: (piece) => body.enqueue(typeof piece === 'string' ? new TextEncoder().encode(piece) : piece),
          end: () => body.close(),
          cut: () => {
            reject(new TypeError('cut'))
            body.error(new TypeError('cut'))
          },
        })
        const abort = () => {
          call.left = true
          reject(signal!.reason)
          try {
            body.error(signal!.reason)
          } catch {}
        }
        signal!.addEventListener('abort', abort)
        if (signal!.aborted) return abort()
        dialogue.#add(call)
      })
    const dialogue = new Dialogue('http://weir.test', async () => {}, fetch as typeof globalThis.fetch)
    return dialogue
  }

  #add(call: Call) {
    this.calls.push(call)
    this.#unheard.push(call)
  }

  /** The next call that was not looked at yet. */
  async next(): Promise<Call> {
    await until(() => this.#unheard.length > 0, 'no call')
    return this.#unheard.shift()!
  }

  /** Whether nobody waits to be looked at. */
  get quiet(): boolean {
    return this.#unheard.length === 0
  }
}

const byHttp = (response: ServerResponse) => ({
  head: (status: number, headers: Record<string, string>) => {
    response.writeHead(status, headers)
    response.flushHeaders()
  },
  write: (piece: string | Uint8Array) => void response.write(piece),
  end: () => void response.end(),
  cut: () => void response.destroy(),
})

/** Waits for a condition, by the clock of nobody but this machine. */
export async function until(condition: () => boolean, otherwise: string): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(otherwise)
    await turn()
  }
}

const immediate = setImmediate

/** Lets everything run that can. */
export const turn = () => new Promise<void>((resolve) => immediate(resolve))

export async function turns(count = 20): Promise<void> {
  for (let n = 0; n < count; n++) await turn()
}

/** What a client told. */
export class Heard {
  readonly statuses: Status[] = []
  readonly problems: Problem[] = []
  readonly gaps: Gap[] = []

  constructor(weir: Weir) {
    weir.on('status', (status) => this.statuses.push(status))
    weir.on('problem', (problem) => this.problems.push(problem))
    weir.on('gap', (gap) => this.gaps.push(gap))
  }

  get states(): string[] {
    return this.statuses.map(({ state }) => state)
  }

  get kinds(): string[] {
    return this.problems.map(({ kind }) => kind)
  }
}

export const connected = (id: string, heartbeat = 15_000) =>
  `retry: 0\nevent: weir.connected\nid: ${id}\ndata: {"heartbeat":${heartbeat}}\n\n`

export const control = (name: string, data: object = {}, id?: string) =>
  `event: weir.${name}\n${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(data)}\n\n`

export const facts = (id: string, session: string, data: string, more: object = {}) => ({
  id,
  session,
  type: null,
  key: null,
  data,
  ts: Number(id.split('-')[0]),
  ...more,
})

export const event = (...of: Parameters<typeof facts>) => `id: ${of[0]}\ndata: ${JSON.stringify(facts(...of))}\n\n`
