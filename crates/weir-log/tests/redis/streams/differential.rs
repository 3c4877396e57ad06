//! The streams of Redis do what those of one process do: random operations from a seed have the same outcomes on both, but for
//! the epochs in offsets.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use weir_core::durable::{
    Append, Create, Fork, From, Lifetime, MediaType, Offset, Payload, Producer, StreamName, StreamStore,
};
use weir_log::{EmbeddedStreams, Engine, Place, StreamLimits, WallClock};
use weir_testkit::stream_suite::{Backend, Limits};

use super::shared::Shared;

/// Operations of one run.
const STEPS: usize = 600;

/// How long both sides may take to sweep what has expired.
const PATIENCE: Duration = Duration::from_secs(20);

/// Names that are asked for, few enough to meet each other.
const NAMES: [&str; 7] = ["a", "b/c", "d 1", "e", "f", "g", "h"];

/// Both, and which place of the one is which of the other.
struct Pair {
    redis: Shared,
    embedded: Arc<EmbeddedStreams>,
    now: Arc<AtomicU64>,
    rng: fastrand::Rng,
    /// Offsets that were given out, of both sides, by stream.
    places: HashMap<StreamName, Vec<(Offset, Offset)>>,
}

/// What is done to both. The offsets in it are places in the list of the stream.
#[derive(Debug)]
enum Step {
    Create(StreamName, Create, Option<(StreamName, usize)>),
    Append(StreamName, Append),
    Read(StreamName, Start, usize),
    Head(StreamName),
    Look(Vec<StreamName>),
    Delete(StreamName),
    Pass(Duration),
}

#[derive(Clone, Copy, Debug)]
enum Start {
    Begin,
    End,
    Known(usize),
    Never,
}

impl Pair {
    async fn new(seed: u64, maxlen: Option<u64>) -> Self {
        let redis = Shared::start(Limits { maxlen }).await;
        let now = Arc::new(AtomicU64::new(1_795_242_612_345));
        let time = Arc::clone(&now);
        // The clock of Redis goes on while the steps are done. One that stood still would let a stream outlive its fellow there,
        // where its lifetime is longer by a second than what has passed, and the machine is slow.
        let began = Instant::now();
        let real = move || u64::try_from(began.elapsed().as_millis()).unwrap();
        let clock = WallClock::new(move || time.load(Ordering::Relaxed) + real());
        let limits = StreamLimits { maxlen, max_bytes: None };
        let embedded =
            EmbeddedStreams::with_clock(Engine::open(Place::Memory).unwrap(), limits, clock).unwrap();
        Self { redis, embedded, now, rng: fastrand::Rng::with_seed(seed), places: HashMap::new() }
    }

    fn name(&mut self) -> StreamName {
        super::name(NAMES[self.rng.usize(..NAMES.len())])
    }

    fn media(&mut self) -> MediaType {
        let all = ["text/plain", "Text/Plain; charset=x", "application/json", "application/octet-stream"];
        let kinds = if self.chance(4) { all.len() } else { 2 };
        MediaType::parse(all[self.rng.usize(..kinds)]).unwrap()
    }

    fn payload(&mut self) -> Payload {
        let values = self.rng.usize(1..4);
        let value = |_| format!("\"{}\"", "x".repeat(self.rng.usize(..20)));
        let text = (0..values).map(value).collect::<Vec<_>>().join(",");
        Payload { units: text.len() as u64, bytes: text.into() }
    }

    fn lifetime(&mut self) -> Option<Lifetime> {
        match self.rng.u8(..8) {
            0 => Some(Lifetime::Forever),
            1 | 2 => Some(Lifetime::Idle(self.rng.u64(1..4) * 100)),
            _ => None,
        }
    }

    fn chance(&mut self, one_in: u8) -> bool {
        self.rng.u8(..one_in) == 0
    }

    fn place(&mut self, name: &StreamName) -> Option<usize> {
        let known = self.places.get(name).map_or(0, Vec::len);
        (known > 0).then(|| self.rng.usize(..known))
    }

    fn step(&mut self) -> Step {
        let name = self.name();
        match self.rng.u8(..20) {
            0..=3 => {
                let is_fork = self.chance(2);
                let (source, units) = (self.name(), if self.chance(4) { self.rng.u64(1..6) } else { 0 });
                let place = self.place(&source).filter(|_| is_fork && self.rng.bool());
                let fork = is_fork.then(|| Fork { source: source.clone(), offset: None, units });
                let media = if is_fork && !self.chance(4) { None } else { Some(self.media()) };
                let payload = self.chance(3).then(|| self.payload());
                let (lifetime, closed) = (self.lifetime(), self.chance(8));
                let create = Create { media, lifetime, closed, fork, payload };
                Step::Create(name, create, place.map(|place| (source, place)))
            }
            4..=11 => {
                let payload = (!self.chance(8)).then(|| self.payload());
                let close = payload.is_none() || self.chance(15);
                let seq = self.chance(4).then(|| format!("{}", self.rng.u8(..40)).into());
                let producer = self.chance(2).then(|| Producer {
                    id: ["p", "q 1", "r"][self.rng.usize(..3)].into(),
                    epoch: self.rng.u64(..2),
                    seq: self.rng.u64(..4),
                });
                let media = (!self.chance(12)).then(|| self.media());
                Step::Append(name, Append { media, payload, close, seq, producer })
            }
            12..=15 => {
                let start = match self.rng.u8(..4) {
                    0 => Start::Begin,
                    1 => Start::End,
                    2 => self.place(&name).map_or(Start::Never, Start::Known),
                    _ => Start::Never,
                };
                Step::Read(name, start, self.rng.usize(..80))
            }
            16 => Step::Head(name),
            17 => Step::Look((0..self.rng.usize(..5)).map(|_| self.name()).collect()),
            18 => Step::Delete(name),
            _ => Step::Pass(Duration::from_secs(self.rng.u64(20..150))),
        }
    }

    /// What both say, without what may differ.
    async fn both(&mut self, step: &Step) -> [String; 2] {
        let redis = self.redis.store();
        let embedded = Arc::clone(&self.embedded) as Arc<dyn StreamStore>;
        if let Step::Pass(time) = step {
            self.redis.pass(*time).await;
            self.now.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
            return [String::new(), String::new()];
        }
        let (mut one, mut one_tail) = self.on(&*redis, step, 0).await;
        let (mut two, mut two_tail) = self.on(&*embedded, step, 1).await;
        // Forks that have expired keep their source until they are swept, which each side does in its own time. What is answered so
        // has changed nothing, and can be asked again.
        let deadline = Instant::now() + PATIENCE;
        while is_kept(&one) != is_kept(&two) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if is_kept(&one) {
                (one, one_tail) = self.on(&*redis, step, 0).await;
            } else {
                (two, two_tail) = self.on(&*embedded, step, 1).await;
            }
        }
        if let (Some((name, one)), Some((_, two))) = (one_tail, two_tail) {
            self.places.entry(name).or_default().push((one, two));
        }
        [one, two]
    }

    async fn on(
        &self,
        store: &dyn StreamStore,
        step: &Step,
        side: usize,
    ) -> (String, Option<(StreamName, Offset)>) {
        let offset = |name: &StreamName, place: usize| {
            let (one, two) = self.places[name][place];
            [one, two][side]
        };
        match step {
            Step::Create(name, create, place) => {
                let mut create = create.clone();
                if let (Some(fork), Some((source, place))) = (&mut create.fork, place) {
                    fork.offset = Some(offset(source, *place));
                }
                let created = store.create(name, &create).await;
                let tail = created.as_ref().ok().map(|created| (name.clone(), created.head.tail));
                (plain(&format!("{created:?}")), tail)
            }
            Step::Append(name, append) => {
                let done = store.append(name, append).await;
                let tail = store.head(name).await.ok().map(|head| (name.clone(), head.tail));
                (plain(&format!("{done:?}")), tail)
            }
            Step::Read(name, start, most) => {
                let from = match start {
                    Start::Begin => From::Begin,
                    Start::End => From::End,
                    Start::Known(place) => From::After(offset(name, *place)),
                    Start::Never => From::After(Offset::new(7, 3)),
                };
                (plain(&format!("{:?}", store.read(name, from, *most).await)), None)
            }
            Step::Head(name) => (plain(&format!("{:?}", store.head(name).await)), None),
            Step::Look(names) => (plain(&format!("{:?}", store.look(names).await)), None),
            Step::Delete(name) => (plain(&format!("{:?}", store.delete(name).await)), None),
            Step::Pass(_) => unreachable!("time is not a store's"),
        }
    }
}

/// Whether something is said to be gone but for its forks.
fn is_kept(outcome: &str) -> bool {
    ["Err(Deleted)", "Err(Taken)", "Err(SourceDeleted)"].contains(&outcome)
}

/// Without epochs: times, and what follows from them.
fn plain(debug: &str) -> String {
    let mut out = String::new();
    let mut rest = debug;
    while let Some((before, number)) = ["epoch: ", "born: "]
        .into_iter()
        .filter_map(|field| rest.find(field).map(|at| at + field.len()))
        .min()
        .map(|at| rest.split_at(at))
    {
        out.push_str(before);
        rest = number.trim_start_matches(|digit: char| digit.is_ascii_digit());
    }
    out + rest
}

async fn run(seed: u64, maxlen: Option<u64>) -> String {
    let mut pair = Pair::new(seed, maxlen).await;
    let mut told = Vec::new();
    for nth in 0..STEPS {
        let step = pair.step();
        let [redis, embedded] = pair.both(&step).await;
        told.push(format!("{nth} {step:?}: {embedded}"));
        let before = &told[told.len().saturating_sub(40)..];
        assert_eq!(redis, embedded, "seed {seed}, {maxlen:?}, after\n{}", before.join("\n"));
    }
    let good = told.iter().filter(|line| line.contains("Ok(")).count();
    assert!(good > STEPS / 5);
    told.join("\n")
}

/// What has to be among the outcomes of the known seeds, so that little is compared by chance.
const SEEN: [&str; 20] = [
    "is_new: true",
    "is_new: false",
    "Written",
    "Duplicate",
    "Err(Exists)",
    "Err(Taken)",
    "Err(NoSource)",
    "Err(SourceDeleted)",
    "Err(NoSuchUnits)",
    "Err(Media)",
    "Err(OffsetGone)",
    "Err(Missing)",
    "Err(Deleted)",
    "Err(Closed",
    "Err(Seq)",
    "Err(StaleEpoch",
    "Err(EpochBegins)",
    "Err(Gap",
    "Missing,",
    "closed: true",
];

#[tokio::test]
async fn random_operations_have_the_same_outcomes() {
    let mut told = String::new();
    for seed in [1, 2, 3, fastrand::u64(..)] {
        told += &run(seed, None).await;
    }
    for outcome in SEEN {
        assert!(told.contains(outcome), "{outcome} was never seen");
    }
}

#[tokio::test]
async fn random_operations_on_bounded_streams() {
    // The third asks for the source of a fork that ends within a chunk when that source has expired, the fourth reads a fork from
    // before what is gone in its middle.
    for seed in [4, 5, 188_081_723_563_464_830, 11_570_491_718_585_276_031, fastrand::u64(..)] {
        run(seed, Some(3)).await;
    }
}
