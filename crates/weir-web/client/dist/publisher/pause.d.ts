/** The pauses between tries. */
/** Doubled with each failure and jittered, so that those that failed together do not come back together. */
export declare class Backoff {
    #private;
    readonly first: number;
    readonly most: number;
    constructor(first: number, most: number);
    get failures(): number;
    reset(): void;
    /** The pause after one more failure, never shorter than what was asked for. */
    afterFailure(asked: number | null): number;
}
/** A timer of any length; one that is endless is as good as one of weeks. */
export declare function after(ms: number, run: () => void): ReturnType<typeof setTimeout>;
/** A timer that keeps no process alive, where the platform knows such. */
export declare function quietly(run: () => void, ms: number): ReturnType<typeof setTimeout>;
