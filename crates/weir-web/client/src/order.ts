import type { About } from './link.js'

/** Which of two positions is the earlier: below zero, zero, above, as `sort` has it. What is none counts as the earliest. */
export const compare = (one: string, other: string) => {
  const [ms, seq] = parts(one)
  const [otherMs, otherSeq] = parts(other)
  return ms - otherMs || seq - otherSeq
}

// A time alone stands before all ids of its millisecond.
const parts = (id: string): [number, number] => {
  const [ms, seq = -1] = `${id}`.split('-')
  return [+ms! || 0, +seq]
}

/** Of two positions, where there are two, the one on this side of the other. */
const choose = (side: number) => (one: string | null, other: string | null) =>
  !one || (other && compare(other, one) * side > 0) ? other : one

/** What was told, as far as it is about a place in the log. */
export const about = (heard: any): About => heard.event ?? heard.gap ?? heard

/** Whether somebody who has what was published up to a position has this, or what it says is missing. */
export const had = ({ id, before }: About, from: string | null) => {
  const at = id ?? before
  return at && from && compare(at, from) <= 0
}

export const earlier = choose(-1)
export const later = choose(1)
