import { type Sessions } from './hooks.js';
import { type Envelope, type QueryPatches } from './patches.js';
export type { Envelope, QueryPatches } from './patches.js';
/**
 * Keeps what TanStack Query has fetched up to date by the events of these sessions. Once on a page is enough, above whatever
 * queries. `D` is what a detail holds.
 */
export declare function useQueryPatches<T = Envelope, D = unknown>(sessions: Sessions, options: QueryPatches<T, D>): void;
