/** Calls to weir, and what their answers say. */
import type { Heard, Want } from './link.js';
import type { Options, Problem, Status } from './types.js';
export declare const IDLE: Status;
/** A problem without what it has not. */
export declare const trouble: (kind: Problem['kind'], message: unknown, more?: Partial<Problem>) => Problem;
/** What went wrong with a call, and for how long weir does not want another. */
export interface Failure {
    readonly problem: Problem;
    readonly after: number;
}
/** Whatever was thrown. */
export declare const failure: (error: any) => Failure;
/** The token to call with now. */
export declare const ask: ({ token }: Options) => Promise<string | undefined>;
/** Subscribes, for one answer where `wait` says how many seconds that may take. Throws a `Failure` where it is refused. */
export declare const subscribe: (options: Options, want: Want, bearer: string | undefined, signal: AbortSignal, wait?: number) => Promise<Response>;
/** What `work` comes to, unless the time is up or the signal comes first. */
export declare const within: <T>(ms: number, outer: AbortSignal, work: (signal: AbortSignal) => Promise<T> | T) => Promise<T>;
/** Asks once for what is there, or comes within `wait` seconds, and tells it, the position to go on from last. Whether there was any. */
export declare const poll: (options: Options, want: Want, wait: number, outer: AbortSignal, hear: (heard: Heard) => void) => Promise<any>;
/** Up to where everything was told. To come back with the `0-0` of an empty log would ask for whatever is held then, without a word of what is not. */
export declare const at: (id: string) => Heard;
/** An event of `format=json` as callers see it, or the problem with it. */
export declare const read: (said: any) => Heard;
/** Listens to the page, where there is one, until the signal. `freeze` does not bubble, so only a capturing window hears it. */
export declare const listen: (kinds: string, signal: AbortSignal, then: () => void) => void;
