// A single instance: the same questions, and all that only it can say.
import { CHOSEN, dashboard, oneInstance } from './dashboard.mjs';
import { graph, query, stat, states, unknown } from './panel.mjs';
import * as shared from './panels.mjs';
import { FULL, quantile, rate } from './panels.mjs';

const only = (series) => `max(${series}{${CHOSEN}})`;

const state = stat({
    title: 'State',
    shows: 'Whether Prometheus reaches the instance, and whether it is ready for clients.',
    normal: 'ready; draining, then gone, in a deploy.',
    otherwise: '`/readyz` of its admin listener says what it waits for. Down: see its log, and whether its machine is there.',
    unit: 'short',
    mappings: states([[0, 'down', 'red'], [1, 'not ready', 'orange'], [2, 'ready', 'green'], [3, 'draining', 'purple']]),
    queries: [query(`max((up{${CHOSEN}} == 0) or on (job, instance) (1 + weir_ready{${CHOSEN}} + 2 * weir_draining{${CHOSEN}}))`, 'state')],
    runbooks: ['WeirInstanceDown', 'WeirDrainStuck'],
});

const upFor = stat({
    title: 'Up for',
    shows: 'Time since the process started.',
    normal: 'since the last deploy.',
    otherwise: 'shorter: it was restarted. Its service manager knows why (`journalctl -u weir`, `kubectl describe pod`).',
    unit: 's',
    fixed: 'blue',
    queries: [query(`time() - ${only('process_start_time_seconds')}`, 'up for')],
    runbooks: ['WeirInstanceDown'],
});

const version = stat({
    title: 'Version',
    shows: 'What was built.',
    normal: 'the same on all instances, apart from a deploy.',
    otherwise: 'a deploy stopped halfway.',
    unit: 'short',
    fixed: 'blue',
    textMode: 'name',
    queries: [query(`max by (version) (weir_build_info{${CHOSEN}})`, '{{version}}')],
});

const full = stat({
    title: 'Full',
    shows: 'Clients, as a share of the most that are admitted at once.',
    normal: 'well below 80 %.',
    otherwise: 'add instances, or raise `--max-connections` and the limit of open files.',
    unit: 'percentunit',
    steps: FULL,
    queries: [query(`sum(weir_clients{${CHOSEN}}) / ${only('weir_clients_max')}`, 'taken')],
    runbooks: ['WeirConnectionsNearLimit'],
});

const clients = graph({
    title: 'Clients by transport',
    shows: 'Clients that are connected now.',
    normal: 'mostly `sse`, following the hours of the day.',
    otherwise: 'a cliff: see "Disconnections by reason". At the bound: "Subscribes turned away by reason".',
    unit: 'short',
    stacked: true,
    queries: [query(shared.gauge('weir_clients', 'transport'), '{{transport}}')],
    runbooks: ['WeirConnectionsNearLimit', 'WeirLoadImbalance'],
});

const connections = graph({
    title: 'New clients by transport',
    shows: 'Clients a second that were admitted.',
    normal: 'about as many as leave. `long-poll` counts each poll.',
    otherwise: 'a wave: many came back at once, after an end of another instance or of a network.',
    unit: 'suffix:/s',
    queries: [query(rate('weir_connections_total', 'transport'), '{{transport}}')],
    runbooks: ['WeirReconnectStorm'],
});

const age = graph({
    title: 'How long clients stayed',
    shows: 'How long the clients that left had been connected.',
    normal: 'as long as pages are open.',
    otherwise: 'a median that sits at one value is a timeout on the way: raise that of the proxy above three heartbeats.',
    unit: 's',
    queries: [0.5, 0.9].map((of) => query(quantile(of, 'weir_connection_duration_seconds'), `p${of * 100}`)),
    runbooks: ['WeirReconnectStorm'],
});

const listened = graph({
    title: 'Sessions and subscriptions',
    shows: '`sessions` that at least one client listens to; `subscriptions`: sessions counted for each client; `sockets`: connections, with a client or without.',
    normal: 'follow the clients.',
    otherwise: 'far more subscriptions than clients: clients that listen to many sessions each, up to `--max-sessions-per-connection`.',
    unit: 'short',
    queries: [
        query(`sum(weir_sessions{${CHOSEN}})`, 'sessions'),
        query(`sum(weir_subscriptions{${CHOSEN}})`, 'subscriptions'),
        query(`sum(weir_sockets{${CHOSEN}})`, 'sockets'),
    ],
});

const events = graph({
    title: 'Events on their way',
    shows: 'Events a second: `read` from the log, `queued` for clients, `delivered` to their sockets, `replayed` from the window to those who came back.',
    normal: '`queued` and `delivered` are one line: `read` times the clients that listen.',
    otherwise: '`delivered` below `queued`: clients take less than comes. `read` at 0: nobody publishes, or see "Reader lag".',
    unit: 'eps',
    queries: [
        query(rate('weir_entries_read_total'), 'read'),
        query(rate('weir_events_queued_total'), 'queued'),
        query(rate('weir_events_delivered_total'), 'delivered'),
        query(rate('weir_replayed_events_total'), 'replayed'),
    ],
    runbooks: ['WeirNoDeliveries'],
});

const types = graph({
    title: 'Events by type',
    shows: 'Events a second that passed the hub, by type; only those listed in `--metric-types` have a name here.',
    normal: 'as the application publishes.',
    otherwise: 'one that leaps is the producer to ask.',
    unit: 'eps',
    stacked: true,
    queries: [query(rate('weir_events_total', 'type'), '{{type}}')],
});

const queue = graph({
    title: 'Events waiting for a client',
    shows: 'How many events wait in a client\'s queue when its connection comes to take them.',
    normal: '1 or 2. The bound is `--queue-events` (100).',
    otherwise: 'a median that grows: the instance or its network is late. Only p99: single slow clients.',
    unit: 'short',
    queries: [0.5, 0.9, 0.99].map((of) => query(quantile(of, 'weir_queue_events'), `p${of * 100}`)),
    runbooks: ['WeirEventsDropped', 'WeirDeliverySlow'],
});

const slow = graph({
    title: 'Clients catching up',
    shows: 'Clients whose queue overflowed and that read the window until they are at the head again.',
    normal: 'none, or a few for seconds.',
    otherwise: '`/clients?sort=lag` of the admin listener names them.',
    unit: 'short',
    queries: [query(`sum(weir_clients_catching_up{${CHOSEN}})`, 'catching up')],
    runbooks: ['WeirEventsDropped'],
});

const held = graph({
    title: 'Bytes of window and queues',
    shows: 'What the window keeps alive, and what waits in the queues of all clients.',
    normal: 'the window up to `--window-bytes` (64 MiB), the queues near 0.',
    otherwise: 'queues that grow: slow clients.',
    unit: 'bytes',
    queries: [query(`sum(weir_window_bytes{${CHOSEN}})`, 'window'), query(`sum(weir_window_max_bytes{${CHOSEN}})`, 'bound of the window'), query(`sum(weir_queue_bytes{${CHOSEN}})`, 'queues')],
    colors: { 'bound of the window': 'red' },
    runbooks: ['WeirEventsDropped'],
});

const windowed = graph({
    title: 'Events in window and stream',
    shows: 'Events in the window, from which clients are replayed to, and entries in the stream behind it.',
    normal: 'about the same; the window has fewer where `--window-bytes` is reached first.',
    otherwise: 'a window far below the stream makes gaps of resumes that the stream could serve: raise `--window-bytes`.',
    unit: 'short',
    queries: [query(`sum(weir_window_events{${CHOSEN}})`, 'window'), query(`sum(weir_stream_length{${CHOSEN}})`, 'stream')],
    runbooks: ['WeirHorizonShort', 'WeirGapNotices'],
});

const lagEntries = graph({
    title: 'Entries not read yet',
    shows: 'Entries of the log that this instance has not read, and those that it was given and has not acknowledged (`XPENDING`).',
    normal: 'near 0.',
    otherwise: '`not read` climbing: it is behind. `pending` climbing: acknowledging fails, see "Reader errors by kind".',
    unit: 'short',
    steps: shared.PENDING,
    queries: [query(`sum(weir_reader_lag_entries{${CHOSEN}})`, 'not read'), query(`sum(weir_reader_pending_entries{${CHOSEN}})`, 'pending')],
    runbooks: ['WeirReaderLag', 'WeirReaderPending'],
});

const groups = graph({
    title: 'Reader groups made and removed',
    shows: 'Groups a minute: `recreated`, its own after a fault; `reaped`, those of dead instances that it removed. `without group`: 1 while Redis refuses writes.',
    normal: 'none; `reaped` after an instance died.',
    otherwise: '`recreated`: somebody destroys groups, or Redis lost them in a failover.',
    unit: 'short',
    queries: [
        query(shared.perMinute('weir_group_recreated_total'), 'recreated'),
        query(shared.perMinute('weir_groups_reaped_total'), 'reaped'),
        query(`sum(weir_reader_without_group{${CHOSEN}})`, 'without group'),
    ],
    runbooks: ['WeirReaderStuck', 'WeirRedisDown'],
});

const cpu = graph({
    title: 'CPU',
    shows: 'Cores that the instance keeps busy.',
    normal: 'follows the deliveries.',
    otherwise: 'near the number of cores it has: deliveries get late. Add instances.',
    unit: 'suffix:cores',
    queries: [query(rate('process_cpu_seconds_total'), 'busy')],
    runbooks: ['WeirDeliverySlow'],
});

const memory = graph({
    title: 'Memory',
    shows: 'Resident memory of the process, and the limit above which clients are turned away, where there is one.',
    normal: 'follows the number of clients, and what the window and queues hold.',
    otherwise: 'climbing while clients, window and queues do not: a leak: keep `/metrics` and report it.',
    unit: 'bytes',
    colors: { '--memory-limit': 'red' },
    queries: [query(`sum(process_resident_memory_bytes{${CHOSEN}})`, 'resident'), query(`sum(weir_memory_limit_bytes{${CHOSEN}} >= 0)`, '--memory-limit')],
    runbooks: ['WeirConnectionsNearLimit'],
});

const descriptors = graph({
    title: 'File descriptors',
    shows: 'Descriptors that are open, and the most that may be. Each client takes one.',
    normal: 'the number of clients and some dozens.',
    otherwise: 'near the bound: raise the limit of open files (`LimitNOFILE`, `ulimits`).',
    unit: 'short',
    colors: { bound: 'red' },
    queries: [query(`sum(process_open_fds{${CHOSEN}})`, 'open'), query(`sum(process_max_fds{${CHOSEN}})`, 'bound')],
    runbooks: ['WeirFileDescriptorsNearLimit'],
});

const sent = graph({
    title: 'Bytes delivered',
    shows: 'Bytes a second handed to streams, control events included.',
    normal: 'follows the deliveries.',
    otherwise: 'near what the network card takes: add instances on other machines.',
    unit: 'Bps',
    queries: [query(rate('weir_delivered_bytes_total'), 'delivered')],
    runbooks: ['WeirDeliverySlow'],
});

const requests = graph({
    title: 'Other requests refused by reason',
    shows: 'Requests a second that are neither publishes nor subscribes and were refused, and admin calls that their caller may not make (`admin`).',
    normal: 'none; scanners of the open internet make some `path` and `head`.',
    otherwise: '`auth`, `admin`: somebody tries. The lines `weir::audit` of the log say from where.',
    unit: 'reqps',
    bars: true,
    stacked: true,
    queries: [
        query(rate('weir_requests_rejected_total', 'reason'), '{{reason}}'),
        query(rate('weir_admin_denied_total'), 'admin'),
    ],
});

const handshakes = graph({
    title: 'TLS handshakes by result',
    shows: 'TLS handshakes a second, where weir itself speaks TLS.',
    normal: '`ok`.',
    otherwise: '`failed`: a certificate that clients do not trust, or that ended. `plain`: somebody speaks HTTP to the port of HTTPS.',
    unit: 'suffix:/s',
    queries: [query(rate('weir_tls_handshakes_total', 'result'), '{{result}}')],
});

const certificate = stat({
    title: 'Certificate ends in',
    shows: 'Time until clients refuse the certificate that is shown, where weir itself speaks TLS.',
    normal: 'more than two weeks.',
    otherwise: 'renew it and send SIGHUP, which has the file read anew.',
    unit: 's',
    mappings: [unknown('no TLS', 'blue')],
    fixed: 'blue',
    queries: [query(`min(weir_tls_certificate_expiry_timestamp_seconds{${CHOSEN}}) - time()`, 'ends in')],
});

const reloads = graph({
    title: 'Reloads by result',
    shows: 'How often settings, keys and certificates were read anew, by SIGHUP.',
    normal: '`ok`, when somebody changed something.',
    otherwise: '`failed`: the instance runs on with what it had; its log says which file and why.',
    unit: 'suffix:/min',
    bars: true,
    stacked: true,
    colors: { ok: 'green', failed: 'red' },
    queries: [query(shared.perMinute('weir_config_reloads_total', 'result'), '{{result}}')],
    runbooks: ['WeirReloadFailed'],
});

const wakes = graph({
    title: 'News of durable streams by source',
    shows: 'How often a second it was found that a followed stream may have more: by an announcement through Redis, by a call to this instance, or by looking.',
    normal: '`announcement` and `call` follow the appends; `look` is what those missed.',
    otherwise: 'mostly `look`: announcements do not come through, and followers are late.',
    unit: 'suffix:/s',
    queries: [query(rate('weir_stream_wakes_total', 'source'), '{{source}}')],
});

const followed = graph({
    title: 'Durable streams followed',
    shows: '`streams` that somebody follows here, and their `followers`.',
    normal: 'as the application has it.',
    otherwise: 'a cliff means the same as one of "Clients by transport".',
    unit: 'short',
    queries: [
        query(`sum(weir_clients{${CHOSEN}, transport="durable"})`, 'followers'),
        query(`sum(weir_streams_followed{${CHOSEN}})`, 'streams'),
    ],
});

export const instance = dashboard({
    uid: 'weir-instance',
    title: 'weir: instance',
    description: 'A single instance of weir: whether it is well, what its clients notice, and what may be the cause.',
    instances: oneInstance,
    rows: [
        {
            title: 'Is it well?',
            lines: [
                [state, shared.logNow, shared.lagNow, full, upFor, version],
                [shared.droppedNow, shared.lostNow, shared.refusedNow, shared.latencyNow],
            ],
        },
        {
            title: 'What its clients notice',
            lines: [
                [clients, events, shared.latency],
                [shared.dropped, shared.gaps, shared.rejected],
                [connections, shared.disconnections, shared.resumes],
                [age, listened, types],
            ],
        },
        {
            title: 'Causes: slow clients',
            lines: [[queue, slow, held, shared.discarded]],
        },
        {
            title: 'Causes: the log',
            lines: [
                [shared.lag, lagEntries, shared.oldest],
                [shared.progress, shared.unread, windowed],
                [shared.redisAnswers, shared.readerErrors, groups],
                [shared.commands, shared.commandRate],
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
                [shared.appends, shared.appendDuration, shared.streamReads],
                [followed, wakes],
            ],
        },
        {
            title: 'Requests, TLS and settings',
            lines: [[requests, handshakes, { ...certificate, height: 7 }, reloads]],
        },
    ],
});
