// The panels that both dashboards show. Where they stand beside each other, an instance has one colour.
import { bounds } from './alerts.mjs';
import { CHOSEN } from './dashboard.mjs';
import { graph, query, stat, states, step, unknown } from './panel.mjs';

// rate of a counter, summed by a label or as a whole.
export const rate = (series, by) => `sum${by ? ` by (${by})` : ''} (rate(${series}{${CHOSEN}}[$__rate_interval]))`;
export const perMinute = (series, by) => `60 * ${rate(series, by)}`;
// A quantile over all that the chosen instances observed, or by a label. Where nothing was observed there is none, not NaN.
export const quantile = (of, series, by) =>
    `histogram_quantile(${of}, sum by (${by ? `${by}, ` : ''}le) (rate(${series}_bucket{${CHOSEN}}[$__rate_interval]))) >= 0`;
// Age of the oldest pending entry of each instance: 0 where none is pending, and nothing where it is not known.
export const OLDEST_PENDING = `sum by (instance) (weir_reader_pending_oldest_seconds{${CHOSEN}} >= 0) or 0 * sum by (instance) (weir_reader_pending_entries{${CHOSEN}} == 0)`;
export const gauge = (series, by = 'instance') => `sum by (${by}) (${series}{${CHOSEN}})`;

// Red where an alert begins; orange where its ticket does, or else somewhat below.
const [dropsFrom] = bounds('WeirEventsDropped', 'weir_events_dropped_total');
const [slowFrom] = bounds('WeirDeliverySlow', 'weir_delivery_latency_seconds:p99_rate5m');
const [lagFrom] = bounds('WeirReaderLag', 'weir_reader_lag_seconds');
const [oldFrom, tooOldFrom] = bounds('WeirReaderPending', 'weir_reader_pending_oldest_seconds');
const [fullFrom] = bounds('WeirConnectionsNearLimit', 'weir_clients_max');
const [filesFrom] = bounds('WeirFileDescriptorsNearLimit', 'process_max_fds');
const [stuckFrom] = bounds('WeirReaderStuck', 'weir_reader_last_progress_timestamp_seconds');
const [pendingFrom] = bounds('WeirReaderPending', 'weir_reader_pending_entries');

export const DROPPED = [step(1, 'orange'), step(dropsFrom, 'red')];
export const LATENCY = [step(0.25, 'orange'), step(slowFrom, 'red')];
export const LAG = [step(1, 'orange'), step(lagFrom, 'red')];
export const OLDEST = [step(oldFrom, 'orange'), step(tooOldFrom, 'red')];
export const FULL = [step(0.8, 'orange'), step(fullFrom, 'red')];
export const FILES = [step(0.8, 'orange'), step(filesFrom, 'red')];
export const PENDING = [step(pendingFrom, 'orange')];

// A reason has one colour wherever it stands.
const LOSSES = { overflow: 'orange', trimmed: 'red', oversize: 'purple', reader: 'dark-red', reset: 'blue', 'unknown-id': 'yellow' };

const quantiles = (series, by) => [0.5, 0.99, 0.999].map((of) => query(quantile(of, series, by), `p${of * 100}`));

export const droppedNow = stat({
    title: 'Events dropped',
    shows: 'Events a minute that were lost to a client while it was connected. The client is told with `weir.gap`.',
    normal: '0. A closed tab, a deploy or a resume after a week does not count here.',
    otherwise: 'see "Dropped events by reason": `overflow` and `trimmed` mean clients that cannot keep up, `oversize` an event over the bound.',
    unit: 'suffix:/min',
    decimals: 0,
    steps: DROPPED,
    queries: [query(perMinute('weir_events_dropped_total'), 'dropped')],
    runbooks: ['WeirEventsDropped'],
});

export const latencyNow = stat({
    title: 'Delivery p99',
    shows: 'Time from the entry in the log to the client\'s socket that 99 of 100 live deliveries stay below.',
    normal: 'some milliseconds. Clocks that disagree show here too, since the entry has the time of Redis.',
    otherwise: 'compare "Reader lag" (late before the queue) with "Waiting in queues" (late behind it), then CPU.',
    unit: 's',
    steps: LATENCY,
    mappings: [unknown('none', 'blue')],
    queries: [query(quantile(0.99, 'weir_delivery_latency_seconds'), 'p99')],
    runbooks: ['WeirDeliverySlow'],
});

export const lagNow = stat({
    title: 'Behind',
    shows: 'How far the instance that is furthest behind is behind the newest entry of the log.',
    normal: 'below a second.',
    otherwise: 'look at "Reader lag" below: one instance means its CPU or network, all of them Redis or more entries than one reader can read.',
    unit: 's',
    steps: LAG,
    mappings: [unknown('unknown', 'orange')],
    queries: [query(`max(weir_reader_lag_seconds{${CHOSEN}})`, 'lag')],
    runbooks: ['WeirReaderLag', 'WeirReaderStuck'],
});

export const logNow = stat({
    title: 'Log',
    shows: 'Whether Redis answers all chosen instances; with `--data-dir`, whether the disk takes what is written.',
    normal: 'up.',
    otherwise: 'clients stay connected and replay from the window meanwhile, but nothing new arrives. See "Redis answers" for who lost it: one instance means its network, all of them Redis.',
    unit: 'short',
    mappings: [...states([[0, 'down', 'red'], [1, 'up', 'green']]), unknown('in RAM', 'blue')],
    queries: [query(`min(weir_redis_up{${CHOSEN}} or weir_store_writable{${CHOSEN}} >= 0)`, 'log')],
    runbooks: ['WeirRedisDown', 'WeirStoreNotWritable'],
});

export const lostNow = stat({
    title: 'Entries lost',
    shows: 'Entries a minute that were trimmed before an instance read them: no client of that instance got them.',
    normal: '0, always.',
    otherwise: 'the instance was behind by more than the stream holds: see "Reader lag", then `--maxlen`.',
    unit: 'suffix:/min',
    steps: [step(0.001, 'red')],
    queries: [query(perMinute('weir_entries_lost_total'), 'lost')],
    runbooks: ['WeirEntriesLost'],
});

export const refusedNow = stat({
    title: 'Publishes failed',
    shows: 'Publish calls a minute that were answered 503, since the log could not be written.',
    normal: '0.',
    otherwise: 'Redis is away, refuses writes or is full: `/readyz` and the log of an instance say which, docs/redis.md what to do.',
    unit: 'suffix:/min',
    steps: [step(0.001, 'orange'), step(60, 'red')],
    queries: [query(`60 * sum(rate(weir_publishes_total{${CHOSEN}, result="unavailable"}[$__rate_interval]))`, 'failed')],
    runbooks: ['WeirRedisDown', 'WeirPublishesRefused'],
});

export const latency = graph({
    title: 'Delivery latency',
    shows: 'Time from the entry in the log to the client\'s socket, live events only: the median, and what 99 and 99.9 of 100 deliveries stay below.',
    normal: 'flat, the quantiles within some milliseconds of each other.',
    otherwise: 'all quantiles up: the reader is late, or the CPU is full. Only p99.9 up: few slow clients, or one instance; see "Delivery p99 by instance".',
    unit: 's',
    steps: LATENCY,
    queries: quantiles('weir_delivery_latency_seconds'),
    runbooks: ['WeirDeliverySlow'],
});

export const dropped = graph({
    title: 'Dropped events by reason',
    shows: 'Events a minute that were lost to a connected client. `overflow`: its queue was full and its policy drops; `trimmed`: it caught up too slowly and the window moved on; `oversize`: the event is over the bound.',
    normal: 'none.',
    otherwise: '`overflow` or `trimmed`: find the slow clients with `/clients?sort=lag` of the admin listener; all clients at once means more events than the network takes. `oversize`: find the producer.',
    unit: 'epm',
    steps: [step(dropsFrom, 'red')],
    bars: true,
    stacked: true,
    colors: LOSSES,
    queries: [query(perMinute('weir_events_dropped_total', 'reason'), '{{reason}}')],
    runbooks: ['WeirEventsDropped', 'WeirDropBudgetBurn'],
});

export const gaps = graph({
    title: 'Gap notices by reason',
    shows: 'How often a minute clients were told of a loss. `overflow` and `trimmed` while connected; `trimmed` and `unknown-id` on a resume; `reader`: entries were trimmed before they were read; `reset`: the log was emptied or replaced.',
    normal: 'none, or `trimmed` in ones and twos from clients that were away for long.',
    otherwise: 'many `trimmed` on resumes: the stream reaches back too short, see "How far back clients can resume". `reader`: see "Reader lag". `reset`: somebody deleted the stream, or a failover lost entries.',
    unit: 'suffix:/min',
    bars: true,
    stacked: true,
    colors: LOSSES,
    queries: [query(perMinute('weir_gap_notices_total', 'reason'), '{{reason}}')],
    runbooks: ['WeirGapNotices', 'WeirHorizonShort'],
});

export const rejected = graph({
    title: 'Subscribes turned away by reason',
    shows: 'Subscribes a second that were not admitted.',
    normal: 'none, apart from `auth` of clients with old tokens and `draining` during a deploy.',
    otherwise: '`limit` and `memory`: add instances. `ip`, `subject`, `rate`: one client asks too often, or all of them come through a proxy that is not a trusted one. `starting`: the first load of the window takes long.',
    unit: 'reqps',
    bars: true,
    stacked: true,
    queries: [query(rate('weir_connections_rejected_total', 'reason'), '{{reason}}')],
    runbooks: ['WeirConnectionsNearLimit'],
});

export const disconnections = graph({
    title: 'Disconnections by reason',
    shows: 'Clients a second that left, or were made to.',
    normal: '`client` at the pace at which pages are closed; `shutdown` during a deploy; `max-age` if rotation is on.',
    otherwise: '`stalled`, `overflow`: clients or a proxy that do not read. `error`: the network, or a proxy that cuts idle streams: its timeout must be above three heartbeats.',
    unit: 'suffix:/s',
    bars: true,
    stacked: true,
    colors: { client: 'green', shutdown: 'blue', error: 'red', stalled: 'orange', overflow: 'yellow' },
    queries: [query(rate('weir_disconnections_total', 'reason'), '{{reason}}')],
    runbooks: ['WeirReconnectStorm'],
});

export const resumes = graph({
    title: 'Resumes by result',
    shows: 'Clients a second that came back with a position: `complete` lost nothing, `gap` were told that they did.',
    normal: '`complete` follows the reconnects; `gap` next to none.',
    otherwise: 'many at once are a reconnect storm: look for a restart, a load balancer that was reloaded, or a network that broke. For `gap` see "Gap notices by reason".',
    unit: 'suffix:/s',
    bars: true,
    stacked: true,
    colors: { complete: 'green', gap: 'red' },
    queries: [query(rate('weir_resumes_total', 'result'), '{{result}}')],
    runbooks: ['WeirReconnectStorm', 'WeirGapNotices'],
});

export const discarded = graph({
    title: 'Discarded events by reason',
    shows: 'Queued events a second that were not sent although nothing is lost: superseded (`conflated`), or left behind by a client that went and can resume.',
    normal: '`client` and `shutdown` when clients go, `conflated` where clients ask for it.',
    otherwise: '`stalled` and `disconnect`: clients that do not read. They get the events when they resume.',
    unit: 'eps',
    bars: true,
    stacked: true,
    queries: [query(rate('weir_events_discarded_total', 'reason'), '{{reason}}')],
    runbooks: ['WeirEventsDropped'],
});

export const lag = graph({
    title: 'Reader lag',
    shows: 'Time from the newest entry that an instance has read to the newest of the log.',
    normal: 'below a second, a spike when an instance starts.',
    otherwise: 'one instance: its CPU or its network. All: Redis is slow, or there are more entries than a reader can read.',
    unit: 's',
    steps: LAG,
    queries: [query(gauge('weir_reader_lag_seconds'))],
    runbooks: ['WeirReaderLag'],
});

export const progress = graph({
    title: 'Since the reader last heard of the log',
    shows: 'Time since an instance last got entries from the log, or the answer that there are none.',
    normal: 'saw teeth below the block of its reads, `--read-block` (5 s).',
    otherwise: 'a line that climbs is a reader that stands still. With "Redis answers" at 0 it waits for Redis; else see its log and `/readyz`.',
    unit: 's',
    steps: [step(stuckFrom, 'red')],
    queries: [query(`time() - ${gauge('weir_reader_last_progress_timestamp_seconds')}`)],
    runbooks: ['WeirReaderStuck'],
});

export const pending = graph({
    title: 'Pending entries (XPENDING)',
    shows: 'Entries that Redis gave to an instance and that it has not acknowledged. 0 while it reads a backlog, of which the lag tells.',
    normal: 'below one batch, `--read-count` (200), and gone by the next look.',
    otherwise: 'climbing means that entries are read and not handled, or that acknowledging fails: see "Reader errors by kind", and `weir groups`.',
    unit: 'short',
    steps: PENDING,
    queries: [query(gauge('weir_reader_pending_entries'))],
    runbooks: ['WeirReaderPending'],
});

export const oldest = graph({
    title: 'Oldest pending entry (XPENDING)',
    shows: 'How long the oldest entry that an instance was given waits for its acknowledgement.',
    normal: 'below a second. None while it reads a backlog.',
    otherwise: 'an instance that stands still: see "Since the reader last heard of the log" and its log.',
    unit: 's',
    steps: OLDEST,
    queries: [query(OLDEST_PENDING)],
    runbooks: ['WeirReaderPending', 'WeirReaderStuck'],
});

export const unread = graph({
    title: 'Entries lost or skipped',
    shows: 'Entries a minute that no client got: `lost` were trimmed before an instance read them, the others were skipped because of what is in them.',
    normal: 'none.',
    otherwise: '`lost`: an instance was behind by more than the stream holds; raise `--maxlen`. Any other names what is wrong with entries of a producer; `weir doctor` shows some by id.',
    unit: 'epm',
    bars: true,
    stacked: true,
    colors: { lost: 'red' },
    queries: [
        query(perMinute('weir_entries_lost_total'), 'lost'),
        query(perMinute('weir_entries_malformed_total', 'reason'), '{{reason}}'),
    ],
    runbooks: ['WeirEntriesLost'],
});

export const redisAnswers = graph({
    title: 'Redis answers',
    shows: 'Whether Redis answers an instance: 1 or 0.',
    normal: '1 for all.',
    otherwise: 'all at 0: Redis is away. One at 0: the network between. Short dips are failovers.',
    unit: 'short',
    decimals: 0,
    max: 1,
    stepped: true,
    queries: [query(gauge('weir_redis_up'))],
    runbooks: ['WeirRedisDown'],
});

export const commands = graph({
    title: 'Redis commands p99',
    shows: 'How long 99 of 100 commands to Redis take at most, by what they are for; reads that wait are left out.',
    normal: 'some milliseconds.',
    otherwise: 'all up: Redis or the network is slow, see its `SLOWLOG` and `LATENCY DOCTOR`. Only `append`: its disk (`appendfsync`).',
    unit: 's',
    queries: [query(quantile(0.99, 'weir_redis_command_duration_seconds', 'command'), '{{command}}')],
    runbooks: ['WeirDeliverySlow', 'WeirRedisDown'],
});

export const commandRate = graph({
    title: 'Redis commands',
    many: true,
    shows: 'Commands a second that instances send to Redis, by what they are for; reads that wait are left out.',
    normal: '`append` follows the publishes, `ack` and `upkeep` the number of instances. The number of clients plays no part.',
    otherwise: 'an `append` that fell to 0 while "Publishes by result" did not: see that one for `unavailable`.',
    unit: 'suffix:/s',
    queries: [query(rate('weir_redis_command_duration_seconds_count', 'command'), '{{command}}')],
});

export const readerErrors = graph({
    title: 'Reader errors by kind',
    shows: 'Faults a minute that readers met, and connections to Redis that were made anew (`reconnects`). Nothing need be lost by one.',
    normal: 'none, apart from `disconnected` and `connect` when Redis restarts or fails over.',
    otherwise: 'the name says which: `auth`, `refused`: user and rights. `read_only`, `out_of_memory`: what Redis refuses, see docs/redis.md. `no_group`: somebody destroyed the group.',
    unit: 'suffix:/min',
    bars: true,
    stacked: true,
    queries: [
        query(perMinute('weir_reader_errors_total', 'kind'), '{{kind}}'),
        query(perMinute('weir_redis_reconnects_total'), 'reconnects'),
    ],
    runbooks: ['WeirRedisDown', 'WeirReaderStuck'],
});

export const length = graph({
    title: 'Entries in the stream',
    shows: 'Entries in the shared stream, and its bound `--maxlen`.',
    normal: 'at the bound, or below it by `--max-age` or little traffic; somewhat above, since Redis trims in blocks.',
    otherwise: 'far above: nobody may trim; see `weir doctor`. Suddenly near 0: somebody emptied the stream.',
    unit: 'short',
    colors: { bound: 'red' },
    queries: [
        query(`max(weir_stream_length{${CHOSEN}})`, 'entries'),
        query(`min(weir_stream_maxlen{${CHOSEN}})`, 'bound'),
    ],
    runbooks: ['WeirHorizonShort'],
});

export const horizon = graph({
    title: 'How far back clients can resume',
    shows: 'Age of the oldest event in the window, and of the oldest entry in the stream. A client that was away for longer than the window reaches back may be told of a gap.',
    normal: 'both alike, and longer than a client is usually away: ten minutes at least. It shrinks as more is published.',
    otherwise: 'raise `--maxlen`; where the window alone is short, `--window-bytes`.',
    unit: 's',
    queries: [query(`min(weir_window_horizon_seconds{${CHOSEN}})`, 'window'), query(`min(weir_stream_horizon_seconds{${CHOSEN}})`, 'stream')],
    runbooks: ['WeirHorizonShort'],
});

export const publishes = graph({
    title: 'Publishes by result',
    bars: true,
    shows: 'Publish calls a second, a batch counting once. Producers that write to Redis themselves are not seen here.',
    normal: '`ok`; a few `duplicate` where producers repeat a call.',
    otherwise: '`unavailable`: the log cannot be written. `denied`: tokens. `limited`: `--publish-rate`. `invalid`: a producer\'s fault.',
    unit: 'reqps',
    stacked: true,
    colors: { ok: 'green', unavailable: 'red' },
    queries: [query(rate('weir_publishes_total', 'result'), '{{result}}')],
    runbooks: ['WeirRedisDown', 'WeirPublishesRefused'],
});

export const publishDuration = graph({
    title: 'Publish duration',
    shows: 'From the head of a publish to its answer, all results.',
    normal: 'about the duration of the command `append`.',
    otherwise: 'with `append` under "Redis commands p99" up as well: Redis. Else slow producers, since their body is part of it, or the CPU.',
    unit: 's',
    queries: quantiles('weir_publish_duration_seconds'),
});

export const appends = graph({
    title: 'Appends to durable streams by result',
    bars: true,
    shows: 'Appends to durable streams a second, closing included.',
    normal: '`ok`; a few `duplicate` where producers repeat a call.',
    otherwise: '`full`: a stream reached its bound. `unavailable`: the log cannot be written. `denied`: tokens.',
    unit: 'reqps',
    stacked: true,
    colors: { ok: 'green', unavailable: 'red' },
    queries: [query(rate('weir_stream_appends_total', 'result'), '{{result}}')],
    runbooks: ['WeirPublishesRefused'],
});

export const appendDuration = graph({
    title: 'Append duration',
    shows: 'From the head of an append to a durable stream to its answer, all results.',
    normal: 'about the duration of the command `stream_append`.',
    otherwise: 'see "Redis commands p99"; with `--data-dir` and no Redis it is the disk.',
    unit: 's',
    queries: quantiles('weir_stream_append_duration_seconds'),
});

export const streamReads = graph({
    title: 'Reads of durable streams',
    shows: '`at once`: reads a second that are answered from what there is. `for followers`: reads to serve those who follow; all who are at one place share one.',
    normal: '`for followers` follows the appends, not the number of followers.',
    otherwise: 'many `at once` with few clients: somebody polls instead of following.',
    unit: 'suffix:/s',
    queries: [query(rate('weir_stream_reads_total'), 'at once'), query(rate('weir_stream_tail_reads_total'), 'for followers')],
});
