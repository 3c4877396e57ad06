/** What can be published, and how it goes out. */
/** What an event may have beside its session and data. */
export interface PublishOptions {
    /** What kind it is: its SSE event name. 1 to 128 visible ASCII characters; `weir.` at its beginning is weir's own. */
    readonly type?: string | undefined;
    /** What it is about. 1 to 256 bytes without CR, LF and NUL. */
    readonly key?: string | undefined;
    /** Keep it also as the session's snapshot for so many seconds. */
    readonly snapshot?: number | undefined;
    /**
     * What makes a repeat harmless that this publisher knows nothing of: the delivery id of a webhook that its sender repeats, of
     * which within five minutes only the first is published, by whatever process. 1 to 128 visible ASCII characters. Each event has
     * a key of its own without it.
     */
    readonly idempotencyKey?: string | undefined;
}
/** An event as it waits: its data is text. */
export interface Publish extends PublishOptions {
    readonly session: string;
    readonly data: string;
}
/** Why an event is dropped. */
export interface Refusal {
    /** Of weir's answer; null where it was seen here that weir would not take it. */
    readonly status: number | null;
    /** weir's own code, such as `forbidden`; null where something else on the way refused it. */
    readonly code: string | null;
    /** A sentence to show to a developer. */
    readonly message: string;
}
/** An event with its data as text; or why it can be none, in weir's own codes: a mistake reads alike wherever it is found. */
export declare function toPublish(session: string, data: unknown, options: PublishOptions): Publish | Refusal;
/** One line of a batch. What is undefined is left out. */
export declare function toLine({ session, data, type, key, snapshot }: Publish): string;
/** How many bytes of UTF-8. */
export declare function bytesOf(text: string): number;
