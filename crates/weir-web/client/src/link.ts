/** What stands between subscriptions and whatever brings them events: a connection of this tab's own, or one that tabs share. */

import type { Gap, Options, Problem, Status, WeirEvent } from './types.js'

/** All that is wanted of a link at once. Plain data, since it goes between tabs. */
export interface Want {
  readonly sessions: readonly string[]
  /** null: every type. */
  readonly types: readonly string[] | null
  /** null: every key. */
  readonly keys: readonly string[] | null
  /** The position to go on from; null: from now on. */
  readonly from: string | null
}

/** What a link tells. Plain data as well. `position` says up to where everything that is wanted was told. */
export type Heard =
  | { readonly kind: 'event'; readonly event: WeirEvent }
  | { readonly kind: 'gap'; readonly gap: Gap }
  | { readonly kind: 'position'; readonly id: string }
  | { readonly kind: 'status'; readonly status: Status }
  | { readonly kind: 'problem'; readonly problem: Problem }

/** What something that was told is about: where it stands, before what it is missing, whom it concerns. */
export interface About {
  readonly id?: string
  readonly before?: string | null
  readonly session?: string | null
  readonly reason?: Gap['reason']
}

/** Brings what is wanted. */
export interface Link {
  /** Replaces what is wanted; null: nothing. What is wanted anew is had from its position on; an event may be told twice. */
  want(want: Want | null): void
  /** Tries again at once, also after it was given up. */
  retry(): void
  /** For good. */
  close(): void
}

/** Makes a link that tells `hear` whatever it hears. */
export type OpenLink = (options: Options, hear: (heard: Heard) => void) => Link
