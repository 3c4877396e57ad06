// Draws a state. Nothing in here knows where states come from.
const SVG = 'http://www.w3.org/2000/svg'
const element = (id) => document.getElementById(id)
const words = { playing: '', paused: ' · paused', ended: ' · full time' }
let pieces = []

function draw (tag, attributes) {
  const made = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return element('pitch').appendChild(made)
}

function prepare () {
  for (const [x, width] of [[1, 98], [1, 49], [1, 14], [85, 14]]) {
    const high = width < 20 ? 32 : 58
    draw('rect', { class: 'mark', x, width, y: 30 - high / 2, height: high })
  }
  draw('circle', { class: 'mark', cx: 50, cy: 30, r: 8 })
  pieces = Array.from({ length: 11 }, (_, nth) => draw('circle', {
    class: `moves ${nth === 10 ? 'ball' : nth < 5 ? 'one' : 'two'}`, r: nth === 10 ? 1 : 2
  }))
}

export const score = (match) => match.score.join(' : ')
export const clock = (match) => `${match.minute}′${words[match.state]}`

/** Shows a match. What is the same as before is left alone, so that a screen reader is not told of it again. */
export function show (match) {
  if (pieces.length === 0) prepare()
  const texts = { home: match.home, away: match.away, score: score(match), clock: clock(match), host: match.host ?? 'the house' }
  for (const [id, text] of Object.entries(texts)) if (element(id).textContent !== text) element(id).textContent = text
  const places = [...match.players, match.ball]
  pieces.forEach((piece, nth) => { piece.style.transform = `translate(${places[nth][0]}px, ${places[nth][1]}px)` })
}
