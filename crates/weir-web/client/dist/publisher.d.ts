/**
 * Publishing to weir from a server that has other things to do: the caller never waits, and never fails because weir is away.
 *
 * ```ts
 * const publisher = new Publisher({ url: 'http://127.0.0.1:8080', token: process.env.WEIR_TOKEN })
 * publisher.publish(`user/${id}`, { guild: guild.id }, { type: 'guild.joined' })
 * // when the process ends
 * await publisher.close({ timeout: 5_000 })
 * ```
 *
 * For Node.js 20 and later, and whatever else has `fetch`. It is no part of what a page loads: who may publish is a secret.
 */
import { type Publish, type PublishOptions, type Refusal } from './publisher/event.js';
export type { Publish, PublishOptions, Refusal } from './publisher/event.js';
/** How a `Publisher` behaves. Only `url` is needed. */
export interface PublisherOptions {
    /** Where weir is; a path in it is a prefix. */
    readonly url: string | URL;
    /** Sent as `Authorization: Bearer`. A function is asked before each try, so it should remember a token while it is good. */
    readonly token?: string | (() => string | Promise<string>) | undefined;
    /** How much may wait, what is on its way included: 1,000 events and 16 MiB. */
    readonly queue?: {
        readonly events?: number;
        readonly bytes?: number;
    };
    /** The pause after the first failure and the longest, in milliseconds: 250 and 30,000. */
    readonly backoff?: {
        readonly first?: number;
        readonly most?: number;
    };
    /** An event that there was no room for, or that came after `close()`. It is gone. */
    readonly onOverflow?: (event: Publish, counts: Counts) => void;
    /** An event that weir will never take, or that can be none. It is gone. */
    readonly onRefused?: (event: Publish | null, refusal: Refusal) => void;
    /** A try that failed; nothing is lost by it. */
    readonly onTrouble?: (trouble: Trouble) => void;
    /** An event that is published, with its id. */
    readonly onDelivered?: (event: Publish, id: string) => void;
    /** A `fetch` to use instead of the platform's, as for a proxy. */
    readonly fetch?: typeof fetch;
}
/**
 * - `queued`: it waits for delivery
 * - `full`: there was no room; it is gone, and counted as overflowed
 * - `closed`: the publisher is closed; it is gone, and counted as overflowed
 * - `refused`: it can be no event, such as for want of a session; it is gone, and counted as refused
 */
export type Offer = 'queued' | 'full' | 'closed' | 'refused';
/** What happened so far. Every event is in exactly one of them. */
export interface Counts {
    readonly delivered: number;
    readonly refused: number;
    readonly overflowed: number;
    /** For delivery, or on its way. */
    readonly waiting: number;
}
/** A try that failed. */
export interface Trouble {
    /** A sentence to show to a developer. */
    readonly message: string;
    /** Of the answer; null where there was none. */
    readonly status: number | null;
    /** weir's own code, such as `log_unavailable`; null where something else answered. */
    readonly code: string | null;
    /** In a row. */
    readonly failures: number;
    /** When it is tried again, in milliseconds. */
    readonly retryIn: number;
}
/** Delivers events in the background, in order. */
export declare class Publisher {
    #private;
    /** Throws a `TypeError` where it is told nonsense, which is when the program starts. */
    constructor(options: PublisherOptions);
    /**
     * Hands over an event and returns at once. It never throws and never waits. Text is published as it is, anything else as its
     * JSON text, as it is now.
     */
    publish(session: string, data: unknown, options?: PublishOptions): Offer;
    get counts(): Counts;
    /**
     * Waits until all that waits now is dealt with, or `timeout` is over, 5 s without one, and returns the counts. It is tried once
     * more at once, and the process is kept alive meanwhile.
     */
    flush({ timeout }?: {
        timeout?: number;
    }): Promise<Counts>;
    /**
     * Takes no more events, delivers what waits, but ends after `timeout`, 5 s without one. Returns the final counts: what still
     * waits then is not delivered, and of what was on its way nobody knows.
     */
    close(options?: {
        timeout?: number;
    }): Promise<Counts>;
}
