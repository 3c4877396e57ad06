import assert from 'node:assert/strict'
import { test } from 'node:test'

import { createParser } from 'eventsource-parser'

import { parser, type Block } from '../src/events.js'

/** What ours makes of a text that comes in pieces, without what has no data. */
function ours(pieces: string[]) {
  const found: (Omit<Block, 'id'> & { id: string | null } | number)[] = []
  const feed = parser((block) => void (block.data && found.push(block)), (ms) => void found.push(ms))
  pieces.forEach(feed)
  return found
}

/** What a well-kept parser makes of it. */
function theirs(pieces: string[]) {
  const found: unknown[] = []
  const { feed } = createParser({
    onEvent: ({ id, event, data }) => void (data && found.push({ id: id ?? null, event: event ?? '', data })),
    onRetry: (ms) => void found.push(ms),
  })
  pieces.forEach(feed)
  return found
}

test('a stream of weir, byte for byte', () => {
  const stream = 'retry: 5231\nevent: weir.connected\nid: 7-0\ndata: {"heartbeat":15000}\n\n:\nid: 8-0\ndata: a\ndata: b\n\n'
  const expected = [
    5231,
    { id: '7-0', event: 'weir.connected', data: '{"heartbeat":15000}' },
    { id: '8-0', event: '', data: 'a\nb' },
  ]
  assert.deepEqual(ours([stream]), expected)
  assert.deepEqual(ours([...stream]), expected)
  assert.deepEqual(ours([...stream.replaceAll('\n', '\r\n')]), expected)
  // Only what comes next says that the last CR is no half of a CRLF.
  assert.deepEqual(ours([stream.replaceAll('\n', '\r'), ':']), expected)
})

test('an id alone is told, as a position may come so', () => {
  const found: Block[] = []
  parser((block) => void found.push(block), () => {})('id: 9-0\n\n')
  assert.deepEqual(found, [{ id: '9-0', event: '', data: '' }])
})

// What is not written here is what `eventsource-parser` says: both read the same texts, cut at the same places.
test('texts of all kinds are read as a well-kept parser reads them', () => {
  const words = ['data', 'event', 'id', 'retry', ':', ': ', ' ', '\n', '\n\n', '\r', '\r\n', 'x', 'é', '12', '1a', '\ufeff', '💡']
  let seed = 20_260_101
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
    return Math.floor((seed / 2 ** 31) * below)
  }
  for (let n = 0; n < 5_000; n++) {
    const pieces = Array.from({ length: 1 + random(8) }, () =>
      Array.from({ length: random(10) }, () => words[random(words.length)]).join(''),
    )
    // Ours is behind a decoder, which takes that mark off.
    if (pieces.join('').startsWith('\ufeff')) continue
    assert.deepEqual(ours(pieces), theirs(pieces), JSON.stringify(pieces))
  }
})
