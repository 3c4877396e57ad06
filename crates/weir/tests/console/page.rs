//! The page, in Chromium, by the very policy that it is sent with.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_testkit::browser::{FAINT_TEXTS, browse, step};
use weir_testkit::redis::RedisServer;
use weir_testkit::{DEADLINE, Instance, Secret, Signal, eventually};

use crate::watch::WEIR;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What scripts of these tests use.
const HELPERS: &str = "
    const at = (id) => document.getElementById(id);
    const text = (id) => at(id).textContent;
    const until = async (what, is) => {
        for (const end = Date.now() + 15000; Date.now() < end;) {
            if (is()) return;
            await new Promise((resolve) => setTimeout(resolve, 20));
        }
        throw new Error(`never: ${what}: ${document.body.innerText}`);
    };
    const live = () => until('live', () => text('line-text') === 'Live' && !at('all').hidden);
    const shown = (node) => node.checkVisibility();";

fn page(weir: &Instance) -> String {
    format!("http://{}/", weir.admin())
}

/// A step on the page as it is sent, in a window of this size.
fn strict(address: &str, script: &str, (width, height): (u32, u32)) -> Value {
    let mut step = step(address, &format!("{HELPERS}{script}"));
    step["strict"] = json!(true);
    step["view"] = json!({ "width": width, "height": height });
    step
}

/// What a strict step returned, where the page asked nobody else and nothing of it went wrong.
fn alone(result: &Value, address: &str) -> anyhow::Result<Value> {
    let asked = result["asked"].as_array().context("requests")?;
    let other = asked.iter().find(|url| !url.as_str().is_some_and(|url| url.starts_with(address)));
    ensure!(other.is_none() && asked.len() >= 2, "{asked:?}");
    ensure!(!result.to_string().contains(TOKEN), "the token shows");
    Ok(result["result"].clone())
}

fn well(result: &Value, address: &str) -> anyhow::Result<Value> {
    ensure!(result["errors"] == json!([]), "{}", result["errors"]);
    alone(result, address)
}

/// Numbers move, a drain needs a yes, and clients are taken again.
#[tokio::test]
async fn an_operator_looks_and_drains() -> anyhow::Result<()> {
    let flags = ["--instance", "one", "--drain-delay", "0s", "--drain-window", "0s"];
    let weir = Instance::start(WEIR, &flags).await?;
    let mut client = weir.client().subscribe("orders").await?;
    let script = "
        await live();
        const value = (id) => document.querySelector(`#tile-${id} .value`).textContent;
        const note = (id) => document.querySelector(`#tile-${id} .note`).textContent;
        await until('one client', () => value('clients').startsWith('1 '));
        await until('deliveries', () => parseFloat(value('delivered')) > 0);
        await until('what is drawn', () => document.querySelector('#tile-delivered .edge').getAttribute('d'));
        const seen = { title: document.title, busiest: text('busiest'), alone: text('instances-note'), note: note('read') };
        const open = async () => { at('drain').focus(); at('drain').click(); await until('a question', () => at('confirm').open); };
        const looks = () => at('status').textContent;
        await open();
        seen.question = text('confirm-title');
        seen.focus = document.activeElement.id;
        at('confirm-no').click();
        const before = Number(performance.now());
        await until('time', () => performance.now() > before + 2500);
        seen.cancelled = [at('confirm').open, looks(), shown(at('undrain'))];
        await open();
        at('confirm-yes').click();
        await until('draining', () => looks() === 'Draining' && shown(at('undrain')) && !shown(at('drain')));
        seen.gone = await until('nobody', () => value('clients').startsWith('0 ')) ?? true;
        at('undrain').click();
        await until('ready', () => looks() === 'Ready' && shown(at('drain')));
        return seen;";
    let address = page(&weir);
    let play = async {
        // Until the client is told to go.
        let mut published = 0_u32;
        while published < 400 {
            weir.client().publish("orders", published.to_string()).await?;
            if client.next_data(1).await.is_err() {
                break;
            }
            published += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(published)
    };
    let steps = [strict(&address, script, (1280, 900))];
    let (results, played) = tokio::join!(browse(&steps), play);
    let seen = well(&results?[0], &address)?;
    ensure!(played? < 400, "the drain let nobody go");
    assert_eq!(seen["title"], "one · ready · weir");
    assert_eq!((&seen["question"], &seen["focus"]), (&json!("Drain one?"), &json!("confirm-no")));
    assert_eq!(seen["cancelled"], json!([false, "Ready", false]));
    ensure!(seen["busiest"].as_str().is_some_and(|text| text.contains("orders")), "{seen}");
    ensure!(seen["alone"].as_str().is_some_and(|text| text.contains("there are no others")), "{seen}");
    let orders: Vec<_> = weir
        .log()
        .into_iter()
        .filter(|line| line.contains("POST /drain") || line.contains("/undrain"))
        .collect();
    ensure!(!orders.is_empty(), "no order is written down");
    Ok(())
}

#[tokio::test]
async fn the_token_is_asked_for_and_kept_in_the_tab() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, TOKEN)?;
    let flags = ["--admin-token-file", file.to_str().context("a path")?];
    let weir = Instance::start(WEIR, &flags).await?;
    let script = format!(
        "const give = (token) => {{ at('token').value = token; document.querySelector('#ask-form button').click(); }};
        await until('a question', () => shown(at('ask')) && document.activeElement === at('token'));
        const seen = [shown(at('all')), text('ask-error')];
        give('wrong but long enough'.replaceAll(' ', '-'));
        await until('a refusal', () => text('ask-error').includes('not the token'));
        give('with a space');
        await until('another', () => text('ask-error').includes('no spaces'));
        give(' {TOKEN} ');
        await live();
        seen.push(shown(at('ask')), at('token').value, location.href.includes('{TOKEN}'));
        seen.push(sessionStorage.getItem('weir-admin-token') === '{TOKEN}', localStorage.length, document.cookie);
        at('forget').click();
        await until('a question again', () => shown(at('ask')) && !shown(at('all')));
        seen.push(sessionStorage.length);
        return seen;"
    );
    let address = page(&weir);
    let results = browse(&[strict(&address, &script, (1280, 900))]).await?;
    // The browser notes each 401 by itself.
    let errors = results[0]["errors"].as_array().context("errors")?;
    ensure!(errors.iter().all(|error| error.to_string().contains("401")), "{errors:?}");
    let seen = alone(&results[0], &address)?;
    assert_eq!(seen, json!([false, "", false, "", false, true, 0, "", 0]));
    ensure!(!weir.log().join("").contains(TOKEN), "the token is in the log");
    Ok(())
}

const EVIL: &str = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";

/// A report in which every text is evil.
fn evil_report() -> String {
    let row =
        json!({ "id": 1, "transport": EVIL, "sessions": [EVIL], "subject": EVIL, "lag": 5, "delivered": 5 });
    let report = json!({
        "form": 1, "instance": EVIL, "version": EVIL, "revision": EVIL, "log": EVIL, "status": EVIL, "stage": EVIL,
        "waitingFor": EVIL, "counts": { "dropped": { EVIL: 3 } }, "slowest": [row], "busiest": [row],
        "reader": { "group": EVIL },
    });
    report.to_string()
}

/// Puts reports into Redis again and again, as old as those of instances that were killed a while ago.
async fn forge(redis: &RedisServer) -> anyhow::Result<()> {
    let evil = evil_report();
    loop {
        let then = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() - 12_000;
        for (id, told) in [(EVIL, &*evil), ("own", &*evil), ("<i>c</i>", "<b>")] {
            redis.cli(&["HSET", "{weir:events}:instances", id, &format!("{then} {told}")]).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Names that are markup stay names, whoever chose them: clients, publishers of tokens, or whoever may write to Redis.
#[tokio::test]
async fn names_are_never_markup() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let key = Secret::new();
    let flags = ["--redis", &redis.url(), "--jwt-secret-file", key.flag()];
    let weir = Instance::start(WEIR, &flags).await?;
    let token = key.token(EVIL, &["*"], &["*"]);
    let client = weir.client();
    let mut evil = client.events(EVIL).bearer(&token).subscribe().await?;
    client.event(EVIL).bearer(&token).body("x").send().await?.event_id()?;
    evil.next_data(1).await?;
    let script = "
        await live();
        await until('the others', () => at('instances').children.length === 4);
        document.querySelectorAll('.open').forEach((open) => open.click());
        await until('details', () => document.querySelectorAll('tr.detail .who').length >= 4);
        await until('own', () => text('busiest').includes('<img'));
        await new Promise((resolve) => setTimeout(resolve, 1500));
        return {
            title: document.title,
            strangers: document.querySelectorAll('img, body script:not([type=module]), iframe, i, b').length,
            silent: document.querySelector('tr.silent').textContent,
            text: text('instances'),
            unreadable: text('instances').includes('cannot read'),
            wide: document.documentElement.scrollWidth
        };";
    let address = page(&weir);
    let steps = [strict(&address, script, (360, 800))];
    let results = tokio::select! {
        results = browse(&steps) => results?,
        forged = forge(&redis) => anyhow::bail!("{forged:?}"),
    };
    let seen = well(&results[0], &address)?;
    ensure!(!seen["title"].to_string().contains("owned") && seen["strangers"] == 0, "{seen}");
    ensure!(seen["text"].as_str().is_some_and(|text| text.contains("<img src=x")), "{seen}");
    ensure!(seen["silent"].as_str().is_some_and(|text| text.contains("silent for 1")), "{seen}");
    assert_eq!((&seen["unreadable"], &seen["wide"]), (&json!(true), &json!(360)));
    Ok(())
}

/// States of connections, as the kernel writes them.
const ESTABLISHED: &str = "01";
const CLOSE_WAIT: &str = "08";

/// Waits until the admin listener has so many connections in this state.
async fn connections(weir: &Instance, state: &str, count: usize) -> anyhow::Result<()> {
    let port = format!(":{:04X}", weir.admin().port());
    eventually(DEADLINE * 3, async || {
        let all = std::fs::read_to_string(format!("/proc/{}/net/tcp", weir.pid()))?;
        let all = all.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let open = all.filter(|words| words[1].ends_with(&port) && words[3] == state).count();
        ensure!(open >= count, "{open} connections of {state}");
        Ok(())
    })
    .await
}

/// One that stands still is not shown as if it lived, and is seen again when it goes on.
#[tokio::test]
async fn a_lost_connection_is_said() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let script = "
        await live();
        for (let nth = 0; nth < 5; nth++) fetch('livez?' + nth);
        await until('a loss', () => text('line-text').startsWith('Connection lost, retrying, last seen'));
        const stale = document.body.classList.contains('stale');
        await live();
        return [stale, document.body.classList.contains('stale')];";
    let address = page(&weir);
    let steps = [strict(&address, script, (1280, 900))];
    let play = async {
        // More than the page itself needs: it is live.
        connections(&weir, ESTABLISHED, 4).await?;
        weir.signal(Signal::STOP)?;
        // The page hangs up, and the instance does not notice.
        connections(&weir, CLOSE_WAIT, 1).await?;
        weir.signal(Signal::CONT)
    };
    let (results, played) = tokio::join!(browse(&steps), play);
    played?;
    assert_eq!(alone(&results?[0], &address)?, json!([true, false]));
    Ok(())
}

/// What stands on what, as bright as WCAG 2 wants text to be (4.5 to 1), and where the page is wider than its window.
const LOOKS: &str = "
    await live();
    document.querySelector('.open').click();
    await until('details', () => document.querySelector('tr.detail'));
    const faint = faintTexts();
    const unnamed = [...document.querySelectorAll('button, input')].filter((one) => !(one.textContent.trim() || one.labels?.length)).length;
    const small = [...document.querySelectorAll('button')].filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 24).length;
    return { faint, unnamed, small, wide: document.documentElement.scrollWidth, ground: getComputedStyle(document.body).backgroundColor };";

#[tokio::test]
async fn it_is_read_on_any_screen_by_day_and_by_night() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--instance", &"long-name".repeat(7)]).await?;
    let session = "a-session-with-a-long-name-and-no-place-to-break-it-".repeat(4);
    let mut client = weir.client().subscribe(&session).await?;
    weir.client().publish(&session, "x").await?;
    client.next_data(1).await?;
    let address = page(&weir);
    let steps: Vec<_> =
        [(320, 640, false), (360, 780, true), (768, 1024, false), (1280, 900, true), (1280, 900, false)]
            .into_iter()
            .map(|(width, height, dark)| {
                let mut step = strict(&address, &format!("{FAINT_TEXTS}{LOOKS}"), (width, height));
                step["view"]["dark"] = json!(dark);
                step
            })
            .collect();
    let results = browse(&steps).await?;
    let mut grounds = BTreeSet::new();
    for (result, step) in results.iter().zip(&steps) {
        let seen = well(result, &address)?;
        assert_eq!(
            (&seen["faint"], &seen["unnamed"], &seen["small"]),
            (&json!([]), &json!(0), &json!(0)),
            "{}",
            step["view"]
        );
        assert_eq!(seen["wide"], step["view"]["width"], "it scrolls sideways: {}", step["view"]);
        grounds.insert((step["view"]["dark"] == true, seen["ground"].to_string()));
    }
    assert_eq!(grounds.len(), 2, "by night it is dark: {grounds:?}");
    Ok(())
}
