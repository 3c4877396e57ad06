// client/src/publisher/answer.ts
var ABOUT_THE_WAY = /* @__PURE__ */ new Set([401, 404, 405, 407, 408, 421, 425, 429]);
var LONGEST = 1024 * 1024;
async function read(response, count) {
  const { status } = response;
  if (status === 201) {
    const ids = (await json(response))?.ids;
    if (Array.isArray(ids) && ids.length === count) return { kind: "taken", ids };
  }
  const said = response.headers.get("content-type")?.startsWith("application/problem+json") ? await json(response) : null;
  const code = typeof said?.code === "string" ? said.code : null;
  const message = typeof said?.detail === "string" ? said.detail : unexplained(status);
  if (!response.bodyUsed) await response.body?.cancel();
  if (status >= 400 && status < 500 && !ABOUT_THE_WAY.has(status)) return { kind: "refused", status, code, message };
  return { kind: "failed", status, code, message, after: retryAfter(response) };
}
function unanswered(error) {
  let cause = error;
  while (cause instanceof Error && cause.cause !== void 0) cause = cause.cause;
  const { message, code } = cause ?? {};
  return { kind: "failed", status: null, code: null, message: String(message || code || cause), after: null };
}
function unexplained(status) {
  if (status >= 300 && status < 400) return `it was answered with a redirection (HTTP ${status}): give the address it points to`;
  return `it was answered with HTTP ${status}, and not by a weir`;
}
async function json(response) {
  try {
    const decoder = new TextDecoder();
    let [text, bytes] = ["", 0];
    for await (const piece of response.body ?? []) {
      bytes += piece.length;
      if (bytes > LONGEST) return null;
      text += decoder.decode(piece, { stream: true });
    }
    const value = JSON.parse(text);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
function retryAfter(response) {
  const text = response.headers.get("retry-after") ?? "";
  const after2 = /^\d+$/.test(text.trim()) ? Number(text) * 1e3 : Date.parse(text) - Date.now();
  return Number.isNaN(after2) ? null : Math.max(after2, 0);
}

// client/src/publisher/event.ts
function toPublish(session, data, options) {
  const refuse = (code, message) => ({ status: null, code, message });
  const { type, key, snapshot, idempotencyKey } = options;
  if (typeof session !== "string" || !fits(session, 256) || /\p{Cc}/u.test(session)) {
    return refuse("invalid_session", "a session is 1 to 256 bytes without control characters");
  }
  if (type !== void 0 && !visible(type)) return refuse("invalid_type", "a type is 1 to 128 visible ASCII characters");
  if (type?.startsWith("weir.")) return refuse("reserved_type", "types that begin with weir. are its own: choose another");
  if (key !== void 0 && (typeof key !== "string" || !fits(key, 256) || /[\r\n\0]/.test(key))) {
    return refuse("invalid_key", "a key is 1 to 256 bytes without CR, LF and NUL");
  }
  if (snapshot !== void 0 && !(Number.isInteger(snapshot) && snapshot >= 0 && snapshot < 2 ** 32)) {
    return refuse("invalid_parameter", "a snapshot is kept for a whole number of seconds");
  }
  if (idempotencyKey !== void 0 && !visible(idempotencyKey)) {
    return refuse("invalid_idempotency_key", "an idempotency key is 1 to 128 visible ASCII characters");
  }
  const text = toText(data);
  if (text === void 0) return refuse("invalid_data", "the data has no JSON text");
  if (!wellFormed(text)) return refuse("invalid_utf8", "the data has half a surrogate pair, which UTF-8 cannot say");
  return { session, data: text, type, key, snapshot, idempotencyKey };
}
function toLine({ session, data, type, key, snapshot }) {
  return `${JSON.stringify({ session, data, type, key, snapshot })}
`;
}
function bytesOf(text) {
  return new TextEncoder().encode(text).length;
}
function toText(data) {
  try {
    return typeof data === "string" ? data : JSON.stringify(data);
  } catch {
    return void 0;
  }
}
function fits(text, bytes) {
  return text.length > 0 && text.length <= bytes && wellFormed(text) && bytesOf(text) <= bytes;
}
function visible(text) {
  return typeof text === "string" && /^[!-~]{1,128}$/.test(text);
}
function wellFormed(text) {
  return !/\p{Surrogate}/u.test(text);
}

// client/src/publisher/pause.ts
var LONGEST_ASKED = 6e5;
var SHORTEST_ASKED = 100;
var Backoff = class {
  constructor(first, most) {
    this.first = first;
    this.most = most;
  }
  first;
  most;
  #failures = 0;
  get failures() {
    return this.#failures;
  }
  reset() {
    this.#failures = 0;
  }
  /** The pause after one more failure, never shorter than what was asked for. */
  afterFailure(asked) {
    const floor = asked === null ? this.first : Math.min(Math.max(asked, SHORTEST_ASKED), LONGEST_ASKED);
    const step = Math.min(floor * 2 ** Math.min(this.#failures, 16), Math.max(floor, this.most));
    this.#failures += 1;
    return Math.max(floor * (1 + 0.2 * Math.random()), step * (0.8 + 0.2 * Math.random()));
  }
};
var LONGEST_TIMER = 2 ** 31 - 1;
function after(ms, run) {
  return setTimeout(run, Math.min(ms, LONGEST_TIMER));
}
function quietly(run, ms) {
  const timer = after(ms, run);
  if (typeof timer === "object") timer.unref();
  return timer;
}

// client/src/publisher.ts
var ANSWER_TIMEOUT = 15e3;
var BATCH = { events: 200, bytes: 512 * 1024 };
var COMPLAIN_EVERY = 1e4;
var Publisher = class {
  #options;
  #url;
  #room;
  #backoff;
  #fetch;
  #queue = [];
  #bytes = 0;
  #delivered = 0;
  #refused = 0;
  #overflowed = 0;
  /** So many of the oldest go one by one, since one of them was refused. */
  #alone = 0;
  #delivering = false;
  #closed = false;
  /** Ends the try that is on its way, for good. */
  #end = new AbortController();
  /** Somebody waits, so that a pause of its own making is over, or will be. */
  #hurried = false;
  #wake = () => {
  };
  #watchers = [];
  #complained = 0;
  /** Throws a `TypeError` where it is told nonsense, which is when the program starts. */
  constructor(options) {
    this.#options = options;
    this.#url = eventsOf(options.url);
    if (typeof options.token === "string") bearer(options.token);
    this.#room = { events: options.queue?.events ?? 1e3, bytes: options.queue?.bytes ?? 16 * 1024 * 1024 };
    this.#backoff = new Backoff(options.backoff?.first ?? 250, options.backoff?.most ?? 3e4);
    this.#fetch = options.fetch ?? globalThis.fetch;
    if (Object.values(this.#room).some((bound) => !(bound > 0))) throw new TypeError("a queue has room for at least one event");
    if (!(this.#backoff.first > 0 && this.#backoff.most > 0)) throw new TypeError("a pause is longer than nothing");
  }
  /**
   * Hands over an event and returns at once. It never throws and never waits. Text is published as it is, anything else as its
   * JSON text, as it is now.
   */
  publish(session, data, options = {}) {
    const event = toPublish(session, data, options ?? {});
    if ("message" in event) {
      this.#refused += 1;
      this.#refuse(null, event);
      return "refused";
    }
    const line = bytesOf(toLine(event));
    const fits2 = this.#queue.length < this.#room.events && this.#bytes + line <= this.#room.bytes;
    if (this.#closed || !fits2) {
      this.#overflowed += 1;
      const told = { overflowed: this.#overflowed };
      this.#tell(this.#options.onOverflow, [event, this.counts], "there is no room for events that wait for weir", told);
      return this.#closed ? "closed" : "full";
    }
    this.#bytes += line;
    this.#queue.push({ event, line });
    if (!this.#delivering) {
      this.#delivering = true;
      queueMicrotask(() => void this.#deliver());
    }
    return "queued";
  }
  get counts() {
    const [delivered, refused, overflowed, waiting] = [this.#delivered, this.#refused, this.#overflowed, this.#queue.length];
    return { delivered, refused, overflowed, waiting };
  }
  /**
   * Waits until all that waits now is dealt with, or `timeout` is over, 5 s without one, and returns the counts. It is tried once
   * more at once, and the process is kept alive meanwhile.
   */
  async flush({ timeout = 5e3 } = {}) {
    const last = this.#queue.at(-1);
    if (last === void 0 || this.#end.signal.aborted) return this.counts;
    this.#hurried = true;
    this.#wake();
    await new Promise((resolve) => {
      const timer = after(timeout, done);
      const watch = () => {
        if (this.#end.signal.aborted || !this.#queue.includes(last)) done();
      };
      const watchers = this.#watchers;
      watchers.push(watch);
      function done() {
        clearTimeout(timer);
        watchers.splice(watchers.indexOf(watch), 1);
        resolve();
      }
    });
    if (this.#watchers.length === 0) this.#hurried = false;
    return this.counts;
  }
  /**
   * Takes no more events, delivers what waits, but ends after `timeout`, 5 s without one. Returns the final counts: what still
   * waits then is not delivered, and of what was on its way nobody knows.
   */
  async close(options = {}) {
    this.#closed = true;
    if (!this.#end.signal.aborted) await this.flush(options);
    this.#end.abort();
    this.#wake();
    for (const watch of [...this.#watchers]) watch();
    return this.counts;
  }
  async #deliver() {
    while (this.#queue.length > 0 && !this.#end.signal.aborted) await this.#deliverBatch(this.#nextBatch());
    this.#delivering = false;
  }
  /** The oldest of what waits. It stays in the queue until it is dealt with. */
  #nextBatch() {
    const batch = [];
    let bytes = 0;
    for (const job of this.#queue) {
      bytes += job.line;
      const separate = this.#alone > 0 || job.event.idempotencyKey !== void 0;
      if (batch.length > 0 && (separate || batch.length === BATCH.events || bytes > BATCH.bytes)) break;
      batch.push(job);
      if (separate) break;
    }
    return batch;
  }
  /** The batch is the same at each try, and its key as well: so a try whose answer was lost is known again. */
  async #deliverBatch(batch) {
    const body = batch.map(({ event }) => toLine(event)).join("");
    const key = batch[0]?.event.idempotencyKey ?? crypto.randomUUID();
    for (; ; ) {
      const answer = await this.#ask(body, key, batch.length);
      if (answer.kind === "failed") {
        if (this.#end.signal.aborted) return;
        await this.#pause(answer);
        if (this.#end.signal.aborted) return;
        continue;
      }
      this.#backoff.reset();
      if (answer.kind === "refused" && batch.length > 1) {
        this.#alone = batch.length;
      } else {
        this.#finish(batch, answer);
      }
      return;
    }
  }
  async #ask(body, key, count) {
    const attempt = new AbortController();
    const stop = () => attempt.abort(new Error("there was no answer in time"));
    const timer = quietly(stop, ANSWER_TIMEOUT);
    this.#end.signal.addEventListener("abort", stop);
    try {
      const headers = { "content-type": "application/x-ndjson", "idempotency-key": key };
      const token = await this.#token(attempt.signal);
      if (token !== void 0) headers.authorization = bearer(token);
      const request = { method: "POST", headers, body, redirect: "manual", signal: attempt.signal };
      const fetch = this.#fetch;
      return await read(await fetch(this.#url, request), count);
    } catch (error) {
      return unanswered(attempt.signal.aborted ? attempt.signal.reason : error);
    } finally {
      clearTimeout(timer);
      this.#end.signal.removeEventListener("abort", stop);
    }
  }
  /** A token that does not come is a try that failed, like an answer that does not. */
  #token(signal) {
    const { token } = this.#options;
    if (typeof token !== "function") return token;
    const aborted = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    return Promise.race([token(), aborted]);
  }
  #pause(answer) {
    const retryIn = this.#backoff.afterFailure(answer.after);
    const { message, status, code } = answer;
    this.#tell(this.#options.onTrouble, [{ message, status, code, failures: this.#backoff.failures, retryIn }]);
    return new Promise((resolve) => {
      const timer = quietly(resolve, retryIn);
      this.#wake = () => {
        const over = this.#end.signal.aborted || this.#hurried && answer.after === null;
        if (!over) return;
        this.#hurried = false;
        clearTimeout(timer);
        resolve();
      };
      this.#wake();
    });
  }
  #finish(batch, answer) {
    this.#queue.splice(0, batch.length);
    this.#alone = Math.max(this.#alone - batch.length, 0);
    for (const [nth, { event, line }] of batch.entries()) {
      this.#bytes -= line;
      if (answer.kind === "taken") {
        this.#delivered += 1;
        this.#tell(this.#options.onDelivered, [event, answer.ids[nth] ?? ""]);
      } else {
        this.#refused += 1;
        const { status, code, message } = answer;
        this.#refuse(event, { status, code, message });
      }
    }
    for (const watch of [...this.#watchers]) watch();
  }
  #refuse(event, refusal) {
    this.#tell(this.#options.onRefused, [event, refusal], "an event was refused and is dropped", refusal);
  }
  /** Calls back; what a callback throws is its own matter. Where nobody listens, the console hears of a loss now and then. */
  #tell(callback, args, complaint, about) {
    if (callback === void 0) {
      if (complaint === void 0 || Date.now() - this.#complained < COMPLAIN_EVERY) return;
      this.#complained = Date.now();
      console.warn(`@weir/client: ${complaint}`, { ...about, ...this.counts });
      return;
    }
    const threw = (error) => console.error("@weir/client: a callback of the publisher threw", error);
    try {
      Promise.resolve(callback(...args)).catch(threw);
    } catch (error) {
      threw(error);
    }
  }
};
function eventsOf(server) {
  const bad = new TypeError("a server is given as http://HOST:PORT or https://HOST, without user, password, query and fragment");
  if (!URL.canParse(String(server))) throw bad;
  const url = new URL(server);
  const { protocol, username, password, search, hash } = url;
  if (!/^https?:$/.test(protocol) || username || password || search || hash) throw bad;
  url.pathname = `${url.pathname.replace(/\/$/, "")}/v1/events`;
  return url;
}
function bearer(token) {
  if (typeof token !== "string" || !/^[!-~]+$/.test(token.trim())) {
    throw new TypeError("a token is one line of visible ASCII characters without spaces");
  }
  return `Bearer ${token.trim()}`;
}
export {
  Publisher
};
