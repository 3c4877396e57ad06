/** What several want together. */
import type { Want } from './link.js';
/** Everything that one of them lists, in an order of its own; null, which is all, where one of them wants all, or it is too much to filter by. */
export declare const union: <List extends 'sessions' | 'types' | 'keys'>(wants: readonly Pick<Want, List>[], list: List) => string[] | null;
