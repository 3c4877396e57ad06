/** Which of two positions is the earlier: below zero, zero, above, as `sort` has it. What is none counts as the earliest. */
export const compare = (one: string, other: string) => {
  const [a, b] = [parts(one), parts(other)]
  return a[0] - b[0] || a[1] - b[1]
}

// A time alone stands before all ids of its millisecond.
const parts = (id: string): [number, number] => {
  const [ms, seq = -1] = id.split('-')
  return [Number(ms) || 0, Number(seq)]
}
