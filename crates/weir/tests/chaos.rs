//! Whatever happens between an instance and Redis, every client gets what it was owed, or is told what is missing.
//!
//! Real instances and a real Redis, a proxy between them that fails on command, producers and clients that write down what
//! they are told, and the checker over all of it.
// sizes: one world, and one fault after the other in it

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use weir_testkit::chaos::{Close, Flow, Proxy, Way};
use weir_testkit::checker::{self, Balance, Invariant, Report, Session};
use weir_testkit::redis::RedisServer;
use weir_testkit::workload::{Follower, Followers, Habit, How, Ledger, Places, Producer};
use weir_testkit::{DEADLINE, Instance, eventually, expect};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const STREAM: &str = "weir:events";

/// How long an event may take once everything is well again: a reader may have to find out that its connection is dead,
/// and the machine may be busy.
const HEALED: Duration = Duration::from_secs(20);

/// Every client follows one or two of them.
const SESSIONS: u32 = 3;

/// How long after Redis answered every client must have something new: a few times what it takes on a quiet machine, which
/// is about a second.
const RESUMED: Duration = Duration::from_secs(5);

/// Two instances, each behind a proxy of its own to one Redis, and clients of every kind.
struct World {
    redis: RedisServer,
    proxies: [Proxy; 2],
    instances: [Instance; 2],
    ledger: Arc<Ledger>,
    places: Places,
    followers: Followers,
    producer: Producer,
}

impl World {
    async fn start(redis: RedisServer, flags: &[&str]) -> anyhow::Result<Self> {
        let at = SocketAddr::from(([127, 0, 0, 1], redis.port()));
        let proxies = [Proxy::start_seeded(at, 1).await?, Proxy::start_seeded(at, 2).await?];
        let instance = async |proxy: &Proxy| {
            let url = format!("redis://{}", proxy.addr());
            let common = ["--redis", &url, "--read-block", "500ms", "--heartbeat", "500ms"];
            Instance::start(WEIR, &[&common, flags].concat()).await
        };
        let (one, two) = tokio::try_join!(instance(&proxies[0]), instance(&proxies[1]))?;
        let (ledger, places) = (Arc::new(Ledger::default()), Places::default());
        places.set(1, one.public());
        places.set(2, two.public());
        let mut followers = Followers::new(&ledger, &places);
        for nth in 0..SESSIONS * 4 {
            followers.start(follower(nth));
        }
        let producer = Producer::new(&ledger, Duration::from_secs(4));
        let instances = [one, two];
        let world = Self { redis, proxies, instances, ledger, places, followers, producer };
        world.is_attended().await.context("before anything happened")?;
        Ok(world)
    }

    /// Lets producers of every kind work for as long as something goes on.
    async fn under_load<T>(&self, fault: impl AsyncFnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let worker = async |seed: u64| {
            let mut rng = fastrand::Rng::with_seed(seed);
            loop {
                let event = (Session(rng.u32(0..SESSIONS)), Some(rng.u32(0..9)));
                let at = self.places.choose(&mut rng).1;
                match seed {
                    0 => drop(self.producer.add(&self.redis, STREAM, event).await),
                    1 => {
                        let limit = Duration::from_secs(5);
                        self.producer.publish_surely(|| self.places.choose(&mut rng).1, event, limit).await;
                    }
                    _ => drop(self.producer.publish(at, event.0, event.1).await),
                }
                tokio::time::sleep(Duration::from_millis(rng.u64(0..10))).await;
            }
        };
        let (one, two, three, four) = (worker(0), worker(1), worker(2), worker(3));
        let work = async { tokio::join!(one, two, three, four) };
        tokio::select! {
            done = fault() => done,
            (never, ..) = work => never,
        }
    }

    /// Every client has come: before that it is owed nothing.
    async fn is_attended(&self) -> anyhow::Result<()> {
        let mut rng = fastrand::Rng::with_seed(5);
        for session in (0..SESSIONS).map(Session) {
            eventually(DEADLINE, async || {
                let value = self.producer.probe(|| self.places.choose(&mut rng).1, session, DEADLINE).await?;
                eventually(Duration::from_millis(300), async || self.has_come(session, value)).await
            })
            .await?;
        }
        Ok(())
    }

    fn has_come(&self, session: Session, value: checker::Value) -> anyhow::Result<()> {
        let clients = (0..SESSIONS * 4).filter(|nth| follower(*nth).sessions.contains(&session)).count();
        let came = self.ledger.arrivals(value);
        ensure!(came >= clients, "{came} of {clients} clients of {session:?} got value {value}");
        Ok(())
    }

    /// An event of every session has come to every client of it. What the checker is told to look for, too.
    async fn reaches_everyone(&self) -> anyhow::Result<()> {
        let mut rng = fastrand::Rng::with_seed(7);
        for session in (0..SESSIONS).map(Session) {
            let places = || self.places.choose(&mut rng).1;
            let value = self.producer.mark(places, session, HEALED).await?;
            eventually(HEALED, async || self.has_come(session, value)).await?;
        }
        Ok(())
    }

    /// Everything is well again: a fresh event comes everywhere, the books balance, and the checker is content.
    #[expect(clippy::print_stdout, reason = "what a run saw is worth reading")]
    async fn finish(self) -> anyhow::Result<Report> {
        let reached = self.reaches_everyone().await;
        for (nth, instance) in self.instances.iter().enumerate() {
            let balanced = eventually(HEALED, async || expect::balance(instance).await).await;
            let have = expect::Books::of(&instance.metrics().await?).still_queued();
            let what = format!("instance {nth}: {:?}", balanced.err());
            self.ledger.balance(Balance { invariant: Invariant::I9, what, have, want: 0.0..=0.0 });
        }
        let history = self.ledger.history(self.followers.finish().await);
        let report = checker::check(&history);
        println!("{}", report.summary());
        for violation in report.violations.iter().take(3) {
            println!("{violation}\n{}", violation.evidence(&history));
        }
        report.ensure_clean()?;
        ensure!(report.restarts == 0, "a client did not come back where it was: {report}");
        reached?;
        Ok(report)
    }

    async fn metric(&self, instance: usize, name: &str) -> anyhow::Result<f64> {
        Ok(self.instances[instance].metrics().await?.sum(name, &[]))
    }

    /// Waits until the instance says so of its Redis.
    async fn redis_is(&self, instance: usize, up: f64) -> anyhow::Result<()> {
        eventually(DEADLINE, async || {
            let have = self.metric(instance, "weir_redis_up").await?;
            ensure!(have == up, "weir_redis_up is {have}");
            Ok(())
        })
        .await
    }

    /// Waits until the reader of the instance has given up a connection.
    async fn reader_notices(&self, instance: usize, errors: f64) -> anyhow::Result<()> {
        eventually(DEADLINE, async || {
            let have = self.metric(instance, "weir_reader_errors_total").await?;
            ensure!(have > errors, "no error after {errors}");
            Ok(())
        })
        .await
    }
}

/// Four of each session, which differ in how they are told and in how they read.
fn follower(nth: u32) -> Follower {
    let session = Session(nth % SESSIONS);
    let (sessions, how, habit) = match nth / SESSIONS {
        0 => (vec![session], How::Stream("catch-up"), Habit::Eager),
        1 => (vec![session], How::Polls(1), Habit::Eager),
        2 => (vec![session, Session((nth + 1) % SESSIONS)], How::Stream("catch-up"), Habit::Restless(50)),
        _ => (vec![session], How::Stream("latest"), Habit::Slow(Duration::from_millis(2))),
    };
    Follower { name: format!("client-{nth}"), sessions, how, habit, seed: nth.into() }
}

/// What goes on for so long is what is tested.
async fn for_a_while(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

fn lost_nothing(report: &Report) {
    assert_eq!((report.announced, report.gaps.len()), (0, 0), "{report}");
    assert!(report.deliveries > 100, "{report}");
}

#[tokio::test]
async fn redis_stands_still() -> anyhow::Result<()> {
    let world = World::start(RedisServer::start().await, &[]).await?;
    world
        .under_load(async || {
            for_a_while(500).await;
            world.redis.pause();
            for_a_while(4000).await;
            world.redis.resume();
            for_a_while(500).await;
            Ok(())
        })
        .await?;
    lost_nothing(&world.finish().await?);
    Ok(())
}

#[tokio::test]
async fn a_script_holds_up_redis() -> anyhow::Result<()> {
    let world = World::start(RedisServer::start().await, &[]).await?;
    world
        .under_load(async || {
            for_a_while(300).await;
            // Scripts see no clock, so how long a loop takes is tried first.
            let turns = async |turns: f64| {
                let started = Instant::now();
                world.redis.cli(&["EVAL", &format!("for n = 1, {turns} do end"), "0"]).await;
                started.elapsed().as_secs_f64()
            };
            let few = turns(1e7).await;
            let held = turns(4e7 / few).await;
            println!("Redis was busy for {held} s");
            ensure!(held > 0.5, "it was too quick");
            for_a_while(300).await;
            Ok(())
        })
        .await?;
    lost_nothing(&world.finish().await?);
    Ok(())
}

#[tokio::test]
async fn an_answer_stops_in_the_middle() -> anyhow::Result<()> {
    let world = World::start(RedisServer::start().await, &[]).await?;
    for after in [0, 5, 300] {
        let errors = world.metric(0, "weir_reader_errors_total").await?;
        world
            .under_load(async || {
                for_a_while(200).await;
                world.proxies[0].set(Way::ToClient, Flow::Hold { after });
                world.reader_notices(0, errors).await?;
                // What was held comes late, to connections that nobody reads any more.
                world.proxies[0].heal();
                for_a_while(200).await;
                Ok(())
            })
            .await?;
    }
    lost_nothing(&world.finish().await?);
    Ok(())
}

#[tokio::test]
async fn redis_is_behind_a_black_hole() -> anyhow::Result<()> {
    let world = World::start(RedisServer::start().await, &[]).await?;
    world
        .under_load(async || {
            for_a_while(300).await;
            let errors = world.metric(0, "weir_reader_errors_total").await?;
            world.proxies[0].black_hole();
            let started = Instant::now();
            // Before clients that come back from the other instance have waited in vain for this one to come as far.
            world.reader_notices(0, errors).await?;
            println!("the black hole was noticed after {:?}", started.elapsed());
            // Its neighbour notices nothing.
            ensure!(world.metric(1, "weir_redis_up").await? == 1.0, "both");
            world.proxies[0].heal();
            let healed = Instant::now();
            world.redis_is(0, 1.0).await?;
            println!("and its end after {:?}", healed.elapsed());
            Ok(())
        })
        .await?;
    lost_nothing(&world.finish().await?);
    Ok(())
}

#[tokio::test]
async fn connections_to_redis_are_reset_again_and_again() -> anyhow::Result<()> {
    let world = World::start(RedisServer::start().await, &[]).await?;
    world
        .under_load(async || {
            let how = Close::Reset;
            world.proxies[0].set(Way::ToClient, Flow::End { after: 1_000..=30_000, how });
            world.proxies[1].set(Way::ToServer, Flow::End { after: 1_000..=30_000, how });
            for_a_while(4000).await;
            world.proxies.iter().for_each(Proxy::heal);
            Ok(())
        })
        .await?;
    for (proxy, instance) in world.proxies.iter().zip(&world.instances) {
        let made = proxy.accepted();
        println!("{made} connections, {} log lines", instance.log().len());
        // Neither too few to have tried anything, nor a hot loop; and the log is not flooded.
        ensure!((8..400).contains(&made), "{made} connections");
        ensure!(instance.log().len() < 200, "{} log lines", instance.log().len());
    }
    lost_nothing(&world.finish().await?);
    Ok(())
}

#[tokio::test]
async fn connections_are_killed_in_redis() -> anyhow::Result<()> {
    let world = World::start(RedisServer::start().await, &[]).await?;
    world
        .under_load(async || {
            for _ in 0..10 {
                for_a_while(200).await;
                world.redis.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
            }
            Ok(())
        })
        .await?;
    lost_nothing(&world.finish().await?);
    Ok(())
}

/// The entries leave the stream faster than the link carries them.
#[tokio::test]
async fn a_slow_link_loses_to_trimming_and_says_how_much() -> anyhow::Result<()> {
    let world = World::start(RedisServer::start().await, &["--maxlen", "200"]).await?;
    world.proxies[0].set(Way::ToClient, Flow::Throttle(20_000));
    world
        .under_load(async || {
            let fill = "for n = 1, 300 do redis.call('XADD', KEYS[1], 'MAXLEN', '200', '*', 'session', 'nobody', 'data', string.rep('x', 500)) end";
            for _ in 0..12 {
                world.redis.cli(&["EVAL", fill, "1", STREAM]).await;
                for_a_while(150).await;
            }
            Ok(())
        })
        .await?;
    world.proxies[0].heal();
    world.reaches_everyone().await?;
    let added = world.redis.cli(&["XINFO", "STREAM", STREAM]).await;
    let mut lines = added.lines().skip_while(|line| *line != "entries-added");
    let added: f64 = lines.nth(1).context("no entries-added")?.parse()?;
    let lost = [
        world.metric(0, "weir_entries_lost_total").await?,
        world.metric(1, "weir_entries_lost_total").await?,
    ];
    for (instance, lost) in lost.iter().enumerate() {
        let read = world.metric(instance, "weir_entries_read_total").await?;
        println!("instance {instance}: {read} read, {lost} lost of {added}");
        ensure!(read + lost == added, "instance {instance}: {read} read and {lost} lost of {added}");
    }
    ensure!(lost[0] > 500.0, "the link was not slow enough: {lost:?}");
    let heartbeats = world.metric(0, "weir_gap_notices_total").await?;
    ensure!(heartbeats > 0.0, "nobody was told");
    let report = world.finish().await?;
    ensure!(report.gaps.contains_key("reader"), "{report}");
    Ok(())
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_is_repeated_without_harm() -> anyhow::Result<()> {
    let world = World::start(RedisServer::start().await, &[]).await?;
    let mut stream = world.instances[1].client().subscribe("once").await?;
    let publish = async |instance: usize| {
        let request =
            world.instances[instance].client().event("once").header("idempotency-key", "k1").body("one");
        request.send().await
    };
    world.proxies[0].set(Way::ToClient, Flow::Swallow);
    expect::problem(&publish(0).await?, 503, "outcome_unknown")?;
    assert_eq!(stream.next_data(1).await?, ["one"]);
    world.proxies[0].heal();
    for instance in [1, 0] {
        let again = eventually(DEADLINE, async || {
            let answer = publish(instance).await?;
            answer.event_id()?;
            Ok(answer)
        })
        .await?;
        assert_eq!(again.head.header("weir-duplicate"), Some("true"), "{again:?}");
        assert_eq!(again.event_id()?.to_string(), stream.last_event_id());
    }
    world.instances[1].client().publish("once", "two").await?;
    assert_eq!(stream.next_data(1).await?, ["two"]);
    lost_nothing_at_all(&world.finish().await?);
    Ok(())
}

fn lost_nothing_at_all(report: &Report) {
    assert_eq!((report.announced, report.gaps.len()), (0, 0), "{report}");
}

#[tokio::test]
async fn redis_is_killed_and_comes_back_with_its_data() -> anyhow::Result<()> {
    let mut world = World::start(RedisServer::start_persistent().await, &[]).await?;
    world
        .under_load(async || {
            for_a_while(1000).await;
            Ok(())
        })
        .await?;
    // Events are on their way while it dies.
    let mut rng = fastrand::Rng::with_seed(3);
    let (producer, places) = (world.producer.clone(), world.places.clone());
    let burst = async {
        for nth in 0..200 {
            producer.publish(places.choose(&mut rng).1, Session(nth % SESSIONS), None).await;
        }
    };
    let kill = async {
        for_a_while(150).await;
        world.redis.stop();
        for_a_while(1500).await;
        world.redis.restart().await;
        Instant::now()
    };
    let ((), answered) = tokio::join!(burst, kill);
    world.reaches_everyone().await?;
    let resumed = answered.elapsed();
    println!("delivery to every client of every session resumed {resumed:?} after Redis answered");
    ensure!(resumed < RESUMED, "{resumed:?}");
    let kept = world.redis.cli(&["XLEN", STREAM]).await.parse::<usize>()?;
    let report = world.finish().await?;
    println!("{kept} entries kept");
    lost_nothing(&report);
    Ok(())
}

/// One producer that keeps less than the others changes what is kept for everybody.
#[tokio::test]
async fn a_producer_that_trims_more_than_the_instances_is_noticed() -> anyhow::Result<()> {
    let world = World::start(RedisServer::start().await, &[]).await?;
    let mut stream = world.instances[0].client().subscribe("s").await?;
    let burst =
        "for n = 1, 300 do redis.call('XADD', KEYS[1], 'MAXLEN', '100', '*', 'session', 's', 'data', n) end";
    world.redis.cli(&["EVAL", burst, "1", STREAM]).await;
    let mut told = Vec::new();
    while told.last().is_none_or(|last: &String| last != "300") {
        let event = stream.next_event().await?;
        if event.event != "weir.ping" {
            told.push(event.data);
        }
    }
    ensure!(told.iter().any(|data| data.contains("reader")), "201 to 300 came after {:?}", told.first());
    world.finish().await.map(drop)
}
