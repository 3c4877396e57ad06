/** Which of two positions is the earlier: below zero, zero, above, as `sort` has it. What is none counts as the earliest. */
export const compare = (one: string, other: string) => {
  const [a, b] = [parts(one), parts(other)]
  return a[0] - b[0] || a[1] - b[1]
}

// A time alone stands before all ids of its millisecond.
const parts = (id: string): [number, number] => {
  const [ms, seq = -1] = id.split('-')
  return [+ms! || 0, +seq]
}

/** Of two positions, where there are two, the one on this side of the other. */
const choose = (side: number) => (one: string | null, other: string | null) =>
  one === null || (other !== null && compare(other, one) * side > 0) ? other : one

export const earlier = choose(-1)
export const later = choose(1)
