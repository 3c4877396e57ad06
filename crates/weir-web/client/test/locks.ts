/** Web Locks for tests of units, in one process: what a browser has, as far as tabs that share use it. */

interface Request {
  readonly run: () => unknown
  readonly fail: (error: Error) => void
}

const aborted = () => new DOMException('aborted', 'AbortError')

export class Locks {
  readonly #held = new Map<string, Request>()
  readonly #queues = new Map<string, Request[]>()

  request(name: string, options: { signal?: AbortSignal; steal?: boolean }, callback: () => unknown) {
    return new Promise<unknown>((resolve, reject) => {
      const request: Request = {
        run: () =>
          Promise.resolve(callback()).then((value) => {
            if (this.#held.get(name) !== request) return
            this.#held.delete(name)
            this.#next(name)
            resolve(value)
          }),
        fail: reject,
      }
      const queue = this.#queues.get(name) ?? []
      this.#queues.set(name, queue)
      options.signal?.addEventListener('abort', () => {
        const place = queue.indexOf(request)
        if (place < 0) return
        queue.splice(place, 1)
        reject(aborted())
      })
      if (options.steal) {
        this.#held.get(name)?.fail(aborted())
        this.#held.delete(name)
        queue.unshift(request)
      } else queue.push(request)
      queueMicrotask(() => this.#next(name))
    })
  }

  /** As when the tab that holds it crashes. */
  drop(name: string) {
    this.#held.delete(name)
    this.#next(name)
  }

  /** How many wait for one. */
  get waiting(): number {
    return [...this.#queues.values()].flat().length
  }

  names(): string[] {
    return [...this.#held.keys()]
  }

  #next(name: string) {
    if (this.#held.has(name)) return
    const next = this.#queues.get(name)?.shift()
    if (!next) return
    this.#held.set(name, next)
    next.run()
  }
}
