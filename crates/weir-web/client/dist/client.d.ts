import type { Events, Options, Status, SubscribeOptions, Subscription, WeirEvent } from './types.js';
/** A client: any number of subscriptions on one connection. Nothing is opened before the first of them. */
export declare class Weir {
    #private;
    constructor(options?: Options);
    /** Calls `handle` for each event of a session, or of several. */
    subscribe<T = string>(sessions: string | readonly string[], handle: (event: WeirEvent<T>) => void, options?: SubscribeOptions<T>): Subscription;
    /** Listens to what happens to the client as a whole; what it returns ends that. */
    on<K extends keyof Events>(kind: K, handle: (what: Events[K]) => void): () => void;
    get status(): Status;
    /** The position up to which everything was had; null before the first. */
    get position(): string | null;
    /** Tries at once rather than after the pause, and also after it was given up. */
    retry(): void;
    /** Ends all subscriptions and the connection. */
    close(): void;
}
