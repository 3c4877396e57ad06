/** What several want together. */
import type { Want } from './link.js';
/**
 * Everything that one of them lists, in an order that does not depend on who came first; null, which is all, where one of them wants
 * all, or it is too much to filter by.
 */
export declare const union: (wants: readonly Omit<Want, 'from'>[]) => {
    sessions: string[];
    types: string[] | null;
    keys: string[] | null;
};
