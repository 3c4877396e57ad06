//! What goes wrong, chosen by the seed.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::time::sleep;
use weir_core::EventId;
use weir_testkit::chaos::{Close, Flow, Proxy, Way};
use weir_testkit::checker::record::payload;
use weir_testkit::checker::{Outcome, Session};
use weir_testkit::{Signal, eventually};

use crate::crowd::SESSIONS;
use crate::world::{HEALED, STREAM, World};

/// Empties the log once the clock has passed its newest id, so that ids go on to rise, and says what that was.
const FLUSH: &str = "local info = redis.call('XINFO', 'STREAM', KEYS[1])
local last
for n = 1, #info, 2 do if info[n] == 'last-generated-id' then last = info[n + 1] end end
local now = redis.call('TIME')
if now[1] * 1000 + math.floor(now[2] / 1000) <= tonumber(string.match(last, '^%d+')) then return 'wait' end
redis.call('FLUSHALL')
return last";

/// Adds events one after the other and says where they stand.
const BURST: &str = "local ids = {}
for n = 2, #ARGV do
    ids[#ids + 1] = redis.call('XADD', KEYS[1], 'MAXLEN', '~', '2000', '*', 'session', ARGV[1], 'data', ARGV[n], 'key', tostring(n % 8))
end
return ids";

/// Something that goes wrong for a while.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// In Redis.
    Redis(Trouble, Duration),
    /// In the process of an instance.
    Process(usize, Blow, Duration),
    /// Between an instance and Redis.
    RedisLink(usize, Weather, Duration),
    /// Between an instance and half of its clients.
    ClientLink(usize, Weather, Duration),
    /// Entries that are no events, and events that are too large.
    Junk(u32),
    /// Very many events of four sessions, from this one on.
    Burst(u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    Pauses,
    IsKilled,
    KillsConnections,
    LosesGroups,
    IsFlushed,
    RefusesWrites,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Blow {
    Ends,
    IsKilled,
    IsPaused,
}

/// What a link does.
#[derive(Clone, Debug)]
pub(crate) enum Weather {
    Flows(Flow, Flow),
    Refuses,
    Closes(Close),
}

/// How often each kind comes, as `roll` numbers them.
const KINDS: [u32; 11] = [0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 5];

/// One fault, or two of different kinds at once.
pub(crate) fn choose(rng: &mut fastrand::Rng) -> Vec<Fault> {
    let first = KINDS[rng.usize(0..KINDS.len())];
    let second = KINDS[rng.usize(0..KINDS.len())];
    let second = (second != first && rng.bool()).then_some(second);
    [Some(first), second].into_iter().flatten().map(|kind| roll(kind, rng)).collect()
}

fn roll(kind: u32, rng: &mut fastrand::Rng) -> Fault {
    use Trouble::{IsFlushed, IsKilled, KillsConnections, LosesGroups, Pauses, RefusesWrites};
    let (slot, time) = (rng.usize(0..3), Duration::from_millis(rng.u64(200..5_000)));
    match kind {
        0 => {
            let all = [Pauses, IsKilled, KillsConnections, LosesGroups, IsFlushed, RefusesWrites];
            Fault::Redis(all[rng.usize(0..all.len())], time)
        }
        1 => Fault::Process(slot, [Blow::Ends, Blow::IsKilled, Blow::IsPaused][rng.usize(0..3)], time),
        2 => Fault::RedisLink(slot, weather(rng), time),
        3 => Fault::ClientLink(slot, weather(rng), time),
        4 => Fault::Junk(rng.u32(0..SESSIONS)),
        _ => Fault::Burst(rng.u32(0..SESSIONS)),
    }
}

fn weather(rng: &mut fastrand::Rng) -> Weather {
    let how = if rng.bool() { Close::Reset } else { Close::Fin };
    let flow = match rng.u32(0..8) {
        0 => return Weather::Refuses,
        1 => return Weather::Closes(how),
        2 => Flow::Delay(Duration::from_millis(rng.u64(1..50))),
        3 => Flow::Throttle(rng.u64(5_000..100_000)),
        4 => Flow::Hold { after: rng.u64(1..500) },
        5 => return Weather::Flows(Flow::Hold { after: 0 }, Flow::Hold { after: 0 }),
        6 => return Weather::Flows(Flow::Pass, Flow::Swallow),
        _ => Flow::End { after: 100..=rng.u64(200..50_000), how },
    };
    match rng.u32(0..3) {
        0 => Weather::Flows(flow, Flow::Pass),
        1 => Weather::Flows(Flow::Pass, flow),
        _ => Weather::Flows(flow.clone(), flow),
    }
}

/// All of it at the same time. Lasting ones are over when this returns, but for what [`World::heal`] takes away.
pub(crate) async fn provoke(world: &World, faults: Vec<Fault>) -> anyhow::Result<()> {
    let mut faults = faults.into_iter();
    let (one, two) = (faults.next(), faults.next());
    let one = async { if let Some(fault) = one { fault.strike(world).await } else { Ok(()) } };
    let two = async { if let Some(fault) = two { fault.strike(world).await } else { Ok(()) } };
    tokio::try_join!(one, two)?;
    Ok(())
}

impl Fault {
    async fn strike(self, world: &World) -> anyhow::Result<()> {
        let name = self.to_string();
        let struck = match self {
            Self::Redis(trouble, time) => trouble.strike(world, time).await,
            Self::Process(slot, blow, time) => blow.strike(world, slot, time).await,
            Self::RedisLink(slot, weather, time) => {
                weather.strike(&world.slots[slot].to_redis, time).await;
                Ok(())
            }
            Self::ClientLink(slot, weather, time) => {
                weather.strike(&world.slots[slot].to_clients, time).await;
                Ok(())
            }
            Self::Junk(session) => junk(world, Session(session)).await,
            Self::Burst(first) => burst(world, first).await,
        };
        struck.context(name)
    }
}

impl Trouble {
    async fn strike(self, world: &World, time: Duration) -> anyhow::Result<()> {
        match self {
            Self::Pauses => {
                world.redis.read().await.pause();
                sleep(time).await;
                world.redis.read().await.resume();
            }
            Self::IsKilled => {
                world.redis.write().await.stop();
                sleep(time).await;
                world.redis.write().await.restart().await;
            }
            Self::KillsConnections => {
                for _ in 0..5 {
                    world.redis_command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await?;
                    sleep(time / 5).await;
                }
            }
            Self::LosesGroups => {
                for group in groups(world).await? {
                    world.redis_command(&["XGROUP", "DESTROY", STREAM, &group]).await?;
                }
            }
            Self::IsFlushed => flush(world).await?,
            Self::RefusesWrites => {
                world.redis_command(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await?;
                sleep(time).await;
                world.redis_command(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await?;
            }
        }
        Ok(())
    }
}

/// The reader groups of the stream.
pub(crate) async fn groups(world: &World) -> anyhow::Result<Vec<String>> {
    let all = world.redis_command(&["XINFO", "GROUPS", STREAM]).await?;
    let lines: Vec<&str> = all.lines().collect();
    Ok(lines.windows(2).filter(|pair| pair[0] == "name").map(|pair| pair[1].to_owned()).collect())
}

async fn flush(world: &World) -> anyhow::Result<()> {
    eventually(HEALED, async || {
        let last = world.redis_command(&["EVAL", FLUSH, "1", STREAM]).await?;
        ensure!(last != "wait", "the clock has not passed the newest id");
        let last: EventId = last.parse().with_context(|| format!("last-generated-id {last:?}"))?;
        world.ledger.reset(last);
        Ok(())
    })
    .await
}

impl Blow {
    async fn strike(self, world: &World, nth: usize, time: Duration) -> anyhow::Result<()> {
        let slot = &world.slots[nth];
        let mut instance = slot.instance.lock().await;
        match self {
            Self::Ends => {
                instance.signal(Signal::TERM)?;
                // Where Redis is away at the same time it cannot tidy up either.
                world.crashes.lock().await.push(Instant::now());
                let status = instance.wait_exit(HEALED).await?;
                ensure!(status.success(), "SIGTERM ended it with {status}: {}", instance.log().join("\n"));
                world.replace(slot, &mut instance).await
            }
            Self::IsKilled => {
                instance.signal(Signal::KILL)?;
                world.crashes.lock().await.push(Instant::now());
                instance.wait_exit(HEALED).await?;
                sleep(time / 2).await;
                world.replace(slot, &mut instance).await
            }
            Self::IsPaused => {
                instance.signal(Signal::STOP)?;
                sleep(time).await;
                instance.signal(Signal::CONT)
            }
        }
    }
}

impl Weather {
    async fn strike(self, link: &Proxy, time: Duration) {
        match self {
            Self::Flows(up, down) => {
                link.set(Way::ToServer, up);
                link.set(Way::ToClient, down);
                // A link that holds has to hold until somebody notices.
                sleep(time * 2).await;
                link.heal();
            }
            Self::Refuses => {
                link.point_at(None);
                link.close_all(Close::Reset);
                sleep(time).await;
            }
            Self::Closes(how) => link.close_all(how),
        }
    }
}

/// Entries that must harm nobody, and one that its session must be told of.
async fn junk(world: &World, session: Session) -> anyhow::Result<()> {
    let name = weir_testkit::workload::session_name(session);
    let (name, big) = (name.as_bytes(), vec![b'x'; 5_000]);
    let bad: [&[&[u8]]; 5] = [
        &[b"foo", b"bar"],
        &[b"session", name, b"data", b"\xff\xfe"],
        &[b"session", name, b"data", b"x", b"type", b"weir.gap"],
        &[b"session", name, b"data", b"x", b"weir", b"unknown"],
        &[b"session", b"\xff", b"data", b"x"],
    ];
    for fields in bad {
        let command = [&[b"XADD" as &[u8], STREAM.as_bytes(), b"*"], fields].concat();
        // Redis may be in another trouble at the same time.
        let _ = world.redis.read().await.try_command(&command).await;
    }
    let value = world.ledger.begin(session, None);
    let command: [&[u8]; 7] = [b"XADD", STREAM.as_bytes(), b"*", b"session", name, b"data", &big];
    let outcome = match world.redis.read().await.try_command(&command).await {
        Ok(Ok(id)) => Outcome::Acknowledged(id.parse()?),
        Ok(Err(_)) => Outcome::Refused,
        Err(_) => Outcome::Unknown,
    };
    world.ledger.finish(value, outcome, 1);
    Ok(())
}

async fn burst(world: &World, first: u32) -> anyhow::Result<()> {
    for session in (first..first + 4).map(|nth| Session(nth % SESSIONS)) {
        let name = weir_testkit::workload::session_name(session);
        let values: Vec<_> = (2..302).map(|nth| world.ledger.begin(session, Some(nth % 8))).collect();
        let data: Vec<String> = values.iter().map(|value| payload(*value)).collect();
        let mut command: Vec<&[u8]> =
            vec![b"EVAL", BURST.as_bytes(), b"1", STREAM.as_bytes(), name.as_bytes()];
        command.extend(data.iter().map(String::as_bytes));
        let outcomes: Vec<Outcome> = match world.redis.read().await.try_command(&command).await {
            Ok(Ok(ids)) => {
                ids.lines().map(|id| id.parse().map(Outcome::Acknowledged)).collect::<Result<_, _>>()?
            }
            Ok(Err(_)) => vec![Outcome::Refused; values.len()],
            Err(_) => vec![Outcome::Unknown; values.len()],
        };
        for (value, outcome) in values.into_iter().zip(outcomes) {
            world.ledger.finish(value, outcome, 1);
        }
    }
    Ok(())
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(trouble, time) => write!(f, "Redis {trouble:?} ({} ms)", time.as_millis()),
            Self::Process(slot, blow, time) => {
                write!(f, "instance {} {blow:?} ({} ms)", slot + 1, time.as_millis())
            }
            Self::RedisLink(slot, weather, time) => {
                write!(f, "instance {} to Redis {weather:?} ({} ms)", slot + 1, time.as_millis())
            }
            Self::ClientLink(slot, weather, time) => {
                write!(f, "clients to instance {} {weather:?} ({} ms)", slot + 1, time.as_millis())
            }
            Self::Junk(session) => write!(f, "junk for session {session}"),
            Self::Burst(first) => write!(f, "a burst for four sessions from {first} on"),
        }
    }
}
