//! Who listens: clients of every kind.

use std::time::Duration;

use anyhow::ensure;
use weir_testkit::checker::{ClientLog, Session, Value};
use weir_testkit::eventually;
use weir_testkit::workload::{Follower, Followers, Habit, How};

use crate::world::{HEALED, World};

/// How many sessions there are.
pub(crate) const SESSIONS: u32 = 10;

/// How often an event is sent to every session before clients that did not get it are left to the checker.
const ROUNDS: u32 = 9;

/// All clients.
pub(crate) struct Crowd {
    followers: Option<Followers>,
    logs: Vec<ClientLog>,
    members: Vec<Follower>,
}

/// For whom to wait. Everyone is judged in the end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    /// Those who are always there.
    Attentive,
    /// Those who nap and go away, too.
    Everyone,
}

/// Starts so many clients.
pub(crate) fn gather(world: &World, clients: u32, rng: &mut fastrand::Rng) -> Crowd {
    let members: Vec<Follower> = (0..clients).map(|nth| member(nth, rng)).collect();
    let mut followers = Followers::new(&world.ledger, &world.places);
    members.iter().cloned().for_each(|member| followers.start(member));
    Crowd { followers: Some(followers), logs: Vec::new(), members }
}

fn member(nth: u32, rng: &mut fastrand::Rng) -> Follower {
    let catch_up = How::Stream("catch-up");
    let ms = Duration::from_millis;
    let (count, how, habit) = match nth % 12 {
        0 | 1 => (1, catch_up, Habit::Eager),
        2 => (3, catch_up, Habit::Eager),
        3 => (1, How::Polls(2), Habit::Eager),
        4 => (3, How::Polls(1), Habit::Eager),
        5 => (1, How::Stream("drop-oldest"), Habit::Slow(ms(5))),
        6 => (1, How::Stream("latest"), Habit::Slow(ms(5))),
        7 => (2, How::Stream("disconnect"), Habit::Slow(ms(3))),
        8 => (2, How::Conflated(200), Habit::Eager),
        9 => (1, catch_up, Habit::Naps(ms(if nth / 12 % 8 == 1 { 12_000 } else { 2_500 }))),
        10 if (nth / 12).is_multiple_of(2) => (1, catch_up, Habit::Away(ms(15_000))),
        10 => (2, catch_up, Habit::Restless(30)),
        _ => (2, catch_up, Habit::Restless(80)),
    };
    let first = nth / 12 + nth;
    let sessions = (0..count).map(|step| Session((first + step * 3) % SESSIONS)).collect();
    Follower { name: format!("client-{nth:03}"), sessions, how, habit, seed: rng.u64(..) }
}

impl Crowd {
    /// Waits until every client has come.
    pub(crate) async fn is_attended(&mut self, world: &World) -> anyhow::Result<()> {
        let mut rng = fastrand::Rng::with_seed(1);
        eventually(HEALED, async || {
            let mut sent = Vec::new();
            for session in (0..SESSIONS).map(Session) {
                let value = world.producer.probe(|| world.places.choose(&mut rng).1, session, HEALED).await?;
                sent.push((session, value));
            }
            // Those who nap and go away have come by then, too: they begin as everybody does.
            eventually(Duration::from_secs(5), async || self.have_come(world, &sent, Who::Attentive)).await
        })
        .await
    }

    /// Sends an event to every session and waits until clients have it. Where one does not come, others are sent: it may
    /// rightly have been announced missing, such as with a log that was replaced. That is for the checker to judge.
    pub(crate) async fn is_reached(&self, world: &World, who: Who) -> anyhow::Result<()> {
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..ROUNDS {
            let mut sent = Vec::new();
            for session in (0..SESSIONS).map(Session) {
                let value = world.producer.mark(|| world.places.choose(&mut rng).1, session, HEALED).await?;
                sent.push((session, value));
            }
            match eventually(HEALED / ROUNDS, async || self.have_come(world, &sent, who)).await {
                Ok(()) => return Ok(()),
                Err(error) => println!("{:>7} ms, {error:#}", world.ledger.now()),
            }
        }
        Ok(())
    }

    fn have_come(&self, world: &World, sent: &[(Session, Value)], who: Who) -> anyhow::Result<()> {
        sent.iter().try_for_each(|(session, value)| self.has_come(world, (*session, *value), who))
    }

    fn has_come(&self, world: &World, (session, value): (Session, Value), who: Who) -> anyhow::Result<()> {
        let awaited = |member: &&Follower| match who {
            Who::Everyone => true,
            Who::Attentive => !matches!(member.habit, Habit::Naps(_) | Habit::Away(_)),
        };
        let members = self.members.iter().filter(awaited);
        let clients = members.filter(|member| member.sessions.contains(&session)).count();
        let came = world.ledger.arrivals(value);
        ensure!(came >= clients, "{came} of {clients} clients of session {} have value {value}", session.0);
        Ok(())
    }

    /// Sends everybody home.
    pub(crate) async fn leave(&mut self) {
        if let Some(followers) = self.followers.take() {
            self.logs = followers.finish().await;
        }
    }

    /// What they wrote down.
    pub(crate) async fn logs(mut self) -> Vec<ClientLog> {
        self.leave().await;
        self.logs
    }
}
