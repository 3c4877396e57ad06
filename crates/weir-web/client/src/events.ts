/** Server-Sent Events out of pieces of text, as the HTML standard reads them. */

/** One block. `id` is that of this block, and null where it has none. */
export interface Block {
  readonly id: string | null
  readonly event: string
  readonly data: string
}

/** Takes the pieces. A block without data is told for its id alone. */
export const parser = (told: (block: Block) => void, retry: (ms: number) => void) => {
  let rest = ''
  const empty: Block = { id: null, event: '', data: '' }
  let block: { -readonly [Field in keyof Block]: Block[Field] } = { ...empty }
  return (piece: string) => {
    // A CR at the end may be half of a CRLF.
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop()!
    for (const line of lines) {
      const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!
      if (!line) {
        told({ ...block, data: block.data.slice(1) })
        block = { ...empty }
      } else if (name === 'data') block.data += `\n${value}`
      else if (name === 'event') block.event = value
      else if (name === 'id') block.id = value
      else if (name === 'retry' && /^\d+$/.test(value)) retry(+value)
    }
  }
}
