import type { Status, SubscribeOptions, WeirEvent } from '@weir/client';
/** One session, several, or none for now. */
export type Sessions = string | readonly string[] | null | undefined;
/** Calls `handle` for each event. Handler and options may be made anew by every render: only what they say counts. */
export declare function useSubscription<T = string>(sessions: Sessions, handle: (event: WeirEvent<T>) => void, options?: SubscribeOptions<T>): void;
/** The newest event; null before the first, and again once other sessions or other options are asked for. */
export declare function useLatest<T = string>(sessions: Sessions, options?: SubscribeOptions<T>): WeirEvent<T> | null;
/** What the connection is doing. On a server, and while its page is taken over, it is `idle`. */
export declare function useStatus(): Status;
/** Whether it is about any session at all. */
export declare const isAny: (sessions: Sessions) => sessions is string | readonly string[];
/** The same options, whose functions are always those of the newest render. */
export declare function throughNewest<T>(options: SubscribeOptions<T>, newest: () => SubscribeOptions<T>): SubscribeOptions<T>;
