/** What an answer to a batch means for what is in it. */

/** An answer, or none. */
export type Answer =
  | { readonly kind: 'taken'; readonly ids: readonly string[] }
  /** It is about the events: none of them was published, and a repeat would be answered alike. */
  | { readonly kind: 'refused'; readonly status: number; readonly code: string | null; readonly message: string }
  /** It is about the way there, or about now. `after` is how long weir wants to be left alone, in milliseconds. */
  | {
      readonly kind: 'failed'
      readonly status: number | null
      readonly code: string | null
      readonly message: string
      readonly after: number | null
    }

/** Statuses below 500 that say nothing against the events: a token, an address, a time-out, a limit. */
const ABOUT_THE_WAY = new Set([401, 404, 405, 407, 408, 421, 425, 429])

/** The most that is read of an answer: the ids of a batch fit many times. */
const LONGEST = 1024 * 1024

/** What was answered to a batch of so many events. */
export async function read(response: Response, count: number): Promise<Answer> {
  const { status } = response
  if (status === 201) {
    const ids = (await json(response))?.ids
    if (Array.isArray(ids) && ids.length === count) return { kind: 'taken', ids }
  }
  const said = response.headers.get('content-type')?.startsWith('application/problem+json') ? await json(response) : null
  const code = typeof said?.code === 'string' ? said.code : null
  const message = typeof said?.detail === 'string' ? said.detail : unexplained(status)
  // The connection is only of use again when nothing is left to read on it.
  if (!response.bodyUsed) await response.body?.cancel()
  if (status >= 400 && status < 500 && !ABOUT_THE_WAY.has(status)) return { kind: 'refused', status, code, message }
  return { kind: 'failed', status, code, message, after: retryAfter(response) }
}

/** There was no answer: what went wrong is in the innermost cause. */
export function unanswered(error: unknown): Answer {
  let cause: unknown = error
  while (cause instanceof Error && cause.cause !== undefined) cause = cause.cause
  const { message, code } = (cause ?? {}) as { message?: unknown; code?: unknown }
  return { kind: 'failed', status: null, code: null, message: String(message || code || cause), after: null }
}

function unexplained(status: number): string {
  if (status >= 300 && status < 400) return `it was answered with a redirection (HTTP ${status}): give the address it points to`
  return `it was answered with HTTP ${status}, and not by a weir`
}

async function json(response: Response): Promise<Record<string, unknown> | null> {
  try {
    const decoder = new TextDecoder()
    let [text, bytes] = ['', 0]
    // Leaving the loop in the middle cancels the rest.
    for await (const piece of response.body ?? []) {
      bytes += piece.length
      if (bytes > LONGEST) return null
      text += decoder.decode(piece, { stream: true })
    }
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' ? (value as Record<string, unknown> | null) : null
  } catch {
    return null
  }
}

/** Seconds, as weir says it, or a date, as what stands before it may. */
function retryAfter(response: Response): number | null {
  const text = response.headers.get('retry-after') ?? ''
  const after = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isNaN(after) ? null : Math.max(after, 0)
}
