// All instances of a job: first whether it is well, then what clients notice, then what may be the cause.
import { CHOSEN, dashboard, everyInstance, widths } from './dashboard.mjs';
import { graph, query, stat, states, step, table, unknown } from './panel.mjs';
import * as shared from './panels.mjs';
import { DROPPED, FILES, FULL, LAG, LATENCY, OLDEST, gauge, quantile, rate } from './panels.mjs';

const alerts = stat({
    title: 'Alerts',
    shows: 'Alerts of weir that fire in this Prometheus; 0 also where the rules of deploy/prometheus are not loaded.',
    normal: '0.',
    otherwise: 'the table below names them, each with its runbook.',
    unit: 'short',
    steps: [step(1, 'red')],
    queries: [query('count(ALERTS{job=~"$job", alertname=~"Weir.+", alertstate="firing"}) or 0 * count(up{job=~"$job"})', 'alerts')],
});

const notServing = stat({
    title: 'Not serving',
    shows: 'Instances that Prometheus knows and that are down, starting, draining or not ready.',
    normal: '0; 1 for some seconds at a time during a rolling deploy.',
    otherwise: 'the table below says which and why; `/readyz` of its admin listener says what it waits for.',
    unit: 'short',
    steps: [step(1, 'orange'), step(2, 'red')],
    queries: [query(`count(up{${CHOSEN}}) - (sum(weir_ready{${CHOSEN}}) or 0 * count(up{${CHOSEN}}))`, 'not serving')],
    runbooks: ['WeirInstanceDown', 'WeirDrainStuck'],
});

const fullest = stat({
    title: 'Fullest',
    shows: 'The share of its places that is taken, of the instance where it is largest.',
    normal: 'such that the others can take the clients of one: below 66 % with three instances.',
    otherwise: 'add instances, or raise `--max-connections` and the limit of open files with it. If only one is full, see "Clients by instance".',
    unit: 'percentunit',
    steps: FULL,
    queries: [query(`max(${gauge('weir_clients')} / ${gauge('weir_clients_max')})`, 'taken')],
    runbooks: ['WeirConnectionsNearLimit', 'WeirLoadImbalance'],
});

// 0 down, 1 not ready, 2 ready, 3 draining: an instance that drains is not ready.
const state = `(up{${CHOSEN}} == 0) or on (job, instance) (1 + weir_ready{${CHOSEN}} + 2 * weir_draining{${CHOSEN}})`;

const instances = table({
    title: 'Instances',
    shows: 'Every instance as it is now. The name leads to its dashboard.',
    normal: 'all ready, of one version, with clients and rates that are alike.',
    otherwise: 'what differs in one line is the place to look: click its name.',
    unit: 'short',
    width: 18,
    height: 6,
    sortBy: 'Instance',
    queries: [
        query(`max by (instance) (${state})`),
        query(gauge('weir_clients')),
        query(`${gauge('weir_clients')} / ${gauge('weir_clients_max')}`),
        query(rate('weir_events_delivered_total', 'instance')),
        query(shared.perMinute('weir_events_dropped_total', 'instance')),
        query(quantile(0.99, 'weir_delivery_latency_seconds', 'instance')),
        query(gauge('weir_reader_lag_seconds')),
        query(shared.OLDEST_PENDING),
        query(gauge('process_resident_memory_bytes')),
        query(`time() - ${gauge('process_start_time_seconds')}`),
        query(`max by (instance, version) (weir_build_info{${CHOSEN}})`),
    ],
    columns: [
        ['instance', 'Instance', { width: 110, link: { title: 'This instance', url: '/d/weir-instance/weir-instance?${datasource:queryparam}&${job:queryparam}&var-instance=${__value.raw}&${__url_time_range}' } }],
        ['A', 'State', { width: 90, mappings: states([[0, 'down', 'red'], [1, 'not ready', 'orange'], [2, 'ready', 'green'], [3, 'draining', 'purple']]) }],
        ['B', 'Clients', { width: 80, unit: 'short', decimals: 0 }],
        ['C', 'Full', { width: 70, unit: 'percentunit', decimals: 0, steps: FULL }],
        ['D', 'Delivered', { width: 110, unit: 'eps' }],
        ['E', 'Dropped', { width: 110, unit: 'epm', steps: DROPPED }],
        ['F', 'p99', { width: 90, unit: 's', steps: LATENCY }],
        ['G', 'Lag', { width: 80, unit: 's', steps: LAG, mappings: [unknown('unknown', 'orange')] }],
        ['H', 'Pending', { width: 90, unit: 's', steps: OLDEST }],
        ['I', 'Memory', { width: 100, unit: 'bytes' }],
        ['J', 'Up for', { width: 90, unit: 's' }],
        ['version', 'Version'],
    ],
    runbooks: ['WeirInstanceDown'],
});

const firing = table({
    title: 'Alerts firing now',
    shows: 'The alerts of weir that fire. The name leads to the runbook.',
    normal: 'none.',
    otherwise: 'open the runbook of the first that pages.',
    unit: 'short',
    width: 6,
    height: 6,
    sortBy: 'Severity',
    noValue: 'none',
    queries: [query('max by (alertname, severity, instance) (ALERTS{job=~"$job", alertname=~"Weir.+", alertstate="firing"})')],
    columns: [
        ['alertname', 'Alert', { link: { title: 'Its runbook', url: '${runbooks}/${__value.raw}.md', targetBlank: true } }],
        ['severity', 'Severity', { width: 80 }],
        ['instance', 'Instance', { width: 90 }],
    ],
});

const clients = graph({
    title: 'Clients by instance',
    shows: 'Clients that are connected, all transports.',
    normal: 'follows the hours of the day, evenly spread. After a deploy the last instance has fewest for a while.',
    otherwise: 'a cliff: an instance, a load balancer or a network went. Uneven for long: see the runbook.',
    unit: 'short',
    stacked: true,
    queries: [query(gauge('weir_clients'))],
    runbooks: ['WeirLoadImbalance', 'WeirInstanceDown'],
});

const deliveries = graph({
    title: 'Deliveries by instance',
    shows: 'Events a second that were handed to connections.',
    normal: 'events published times clients that listen to them.',
    otherwise: '0 while "Entries read" is not: see the runbook. 0 for both: nobody publishes, or Redis is away.',
    unit: 'eps',
    stacked: true,
    queries: [query(rate('weir_events_delivered_total', 'instance'))],
    runbooks: ['WeirNoDeliveries'],
});

const slowest = graph({
    title: 'Delivery p99 by instance',
    shows: 'Time from the entry in the log to the client\'s socket that 99 of 100 live deliveries stay below, on each instance.',
    normal: 'alike on all.',
    otherwise: 'one stands out: its CPU, its clients\' network, or its clock.',
    unit: 's',
    steps: LATENCY,
    queries: [query(quantile(0.99, 'weir_delivery_latency_seconds', 'instance'))],
    runbooks: ['WeirDeliverySlow'],
});

const behind = graph({
    title: 'Clients catching up',
    shows: 'Clients whose queue overflowed and that read the window until they are at the head again. Nothing is lost by it as long as the window holds what they need.',
    normal: 'none, or a few for seconds.',
    otherwise: 'many: an event rate above what clients take. Find them with `/clients?sort=lag` of the admin listener.',
    unit: 'short',
    queries: [query(gauge('weir_clients_catching_up'))],
    runbooks: ['WeirEventsDropped'],
});

const entries = graph({
    title: 'Entries read',
    shows: 'Entries a second that each instance read from the log. Every instance reads all of them.',
    normal: 'the same line for all.',
    otherwise: 'one below the others falls behind: see "Reader lag".',
    unit: 'eps',
    queries: [query(rate('weir_entries_read_total', 'instance'))],
    runbooks: ['WeirReaderStuck', 'WeirNoDeliveries'],
});

const waiting = graph({
    title: 'Waiting in queues',
    shows: 'Bytes that wait in the queues of all clients of an instance.',
    normal: 'near 0: what comes goes out at once.',
    otherwise: 'climbing: clients, a proxy or the network do not take it. At most `--queue-bytes` for each client.',
    unit: 'bytes',
    queries: [query(gauge('weir_queue_bytes'))],
    runbooks: ['WeirEventsDropped', 'WeirDeliverySlow'],
});

const groups = graph({
    title: 'Reader groups',
    shows: '`groups`: reader groups of the stream in Redis; `instances`: those that read.',
    normal: 'as many groups as instances; more for a minute after an instance died.',
    otherwise: 'more for long: `weir groups` lists them, `weir groups --reap` removes those of the dead.',
    unit: 'short',
    queries: [
        query(`max(weir_groups{${CHOSEN}})`, 'groups'),
        query(`count(weir_reader_lag_entries{job=~"$job"})`, 'instances'),
    ],
    runbooks: ['WeirReaderPending'],
});

const followers = graph({
    title: 'Followers of durable streams',
    shows: '`followers`: clients that follow one; `streams`: those that somebody follows, counted on each instance.',
    normal: 'as the application has it.',
    otherwise: 'a cliff means the same as one of "Clients by instance".',
    unit: 'short',
    queries: [
        query(`sum(weir_clients{${CHOSEN}, transport="durable"})`, 'followers'),
        query(`sum(weir_streams_followed{${CHOSEN}})`, 'streams'),
    ],
});

const cpu = graph({
    title: 'CPU',
    shows: 'Cores that an instance keeps busy.',
    normal: 'follows the deliveries.',
    otherwise: 'near the number of cores it has: deliveries get late. Add instances.',
    unit: 'suffix:cores',
    queries: [query(rate('process_cpu_seconds_total', 'instance'))],
    runbooks: ['WeirDeliverySlow'],
});

const memory = graph({
    title: 'Memory',
    shows: 'Resident memory of an instance.',
    normal: 'follows the number of clients, and what the window and queues hold.',
    otherwise: 'climbing while clients do not: see "Waiting in queues" and the window on the dashboard of the instance.',
    unit: 'bytes',
    queries: [query(gauge('process_resident_memory_bytes'))],
    runbooks: ['WeirConnectionsNearLimit'],
});

const descriptors = graph({
    title: 'File descriptors',
    shows: 'The share of the descriptors it may open that an instance has open. Each client takes one.',
    normal: 'as full as its places are, and well below 80 %.',
    otherwise: 'raise the limit of open files (`LimitNOFILE`, `ulimits`), or add instances.',
    unit: 'percentunit',
    softMax: 1,
    steps: FILES,
    queries: [query(`${gauge('process_open_fds')} / ${gauge('process_max_fds')}`)],
    runbooks: ['WeirFileDescriptorsNearLimit'],
});

const sent = graph({
    title: 'Bytes delivered',
    shows: 'Bytes a second handed to streams, control events included.',
    normal: 'follows the deliveries.',
    otherwise: 'near what the network card takes: add instances on other machines.',
    unit: 'Bps',
    stacked: true,
    queries: [query(rate('weir_delivered_bytes_total', 'instance'))],
    runbooks: ['WeirDeliverySlow'],
});

export const overview = dashboard({
    uid: 'weir-overview',
    title: 'weir: overview',
    description: 'All instances of weir: whether it is well, what clients notice, and what may be the cause. Read it from the top.',
    instances: everyInstance,
    rows: [
        {
            title: 'Is it well?',
            lines: [
                widths([2, 3, 2, 3, 3, 3, 3, 3, 2], [alerts, notServing, shared.logNow, shared.droppedNow, shared.lostNow, shared.refusedNow, shared.latencyNow, shared.lagNow, fullest]),
                [instances, firing],
            ],
        },
        {
            title: 'What clients notice',
            lines: [
                [clients, deliveries, shared.latency],
                [shared.dropped, shared.gaps, shared.rejected],
                [shared.disconnections, shared.resumes, slowest],
            ],
        },
        {
            title: 'Causes: from the log to the sockets',
            lines: [
                [shared.lag, shared.pending, shared.oldest],
                [entries, shared.progress, shared.unread],
                [waiting, behind, shared.discarded],
            ],
        },
        {
            title: 'Causes: Redis and the stream',
            lines: [
                [shared.redisAnswers, shared.readerErrors, groups],
                [shared.commands, shared.commandRate],
                [shared.length, shared.horizon],
            ],
        },
        {
            title: 'Causes: resources',
            lines: [[cpu, memory, descriptors, sent]],
        },
        {
            title: 'Publishing and durable streams',
            lines: [
                [shared.publishes, shared.publishDuration],
                [shared.appends, shared.appendDuration, followers, shared.streamReads],
            ],
        },
    ],
});
