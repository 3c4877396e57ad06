import type { About } from './link.js';
/** Which of two positions is the earlier: below zero, zero, above, as `sort` has it. What is none counts as the earliest. */
export declare const compare: (one: string, other: string) => number;
/** What was told, as far as it is about a place in the log. */
export declare const about: (heard: any) => About;
/** Whether somebody who has what was published up to a position has this, or what it says is missing. */
export declare const had: ({ id, before }: About, from: string | null) => "" | boolean | null | undefined;
export declare const earlier: (one: string | null, other: string | null) => string | null;
export declare const later: (one: string | null, other: string | null) => string | null;
