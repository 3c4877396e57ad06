/** The pauses between tries. */

/** The longest pause that an answer can ask for, so that one broken `Retry-After` does not stop a publisher for good. */
const LONGEST_ASKED = 600_000

/** The shortest, so that `Retry-After: 0` does not become a loop without rest. */
const SHORTEST_ASKED = 100

/** Doubled with each failure and jittered, so that those that failed together do not come back together. */
export class Backoff {
  #failures = 0

  constructor(
    readonly first: number,
    readonly most: number,
  ) {}

  get failures(): number {
    return this.#failures
  }

  reset(): void {
    this.#failures = 0
  }

  /** The pause after one more failure, never shorter than what was asked for. */
  afterFailure(asked: number | null): number {
    const floor = asked === null ? this.first : Math.min(Math.max(asked, SHORTEST_ASKED), LONGEST_ASKED)
    const step = Math.min(floor * 2 ** Math.min(this.#failures, 16), Math.max(floor, this.most))
    this.#failures += 1
    return Math.max(floor * (1 + 0.2 * Math.random()), step * (0.8 + 0.2 * Math.random()))
  }
}

/** More than a timer can hold would end it at once. */
const LONGEST_TIMER = 2 ** 31 - 1

/** A timer of any length; one that is endless is as good as one of weeks. */
export function after(ms: number, run: () => void): ReturnType<typeof setTimeout> {
  return setTimeout(run, Math.min(ms, LONGEST_TIMER))
}

/** A timer that keeps no process alive, where the platform knows such. */
export function quietly(run: () => void, ms: number): ReturnType<typeof setTimeout> {
  const timer = after(ms, run)
  if (typeof timer === 'object') timer.unref()
  return timer
}
