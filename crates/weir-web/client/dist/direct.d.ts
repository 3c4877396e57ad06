/** A link of this tab's own: one stream at a time, which it opens anew whenever it ends, and the fallback. */
import type { OpenLink } from './link.js';
export declare const openDirect: OpenLink;
