// Asks every two seconds, which is often enough for figures.

const unknown = '–'
const round = (value, unit, digits = 1) => value === null ? unknown : `${value.toFixed(digits)} ${unit}`

function show (name, value) {
  const id = `figure-${name.toLowerCase().replace(/[^a-z]+/g, '-')}`
  let shown = document.getElementById(id)
  if (!shown) {
    const box = document.createElement('div')
    box.append(Object.assign(document.createElement('dt'), { textContent: name }))
    box.append(shown = Object.assign(document.createElement('dd'), { id }))
    document.getElementById('figures').append(box)
  }
  shown.textContent = value
}

async function look () {
  const answer = await fetch('/figures.json')
  const told = await answer.json()
  if (!answer.ok) throw new Error(told.error)
  const { weir, queue } = told
  show('Active connections', weir?.active ?? unknown)
  show('Average latency', round(weir?.latencyMs ?? null, 'ms'))
  show('Reconnects', round(weir?.reconnects == null ? null : weir.reconnects * 100, '% of connections', 0))
  show('Average connection', round(weir?.durationSeconds ?? null, 's', 0))
  for (const [type, count] of Object.entries(weir?.byType ?? {})) show(type, count)
  show('Published', queue.delivered)
  show('Waiting to be published', queue.waiting)
  show('Lost as the queue was full', queue.overflowed)
  if (!weir) throw new Error('weir does not answer; what waits will be published when it does')
}

async function main () {
  for (;;) {
    const trouble = document.getElementById('trouble')
    await look().then(() => { trouble.hidden = true }, (error) => {
      trouble.textContent = error.message
      trouble.hidden = false
    })
    await new Promise((resolve) => setTimeout(resolve, 2000))
  }
}

main()
