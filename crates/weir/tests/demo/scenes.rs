//! What each scene shows, in a browser and by the page's own policy.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;
use weir_testkit::browser::{Browser, Kind, Tab};
use weir_testkit::{Instance, Ticker};

use crate::WEIR;

/// Scenes take their time, so that they can be followed.
const SCENE: Duration = Duration::from_secs(40);

/// What scripts of these tests use.
const HELPERS: &str = "
    const at = (id) => document.getElementById(id);
    const press = (id) => at(id).click();
    const cells = (strip) => [...strip.children].map((cell) => cell.classList[0] ?? '').join(' ').trim();
    const lanes = (id) => [...at(id).querySelectorAll('.strip')].map(cells);
    const told = (id) => at(id).closest('section').querySelector('.told').textContent;
    const over = (id) => at(id).getAttribute('aria-disabled') !== 'true';
    const count = (text, word) => text.split(' ').filter((one) => one === word).length;";

pub(crate) fn address(weir: &Instance) -> String {
    format!("http://{}/", weir.public())
}

/// The page, once its first scene is connected.
pub(crate) async fn open(browser: &Browser, weir: &Instance) -> anyhow::Result<Tab> {
    let tab = browser.open(address(weir)).await?;
    ready(&tab).await?;
    Ok(tab)
}

pub(crate) async fn ready(tab: &Tab) -> anyhow::Result<()> {
    tab.until("return document.querySelectorAll('#live-tape [data-state=live]').length === 3").await?;
    Ok(())
}

async fn until(tab: &Tab, script: &str) -> anyhow::Result<()> {
    tab.until_within(SCENE, &format!("{HELPERS}{script}")).await.map(drop)
}

async fn run(tab: &Tab, script: &str) -> anyhow::Result<serde_json::Value> {
    tab.run(&format!("{HELPERS}{script}")).await
}

/// Whoever presses a button is told, in words that say what to look at.
#[tokio::test]
async fn a_weir_that_is_gone_is_told() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = open(&browser, &weir).await?;
    drop(weir);
    run(&tab, "press('live-publish')").await?;
    until(&tab, "return told('live-tape') === 'weir does not answer: is it running?'").await
}

/// Publish and watch; cut one off, publish on, and bring it back.
async fn the_first_scene(kind: Kind) -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let browser = Browser::start(kind).await?;
    let tab = open(&browser, &weir).await?;
    run(&tab, "at('live-text').value = 'one'; press('live-publish')").await?;
    until(&tab, "return lanes('live-tape').every((lane) => lane === 'had')").await?;
    run(&tab, "press('live-cut-Ben')").await?;
    until(&tab, "return told('live-tape').startsWith('Ben is cut off at ')").await?;
    // From elsewhere, too.
    weir.client().publish("demo", "from a terminal").await?;
    run(&tab, "press('live-publish')").await?;
    let seen = "
        const [log, ada, ben, cleo] = lanes('live-tape');
        return over('live-publish') && [log, ada, cleo].every((lane) => lane === 'had had had') && ben === 'had wanting wanting';";
    until(&tab, seen).await?;
    run(&tab, "press('live-cut-Ben')").await?;
    until(&tab, "return lanes('live-tape')[2] === 'had replayed replayed'").await?;
    run(&tab, "press('live-publish')").await?;
    until(&tab, "return lanes('live-tape')[2] === 'had replayed replayed had'").await?;
    let said = run(&tab, "return [told('live-tape'), at('live-asked').textContent]").await?;
    assert_eq!(said[0], "Ben is back and has 2 events that came meanwhile, in order.");
    ensure!(said[1].as_str().is_some_and(|asked| asked.contains("lastEventId=1")), "{said}");
    assert_eq!(tab.complaints().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn who_was_cut_off_gets_what_came_meanwhile() -> anyhow::Result<()> {
    the_first_scene(Kind::Chromium).await
}

#[tokio::test]
async fn in_firefox_too() -> anyhow::Result<()> {
    the_first_scene(Kind::Firefox).await
}

/// By a name that is not this machine's, without TLS, browsers give pages less to work with.
#[tokio::test]
async fn by_a_name_without_tls() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--anonymous", "all"]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = browser.open(format!("http://weir.example:{}/", weir.public().port())).await?;
    ready(&tab).await?;
    run(&tab, "press('live-publish')").await?;
    until(&tab, "return !window.isSecureContext && lanes('live-tape').every((lane) => lane === 'had')")
        .await?;
    // Chromium says that it heeds no opener policy there.
    let complaints = tab.complaints().await?;
    ensure!(complaints.iter().all(|one| one.contains("Cross-Origin-Opener-Policy")), "{complaints:?}");
    Ok(())
}

/// A gap at its place, and what is there around it.
#[tokio::test]
async fn who_was_away_for_too_long_is_told_of_a_gap() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = open(&browser, &weir).await?;
    run(&tab, "press('gap-play')").await?;
    // The newest are published when she is back, and drawn a moment after they came.
    until(
        &tab,
        "return over('gap-play') && told('gap-tape').startsWith('Dora was told: trimmed, ')
            && !lanes('gap-tape')[1].includes('wanting')",
    )
    .await?;
    let seen = run(&tab, "return [lanes('gap-tape')[1], told('gap-tape')]").await?;
    let lane: Vec<_> = seen[0].as_str().unwrap_or_default().split(' ').collect();
    let replayed = lane.iter().filter(|cell| **cell == "replayed").count();
    let lost = lane.iter().filter(|cell| **cell == "lost").count();
    ensure!(lane.len() == 24 && replayed + lost == 16, "{seen}");
    ensure!(lane[..4] == ["had"; 4] && lane[20..] == ["had"; 4] && lane[4] == "lost", "{seen}");
    // Of the eight thousand the log has the newest five thousand, and a little more.
    ensure!((4..=6).contains(&lost), "{seen}");
    assert_eq!(tab.complaints().await?, Vec::<String>::new());
    Ok(())
}

/// Each policy does what the page says of it.
#[tokio::test]
async fn what_a_queue_does_not_hold() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = open(&browser, &weir).await?;
    run(&tab, "press('queue-play')").await?;
    until(
        &tab,
        "return over('queue-play') && told('queue-tape').startsWith('All four end with the newest event.')",
    )
    .await?;
    let seen = "
        const [log, ...policies] = lanes('queue-tape');
        return [log, ...policies].map((lane) => ['had', 'replayed', 'lost', 'wanting'].map((word) => count(lane, word)));";
    let seen = run(&tab, seen).await?;
    let of = |nth: usize, how: usize| seen[nth][how].as_u64().unwrap_or_default();
    assert_eq!((&seen[0], &seen[1]), (&json!([60, 0, 0, 0]), &json!([60, 0, 0, 0])), "{seen}");
    ensure!(of(2, 2) > 0 && of(2, 0) + of(2, 2) == 60, "drop-oldest: {seen}");
    ensure!(of(3, 3) > 0 && of(3, 0) >= 4 && of(3, 0) + of(3, 3) == 60, "latest: {seen}");
    ensure!(of(4, 1) > 0 && of(4, 0) + of(4, 1) == 60, "disconnect: {seen}");
    let dropped = weir.metrics().await?.sum("weir_events_dropped_total", &[]);
    let texts = run(&tab, "return at('queue-drop-oldest').querySelector('.lane-text').textContent").await?;
    ensure!(texts.to_string().contains(&format!("told of {} dropped", of(2, 2))), "{texts}");
    ensure!(dropped >= of(2, 2) as f64, "{dropped}: {seen}");
    assert_eq!(tab.complaints().await?, Vec::<String>::new());
    Ok(())
}

/// By key, by type and by time, and always of the newest.
#[tokio::test]
async fn only_what_matters() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = open(&browser, &weir).await?;
    for (filter, most, least) in [("key", 14, 14), ("type", 8, 4), ("conflate", 40, 12)] {
        let (ticker, begun) = (Ticker::new(), Instant::now());
        run(&tab, &format!("document.querySelector('input[value={filter}]').click(); press('filters-play')"))
            .await?;
        until(&tab, "return !over('filters-play')").await?;
        until(
            &tab,
            "return over('filters-play') && told('filters-all').startsWith('Of 56 events one page got 56, ')",
        )
        .await?;
        let seen = run(&tab, "
            const values = (id) => [...at(id).querySelectorAll('.parcel-value')].map((node) => node.textContent);
            return [Number(at('filters-chosen-count').textContent.match(/got (\\d+) of/)[1]), values('filters-all'), values('filters-chosen')];").await?;
        let got = seen[0].as_u64().unwrap_or_default();
        // Of each key one more in each second that the machine took besides, but never all.
        let more =
            if filter == "conflate" { 4 * ticker.lost_since(begun).as_secs_f64().ceil() as u64 } else { 0 };
        let most = (most + more).min(55);
        ensure!((least..=most).contains(&got), "{filter}: {seen}");
        assert_eq!(seen[1], json!(vec!["arrived"; 4]), "{filter}");
        let expected =
            if filter == "key" { json!(["–", "arrived", "–", "–"]) } else { json!(vec!["arrived"; 4]) };
        assert_eq!(seen[2], expected, "{filter}");
    }
    assert_eq!(tab.complaints().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn late_and_up_to_date_at_once() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = open(&browser, &weir).await?;
    run(&tab, "press('snapshot-goal')").await?;
    until(&tab, "return over('snapshot-goal') && at('snapshot-score').textContent !== '0 : 0'").await?;
    run(&tab, "press('snapshot-open')").await?;
    until(&tab, "
        const [score, early, late] = ['score', 'with', 'without'].map((name) => at(`snapshot-${name}`).textContent);
        return over('snapshot-open') && early === score && late === 'nothing yet'").await?;
    run(&tab, "press('snapshot-goal')").await?;
    until(&tab, "
        const [score, early, late] = ['score', 'with', 'without'].map((name) => at(`snapshot-${name}`).textContent);
        return early === score && late === score").await?;
    assert_eq!(tab.complaints().await?, Vec::<String>::new());
    Ok(())
}
