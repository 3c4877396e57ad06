/** Events on one side, cached queries on the other. */
import { type QueryClient, type QueryKey } from '@tanstack/react-query';
import type { SubscribeOptions, Subscription, Weir, WeirEvent } from '@weir/client';
/** What the events of an order board say of themselves; yours may say something else, see `patch`. */
export interface Envelope {
    readonly type?: string;
    /** What it is about. */
    readonly id: string;
    /** What is new of it; without one its detail is fetched anew. */
    readonly patch?: Record<string, unknown> | null;
    /** When that was so, in a unit that rises. */
    readonly ts?: number | null;
}
/** Which queries events change, and how. */
export interface QueryPatches<T = Envelope, D = unknown> extends SubscribeOptions<T> {
    /** All queries that show what these sessions tell, by the beginnings of their keys: what is in doubt after a gap. */
    readonly all: readonly QueryKey[];
    /** Those that an event makes old, by the beginnings of their keys: fetched anew, once in `every` milliseconds at most. */
    readonly lists?: readonly QueryKey[] | ((event: WeirEvent<T>) => readonly QueryKey[]);
    /** The one that shows what an event is about, by its whole key; it is patched where it is cached. */
    readonly detail?: (event: WeirEvent<T>) => QueryKey | null | undefined;
    /**
     * Makes the new detail of the old one. Undefined: it cannot, and the detail is fetched anew. It may be called twice for an event
     * and has to come to the same. Without it, the `patch` of the event is laid over the old detail.
     */
    readonly patch?: (old: D, event: WeirEvent<T>) => D | undefined;
    /** Of when a fetched detail is, in the unit of `stale.at`; its `ts` without it. What is older than that is in it already. */
    readonly asOf?: (detail: D) => number | null | undefined;
    /** 1,000 without it. */
    readonly every?: number;
    /** Called for each event besides. */
    readonly onEvent?: (event: WeirEvent<T>) => void;
}
/** Subscribes, and does to the cache what the events and gaps ask for. `read` tells what is wanted now. */
export declare function patchQueries<T, D>(weir: Weir, queries: QueryClient, sessions: string | readonly string[], read: () => QueryPatches<T, D>): Subscription;
