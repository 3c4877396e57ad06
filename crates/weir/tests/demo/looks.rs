//! How the page looks, and what it makes of texts that others chose.

use std::collections::BTreeSet;

use anyhow::ensure;
use serde_json::json;
use weir_testkit::Instance;
use weir_testkit::browser::{Browser, FAINT_TEXTS, Kind, View};

use crate::WEIR;
use crate::scenes::{address, open, ready};

const EVIL: &str = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";

/// Whoever may publish to the session of the first scene stands on the page, as text.
#[tokio::test]
async fn what_is_published_is_never_markup() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = open(&browser, &weir).await?;
    weir.client().event("demo").query("key", EVIL).body(EVIL).send().await?.event_id()?;
    tab.until("return document.querySelectorAll('.news').length === 3 && [...document.querySelectorAll('.news')].every((node) => node.textContent.startsWith('<img src=x'))").await?;
    let seen = tab.run(
        "return [document.title, document.querySelectorAll('main img, main script, main iframe').length]",
    );
    assert_eq!(seen.await?, json!(["weir, to try out", 0]));
    assert_eq!(tab.complaints().await?, Vec::<String>::new());
    Ok(())
}

/// What stands on what, as bright as WCAG 2 wants text to be (4.5 to 1), what is too small to press or has no name, and whether the page
/// is wider than its window.
const LOOKS: &str = "
    document.querySelectorAll('.told').forEach((node) => { node.textContent = 'something happened here '.repeat(3); });
    document.querySelector('details').open = true;
    const faint = faintTexts();
    const presses = [...document.querySelectorAll('button, input, summary')];
    const unnamed = presses.filter((one) => !(one.textContent.trim() || one.labels?.length)).length;
    const small = presses.filter((one) => one.type !== 'radio' && one.getBoundingClientRect().height < 24).length;
    const moves = [...document.querySelectorAll('*')].filter((node) => getComputedStyle(node).transitionDuration !== '0s').length;
    return { faint, unnamed, small, moves, wide: document.documentElement.scrollWidth, ground: getComputedStyle(document.body).backgroundColor };";

#[tokio::test]
async fn it_is_read_on_any_screen_by_day_and_by_night() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    weir.client().publish("demo", "a-text-with-no-place-to-break-it-".repeat(6)).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let mut grounds = BTreeSet::new();
    for (width, height, dark) in
        [(320, 640, false), (360, 780, true), (768, 1024, false), (1280, 900, true), (1280, 900, false)]
    {
        let tab = browser.open_in(address(&weir), View { dark, ..View::of(width, height) }).await?;
        ready(&tab).await?;
        let seen = tab.run(&format!("{FAINT_TEXTS}{LOOKS}")).await?;
        let wanted = json!({ "faint": [], "unnamed": 0, "small": 0, "moves": 0, "wide": width, "ground": seen["ground"] });
        assert_eq!(seen, wanted, "{width} dark: {dark}");
        grounds.insert((dark, seen["ground"].to_string()));
        tab.close().await?;
    }
    ensure!(grounds.len() == 2, "by night it is dark: {grounds:?}");
    Ok(())
}

/// From the first key to what is published, without a mouse; and what happens is told to who does not see it.
#[tokio::test]
async fn it_is_played_with_keys_alone() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = open(&browser, &weir).await?;
    let focus = "return [document.activeElement.className, document.activeElement.id]";
    tab.press("Tab").await?;
    assert_eq!(tab.run(focus).await?, json!(["skip", ""]));
    let mut ids = Vec::new();
    for _ in 0..6 {
        tab.press("Tab").await?;
        ids.push(tab.run("return document.activeElement.id").await?);
    }
    assert_eq!(
        ids,
        ["live-text", "live-publish", "live-ten", "live-cut-Ada", "live-cut-Ben", "live-cut-Cleo"]
            .map(|id| json!(id))
    );
    tab.press("Enter").await?;
    tab.until(
        "return document.querySelector('.told[role=status]').textContent.startsWith('Cleo is cut off')",
    )
    .await?;
    tab.run("document.getElementById('live-text').focus()").await?;
    tab.press("Enter").await?;
    tab.until("return document.querySelectorAll('#live-tape i.had').length === 3").await?;
    assert_eq!(tab.run("return document.activeElement.id").await?, json!("live-text"));
    Ok(())
}
