/**
 * One connection for all tabs of an origin.
 *
 * Whoever holds the lock leads: it opens a link for what all tabs want together, and tells on a channel what it hears. The others wait
 * for the lock, which the browser gives to the next one as soon as the leader's tab is closed or has crashed. The new leader goes on
 * from the least position of all; each tab passes over what it was told already.
 */
import type { OpenLink } from './link.js';
/** Shares the links that `open` makes. */
export declare const share: (open: OpenLink) => OpenLink;
export declare const openShared: OpenLink;
