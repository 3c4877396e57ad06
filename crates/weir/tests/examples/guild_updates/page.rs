//! A user's page in Chromium, through all that its README says of it.

use anyhow::ensure;
use rustix::process::kill_process;
use serde_json::json;
use weir_testkit::browser::{Browser, Kind};
use weir_testkit::{DEADLINE, Signal, eventually};

use super::site::{ADA, GRACE, Site, updates};

#[tokio::test]
#[ignore = "make examples"]
async fn all_of_it_is_started_by_its_command_and_outlives_a_weir_that_is_killed() -> anyhow::Result<()> {
    let site = Site::whole().await?;
    let (browser, other) = tokio::try_join!(Browser::start(Kind::Chromium), Browser::start(Kind::Chromium))?;
    let (ada, grace) = tokio::try_join!(site.page(&browser, "Ada"), site.page(&other, "Grace"))?;
    let invite = "document.querySelector('#guilds li:nth-child(1) button').click()";
    ada.run(invite).await?;
    ensure!(updates(&ada, 1).await? == ["The bot joined Analytical Engines"]);

    kill_process(site.application.weir()?, Signal::KILL)?;
    ada.until("return document.getElementById('state').dataset.state !== 'live'").await?;
    site.bot_joined("away", ADA, "Night Shift").await?;
    let both = ["The bot joined Night Shift", "The bot joined Analytical Engines"];
    ensure!(updates(&ada, 2).await? == both, "each once, and nothing lost");
    site.live(&ada).await?;
    site.live(&grace).await?;
    site.bot_joined("other", GRACE, "Nanoseconds").await?;
    ensure!(updates(&grace, 1).await? == ["The bot joined Nanoseconds"], "none of them is for her");
    ada.reload().await?;
    ensure!(updates(&ada, 2).await? == both, "what was missed is there on a page that is opened later");
    Ok(())
}

#[tokio::test]
#[ignore = "make examples"]
async fn five_tries_and_then_it_is_offline_until_the_button_is_pressed() -> anyhow::Result<()> {
    let (site, mut weir) = Site::with_weir(&[]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = site.page(&browser, "Ada").await?;
    let note = "window.tries = 0; const through = window.fetch;
        window.fetch = (url, ...more) => { if (String(url).includes('/v1/events')) window.tries++; return through(url, ...more) }";
    tab.run(note).await?;
    weir.signal(Signal::KILL)?;
    weir.wait_exit(DEADLINE).await?;
    site.bot_joined("missed", ADA, "Tea and Tables").await?;
    // Between the tries are pauses of 1, 2, 4 and 8 s at most.
    let offline = "return !document.getElementById('offline').hidden && document.getElementById('again').offsetHeight > 0";
    tab.until_within(DEADLINE * 4, offline).await?;
    let tries = tab.run("return window.tries").await?;
    // The stream that broke was the first failure.
    ensure!(tries == 4, "{tries} tries");

    let _weir = site.weir().await?;
    eventually(DEADLINE * 4, async || {
        let figures = site.figures().await?;
        ensure!(figures["queue"]["waiting"] == 0 && figures["weir"].is_object(), "{figures}");
        Ok(())
    })
    .await?;
    ensure!(tab.run("return window.tries").await? == 4, "it tried again by itself");
    tab.run("document.getElementById('again').click()").await?;
    ensure!(updates(&tab, 1).await? == ["The bot joined Tea and Tables"]);
    tab.until("return document.getElementById('offline').hidden").await?;
    site.live(&tab).await
}

#[tokio::test]
#[ignore = "make examples"]
async fn a_hidden_page_pauses_where_its_user_wants_that() -> anyhow::Result<()> {
    let (site, _weir) = Site::with_weir(&[]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = site.page(&browser, "Ada").await?;
    let hidden = browser.open("about:blank").await?;
    hidden.front().await?;
    tab.until("return document.hidden").await?;
    site.bot_joined("1", ADA, "first").await?;
    ensure!(updates(&tab, 1).await?.len() == 1, "a hidden page goes on where nothing is said");

    tab.front().await?;
    tab.run("document.getElementById('pause').click()").await?;
    updates(&tab, 1).await?;
    site.live(&tab).await?;
    hidden.front().await?;
    site.clients(0.0).await?;
    site.bot_joined("2", ADA, "second").await?;
    tab.until("return document.getElementById('state').dataset.state === 'idle'").await?;
    ensure!(updates(&tab, 1).await?.len() == 1);
    tab.front().await?;
    ensure!(updates(&tab, 2).await? == ["The bot joined second", "The bot joined first"]);
    Ok(())
}

#[tokio::test]
#[ignore = "make examples"]
async fn all_tabs_share_one_connection_and_the_next_takes_over() -> anyhow::Result<()> {
    let (site, _weir) = Site::with_weir(&[]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let leader = site.page(&browser, "Ada").await?;
    let mut others = Vec::new();
    for _ in 0..3 {
        let tab = browser.open(&site.origin).await?;
        site.live(&tab).await?;
        others.push(tab);
    }
    site.bot_joined("1", ADA, "first").await?;
    for tab in std::iter::once(&leader).chain(&others) {
        ensure!(updates(tab, 1).await? == ["The bot joined first"]);
    }
    site.clients(1.0).await?;
    leader.close().await?;
    site.bot_joined("2", ADA, "second").await?;
    for tab in &others {
        ensure!(updates(tab, 2).await? == ["The bot joined second", "The bot joined first"]);
    }
    site.clients(1.0).await
}

#[tokio::test]
#[ignore = "make examples"]
async fn a_page_follows_the_guild_and_the_types_that_its_user_wants() -> anyhow::Result<()> {
    let (site, _weir) = Site::with_weir(&[]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = site.page(&browser, "Ada").await?;
    let all = [
        ("bot-joined", ("11", "Tea and Tables")),
        ("bot-left", ("11", "Tea and Tables")),
        ("guild-renamed", ("10", "Difference Engines")),
        ("bot-joined", ("12", "Night Shift")),
    ];
    for (nth, (event, guild)) in all.into_iter().enumerate() {
        site.webhook(event, &format!("{nth}"), ADA, guild).await?;
    }
    ensure!(updates(&tab, 4).await?.len() == 4);
    let choose = "const guild = document.getElementById('guild');
        guild.value = given; guild.dispatchEvent(new Event('change'))";
    tab.run_with(choose, json!("11")).await?;
    let tea = ["The bot left Tea and Tables", "The bot joined Tea and Tables"];
    tab.until("return document.querySelectorAll('#updates li').length === 2").await?;
    ensure!(updates(&tab, 2).await? == tea);
    tab.run("document.querySelector('[value=\"bot.left\"]').click()").await?;
    tab.until("return document.querySelectorAll('#updates li').length === 1").await?;
    ensure!(updates(&tab, 1).await? == ["The bot joined Tea and Tables"]);

    // Left out by the server, not by the page.
    site.live(&tab).await?;
    let sent = async || anyhow::Ok(site.metrics().await?.sum("weir_events_queued_total", &[]));
    let before = sent().await?;
    for (nth, (event, guild)) in all.into_iter().enumerate() {
        site.webhook(event, &format!("again-{nth}"), ADA, guild).await?;
    }
    site.bot_joined("other", ADA, "Analytical Engines").await?;
    site.webhook("bot-joined", "last", ADA, ("11", "Tea and Tables")).await?;
    ensure!(updates(&tab, 3).await? == ["The bot joined Tea and Tables"; 3]);
    let queued = sent().await? - before;
    ensure!((queued - 2.0).abs() < 0.5, "{queued} were sent");
    Ok(())
}

#[tokio::test]
#[ignore = "make examples"]
async fn a_token_that_expires_is_followed_by_another() -> anyhow::Result<()> {
    let (site, _weir) = Site::with_weir(&[("TOKEN_SECONDS", "4")]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = site.page(&browser, "Ada").await?;
    let states = "window.states = []; const state = document.getElementById('state');
        new MutationObserver(() => window.states.push(state.dataset.state)).observe(state, { attributes: true })";
    tab.run(states).await?;
    eventually(DEADLINE * 3, async || {
        let opened = site.metrics().await?.sum("weir_connections_total", &[]);
        ensure!(opened > 2.5, "{opened} connections");
        Ok(())
    })
    .await?;
    site.bot_joined("1", ADA, "late").await?;
    ensure!(updates(&tab, 1).await? == ["The bot joined late"]);
    let states = tab.run("return window.states").await?;
    ensure!(!states.to_string().contains("offline"), "{states}");
    site.clients(1.0).await
}

#[tokio::test]
#[ignore = "make examples"]
async fn who_logs_out_does_so_in_all_tabs() -> anyhow::Result<()> {
    let (site, _weir) = Site::with_weir(&[]).await?;
    let (browser, other) = tokio::try_join!(Browser::start(Kind::Chromium), Browser::start(Kind::Chromium))?;
    let fresh = browser.open(&site.origin).await?;
    fresh.until("return !document.getElementById('login').hidden").await?;
    let opened = site.metrics().await?.sum("weir_connections_total", &[]);
    ensure!(opened < 0.5, "a stream was opened before anybody logged in");

    let tab = site.page(&browser, "Ada").await?;
    fresh.reload().await?;
    site.live(&fresh).await?;
    let elsewhere = site.page(&other, "Ada").await?;
    site.clients(2.0).await?;
    fresh.run("document.getElementById('leave').click()").await?;
    let out = "return !document.getElementById('login').hidden && document.querySelector('main').hidden
        && document.getElementById('updates').children.length === 0";
    fresh.until(out).await?;
    tab.until(out).await?;
    // Another browser of hers lost its stream, too, and came back by itself.
    site.clients(1.0).await?;
    site.live(&elsewhere).await?;
    site.bot_joined("1", ADA, "Night Shift").await?;
    ensure!(updates(&elsewhere, 1).await? == ["The bot joined Night Shift"]);
    let opened = site.metrics().await?.sum("weir_connections_total", &[]);
    ensure!(opened > 2.5, "{opened} connections");
    Ok(())
}
