/** One stream, from its opening to its end. */
import type { Heard, Want } from './link.js';
import type { Options, Problem } from './types.js';
/** A stream that ends sooner has not stood, so that the failures before it count on. */
export declare const STOOD = 1000;
/** The longest of all pauses and timers: neither a broken `Retry-After` stops a page for good, nor does a timer overflow. */
export declare const LONGEST = 600000;
/** How a stream ended: by a failure, or as it was meant to. */
export interface End {
    readonly problem: Problem | null;
    /** For how long weir does not want to be asked again. */
    readonly after: number;
    /** Whether it was open for long enough to count as a success. */
    readonly stood: boolean;
}
/** What a stream tells, besides what is heard by all. */
export interface Told {
    hear(heard: Heard): void;
    /** It is open; later its instance may lose its log, and find it again. */
    turn(state: 'live' | 'degraded'): void;
    retry(ms: number): void;
    /** The token to go on with. */
    renewed(token: string | undefined): void;
}
/** A stream that opens, or is open. */
export interface Stream {
    readonly ended: Promise<End>;
    /** Nothing is heard of it after this. */
    abort(): void;
    /** Looks whether it is still there. */
    check(): void;
}
export declare const openStream: (options: Options, want: Want, bearer: string | undefined, told: Told) => Stream;
