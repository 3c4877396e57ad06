//! The page that operators scrape, held against the list in the contract.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_core::log::LogFacts;
use weir_core::{EventId, EventType, Malformed};
use weir_metrics::{
    BuildInfo, Discarded, Disconnect, Dropped, Metrics, Operation, PublishResult, ReaderError, Transport,
};

/// Series and label values of section 9 of the contract that weir has with the embedded log.
const SERIES: &[(&str, &str, &[&str])] = &[
    ("weir_ready", "", &[]),
    ("weir_draining", "", &[]),
    ("weir_admin_denied_total", "", &[]),
    ("weir_revocations", "", &[]),
    ("weir_clients", "transport", &["sse", "long-poll", "durable"]),
    ("weir_clients_max", "", &[]),
    ("weir_clients_catching_up", "", &[]),
    ("weir_sessions", "", &[]),
    ("weir_sockets", "", &[]),
    ("weir_subscriptions", "", &[]),
    ("weir_connections_total", "transport", &["sse", "long-poll", "durable"]),
    (
        "weir_disconnections_total",
        "reason",
        &["client", "stalled", "overflow", "expired", "revoked", "shutdown", "max-age", "ended", "error"],
    ),
    (
        "weir_connections_rejected_total",
        "reason",
        &["limit", "ip", "subject", "rate", "memory", "draining", "starting", "auth"],
    ),
    ("weir_connection_duration_seconds_count", "", &[]),
    ("weir_publishes_total", "result", &["ok", "invalid", "denied", "limited", "unavailable", "duplicate"]),
    ("weir_publish_duration_seconds_count", "", &[]),
    (
        "weir_stream_appends_total",
        "result",
        &["ok", "duplicate", "invalid", "refused", "denied", "limited", "full", "unavailable"],
    ),
    ("weir_stream_append_bytes_total", "", &[]),
    ("weir_stream_append_duration_seconds_count", "", &[]),
    ("weir_stream_reads_total", "", &[]),
    ("weir_stream_read_bytes_total", "", &[]),
    ("weir_streams_created_total", "", &[]),
    ("weir_streams_deleted_total", "", &[]),
    (
        "weir_requests_rejected_total",
        "reason",
        &[
            "head",
            "head-size",
            "head-timeout",
            "silent",
            "http2",
            "path",
            "method",
            "parameter",
            "auth",
            "origin",
            "unavailable",
        ],
    ),
    ("weir_entries_read_total", "", &[]),
    ("weir_entries_malformed_total", "reason", &["session", "data", "utf8", "type", "key", "oversize"]),
    ("weir_events_total", "type", &["other"]),
    ("weir_events_queued_total", "", &[]),
    ("weir_events_delivered_total", "", &[]),
    ("weir_delivered_bytes_total", "", &[]),
    ("weir_events_dropped_total", "reason", &["overflow", "trimmed", "oversize"]),
    (
        "weir_events_discarded_total",
        "reason",
        &["client", "stalled", "disconnect", "shutdown", "expired", "conflated"],
    ),
    ("weir_queue_events_count", "", &[]),
    ("weir_queue_bytes", "", &[]),
    ("weir_delivery_latency_seconds_count", "", &[]),
    ("weir_resumes_total", "result", &["complete", "gap"]),
    ("weir_replayed_events_total", "", &[]),
    (
        "weir_gap_notices_total",
        "reason",
        &["trimmed", "unknown-id", "overflow", "reader", "oversize", "reset"],
    ),
    ("weir_entries_lost_total", "", &[]),
    ("weir_tls_handshakes_total", "result", &["ok", "failed", "timeout", "plain"]),
    ("weir_stream_maxlen", "", &[]),
    ("weir_streams_followed", "", &[]),
    ("weir_stream_wakes_total", "source", &["call", "announcement", "look"]),
    ("weir_stream_tail_reads_total", "", &[]),
    ("weir_window_events", "", &[]),
    ("weir_window_bytes", "", &[]),
];

/// Gauges that nobody knows before the log was looked at.
const UNKNOWN: &[&str] = &[
    "weir_reader_last_progress_timestamp_seconds",
    "weir_reader_lag_entries",
    "weir_reader_lag_seconds",
    "weir_stream_length",
    "weir_stream_horizon_seconds",
    "weir_tls_certificate_expiry_timestamp_seconds",
];

const REDIS: &[&str] = &[
    "weir_redis_up",
    "weir_redis_reconnects_total",
    "weir_groups_reaped_total",
    "weir_group_recreated_total",
    "weir_reader_without_group",
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

#[test]
fn a_fresh_page_shows_every_series_at_0_or_as_unknown() {
    let page = samples(&fresh());
    for (name, label, values) in SERIES {
        let keys = match label.is_empty() {
            true => vec![(*name).to_owned()],
            false => values.iter().map(|value| format!("{name}{{{label}=\"{value}\"}}")).collect(),
        };
        for key in keys {
            assert_eq!(page.get(&key), Some(&0.0), "{key}");
        }
    }
    for name in UNKNOWN {
        assert!(page.get(*name).is_some_and(|value| value.is_nan()), "{name}");
    }
    assert_eq!(page["weir_build_info{revision=\"abc\",version=\"1.2.3\"}"], 1.0);
    assert!(page["process_open_fds"] > 0.0);
}

#[test]
fn the_page_has_no_series_of_weir_beyond_the_list() {
    let metrics = fresh();
    metrics.redis();
    let known: BTreeSet<&str> = SERIES
        .iter()
        .map(|(name, ..)| name.trim_end_matches("_count"))
        .chain(UNKNOWN.iter().chain(REDIS).chain(REDIS_UNKNOWN).copied())
        .chain(["weir_build_info", "weir_redis_command_duration_seconds", "weir_reader_errors_total"])
        .collect();
    let page = metrics.encode();
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE weir_"));
    let families: BTreeSet<String> =
        families.map(|line| format!("weir_{}", line.split(' ').next().unwrap())).collect();
    assert_eq!(families.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
}

#[test]
fn label_values_are_only_those_of_the_list() {
    let page = samples(&fresh());
    for (name, label, values) in SERIES.iter().filter(|(_, label, _)| !label.is_empty()) {
        let prefix = format!("{name}{{{label}=");
        assert_eq!(page.keys().filter(|key| key.starts_with(&prefix)).count(), values.len(), "{name}");
    }
}

#[test]
fn the_embedded_log_shows_no_redis() {
    let metrics = fresh();
    let of_redis = |key: &String| key.contains("redis") || key.contains("group") || key.contains("pending");
    assert_eq!(samples(&metrics).into_keys().find(of_redis), None);
    metrics.redis();
    metrics.redis();
    let page = samples(&metrics);
    for name in REDIS {
        assert_eq!(page.get(*name), Some(&0.0), "{name}");
    }
    for name in REDIS_UNKNOWN {
        assert!(page.get(*name).is_some_and(|value| value.is_nan()), "{name}");
    }
    for kind in ReaderError::ALL {
        let key = format!("weir_reader_errors_total{{kind=\"{}\"}}", kind.as_str());
        assert_eq!(page.get(&key), Some(&0.0), "{key}");
    }
    for command in Operation::ALL {
        let key = format!("weir_redis_command_duration_seconds_count{{command=\"{}\"}}", command.as_str());
        assert_eq!(page.get(&key), Some(&0.0), "{key}");
    }
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
