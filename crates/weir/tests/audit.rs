//! Request ids, and what is written down of calls that were denied.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_testkit::client::Request;
use weir_testkit::{DEADLINE, Instance, Response, Secret, eventually, expect};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

async fn start(flags: &[&str]) -> anyhow::Result<(Instance, Secret)> {
    let secret = Secret::new();
    Ok((Instance::start(WEIR, &[&["--jwt-secret-file", secret.flag()], flags].concat()).await?, secret))
}

/// The lines of the audit so far.
fn audit(weir: &Instance) -> Vec<Value> {
    let lines = weir.log().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    lines.filter(|line| line["target"] == "weir::audit").collect()
}

fn id(answer: &Response) -> anyhow::Result<&str> {
    answer.head.header("x-request-id").with_context(|| format!("no id: {answer:?}"))
}

#[tokio::test]
async fn every_answer_has_an_id() -> anyhow::Result<()> {
    let (weir, secret) = start(&[]).await?;
    let (client, admin) = (weir.client(), weir.admin_client());
    let token = secret.token("ann", &["*"], &["*"]);
    let mut seen = Vec::new();
    for call in [
        client.get("/livez"),
        client.get("/nowhere"),
        client.get("/v1/events?wait=0"),
        client.request("DELETE", "/v1/events"),
        client.event("s").bearer(&token).body("x"),
        client.event("s").bearer(&token).body("\u{1}").header("content-encoding", "gzip"),
        client.get("/v1/sessions/none/snapshot").bearer(&token),
        client.events("s").query("wait", "0").bearer(&token),
        client.get("/livez").header("host", "a/b"),
        admin.get("/livez"),
        admin.get("/clients"),
        admin.get("/clients").header("weir-admin", "1"),
        admin.post("/undrain").header("weir-admin", "1"),
    ] {
        let answer = call.clone().send().await?;
        let made = id(&answer)?.to_owned();
        ensure!(made.len() == 16 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
        if answer.head.header("content-type") == Some("application/problem+json") {
            assert_eq!(answer.json()?["requestId"], json!(made), "{answer:?}");
        }
        seen.push(made);
        // One of the caller's own, where it can do no harm.
        let own = call.clone().header("x-request-id", "Root-1:a.b_c").send().await?;
        assert_eq!(id(&own)?, "Root-1:a.b_c");
        for bad in ["", "a b", "\"><script>", &"x".repeat(65)] {
            let answer = call.clone().header("x-request-id", bad).send().await?;
            assert_eq!(id(&answer)?.len(), 16, "{bad}");
        }
    }
    let stream = client.events("s").bearer(&token).subscribe().await?;
    seen.push(stream.head.header("x-request-id").context("no id of a stream")?.to_owned());
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 14, "an id twice: {seen:?}");
    Ok(())
}

/// What a line has to say.
const FIELDS: [&str; 7] = ["request_id", "address", "method", "path", "status", "code", "subject"];

const EVENTS: &str = "/v1/sessions/{session}/events";
const SUBJECT: &str = "Änn \"x\"\u{202e}";

/// Calls that are denied, each with its status and code, its method and path, and whether it is known who makes it.
type Case = (Request, (u16, &'static str), (&'static str, &'static str), bool);

fn denied(weir: &Instance, ann: &str, forged: &str) -> Vec<Case> {
    let (client, admin) = (weir.client(), weir.admin_client());
    let theirs = || client.events("their-private");
    let by_query = client.get("/v1/events?session=their-private").query("token", forged);
    let by_cookie = client.event("their-private").header("cookie", format!("weir_token={forged}"));
    let snapshot = client.get("/v1/sessions/their-private/snapshot");
    let through = admin.get("/their-private").header("weir-admin", "1").header("via", "x");
    vec![
        (theirs(), (401, "unauthorized"), ("GET", EVENTS), false),
        (theirs().bearer(forged), (401, "token_signature"), ("GET", EVENTS), false),
        (by_query, (401, "token_signature"), ("GET", "/v1/events"), false),
        (by_cookie.body("private-data"), (401, "token_signature"), ("POST", EVENTS), false),
        (theirs().bearer(ann), (403, "forbidden"), ("GET", EVENTS), true),
        (snapshot.bearer(ann), (403, "forbidden"), ("GET", "/v1/sessions/{session}/snapshot"), true),
        (admin.get("/clients?sort=private"), (403, "admin_header_missing"), ("GET", "/clients"), false),
        (through, (403, "admin_not_local"), ("GET", "other"), false),
    ]
}

/// Each call that is denied has its line, and no line has more than it should.
#[tokio::test]
async fn a_denied_call_is_written_down_without_what_is_private() -> anyhow::Result<()> {
    let (weir, secret) = start(&["--max-connections-per-subject", "1"]).await?;
    let client = weir.client();
    let ann = secret.token(SUBJECT, &["mine-private"], &[]);
    let forged = Secret::new().token("forger", &["*"], &["*"]);
    let escaped = json!("Änn \\\"x\\\"\\u{202e}");
    let mut want = Vec::new();
    for (call, (status, code), (method, path), known) in denied(&weir, &ann, &forged) {
        let name = format!("case-{}", want.len());
        expect::problem(&call.header("x-request-id", &*name).send().await?, status, code)?;
        let subject = if known { escaped.clone() } else { Value::Null };
        want.push(json!([name, "127.0.0.1", method, path, status, code, subject]));
    }
    let one = client.events("mine-private").bearer(&ann).subscribe().await?;
    let second = client.events("mine-private").query("wait", "0").bearer(&ann).header("x-request-id", "two");
    expect::problem(&second.send().await?, 429, "subject")?;
    want.push(json!(["two", "127.0.0.1", "GET", EVENTS, 429, "subject", escaped]));
    let soft = client.events("mine-private").bearer(&ann).header("x-request-id", "soft").send().await?;
    assert_eq!(soft.status(), 200);
    want.push(json!(["soft", "127.0.0.1", "GET", EVENTS, 200, "subject", escaped]));
    drop(one);
    // What is no question of rights is none of the audit's.
    expect::problem(&client.get("/their-private").send().await?, 404, "unknown_path")?;
    let wrong = client.events("mine-private").query("wait", "private").bearer(&ann).send().await?;
    expect::problem(&wrong, 400, "invalid_parameter")?;
    let lines = eventually(DEADLINE, async || {
        let lines = audit(&weir);
        ensure!(lines.len() >= want.len(), "{} lines", lines.len());
        Ok(lines)
    })
    .await?;
    let told = |line: &Value| Value::from_iter(FIELDS.map(|field| line[field].clone()));
    assert_eq!(lines.iter().map(told).collect::<Vec<_>>(), want);
    assert!(lines.iter().all(|line| line["message"] == "denied" && line["level"] == "INFO"), "{lines:?}");
    let all = weir.log().join("\n");
    let tokens = [&ann, &forged].into_iter().flat_map(|token| token.split('.'));
    for secret in tokens.chain(["private", "forger"]) {
        assert!(!all.contains(secret), "the log tells {secret}");
    }
    Ok(())
}

#[tokio::test]
async fn a_flood_is_counted_and_fills_no_disk() -> anyhow::Result<()> {
    let (weir, _secret) = start(&["--read-block", "100ms"]).await?;
    let forged = Secret::new().token("forger", &["*"], &["*"]);
    let started = std::time::Instant::now();
    for _ in 0..300 {
        let answer = weir.client().events("s").bearer(&forged).send().await?;
        expect::problem(&answer, 401, "token_signature")?;
    }
    let seconds = started.elapsed().as_secs() as usize + 1;
    let lines = eventually(DEADLINE, async || {
        let lines = audit(&weir);
        let told = lines.iter().filter(|line| line["message"] == "denied").count() as u64;
        let counted: u64 = lines.iter().filter_map(|line| line["count"].as_u64()).sum();
        ensure!(told + counted == 300, "{told} told and {counted} counted");
        Ok(lines)
    })
    .await?;
    assert!(lines.len() <= 11 * (seconds + 1), "{} lines in {seconds} s", lines.len());
    Ok(())
}

/// Whoever makes noise hides nothing that others do.
#[tokio::test]
async fn a_flood_of_strangers_hides_nobody_else() -> anyhow::Result<()> {
    let (weir, secret) = start(&["--refuse", "503", "--max-connections-per-subject", "1"]).await?;
    let (client, ann) = (weir.client(), secret.token("ann", &["mine"], &[]));
    let _one = client.events("mine").bearer(&ann).subscribe().await?;
    for nth in 0..40 {
        expect::problem(&client.events("s").send().await?, 401, "unauthorized")?;
        if nth % 10 == 9 {
            let named = |call: Request, name: &str| call.header("x-request-id", format!("{name}-{nth}"));
            expect::problem(
                &named(weir.admin_client().get("/clients"), "admin").send().await?,
                403,
                "admin_header_missing",
            )?;
            expect::problem(&named(client.events("s").bearer(&ann), "ann").send().await?, 403, "forbidden")?;
            expect::problem(
                &named(client.events("mine").bearer(&ann), "full").send().await?,
                503,
                "subject",
            )?;
        }
    }
    eventually(DEADLINE, async || {
        let told: Vec<_> =
            audit(&weir).iter().filter_map(|line| line["request_id"].as_str().map(str::to_owned)).collect();
        for name in ["admin-9", "ann-19", "full-29", "admin-39", "ann-39", "full-39"] {
            ensure!(told.iter().any(|id| id == name), "no {name} in {told:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_operators_do_is_written_down() -> anyhow::Result<()> {
    let (weir, _secret) = start(&[]).await?;
    let call = |path: &str| {
        let request = weir.admin_client().post(path).header("weir-admin", "1");
        request.header("x-request-id", path.trim_start_matches('/').split('?').next().unwrap_or_default())
    };
    call("/drain").send().await?;
    call("/undrain").send().await?;
    call("/disconnect?subject=%C3%84nn%22").send().await?;
    call("/disconnect").send().await?;
    // One that was not let in has done nothing.
    weir.admin_client().post("/drain").send().await?;
    let lines = eventually(DEADLINE, async || {
        let lines = audit(&weir);
        ensure!(lines.len() >= 5, "{lines:?}");
        Ok(lines)
    })
    .await?;
    let told: Vec<_> = lines
        .iter()
        .map(|line| json!([line["message"], line["path"], line["status"], line["subject"]]))
        .collect();
    let did = "an operator's call";
    let want = [
        json!([did, "/drain", 200, null]),
        json!([did, "/undrain", 200, null]),
        json!([did, "/disconnect", 200, "Änn\\\""]),
        json!([did, "/disconnect", 400, null]),
        json!(["denied", "/drain", 403, null]),
    ];
    assert_eq!(told, want);
    assert_eq!((&lines[0]["request_id"], &lines[2]["request_id"]), (&json!("drain"), &json!("disconnect")));
    Ok(())
}
