//! The figures, and the pictures.

use anyhow::ensure;
use serde_json::Value;
use weir_testkit::browser::{Browser, Kind};

use super::site::{ADA, Site, updates};
use crate::pictures::pictures;

#[tokio::test]
#[ignore = "make examples"]
async fn its_figures_are_on_a_page_for_operators() -> anyhow::Result<()> {
    let (site, _weir) = Site::with_weir(&[("TOKEN_SECONDS", "4")]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = site.page(&browser, "Ada").await?;
    for (nth, event) in ["bot-joined", "bot-joined", "bot-left", "guild-renamed"].into_iter().enumerate() {
        site.webhook(event, &nth.to_string(), ADA, ("10", "Analytical Engines")).await?;
    }
    updates(&tab, 4).await?;
    let figures = browser.open(format!("{}/figures.html", site.origin)).await?;
    // The token is replaced meanwhile, which is a connection that ended and one that came back. In between there is none.
    let known = "const shown = Object.fromEntries([...document.querySelectorAll('#figures div')].map((figure) =>
            [figure.querySelector('dt').textContent, figure.querySelector('dd').textContent]));
        return Object.keys(shown).length > 8 && !Object.values(shown).includes('–') && !shown.Reconnects.startsWith('0 ')
            && shown['Active connections'] === '1' && shown";
    let shown: Value = figures.until(known).await?;
    for (name, value) in [
        ("bot.joined", "2"),
        ("bot.left", "1"),
        ("guild.renamed", "1"),
        ("other", "0"),
        ("Published", "4"),
        ("Waiting to be published", "0"),
        ("Lost as the queue was full", "0"),
    ] {
        ensure!(shown[name] == value, "{name}: {shown}");
    }
    for (name, unit) in
        [("Average latency", " ms"), ("Average connection", " s"), ("Reconnects", " % of connections")]
    {
        ensure!(shown[name].as_str().is_some_and(|text| text.ends_with(unit)), "{name}: {shown}");
    }
    ensure!(figures.complaints().await?.is_empty());
    Ok(())
}

#[tokio::test]
#[ignore = "make examples"]
async fn its_pictures() -> anyhow::Result<()> {
    let (site, _weir) = Site::with_weir(&[]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = site.page(&browser, "Ada").await?;
    let all = [
        ("bot-joined", ("11", "Tea and Tables")),
        ("bot-joined", ("10", "Analytical Engines")),
        ("bot-left", ("11", "Tea and Tables")),
        ("bot-joined", ("12", "Night Shift")),
        ("guild-renamed", ("10", "Difference Engines")),
        ("bot-joined", ("11", "Tea and Tables")),
    ];
    for (nth, (event, guild)) in all.into_iter().enumerate() {
        site.webhook(event, &nth.to_string(), ADA, guild).await?;
    }
    updates(&tab, all.len()).await?;
    pictures(&tab, "guild-updates").await?;
    let complaints = tab.complaints().await?;
    // Before the log-in there is no session.
    let others: Vec<_> = complaints.iter().filter(|complaint| !complaint.contains("401")).collect();
    ensure!(others.is_empty(), "{others:?}");
    Ok(())
}
