//! The pictures of the page, made anew by `make pictures`.

use std::time::Duration;

use weir_testkit::Instance;
use weir_testkit::browser::{Browser, Kind, Tab, View};
use weir_testkit::page::root;

use crate::WEIR;
use crate::scenes::{address, ready};

/// What somebody has done who tried all of it.
async fn play(tab: &Tab) -> anyhow::Result<()> {
    let press = |id: &'static str| tab.run_with("document.getElementById(given).click()", id.into());
    let over = "return [...document.querySelectorAll('button')].every((one) => one.getAttribute('aria-disabled') !== 'true')";
    for ids in [
        &["live-publish"][..],
        &["live-cut-Ben", "live-ten"],
        &["live-cut-Ben"],
        &["gap-play"],
        &["queue-play"],
        &["filters-play"],
        &["snapshot-goal"],
        &["snapshot-open"],
        // The first scene is the one that is connected.
        &["live-publish"],
    ] {
        for id in ids {
            press(id).await?;
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
        tab.until_within(Duration::from_secs(45), over).await?;
    }
    ready(tab).await?;
    tab.run("document.activeElement.blur(); scrollTo(0, 0)").await?;
    Ok(())
}

#[tokio::test]
#[ignore = "make pictures"]
async fn of_the_demo() -> anyhow::Result<()> {
    let browser = Browser::start(Kind::Chromium).await?;
    for (name, width, height, dark) in [
        ("demo-light.png", 1180, 1500, false),
        ("demo-dark.png", 1180, 1500, true),
        ("demo-phone.png", 390, 1500, false),
    ] {
        let weir = Instance::start(WEIR, &[]).await?;
        let tab = browser.open_in(address(&weir), View { dark, ..View::of(width, height) }).await?;
        ready(&tab).await?;
        play(&tab).await?;
        tab.glance(&root().join("docs/images").join(name)).await?;
        tab.close().await?;
    }
    Ok(())
}
