/** What can be published, and how it goes out. */

/** What an event may have beside its session and data. */
export interface PublishOptions {
  /** What kind it is: its SSE event name. 1 to 128 visible ASCII characters; `weir.` at its beginning is weir's own. */
  readonly type?: string | undefined
  /** What it is about. 1 to 256 bytes without CR, LF and NUL. */
  readonly key?: string | undefined
  /** Keep it also as the session's snapshot for so many seconds. */
  readonly snapshot?: number | undefined
  /**
   * What makes a repeat harmless that this publisher knows nothing of: the delivery id of a webhook that its sender repeats, of
   * which within five minutes only the first is published, by whatever process. 1 to 128 visible ASCII characters. Each event has
   * a key of its own without it.
   */
  readonly idempotencyKey?: string | undefined
}

/** An event as it waits: its data is text. */
export interface Publish extends PublishOptions {
  readonly session: string
  readonly data: string
}

/** Why an event is dropped. */
export interface Refusal {
  /** Of weir's answer; null where it was seen here that weir would not take it. */
  readonly status: number | null
  /** weir's own code, such as `forbidden`; null where something else on the way refused it. */
  readonly code: string | null
  /** A sentence to show to a developer. */
  readonly message: string
}

/** An event with its data as text; or why it can be none, in weir's own codes: a mistake reads alike wherever it is found. */
export function toPublish(session: string, data: unknown, options: PublishOptions): Publish | Refusal {
  const refuse = (code: string, message: string): Refusal => ({ status: null, code, message })
  const { type, key, snapshot, idempotencyKey } = options
  if (typeof session !== 'string' || !fits(session, 256) || /\p{Cc}/u.test(session)) {
    return refuse('invalid_session', 'a session is 1 to 256 bytes without control characters')
  }
  if (type !== undefined && !visible(type)) return refuse('invalid_type', 'a type is 1 to 128 visible ASCII characters')
  if (type?.startsWith('weir.')) return refuse('reserved_type', 'types that begin with weir. are its own: choose another')
  if (key !== undefined && (typeof key !== 'string' || !fits(key, 256) || /[\r\n\0]/.test(key))) {
    return refuse('invalid_key', 'a key is 1 to 256 bytes without CR, LF and NUL')
  }
  if (snapshot !== undefined && !(Number.isInteger(snapshot) && snapshot >= 0 && snapshot < 2 ** 32)) {
    return refuse('invalid_parameter', 'a snapshot is kept for a whole number of seconds')
  }
  if (idempotencyKey !== undefined && !visible(idempotencyKey)) {
    return refuse('invalid_idempotency_key', 'an idempotency key is 1 to 128 visible ASCII characters')
  }
  const text = toText(data)
  if (text === undefined) return refuse('invalid_data', 'the data has no JSON text')
  if (!wellFormed(text)) return refuse('invalid_utf8', 'the data has half a surrogate pair, which UTF-8 cannot say')
  return { session, data: text, type, key, snapshot, idempotencyKey }
}

/** One line of a batch. What is undefined is left out. */
export function toLine({ session, data, type, key, snapshot }: Publish): string {
  return `${JSON.stringify({ session, data, type, key, snapshot })}\n`
}

/** How many bytes of UTF-8. */
export function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length
}

function toText(data: unknown): string | undefined {
  try {
    return typeof data === 'string' ? data : JSON.stringify(data)
  } catch {
    // It goes round in circles, has a bigint, or a `toJSON` that throws.
    return undefined
  }
}

function fits(text: string, bytes: number): boolean {
  return text.length > 0 && text.length <= bytes && wellFormed(text) && bytesOf(text) <= bytes
}

function visible(text: string): boolean {
  return typeof text === 'string' && /^[!-~]{1,128}$/.test(text)
}

function wellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}
