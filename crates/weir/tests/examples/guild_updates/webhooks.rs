//! Webhooks are answered at once, whatever weir does, and each delivery is an update once.

use std::collections::BTreeSet;

use anyhow::ensure;
use serde_json::{Value, json};
use weir_testkit::{DEADLINE, Signal, SseStream, eventually};

use super::site::{ADA, Site};

/// The names of the guilds in the next updates.
async fn guilds(stream: &mut SseStream, count: usize) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    while names.len() < count {
        // One for several sessions has unnamed events.
        let event = stream.next_published().await?;
        let event: Value = serde_json::from_str(&event.data)?;
        let data: Value = serde_json::from_str(event["data"].as_str().unwrap_or_default())?;
        names.push(data["guild"]["name"].as_str().unwrap_or_default().to_owned());
    }
    Ok(names)
}

#[tokio::test]
#[ignore = "make examples"]
async fn while_weir_is_away_they_are_answered_and_each_is_delivered_once_afterwards() -> anyhow::Result<()> {
    let site = Site::without_weir(&[]).await?;
    for n in 0..20 {
        let answer = site.bot_joined(&format!("delivery-{n}"), ADA, &format!("guild {n}")).await?;
        ensure!(answer.status() == 202, "{answer:?}");
    }
    // The platform had no answer to these, as it thinks.
    for n in [3, 7, 7] {
        site.bot_joined(&format!("delivery-{n}"), ADA, &format!("guild {n}")).await?;
    }
    let mut weir = site.weir().await?;
    let mut stream = site.follow(ADA).await?;
    let first = guilds(&mut stream, 20).await?;
    let expected: Vec<String> = (0..20).map(|n| format!("guild {n}")).collect();
    ensure!(first == expected, "{first:?}");

    // Killed in the middle, too: some of these are published, some wait, of one nobody may know.
    for n in 20..40 {
        if n == 30 {
            weir.signal(Signal::KILL)?;
        }
        let answer = site.bot_joined(&format!("delivery-{n}"), ADA, &format!("guild {n}")).await?;
        ensure!(answer.status() == 202, "{answer:?}");
    }
    weir.wait_exit(DEADLINE).await?;
    let _weir = site.weir().await?;
    let queue = eventually(DEADLINE * 4, async || {
        let queue = site.figures().await?["queue"].clone();
        ensure!(queue["waiting"] == 0, "{queue}");
        Ok(queue)
    })
    .await?;
    ensure!(queue["overflowed"] == 0 && queue["refused"] == 0, "{queue}");
    site.bot_joined("last", ADA, "the last").await?;
    let all = guilds(&mut site.follow(ADA).await?, 41).await?;
    let once: BTreeSet<_> = all.iter().collect();
    ensure!(once.len() == 41 && all.last().is_some_and(|last| last == "the last"), "{all:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "make examples"]
async fn a_weir_that_does_not_answer_slows_none() -> anyhow::Result<()> {
    let (site, weir) = Site::with_weir(&[]).await?;
    let mut stream = site.follow(ADA).await?;
    weir.signal(Signal::STOP)?;
    for n in 0..3 {
        let answer = site.bot_joined(&format!("delivery-{n}"), ADA, &format!("guild {n}")).await?;
        ensure!(answer.status() == 202, "{answer:?}");
    }
    let figures = site.figures().await?;
    ensure!(figures["weir"].is_null() && figures["queue"]["waiting"] == 3, "{figures}");
    weir.signal(Signal::CONT)?;
    let all = guilds(&mut stream, 3).await?;
    ensure!(all == ["guild 0", "guild 1", "guild 2"], "{all:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "make examples"]
async fn what_the_queue_has_no_room_for_is_reported() -> anyhow::Result<()> {
    let mut site = Site::without_weir(&[("QUEUE", "3")]).await?;
    for n in 0..5 {
        let answer = site.bot_joined(&format!("delivery-{n}"), ADA, &format!("guild {n}")).await?;
        ensure!(answer.status() == 202, "{answer:?}");
    }
    site.application.says("the queue is full: a bot.joined is lost, 2 in all").await?;
    let queue = site.figures().await?["queue"].clone();
    ensure!(queue == json!({ "delivered": 0, "refused": 0, "overflowed": 2, "waiting": 3 }), "{queue}");
    let _weir = site.weir().await?;
    let all = guilds(&mut site.follow(ADA).await?, 3).await?;
    ensure!(all == ["guild 0", "guild 1", "guild 2"], "{all:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "make examples"]
async fn only_the_platform_may_call_them_and_only_ids_and_names_go_on() -> anyhow::Result<()> {
    let (site, _weir) = Site::with_weir(&[]).await?;
    let body = json!({ "delivery": "x", "user": { "id": ADA }, "guild": { "id": "10", "name": "forged" } });
    let forged = site.post("/webhooks/bot-joined", "", &body).await?;
    ensure!(forged.status() == 401, "{forged:?}");
    for (delivery, guild) in [("x", ""), ("with blanks", "Night Shift")] {
        let halved = site.bot_joined(delivery, ADA, guild).await?;
        ensure!(halved.status() == 400, "{halved:?}");
    }

    let mut stream = site.follow(ADA).await?;
    site.bot_joined("y", ADA, "Analytical Engines").await?;
    let event = stream.next_published().await?;
    let event: Value = serde_json::from_str(&event.data)?;
    ensure!(event["type"] == "bot.joined" && event["key"] == "10" && event["session"] == "user:1", "{event}");
    let data: Value = serde_json::from_str(event["data"].as_str().unwrap_or_default())?;
    ensure!(data == json!({ "guild": { "id": "10", "name": "Analytical Engines" } }), "{event}");
    Ok(())
}
