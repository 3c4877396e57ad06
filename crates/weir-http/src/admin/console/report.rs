//! What an instance tells of itself, and what is believed of what others tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use weir_core::subscription::Progress;
use weir_metrics::{Discarded, Disconnect, Dropped, PublishResult, Rejected, Transport};

use super::About;
use crate::app::App;
use crate::client::Client;
use crate::health;

/// The form. It changes where a field comes to mean something else, not where one is added: instances of several releases
/// share a log while they are replaced, and each shows what it knows.
const FORM: u32 = 1;

/// Clients in each of the two lists.
const LISTED: usize = 5;

/// Sessions named of a client.
const NAMED: usize = 3;

/// Most characters of any text.
const LONGEST: usize = 80;

/// Most values of a reason. There are fewer, and a report that says otherwise says something else, too.
const MOST_REASONS: usize = 24;

/// Where a field is missing, its writer is of another release, and it counts as nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Report {
    form: u32,
    instance: String,
    version: String,
    revision: String,
    /// `redis`, `file` or `memory`.
    log: String,
    uptime_ms: u64,
    ready: bool,
    status: String,
    waiting_for: Option<String>,
    /// `serving`, `draining`, `refusing` or `ending`.
    stage: String,
    clients: Clients,
    counts: Counts,
    queue: Queue,
    window: Window,
    reader: Reader,
    slowest: Vec<Row>,
    busiest: Vec<Row>,
}

/// Who is connected now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Clients {
    sse: u64,
    long_poll: u64,
    durable: u64,
    max: u64,
    sessions: u64,
    catching_up: u64,
}

/// What happened since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Counts {
    read: u64,
    delivered: u64,
    publishes: BTreeMap<String, u64>,
    dropped: BTreeMap<String, u64>,
    discarded: BTreeMap<String, u64>,
    disconnects: BTreeMap<String, u64>,
    rejected: BTreeMap<String, u64>,
}

/// What waits for clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Queue {
    events: u64,
    bytes: u64,
}

/// What a resume can be given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Window {
    events: u64,
    bytes: u64,
}

/// How the log is read. What is not known is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Reader {
    up: bool,
    group: Option<String>,
    groups: Option<u64>,
    length: Option<u64>,
    pending: Option<u64>,
    pending_oldest_ms: Option<u64>,
    lag: Option<u64>,
    lag_ms: Option<u64>,
}

/// A client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Row {
    id: u64,
    transport: String,
    sessions: Vec<String>,
    more_sessions: u64,
    subject: Option<String>,
    connected_seconds: u64,
    lag: u64,
    queued: u64,
    catching_up: bool,
    delivered: u64,
    dropped: u64,
}

impl Report {
    /// Looks at this instance now, as a scrape does: what nothing counts as it goes is looked up at each client.
    pub(super) fn of(app: &App, about: &About) -> Self {
        let readiness = health::readiness(app);
        let all: Vec<_> =
            app.clients.iter().map(|client| (client.seat.progress(), Arc::clone(&client))).collect();
        let sum = |of: fn(&Progress) -> usize| all.iter().map(|(progress, _)| of(progress) as u64).sum();
        let (events, bytes) = app.broker.window_size();
        Self {
            form: FORM,
            instance: about.instance.clone(),
            version: about.version.to_owned(),
            revision: about.revision.to_owned(),
            log: about.log.to_owned(),
            uptime_ms: millis(app.console.began),
            ready: readiness.ready,
            status: readiness.status.as_str().to_owned(),
            waiting_for: readiness.waiting_for,
            stage: app.stages.word().to_owned(),
            clients: Clients::of(app, all.iter().filter(|(progress, _)| progress.catching_up).count()),
            counts: Counts::of(app),
            queue: Queue {
                events: sum(|progress| progress.queued),
                bytes: sum(|progress| progress.queued_bytes),
            },
            window: Window { events: events as u64, bytes: bytes as u64 },
            reader: Reader::of(app),
            slowest: listed(&all, |progress| progress.lag),
            busiest: listed(&all, |progress| progress.delivered),
        }
        .bounded()
    }

    /// What another instance told, as far as it makes sense: whoever may write to the log may have written anything.
    pub(super) fn parse(told: &[u8]) -> Option<Self> {
        let report: Self = serde_json::from_slice(told).ok()?;
        (report.form == FORM).then(|| report.bounded())
    }

    fn bounded(mut self) -> Self {
        for text in [
            &mut self.instance,
            &mut self.version,
            &mut self.revision,
            &mut self.log,
            &mut self.status,
            &mut self.stage,
        ] {
            shorten(text, LONGEST);
        }
        // It says what to do, in sentences.
        self.waiting_for.iter_mut().for_each(|text| shorten(text, 5 * LONGEST));
        self.reader.group.iter_mut().for_each(|text| shorten(text, LONGEST));
        let Counts { publishes, dropped, discarded, disconnects, rejected, .. } = &mut self.counts;
        for reasons in [publishes, dropped, discarded, disconnects, rejected] {
            let mut kept = 0;
            reasons.retain(|reason, _| {
                kept += 1;
                kept <= MOST_REASONS && reason.len() <= LONGEST
            });
        }
        for rows in [&mut self.slowest, &mut self.busiest] {
            rows.truncate(LISTED);
            rows.iter_mut().for_each(Row::bound);
        }
        self
    }
}

impl Clients {
    fn of(app: &App, catching_up: usize) -> Self {
        let open = |transport| app.metrics.clients.open(transport);
        Self {
            sse: open(Transport::Sse),
            long_poll: open(Transport::LongPoll),
            durable: open(Transport::Durable),
            max: u64::try_from(app.metrics.clients.max.get()).unwrap_or(0),
            sessions: app.broker.hub().sessions() as u64,
            catching_up: catching_up as u64,
        }
    }
}

impl Counts {
    fn of(app: &App) -> Self {
        let (events, clients) = (&app.metrics.events, &app.metrics.clients);
        Self {
            read: events.read.get(),
            delivered: events.delivered_count(),
            publishes: by(PublishResult::ALL, PublishResult::as_str, |result| {
                app.metrics.publishing.count(result)
            }),
            dropped: by(Dropped::ALL, Dropped::as_str, |why| events.dropped.get(why)),
            discarded: by(Discarded::ALL, Discarded::as_str, |why| events.discarded.get(why)),
            disconnects: by(Disconnect::ALL, Disconnect::as_str, |why| clients.disconnections(why)),
            rejected: by(Rejected::ALL, Rejected::as_str, |why| clients.rejected.get(why)),
        }
    }
}

impl Reader {
    fn of(app: &App) -> Self {
        let facts = app.log.facts();
        let behind = facts.newest.zip(facts.read).map(|(newest, read)| newest.ms.saturating_sub(read.ms));
        Self {
            up: facts.up,
            group: facts.group,
            groups: facts.groups,
            length: facts.length,
            pending: facts.pending,
            pending_oldest_ms: facts.pending_oldest_ms,
            lag: facts.lag,
            lag_ms: behind,
        }
    }
}

impl Row {
    fn of(progress: Progress, client: &Client) -> Self {
        let (sessions, all) = client.seat.look(|subscription| {
            let sessions = &subscription.wants().sessions;
            let named: Vec<_> = sessions.iter().take(NAMED).map(ToString::to_string).collect();
            (named, sessions.len())
        });
        Self {
            id: client.seat.id(),
            transport: client.transport.as_str().to_owned(),
            more_sessions: all.saturating_sub(sessions.len()) as u64,
            sessions,
            subject: client.caller.subject().map(ToOwned::to_owned),
            connected_seconds: client.since.elapsed().as_secs(),
            lag: progress.lag,
            queued: progress.queued as u64,
            catching_up: progress.catching_up,
            delivered: progress.delivered,
            dropped: progress.dropped,
        }
    }

    fn bound(&mut self) {
        shorten(&mut self.transport, LONGEST);
        self.sessions.truncate(NAMED);
        self.sessions.iter_mut().chain(&mut self.subject).for_each(|text| shorten(text, LONGEST));
    }
}

/// Those for whom this is most, where it is something.
fn listed(all: &[(Progress, Arc<Client>)], by: fn(&Progress) -> u64) -> Vec<Row> {
    let mut some: Vec<_> = all.iter().filter(|(progress, _)| by(progress) > 0).collect();
    if some.len() > LISTED {
        some.select_nth_unstable_by_key(LISTED, |(progress, _)| std::cmp::Reverse(by(progress)));
        some.truncate(LISTED);
    }
    // Who is equal keeps a place, so that rows do not jump.
    some.sort_by_key(|(progress, client)| (std::cmp::Reverse(by(progress)), client.seat.id()));
    some.iter().map(|(progress, client)| Row::of(*progress, client)).collect()
}

/// Every value that is known, those that never happened included.
fn by<L: Copy>(all: &[L], name: fn(L) -> &'static str, count: impl Fn(L) -> u64) -> BTreeMap<String, u64> {
    all.iter().map(|&value| (name(value).to_owned(), count(value))).collect()
}

fn shorten(text: &mut String, most: usize) {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use weir_core::peers::MOST_REPORT_BYTES;

    use super::*;

    fn full() -> Report {
        // What needs most bytes of JSON: six for each of these.
        let text = || "\u{1}".repeat(1000);
        let reasons = || (0..100).map(|n| (format!("{n:02}-{}", "x".repeat(20)), u64::MAX)).collect();
        let row = Row {
            id: u64::MAX,
            transport: "long-poll".to_owned(),
            sessions: vec![text(); 10],
            more_sessions: u64::MAX,
            subject: Some(text()),
            connected_seconds: u64::MAX,
            lag: u64::MAX,
            queued: u64::MAX,
            catching_up: false,
            delivered: u64::MAX,
            dropped: u64::MAX,
        };
        Report {
            form: FORM,
            instance: "\u{e9}".repeat(1000),
            waiting_for: Some("x".repeat(10_000)),
            counts: Counts { dropped: reasons(), ..Counts::default() },
            slowest: vec![row.clone(); 50],
            busiest: vec![row; 50],
            ..Report::default()
        }
    }

    #[test]
    fn whatever_is_told_little_of_it_is_believed() {
        let told = serde_json::to_vec(&full()).unwrap();
        let believed = Report::parse(&told).unwrap();
        assert_eq!((believed.slowest.len(), believed.busiest[0].sessions.len()), (LISTED, NAMED));
        assert_eq!((believed.instance.chars().count(), believed.counts.dropped.len()), (81, MOST_REASONS));
        let again = serde_json::to_vec(&believed).unwrap();
        assert_eq!(Report::parse(&again).unwrap().counts, believed.counts);
    }

    /// What an instance tells is never removed by the others for its size.
    #[test]
    fn the_largest_report_is_small_enough() {
        let size = serde_json::to_vec(&full().bounded()).unwrap().len();
        assert!(size < MOST_REPORT_BYTES, "{size}");
    }

    #[test]
    fn other_releases_are_understood_and_nonsense_is_not() {
        let newer = br#"{"form":1,"instance":"b","colour":"red","clients":{"sse":3,"hats":1},"reader":null}"#;
        assert_eq!(Report::parse(newer), None, "null is no reader");
        let newer = br#"{"form":1,"instance":"b","colour":"red","clients":{"sse":3,"hats":1}}"#;
        let report = Report::parse(newer).unwrap();
        assert_eq!((report.instance.as_str(), report.clients.sse, report.clients.max), ("b", 3, 0));
        for bad in [
            r#"{"form":2}"#,
            "{}",
            "[]",
            "",
            "null",
            r#"{"form":1,"instance":7}"#,
            r#"{"form":1,"clients":{"sse":-1}}"#,
            r#"{"form":1,"clients":{"sse":1e400}}"#,
            r#"{"form":1,"slowest":{}}"#,
        ] {
            assert_eq!(Report::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Report::parse(&"[".repeat(10_000).into_bytes()), None);
        assert_eq!(Report::parse(b"{\"form\":1,\"instance\":\"\xff\"}"), None);
    }
}
