//! Which durable streams a token is good for, and what nobody else learns of them.

use anyhow::ensure;
use serde_json::{Value, json};
use weir_testkit::token::claims;
use weir_testkit::{Client, DEADLINE, Instance, RawConn, Response, Secret, expect};

use crate::WEIR;

const PATH: &str = "/v1/stream/{name}";

async fn start() -> anyhow::Result<(Instance, Secret)> {
    let secret = Secret::new();
    let flags = ["--jwt-secret-file", secret.flag(), "--log", "trace"];
    Ok((Instance::start(WEIR, &flags).await?, secret))
}

/// A token for these streams, and for every session.
fn token(secret: &Secret, streams: Value) -> String {
    let mut claims = claims("ann", &["*"], &["*"]);
    claims["weir"]["streams"] = streams;
    secret.sign(&claims)
}

async fn call(client: &Client, (method, name): (&str, &str), token: &str) -> anyhow::Result<Response> {
    let request = client.request(method, &format!("/v1/stream/{name}")).bearer(token);
    let request = match method {
        "PUT" => request.header("content-type", "text/plain"),
        "POST" => request.header("content-type", "text/plain").body("private-data"),
        _ => request,
    };
    request.send().await
}

/// Each is granted by itself, and what is said of sessions grants nothing.
#[tokio::test]
async fn each_is_granted_by_itself() -> anyhow::Result<()> {
    let (weir, secret) = start().await?;
    let client = weir.client();
    let all = token(&secret, json!({ "read": ["*"], "append": ["*"], "manage": ["*"] }));
    let calls =
        [("GET", "read"), ("HEAD", "read"), ("POST", "append"), ("PUT", "manage"), ("DELETE", "manage")];
    for granted in ["read", "append", "manage", "nothing"] {
        let some = token(&secret, json!({ granted: ["own/*", "users/{sub}"] }));
        for (method, needs) in calls {
            for name in ["own/a", "users/ann"] {
                call(&client, ("PUT", name), &all).await?;
                let answer = call(&client, (method, name), &some).await?;
                ensure!(
                    (answer.status() == 403) == (needs != granted),
                    "{method} {name} with {granted}: {answer:?}"
                );
            }
            for name in ["own", "ow", "owns/a", "users/annb", "users/{sub}", "users/bob", "*"] {
                let answer =
                    call(&client, (method, &name.replace('{', "%7B").replace('}', "%7D")), &some).await?;
                ensure!(answer.status() == 403, "{method} {name} with {granted}: {answer:?}");
            }
        }
    }
    let sessions = token(&secret, Value::Null);
    for (method, _) in calls {
        ensure!(call(&client, (method, "own/a"), &sessions).await?.status() == 403, "{method}");
    }
    for bad in [json!([]), json!("*"), json!({ "read": "*" }), json!({ "read": [1] })] {
        let answer = call(&client, ("GET", "own/a"), &token(&secret, bad)).await?;
        expect::problem(&answer, 401, "token_claim_invalid")?;
    }
    Ok(())
}

/// A page makes a browser carry a cookie, and a link carries a query.
#[tokio::test]
async fn cookie_and_query_only_read() -> anyhow::Result<()> {
    let (weir, secret) = start().await?;
    let client = weir.client();
    let all = token(&secret, json!({ "read": ["*"], "append": ["*"], "manage": ["*"] }));
    ensure!(call(&client, ("PUT", "a"), &all).await?.status() == 201);
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
        let by_cookie = client.request(method, "/v1/stream/a").header("cookie", format!("weir_token={all}"));
        let by_query = client.request(method, "/v1/stream/a").query("token", &*all);
        for answer in [by_cookie.send().await?, by_query.send().await?] {
            match method {
                "GET" | "HEAD" => ensure!(answer.status() == 200, "{answer:?}"),
                _ => expect::problem(&answer, 403, "token_cannot_publish")?,
            }
        }
    }
    Ok(())
}

/// What a refusal says is the same, byte by byte, whether there is such a stream or not; a fork reads its source.
#[tokio::test]
async fn nobody_sounds_out_the_streams_of_others() -> anyhow::Result<()> {
    let (weir, secret) = start().await?;
    let client = weir.client();
    let all = token(&secret, json!({ "read": ["*"], "append": ["*"], "manage": ["*"] }));
    ensure!(call(&client, ("PUT", "theirs-private"), &all).await?.status() == 201);
    ensure!(call(&client, ("POST", "theirs-private"), &all).await?.status() == 204);
    let own = token(&secret, json!({ "read": ["own"], "append": ["*-private"], "manage": ["own"] }));
    let some = token(&secret, json!({ "read": ["own"], "append": ["own"], "manage": ["own"] }));
    let same = |one: &Response, two: &Response| {
        let mut bodies = [one, two].map(|answer| answer.json().unwrap_or_default());
        bodies.iter_mut().for_each(|body| body["requestId"] = Value::Null);
        one.status() == two.status() && bodies[0] == bodies[1]
    };
    for method in ["GET", "POST", "PUT", "DELETE"] {
        let there = call(&client, (method, "theirs-private"), &some).await?;
        let missing = call(&client, (method, "nobodys-private"), &some).await?;
        expect::problem(&there, 403, "forbidden")?;
        ensure!(same(&there, &missing), "{method}: {there:?} {missing:?}");
    }
    // Neither the right to append to it nor that to make the fork reads the source.
    let mut forks = Vec::new();
    for source in ["/v1/stream/theirs-private", "/v1/stream/nobodys-private"] {
        let fork = client.request("PUT", "/v1/stream/own").bearer(&own).header("stream-forked-from", source);
        forks.push(fork.send().await?);
    }
    expect::problem(&forks[0], 403, "forbidden")?;
    ensure!(same(&forks[0], &forks[1]), "{forks:?}");
    ensure!(call(&client, ("GET", "own"), &own).await?.status() == 404);
    let fork = client.request("PUT", "/v1/stream/own").bearer(&all);
    ensure!(fork.header("stream-forked-from", "/v1/stream/theirs-private").send().await?.status() == 201);
    // Names, data and positions stand in no line of the log, no metric, and no answer to those who may not read.
    let page = weir.metrics().await?;
    let shown = format!(
        "{:?} {page:?} {:?}",
        weir.log(),
        forks.iter().map(|answer| answer.text()).collect::<Vec<_>>()
    );
    ensure!(!shown.contains("private"), "{shown}");
    let denied: Vec<_> = weir.log().into_iter().filter(|line| line.contains("\"denied\"")).collect();
    ensure!(!denied.is_empty() && denied.iter().all(|line| line.contains(PATH)), "{denied:?}");
    Ok(())
}

/// Whoever may not is told so before its body is there.
#[tokio::test]
async fn nothing_is_read_of_who_may_not_append() -> anyhow::Result<()> {
    let (weir, secret) = start().await?;
    let token = token(&secret, json!({ "read": ["a"] }));
    let mut conn = RawConn::open(weir.public()).await?;
    let head = format!(
        "POST /v1/stream/a HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: text/plain\r\ncontent-length: 4000000\r\n\r\nx"
    );
    conn.write(head.as_bytes()).await?;
    ensure!(conn.read_head(DEADLINE / 5).await?.status == 403);
    let metrics = weir.metrics().await?;
    ensure!(metrics.value("weir_stream_appends_total", &[("result", "denied")]) == Some(1.0));
    Ok(())
}

/// An answer that takes long goes no further than the token.
#[tokio::test]
async fn an_answer_breaks_off_where_its_token_is_refused() -> anyhow::Result<()> {
    const SIZE: usize = 1 << 20;
    let (weir, secret) = start().await?;
    let all = token(&secret, json!({ "read": ["*"], "append": ["*"], "manage": ["*"] }));
    call(&weir.client(), ("PUT", "a"), &all).await?;
    for _ in 0..8 {
        let append = weir.client().post("/v1/stream/a").bearer(&all).header("content-type", "text/plain");
        ensure!(append.body("x".repeat(SIZE)).send().await?.status() == 204);
    }
    let mut conn = RawConn::open_narrow(weir.public(), 4096).await?;
    let request = format!("GET /v1/stream/a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {all}\r\n\r\n");
    conn.write(request.as_bytes()).await?;
    ensure!(conn.read_head(DEADLINE).await?.status == 200);
    let taken_off = weir.admin_client().post("/disconnect?subject=ann&revoke=600");
    ensure!(taken_off.header("weir-admin", "1").send().await?.status() == 200);
    let (rest, closed) = conn.read_until_close(DEADLINE).await?;
    ensure!(closed.is_some() && rest.len() < 8 * SIZE, "{} bytes, {closed:?}", rest.len());
    expect::problem(&call(&weir.client(), ("GET", "a"), &all).await?, 401, "token_revoked")
}
