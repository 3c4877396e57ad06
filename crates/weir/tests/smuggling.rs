//! Requests of which two readers may make different numbers of requests, sent to weir itself and through real proxies that
//! may pass them on. Nobody gets a request past the one who reads first, or the answer of somebody else.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use weir_testkit::balancer::Kind;
use weir_testkit::beset::statuses;
use weir_testkit::{Balancer, Beset, Client, DEADLINE, RawConn, SseStream, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// The request that nobody may see.
const INNER: &str =
    "POST /v1/sessions/smuggled/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx";

/// Headers that say that the body comes in chunks. Where a length stands beside them they count, by RFC 9112, and the
/// connection ends with the request.
const PLAIN: [&str; 3] =
    ["transfer-encoding: chunked", "Transfer-Encoding:  chunked", "transfer-encoding:\tchunked"];

/// Headers that not everybody reads alike.
const ODD: [&str; 14] = [
    "transfer-encoding:\x0bchunked",
    "transfer-encoding: chunked, identity",
    "transfer-encoding: identity, chunked",
    "transfer-encoding: chunked, chunked",
    "transfer-encoding: xchunked",
    "transfer-encoding: \"chunked\"",
    "transfer-encoding: chunked;q=1",
    "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    "transfer-encoding: chunked\r\ntransfer-encoding: identity",
    "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
    "transfer-encoding : chunked",
    "transfer-encoding:\r\n chunked",
    "x: y\r\n transfer-encoding: chunked",
    "x: y\rtransfer-encoding: chunked",
];

/// Requests in which another stands: by the length it is within the body and by the chunks behind it, or the other way
/// round; or one of the two is written in a way that not everybody reads alike. Each with the status that weir answers.
fn requests() -> Vec<(String, u16)> {
    let post = "POST /v1/sessions/outer/events HTTP/1.1\r\nhost: localhost\r\n";
    let behind = format!("0\r\n\r\n{INNER}");
    let within = format!("{:x}\r\n{INNER}\r\n0\r\n\r\n", INNER.len());
    let mut all = Vec::new();
    for (coding, status) in
        PLAIN.iter().map(|coding| (coding, 201)).chain(ODD.iter().map(|coding| (coding, 400)))
    {
        for (length, body) in [(behind.len(), &behind), (4, &within)] {
            all.push((format!("{post}content-length: {length}\r\n{coding}\r\n\r\n{body}"), status));
            all.push((format!("{post}{coding}\r\ncontent-length: {length}\r\n\r\n{body}"), status));
        }
    }
    let whole = INNER.len();
    for length in [
        &format!("0\r\ncontent-length: {whole}"),
        &format!("{whole}\r\ncontent-length: 0"),
        "0, 0",
        "+0",
        "-0",
        "0x0",
        "0 0",
        "",
        "\x0b0",
        "0\r\n 0",
    ] {
        all.push((format!("{post}content-length: {length}\r\n\r\n{INNER}"), 400));
    }
    // Behind a chunk whose size is not read alike, or a trailer that is none.
    for chunk in
        ["0\n\n", "0x0\r\n\r\n", "\r\n0\r\n\r\n", "-0\r\n\r\n", "0;\n\r\n\r\n", "0\r\nx : y\rz\r\n\r\n"]
    {
        all.push((format!("{post}transfer-encoding: chunked\r\n\r\n{chunk}{INNER}"), 400));
    }
    all
}

/// What was published where nobody was to publish.
struct Watch {
    smuggled: SseStream,
    marks: usize,
}

impl Watch {
    async fn open(client: Client) -> anyhow::Result<Self> {
        Ok(Self { smuggled: client.subscribe("smuggled").await?, marks: 0 })
    }

    /// How many events came since the last look.
    async fn look(&mut self, client: Client) -> anyhow::Result<usize> {
        self.marks += 1;
        let mark = format!("mark {}", self.marks);
        client.publish("smuggled", mark.clone()).await?;
        let mut seen = 0;
        while self.smuggled.next_published().await?.data != mark {
            seen += 1;
        }
        Ok(seen)
    }
}

/// Whatever weir makes of such a request, it is one request, and the connection ends with it.
#[tokio::test]
async fn one_request_is_never_two() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let mut watch = Watch::open(beset.weir.client()).await?;
    let before = beset.refusals().await?;
    let mut refused = 0;
    for (request, status) in requests() {
        let mut conn = RawConn::open(beset.weir.public()).await?;
        conn.write(request.as_bytes()).await?;
        let (said, closed) = conn.read_until_close(DEADLINE).await?;
        let said = String::from_utf8_lossy(&said);
        assert_eq!(statuses(&said), [status], "{request:?}: {said}");
        assert!(closed.is_some(), "{request:?}: still open after {said}");
        refused += u64::from(status == 400);
    }
    assert_eq!(watch.look(beset.weir.client()).await?, 0, "something was smuggled in");
    eventually(DEADLINE, async || {
        let counted = beset.refusals().await?.since(&before);
        ensure!(counted.total() == refused, "{counted:?} instead of {refused}");
        Ok(())
    })
    .await?;
    beset.ensure_unharmed().await
}

/// A proxy passes on what it took for one request. Behind it everybody still gets the answers to what they asked, and what
/// was published is what the proxy let through.
async fn through(kind: Kind) -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &["--anonymous", "all", "--refuse", "503"]).await?;
    let proxy = Balancer::start(kind, &[beset.weir.public()]).await?;
    let mut watch = Watch::open(beset.weir.client()).await?;
    for (request, _) in requests() {
        let mut conn = RawConn::open(proxy.address()).await?;
        conn.write(request.as_bytes()).await?;
        // A proxy that waits for more is given up on; by then it has passed on what it would.
        let (said, _) = conn.read_until_close(Duration::from_millis(150)).await?;
        // Connections to weir are shared: who comes next would get the answer to what was smuggled in.
        for nth in 0..3 {
            let asked = format!("/v1/sessions/{nth}/events?heartbeat={nth}");
            let answer = proxy.client().get(&asked).send().await?;
            ensure!(answer.status() == 400, "{request:?}: somebody else's answer: {answer:?}");
        }
        // On a busy machine an answer takes longer. What is said of the goodbye itself is none.
        let _ = conn.finish_writing().await;
        let (late, _) = conn.read_until_close(Duration::from_secs(2)).await?;
        let late = statuses(&String::from_utf8_lossy(&late));
        let answered = statuses(&String::from_utf8_lossy(&said)).len()
            + late.iter().filter(|status| **status == 201).count();
        let published = watch.look(beset.weir.client()).await.with_context(|| format!("{request:?}"))?;
        ensure!(
            published < answered.max(1),
            "{request:?}: {published} published, {answered} answered: {said:?} {late:?}"
        );
    }
    beset.ensure_unharmed().await
}

#[tokio::test]
async fn nothing_comes_through_nginx() -> anyhow::Result<()> {
    through(Kind::Nginx).await
}

#[tokio::test]
async fn nothing_comes_through_haproxy() -> anyhow::Result<()> {
    through(Kind::HaProxy).await
}
