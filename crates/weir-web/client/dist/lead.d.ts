/** The tab that has the connection: what all tabs want together is wanted of one link. */
import type { Heard, OpenLink, Want } from './link.js';
import type { Options } from './types.js';
/** What a leader does for the tabs. */
export interface Leader {
    /** What this tab wants from now on. */
    want(tab: string, nth: number, want: Want): void;
    retry(): void;
    close(): void;
}
/** Whom a leader tells something: one tab, as an answer to its want with this number; or all of them. */
export type Tell = (heard: readonly Heard[], tab?: string, nth?: number) => void;
/** Leads until it is closed. */
export declare const lead: (open: OpenLink, options: Options, tell: Tell) => Leader;
