//! What must be true at the end.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use weir_testkit::checker::{self, Balance, Invariant};
use weir_testkit::{Instance, eventually, expect};

use crate::crowd::{Crowd, Who};
use crate::fault::groups;
use crate::world::{self, HEALED, STREAM, Slot, World};

/// How long the groups of a crashed instance may stay: its lease, and the round in which others notice.
const LEASE: Duration = Duration::from_secs(130);

/// Gives the counts where everything was well, and otherwise the report as an error.
pub(crate) async fn judge(
    world: World,
    mut crowd: Crowd,
    failed: Option<anyhow::Error>,
) -> anyhow::Result<String> {
    let measured = if failed.is_none() { at_rest(&world, &mut crowd).await } else { Ok(()) };
    let history = world.ledger.history(crowd.logs().await);
    let report = checker::check(&history);
    if let Some(error) = failed {
        println!("{report}");
        return Err(error);
    }
    if !report.is_clean() {
        for violation in report.violations.iter().take(5) {
            println!("{violation}\n{}", violation.evidence(&history));
        }
        for slot in &world.slots {
            let log = slot.instance.lock().await.log();
            println!("the end of a log:\n{}", log[log.len().saturating_sub(20)..].join("\n"));
        }
    }
    report.ensure_clean()?;
    // What this instance dropped itself it can count, so nothing else may be announced in its place.
    let needless = ["overflow", "oversize"].iter().any(|reason| report.false_gaps.contains_key(reason));
    ensure!(!needless, "losses were announced that were none: {report}");
    ensure!(report.restarts == 0, "a client did not come back where it was: {report}");
    measured?;
    Ok(report.summary())
}

/// Takes the sums: with everybody there and nothing on its way, and then with everybody gone.
async fn at_rest(world: &World, crowd: &mut Crowd) -> anyhow::Result<()> {
    world.heal().await?;
    crowd.is_reached(world, Who::Everyone).await?;
    let before = reading(world).await?;
    crowd.is_reached(world, Who::Everyone).await?;
    for slot in &world.slots {
        books(world, slot).await?;
    }
    let after = reading(world).await?;
    let added = after.added - before.added;
    for (nth, (before, after)) in before.read.iter().zip(after.read).enumerate() {
        let what = format!("entries that instance {} read of those that were added at rest", nth + 1);
        weigh(world, Invariant::I9, what, after - before, added..=added);
    }
    crowd.leave().await;
    for slot in &world.slots {
        resources(world, slot).await?;
    }
    leftovers(world).await?;
    Ok(())
}

struct Reading {
    added: f64,
    read: Vec<f64>,
}

/// How much was added and how much was read, once every instance stands at the head.
async fn reading(world: &World) -> anyhow::Result<Reading> {
    let added = async || -> anyhow::Result<f64> {
        let info = world.redis_command(&["XINFO", "STREAM", STREAM]).await?;
        let value = info.lines().skip_while(|line| *line != "entries-added").nth(1);
        Ok(value.context("no entries-added")?.parse()?)
    };
    let before = added().await?;
    let mut read = Vec::new();
    for slot in &world.slots {
        let metrics = slot.instance.lock().await.metrics().await?;
        read.push(metrics.sum("weir_entries_read_total", &[]));
    }
    ensure!(added().await? == before, "somebody still publishes");
    Ok(Reading { added: before, read })
}

async fn books(world: &World, slot: &Slot) -> anyhow::Result<()> {
    let instance = slot.instance.lock().await;
    let balanced = eventually(HEALED, async || expect::balance(&instance).await).await;
    let books = expect::Books::of(&instance.metrics().await?);
    let what = format!(
        "books of {}: {books:?} {}",
        instance.public(),
        balanced.err().map(|e| format!("{e:#}")).unwrap_or_default()
    );
    weigh(world, Invariant::I9, what, books.still_queued(), 0.0..=0.0);
    Ok(())
}

/// What an instance holds when everybody has gone.
async fn resources(world: &World, slot: &Slot) -> anyhow::Result<()> {
    let instance = slot.instance.lock().await;
    let name = instance.public();
    let settled = eventually(HEALED, async || {
        for gauge in ["weir_clients", "weir_sessions", "weir_queue_bytes", "weir_reader_pending_entries"] {
            let have = gauge_of(&instance, gauge).await?;
            ensure!(have == 0.0, "{gauge} is {have}");
        }
        Ok(())
    });
    let unsettled = settled.await.err().map(|error| format!("{error:#}"));
    let what = format!("what {name} still holds: {}", unsettled.as_deref().unwrap_or("nothing"));
    weigh(world, Invariant::I10, what, f64::from(u8::from(unsettled.is_some())), 0.0..=0.0);

    let open = eventually(HEALED, async || {
        let open = world::fds(instance.pid())?;
        ensure!(open <= world.fds_at_rest + 4, "{open} files are open");
        Ok(open)
    });
    let open = open.await.or_else(|_| world::fds(instance.pid()))?;
    weigh(
        world,
        Invariant::I10,
        format!("open files of {name}"),
        open as f64,
        0.0..=(world.fds_at_rest + 4) as f64,
    );

    let (rss, first) = (world::rss(instance.pid())?, slot.first_rss.lock().await.unwrap_or_default());
    let most = first as f64 * 1.5 + 48.0 * 1024.0;
    weigh(
        world,
        Invariant::I10,
        format!("KiB of memory of {name}, which began with {first}"),
        rss as f64,
        0.0..=most,
    );
    Ok(())
}

async fn gauge_of(instance: &Instance, name: &str) -> anyhow::Result<f64> {
    Ok(instance.metrics().await?.sum(name, &[]))
}

/// What is left in Redis: one group for each instance, and those of crashed ones whose time has not come.
async fn leftovers(world: &World) -> anyhow::Result<()> {
    let have = groups(world).await?.len();
    let recent = world.crashes.lock().await.iter().filter(|at| Instant::now() - **at < LEASE).count();
    let live = world.slots.len();
    weigh(
        world,
        Invariant::I10,
        "reader groups".to_owned(),
        have as f64,
        live as f64..=(live + recent) as f64,
    );
    Ok(())
}

fn weigh(world: &World, invariant: Invariant, what: String, have: f64, want: RangeInclusive<f64>) {
    world.ledger.balance(Balance { invariant, what, have, want });
}
