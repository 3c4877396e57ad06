//! Where the log goes: standard error, as text for people or as JSON lines for programs.
//!
//! Levels: error, somebody has to act; warn, somebody should look; info, what an operator wants to have seen; debug,
//! what a developer wants to have seen; trace, every event. Payloads and secrets are in none of them.

mod sparing;

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{FilterExt, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::serve::{LogFormat, LogLevel};
use crate::config::LogSettings;
pub(crate) use sparing::Sparing;

/// Lines that wait while standard error does not take them. Beyond it lines are dropped and counted, because a log
/// collector that hangs must not stop the service.
const WAITING_LINES: usize = 8192;

/// Keeps the log going. Dropped, it writes out what waits, for at most about a second.
#[must_use]
#[derive(Debug)]
pub(crate) struct Logging {
    _writer: WorkerGuard,
    dropped: ErrorCounter,
    sparing: Sparing,
}

/// Changes what is logged.
#[derive(Debug)]
pub(crate) struct Level(Handle<Targets, Registry>);

impl Level {
    /// From now on from this level on.
    pub(crate) fn set(&self, level: LogLevel) {
        // It fails only where nobody logs any longer.
        let _ = self.0.reload(filter(level));
    }
}

/// Starts logging.
pub(crate) fn init(settings: LogSettings) -> (Logging, Level, Sparing) {
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING_LINES);
    let (writer, guard) = builder.thread_name("weir-log").finish(io::stderr());
    let dropped = writer.error_counter();
    let is_terminal = io::stderr().is_terminal();
    let as_text = match settings.format {
        LogFormat::Auto => is_terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = if as_text {
        let colours = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        layer.with_ansi(colours).boxed()
    } else {
        layer.json().flatten_event(true).with_span_list(false).boxed()
    };
    let (filter, level) = reload::Layer::new(filter(settings.level));
    let sparing = Sparing::default();
    tracing_subscriber::registry().with(layer.with_filter(filter.and(sparing.clone()))).init();
    (Logging { _writer: guard, dropped, sparing: sparing.clone() }, Level(level), sparing)
}

/// Our own events from a level on; those of libraries only where something is wrong.
fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("weir", level)
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.sparing.tell_now();
        let lines = self.dropped.dropped_lines();
        if lines > 0 {
            tracing::warn!(lines, "log lines were dropped because standard error did not take them");
        }
    }
}
