//! That browsers do what tests tell them.

use serde_json::json;
use weir_testkit::browser::{Browser, Kind, View};

const PAGE: &str = "data:text/html,<title>one</title><p>shown";

#[tokio::test]
async fn chromium_obeys() -> anyhow::Result<()> {
    obeys(Kind::Chromium).await
}

#[tokio::test]
async fn firefox_obeys() -> anyhow::Result<()> {
    obeys(Kind::Firefox).await
}

async fn obeys(kind: Kind) -> anyhow::Result<()> {
    let browser = Browser::start(kind).await?;
    let tab = browser.open(PAGE).await?;
    assert_eq!(tab.run("return document.title").await?, json!("one"));
    assert_eq!(tab.run_with("return given.a + 1", json!({ "a": 1 })).await?, json!(2));
    tab.run("setTimeout(() => { window.later = 7 }, 100)").await?;
    assert_eq!(tab.until("return window.later").await?, json!(7));
    let never = tab
        .until_within(std::time::Duration::from_millis(50), "return false")
        .await
        .expect_err("it never is");
    assert!(format!("{never:#}").contains("shown"), "{never:#}");
    tab.run("setTimeout(() => { console.error('bad'); setTimeout(() => { window.said = true }) })").await?;
    tab.until("return window.said").await?;
    assert_eq!(tab.complaints().await?, ["bad"]);
    let thrown = tab.run("throw new Error('mine')").await.expect_err("it throws");
    assert!(format!("{thrown:#}").contains("mine"), "{thrown:#}");

    tab.view(View::of(400, 500)).await?;
    assert_eq!(tab.run("return innerWidth").await?, json!(400));
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("a.png");
    tab.glance(&file).await?;
    assert!(std::fs::read(&file)?.starts_with(b"\x89PNG"));

    let other = browser.open(PAGE).await?;
    assert_eq!(other.run("return document.visibilityState").await?, json!("visible"));
    tab.until("return document.visibilityState === 'hidden'").await?;
    other.close().await?;
    let slow = browser.open("data:text/html,<title>two</title>");
    let (slow, quick) = tokio::try_join!(slow, browser.open(PAGE))?;
    assert_eq!(slow.run("return document.title").await?, json!("two"));
    assert_eq!(quick.run("return document.title").await?, json!("one"));
    if kind == Kind::Chromium {
        slow.crash().await?;
    }
    tab.front().await?;
    tab.until("return document.visibilityState === 'visible'").await?;
    tab.reload().await?;
    assert_eq!(tab.run("return window.later ?? null").await?, json!(null));
    Ok(())
}

#[tokio::test]
async fn a_frozen_page_does_nothing() -> anyhow::Result<()> {
    let browser = Browser::start(Kind::Chromium).await?;
    let watcher = browser.open(PAGE).await?;
    let tab = browser.open(PAGE).await?;
    tab.run("window.n = 0; setInterval(() => { n += 1; }, 10); document.addEventListener('freeze', () => { window.froze = true })").await?;
    tab.until("return n > 3").await?;
    tab.freeze().await?;
    // Time that the page does not see.
    watcher.run("await new Promise((resolve) => setTimeout(resolve, 1000))").await?;
    tab.thaw().await?;
    let seen = tab.run("return [n, window.froze]").await?;
    assert!(seen[0].as_u64().is_some_and(|n| n < 90) && seen[1] == json!(true), "{seen}");
    Ok(())
}
