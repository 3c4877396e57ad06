//! The client of `crates/weir-web` in Chromium and Firefox, and beside it what browsers have themselves: through balancers that fail,
//! with pages that are frozen, hidden, reloaded and closed. In each scene what a page saw is what was published, once and in order, or
//! it was told of what it misses.
//!
//! `.ci/setup test` installs the browsers, and what drives them beside the build.

use anyhow::Context as _;
use weir_testkit::balancer;
use weir_testkit::browser::{Browser, Kind};

#[path = "client/fallbacks.rs"]
mod fallbacks;
#[path = "client/fleet.rs"]
mod fleet;
#[path = "client/mistakes.rs"]
mod mistakes;
#[path = "client/outages.rs"]
mod outages;
#[path = "client/page.rs"]
mod page;
#[path = "client/scenes.rs"]
mod scenes;
#[path = "client/site.rs"]
mod site;
#[path = "client/stage.rs"]
mod stage;
#[path = "client/tabs.rs"]
mod tabs;
#[path = "client/tokens.rs"]
mod tokens;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

async fn both() -> anyhow::Result<Vec<(Kind, Browser)>> {
    let (chromium, firefox) =
        tokio::try_join!(Browser::start(Kind::Chromium), Browser::start(Kind::Firefox))?;
    Ok(vec![(Kind::Chromium, chromium), (Kind::Firefox, firefox)])
}

#[tokio::test]
async fn mistakes_of_a_developer_are_told() -> anyhow::Result<()> {
    mistakes::are_told().await
}

#[tokio::test]
async fn nothing_is_lost_behind_nginx_whatever_fails() -> anyhow::Result<()> {
    outages::play(balancer::Kind::Nginx, &both().await?).await
}

#[tokio::test]
async fn nothing_is_lost_behind_haproxy_whatever_fails() -> anyhow::Result<()> {
    outages::play(balancer::Kind::HaProxy, &both().await?).await
}

/// All that happens to single pages, most of it at the same time.
async fn pages(kind: Kind) -> anyhow::Result<()> {
    let browser = &Browser::start(kind).await?;
    tokio::try_join!(
        async {
            match kind {
                Kind::Chromium => fallbacks::by_long_poll(browser).await.context("by long-poll"),
                // Nothing of it depends on the browser, and it takes long.
                Kind::Firefox => Ok(()),
            }
        },
        async {
            scenes::keeps_its_position(browser).await.context("keeps its position")?;
            scenes::comes_back(browser).await.context("comes back")?;
            scenes::native_is_put_off(browser, kind).await.context("native is put off")?;
            scenes::gives_up(browser).await.context("gives up")?;
            scenes::takes_its_part(browser).await.context("takes its part")?;
            scenes::begins_anew_after_a_reset(browser).await.context("begins anew")
        },
        async {
            tokens::are_renewed(browser).await.context("tokens are renewed")?;
            tokens::by_cookie(browser).await.context("tokens by cookie")
        },
        async {
            scenes::notices_silence(browser).await.context("notices silence")?;
            fallbacks::by_the_own_endpoint(browser).await.context("by the own endpoint")?;
            scenes::is_told_of_what_was_trimmed(browser).await.context("trimmed")?;
            scenes::is_told_of_what_overflowed(browser).await.context("overflowed")
        },
    )?;
    if kind == Kind::Chromium {
        scenes::wakes_up(browser).await.context("wakes up")?;
    }
    // These hide the others.
    scenes::pauses_while_hidden(browser).await.context("pauses while hidden")
}

#[tokio::test]
async fn pages_of_chromium_see_everything_once_or_are_told() -> anyhow::Result<()> {
    pages(Kind::Chromium).await
}

#[tokio::test]
async fn pages_of_firefox_see_everything_once_or_are_told() -> anyhow::Result<()> {
    pages(Kind::Firefox).await
}

#[tokio::test]
async fn twenty_tabs_of_chromium_have_one_connection() -> anyhow::Result<()> {
    tabs::play(Kind::Chromium, 20).await
}

#[tokio::test]
async fn tabs_of_firefox_have_one_connection() -> anyhow::Result<()> {
    tabs::play(Kind::Firefox, 6).await
}
