//! The page that operators scrape, held against the list in `docs/metrics.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_core::log::LogFacts;
use weir_core::{EventId, EventType, Malformed};
use weir_metrics::{
    BuildInfo, Discarded, Disconnect, Dropped, Metrics, Operation, PublishResult, ReaderError, Transport,
};
use weir_testkit::series::{self, About};

/// Gauges that nobody knows before the log was looked at, or without a setting.
const UNKNOWN: &[&str] = &[
    "weir_memory_limit_bytes",
    "weir_store_writable",
    "weir_window_horizon_seconds",
    "weir_reader_last_progress_timestamp_seconds",
    "weir_reader_lag_entries",
    "weir_reader_lag_seconds",
    "weir_stream_length",
    "weir_stream_horizon_seconds",
    "weir_tls_certificate_expiry_timestamp_seconds",
    "weir_config_last_reload_successful",
];

const REDIS_UNKNOWN: &[&str] =
    &["weir_groups", "weir_reader_pending_entries", "weir_reader_pending_oldest_seconds"];

const BUILD: BuildInfo<'_> = BuildInfo { version: "1.2.3", revision: "abc" };

fn fresh() -> Metrics {
    Metrics::new(BUILD, &[])
}

/// The samples of a page, by series with labels.
fn samples(metrics: &Metrics) -> BTreeMap<String, f64> {
    let page = metrics.encode();
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').expect("a sample has a value"))
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a value is a number")))
        .collect()
}

/// The keys of samples of a series that is 0 where nothing happened; none of one that then has another value.
fn zeros(name: &str, about: &About) -> Vec<String> {
    if name.starts_with("process_")
        || name == "weir_build_info"
        || [UNKNOWN, REDIS_UNKNOWN].concat().contains(&name)
    {
        return Vec::new();
    }
    let name = if about.kind == "histogram" { format!("{name}_count") } else { name.to_owned() };
    match about.labels.iter().next() {
        None => vec![name],
        Some((label, values)) => {
            values.iter().map(|value| format!("{name}{{{label}=\"{value}\"}}")).collect()
        }
    }
}

#[test]
fn a_fresh_page_shows_every_series_at_0_or_as_unknown() {
    let page = samples(&fresh());
    for key in series::documented().iter().flat_map(|(name, about)| zeros(name, about)) {
        assert_eq!(page.get(&key), Some(&0.0), "{key}");
    }
    for name in UNKNOWN {
        assert!(page.get(*name).is_some_and(|value| value.is_nan()), "{name}");
    }
    assert_eq!(page["weir_build_info{revision=\"abc\",version=\"1.2.3\"}"], 1.0);
    assert!(page["process_open_fds"] > 0.0);
}

#[test]
fn time_on_cpus_is_shown_finer_than_in_seconds() {
    let metrics = fresh();
    let spent = || samples(&metrics)["process_cpu_seconds_total"];
    let before = spent();
    // Asking takes time enough.
    let after = (0..1_000_000).map(|_| spent()).find(|now| *now != before).expect("it takes time");
    assert!(after > before && after < before + 0.9, "{before} and then {after}");
}

#[test]
fn the_page_is_what_the_documents_list() {
    let metrics = fresh();
    let mut documented = series::documented();
    assert_eq!(series::drift(&metrics.encode(), &documented).unwrap(), [""; 0]);
    metrics.redis();
    documented.append(&mut series::documented_of_redis());
    assert_eq!(series::drift(&metrics.encode(), &documented).unwrap(), [""; 0]);
}

#[test]
fn the_embedded_log_shows_no_redis() {
    let metrics = fresh();
    let of_redis =
        |key: &String| key.contains("weir_redis") || key.contains("group") || key.contains("pending");
    assert_eq!(samples(&metrics).into_keys().find(of_redis), None);
    metrics.redis();
    metrics.redis();
    let page = samples(&metrics);
    let documented = series::documented_of_redis();
    for key in documented.iter().flat_map(|(name, about)| zeros(name, about)) {
        assert_eq!(page.get(&key), Some(&0.0), "{key}");
    }
    for name in REDIS_UNKNOWN {
        assert!(page.get(*name).is_some_and(|value| value.is_nan()), "{name}");
    }
    let values = |name: &str, label| documented[name].labels[label].clone();
    let kinds = ReaderError::ALL.iter().map(|kind| kind.as_str().to_owned());
    assert_eq!(values("weir_reader_errors_total", "kind"), kinds.collect());
    let commands = Operation::ALL.iter().map(|command| command.as_str().to_owned());
    assert_eq!(values("weir_redis_command_duration_seconds", "command"), commands.collect());
}

#[test]
fn every_series_has_help_and_a_name_by_convention() {
    let metrics = fresh();
    metrics.redis();
    let page = metrics.encode();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE weir_")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let help = page.lines().find_map(|line| line.strip_prefix(&format!("# HELP weir_{name} ")));
        assert!(help.is_some_and(|text| text.len() > 5 && text.ends_with('.')), "help of {name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        assert!(!name.ends_with("_ms") && !name.ends_with("_us"), "{name} is not in base units");
        assert!(
            kind != "histogram" || name.ends_with("_seconds") || name.ends_with("_events"),
            "unit of {name}"
        );
    }
}

#[test]
fn event_types_are_bounded_by_what_the_operator_listed() {
    let kind = |text: &str| EventType::parse(text).unwrap();
    let metrics = Metrics::new(BUILD, &[kind("order"), kind("message")]);
    for n in 0..1_000 {
        metrics.events.fanned_out(Some(&kind(&format!("t{n}"))));
    }
    metrics.events.fanned_out(Some(&kind("order")));
    metrics.events.fanned_out(None);
    let mut page = samples(&metrics);
    page.retain(|key, _| key.starts_with("weir_events_total"));
    let expected = [("message", 1.0), ("order", 1.0), ("other", 1_000.0)];
    let expected = expected.map(|(kind, n)| (format!("weir_events_total{{type=\"{kind}\"}}"), n));
    assert_eq!(page, BTreeMap::from(expected));
}

#[test]
fn what_is_counted_shows_under_its_own_label() {
    let metrics = fresh();
    metrics.events.malformed.inc(Malformed::Utf8);
    metrics.events.dropped.add(Dropped::Trimmed, 3);
    metrics.events.discarded.add(Discarded::Conflated, 4);
    metrics.events.delivered(5, 600);
    metrics.events.latency(-1.0);
    metrics.publishing.done(PublishResult::Duplicate, Duration::from_millis(1));
    metrics.clients.disconnected(Disconnect::MaxAge, Duration::from_secs(86_400));
    let page = samples(&metrics);
    for (key, value) in [
        ("weir_entries_malformed_total{reason=\"utf8\"}", 1.0),
        ("weir_events_dropped_total{reason=\"trimmed\"}", 3.0),
        ("weir_events_discarded_total{reason=\"conflated\"}", 4.0),
        ("weir_events_delivered_total", 5.0),
        ("weir_delivered_bytes_total", 600.0),
        ("weir_delivery_latency_seconds_sum", 0.0),
        ("weir_delivery_latency_seconds_count", 1.0),
        ("weir_publishes_total{result=\"duplicate\"}", 1.0),
        ("weir_disconnections_total{reason=\"max-age\"}", 1.0),
        ("weir_connection_duration_seconds_sum", 86_400.0),
    ] {
        assert_eq!(page.get(key), Some(&value), "{key}");
    }
}

#[test]
fn a_gauge_counts_for_as_long_as_its_guard_lives() {
    let metrics = fresh();
    let first = metrics.clients.connected(Transport::Sse);
    let second = metrics.clients.connected(Transport::Sse);
    assert_eq!((metrics.clients.open(Transport::Sse), metrics.clients.open(Transport::LongPoll)), (2, 0));
    drop((first, second));
    let page = samples(&metrics);
    assert_eq!(page["weir_clients{transport=\"sse\"}"], 0.0);
    assert_eq!(page["weir_connections_total{transport=\"sse\"}"], 2.0);
}

#[test]
fn facts_are_shown_as_known_and_never_negative() {
    let metrics = fresh();
    let facts = LogFacts {
        up: true,
        length: Some(7),
        oldest: Some(EventId::new(9_000, 0)),
        newest: Some(EventId::new(10_000, 5)),
        read: Some(EventId::new(8_500, 0)),
        lag: Some(2),
        groups: Some(3),
        ..LogFacts::default()
    };
    metrics.log.facts(&facts, 11_000);
    metrics.redis().facts(&facts);
    let page = samples(&metrics);
    assert_eq!(page["weir_stream_length"], 7.0);
    assert_eq!(page["weir_stream_horizon_seconds"], 2.0);
    assert_eq!((page["weir_reader_lag_entries"], page["weir_reader_lag_seconds"]), (2.0, 1.5));
    assert_eq!((page["weir_redis_up"], page["weir_groups"]), (1.0, 3.0));
    assert!(page["weir_reader_pending_entries"].is_nan());

    metrics.log.facts(&LogFacts { read: Some(EventId::new(99_000, 0)), ..facts }, 1);
    let page = samples(&metrics);
    assert_eq!((page["weir_stream_horizon_seconds"], page["weir_reader_lag_seconds"]), (0.0, 0.0));

    metrics.log.facts(&LogFacts::default(), 1);
    assert!(samples(&metrics)["weir_stream_length"].is_nan());
}
