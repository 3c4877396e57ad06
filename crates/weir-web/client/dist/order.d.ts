/** Which of two positions is the earlier: below zero, zero, above, as `sort` has it. What is none counts as the earliest. */
export declare const compare: (one: string, other: string) => number;
export declare const earlier: (one: string | null, other: string | null) => string | null;
export declare const later: (one: string | null, other: string | null) => string | null;
