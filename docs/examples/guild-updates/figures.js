// What weir says of itself on /metrics, in the few figures that one looks at. For more there are the dashboards of weir.

const NAME = /^([a-z_]+)(?:\{([^}]*)\})? (\S+)$/

/** Every sample of the text format: its name, its labels and its value. */
function samples (text) {
  return text.split('\n').map((line) => NAME.exec(line)).filter(Boolean).map(([, name, labels = '', value]) => ({
    name,
    labels: Object.fromEntries([...labels.matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, label, of]) => [label, of])),
    value: Number(value)
  }))
}

export async function figures (admin) {
  const answer = await fetch(`${admin}/metrics`, { signal: AbortSignal.timeout(2000) })
  if (!answer.ok) throw new Error(`metrics: ${answer.status}`)
  const all = samples(await answer.text())
  const sum = (name) => all.filter((sample) => sample.name === name).reduce((total, { value }) => total + value, 0)
  const mean = (name) => sum(`${name}_count`) > 0 ? sum(`${name}_sum`) / sum(`${name}_count`) : null
  const connections = sum('weir_connections_total')
  return {
    active: sum('weir_clients'),
    byType: Object.fromEntries(all.filter(({ name }) => name === 'weir_events_total').map(({ labels, value }) => [labels.type, value])),
    latencyMs: mean('weir_delivery_latency_seconds') === null ? null : mean('weir_delivery_latency_seconds') * 1000,
    // Of those who came, how many came back from a position rather than for the first time.
    reconnects: connections > 0 ? sum('weir_resumes_total') / connections : null,
    durationSeconds: mean('weir_connection_duration_seconds')
  }
}
