/** What an answer to a batch means for what is in it. */
/** An answer, or none. */
export type Answer = {
    readonly kind: 'taken';
    readonly ids: readonly string[];
}
/** It is about the events: none of them was published, and a repeat would be answered alike. */
 | {
    readonly kind: 'refused';
    readonly status: number;
    readonly code: string | null;
    readonly message: string;
}
/** It is about the way there, or about now. `after` is how long weir wants to be left alone, in milliseconds. */
 | {
    readonly kind: 'failed';
    readonly status: number | null;
    readonly code: string | null;
    readonly message: string;
    readonly after: number | null;
};
/** What was answered to a batch of so many events. */
export declare function read(response: Response, count: number): Promise<Answer>;
/** There was no answer: what went wrong is in the innermost cause. */
export declare function unanswered(error: unknown): Answer;
