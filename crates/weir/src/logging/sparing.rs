//! No message floods the log: of each place in the code so many lines pass within a while, and how many more there were is told.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// Lines of one place that pass within a [`WHILE`]: enough to see what goes on, and for every person to read.
const LINES: u32 = 20;

/// Between two times that places begin anew, and that what was left out is told.
const WHILE: Duration = Duration::from_secs(10);

/// Most bytes of a message that is told again.
const MOST_OF_A_MESSAGE: usize = 200;

/// Has a bound, and an account of what is beyond it, of its own.
const AUDIT: &str = "weir::audit";

/// What is told here of other places: one line of each within a while.
const HERE: &str = "weir::sparing";

/// See the [module](self). What is asked for by a level below info is wanted whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sparing(Arc<Mutex<HashMap<Identifier, Place>>>);

/// What became of the lines of one place.
#[derive(Debug)]
struct Place {
    since: Instant,
    passed: u32,
    left_out: u64,
    /// Of the first line that was left out.
    message: String,
}

impl Sparing {
    /// Tells what was left out, until it is dropped.
    pub(crate) async fn tell(self) {
        loop {
            tokio::time::sleep(WHILE).await;
            self.tell_now();
        }
    }

    /// Tells what was left out since it was last told.
    pub(crate) fn tell_now(&self) {
        for (what, count) in self.left_out() {
            tracing::warn!(target: HERE, what, count, "more lines like this were left out");
        }
    }

    fn left_out(&self) -> Vec<(String, u64)> {
        // Not while something is told, which comes back here.
        let mut places = self.0.lock();
        let left = places.values_mut().filter(|place| place.left_out > 0);
        left.map(|place| (std::mem::take(&mut place.message), std::mem::take(&mut place.left_out))).collect()
    }

    fn passes(&self, event: &Event<'_>, now: Instant) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || [AUDIT, HERE].contains(&metadata.target()) {
            return true;
        }
        let mut places = self.0.lock();
        // As many as there are in the code.
        let place = places.entry(metadata.callsite()).or_insert_with(|| Place::new(now));
        if now.saturating_duration_since(place.since) >= WHILE {
            (place.since, place.passed) = (now, 0);
        }
        if place.passed < LINES {
            place.passed += 1;
            return true;
        }
        if place.left_out == 0 {
            place.message = message(event);
        }
        place.left_out += 1;
        false
    }
}

impl Place {
    fn new(now: Instant) -> Self {
        Self { since: now, passed: 0, left_out: 0, message: String::new() }
    }
}

fn message(event: &Event<'_>) -> String {
    let mut found = Message(String::new());
    event.record(&mut found);
    let mut end = found.0.len().min(MOST_OF_A_MESSAGE);
    while !found.0.is_char_boundary(end) {
        end -= 1;
    }
    found.0.truncate(end);
    found.0
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl<S: Subscriber> Filter<S> for Sparing {
    fn enabled(&self, _metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        self.passes(event, Instant::now())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::{Layer, SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Seen {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            self.0.lock().push(message(event));
        }
    }

    #[test]
    fn of_each_place_so_many_lines_pass_and_the_rest_is_counted() {
        let (seen, sparing) = (Seen::default(), Sparing::default());
        let log = Registry::default().with(seen.clone().with_filter(sparing.clone()));
        let _here = tracing::subscriber::set_default(log);
        for nth in 0..1000 {
            tracing::warn!(nth, "again and again");
            tracing::debug!("wanted whole");
            tracing::info!(target: "weir::audit", "bounded elsewhere");
        }
        tracing::warn!("once");
        let count = |text: &str| seen.0.lock().iter().filter(|line| *line == text).count();
        assert_eq!(count("again and again"), 20);
        assert_eq!((count("wanted whole"), count("bounded elsewhere"), count("once")), (1000, 1000, 1));
        assert_eq!(sparing.left_out(), [("again and again".to_owned(), 980)]);
        assert_eq!(sparing.left_out(), []);
        sparing.tell_now();
        assert_eq!(count("more lines like this were left out"), 0, "nothing was left out since");
    }

    /// However many places there were, each is told.
    #[test]
    fn what_is_left_out_is_never_left_out() {
        let (seen, sparing) = (Seen::default(), Sparing::default());
        let log = Registry::default().with(seen.clone().with_filter(sparing.clone()));
        let _here = tracing::subscriber::set_default(log);
        let say = || tracing::warn!("again");
        for _ in 0..=LINES {
            sparing.0.lock().values_mut().for_each(|place| place.passed = LINES);
            (0..=LINES).for_each(|_| say());
            sparing.tell_now();
        }
        let told = seen.0.lock().iter().filter(|line| *line == "more lines like this were left out").count();
        assert_eq!(told, LINES as usize + 1);
    }

    #[test]
    fn a_place_begins_anew_and_its_message_has_an_end() {
        let (seen, sparing) = (Seen::default(), Sparing::default());
        let log = Registry::default().with(seen.clone().with_filter(sparing.clone()));
        let _here = tracing::subscriber::set_default(log);
        let say = || tracing::warn!("{}", "ä".repeat(1000));
        (0..21).for_each(|_| say());
        assert_eq!(seen.0.lock().len(), 20);
        sparing.0.lock().values_mut().for_each(|place| place.since -= WHILE);
        say();
        assert_eq!(seen.0.lock().len(), 21);
        sparing.tell_now();
        let told = seen.0.lock().last().cloned();
        assert_eq!(told.as_deref(), Some("more lines like this were left out"));
        (0..20).for_each(|_| say());
        assert_eq!(sparing.left_out(), [("ä".repeat(100), 1)]);
    }
}
