/** One connection for all tabs of an origin. */

import { openDirect } from './direct.js'
import type { OpenLink } from './link.js'

export const openShared: OpenLink = openDirect
