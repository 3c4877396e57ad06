//! What becomes of calls to durable streams whose store does what a good one seldom does.
// sizes: one scripted store, and each answer of it that a good one seldom gives
#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

#[path = "bare/front.rs"]
mod bare;
#[path = "bare/idle.rs"]
mod idle;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use weir_core::durable::{
    self, Append, AppendError, Appended, Chunk, Create, CreateError, Created, DeleteError, From, Head, Look,
    MediaType, Offset, Page, ReadError, StreamName, StreamStore,
};
use weir_core::log::BoxFuture;
use weir_http::app::{AnonymousAccess, HttpConfig};
use weir_testkit::{Client, DEADLINE, RawConn, expect};

use bare::Bare;
use idle::Idle;

const PATH: &str = "/v1/stream/s";

/// One stream of so many chunks, each of so many bytes; only so many reads find them. Writes fail as told.
#[derive(Debug)]
struct Script {
    media: MediaType,
    chunks: u64,
    chunk: Bytes,
    reads: AtomicU64,
    lost_after: u64,
    append: Mutex<Option<AppendError>>,
    create: Mutex<Option<CreateError>>,
    read: Mutex<Option<ReadError>>,
    /// Somebody appends another chunk before every read.
    grows: AtomicU64,
    /// Most chunks of one read, so far.
    largest_read: AtomicUsize,
}

impl Script {
    fn of(media: &str, chunks: u64, chunk: impl Into<Bytes>) -> Self {
        Self {
            media: MediaType::parse(media).unwrap(),
            chunks,
            chunk: chunk.into(),
            reads: AtomicU64::default(),
            lost_after: u64::MAX,
            append: Mutex::default(),
            create: Mutex::default(),
            read: Mutex::default(),
            grows: AtomicU64::default(),
            largest_read: AtomicUsize::default(),
        }
    }

    fn head(&self) -> Head {
        let (media, lifetime) = (self.media.clone(), durable::Lifetime::Forever);
        Head { media, lifetime, tail: Offset::new(7, self.all()), closed: false, born: 7 }
    }

    /// Chunks that there are.
    fn all(&self) -> u64 {
        self.chunks + self.grows.load(Ordering::Relaxed)
    }

    fn page(&self, from: From, max_bytes: usize) -> Result<Page, ReadError> {
        if let Some(error) = self.read.lock().unwrap().clone() {
            return Err(error);
        }
        let before = match from {
            From::Begin => 0,
            From::After(offset) => offset.n(),
            From::End => self.all(),
        };
        if self.reads.fetch_add(1, Ordering::Relaxed) >= self.lost_after {
            return Err(ReadError::OffsetGone);
        }
        if self.grows.load(Ordering::Relaxed) > 0 {
            self.grows.fetch_add(1, Ordering::Relaxed);
        }
        let fit = (max_bytes / self.chunk.len().max(1)).max(1) as u64;
        let last = self.all().min(before + fit);
        self.largest_read.fetch_max(usize::try_from(last - before).unwrap(), Ordering::Relaxed);
        let chunks = (before + 1..=last).map(|n| Chunk { end: Offset::new(7, n), bytes: self.chunk.clone() });
        Ok(Page { head: self.head(), chunks: chunks.collect(), next: Offset::new(7, last) })
    }
}

impl StreamStore for Script {
    fn create<'a>(&'a self, _: &'a StreamName, _: &'a Create) -> BoxFuture<'a, Result<Created, CreateError>> {
        let error = self.create.lock().unwrap().clone();
        Box::pin(async move { error.map_or(Ok(Created { is_new: true, head: self.head() }), Err) })
    }

    fn append<'a>(
        &'a self,
        _: &'a StreamName,
        _: &'a Append,
    ) -> BoxFuture<'a, Result<Appended, AppendError>> {
        let error = self.append.lock().unwrap().clone();
        let written = Appended::Written { tail: self.head().tail, closed: false };
        Box::pin(async move { error.map_or(Ok(written), Err) })
    }

    fn read<'a>(
        &'a self,
        _: &'a StreamName,
        from: From,
        max_bytes: usize,
    ) -> BoxFuture<'a, Result<Page, ReadError>> {
        Box::pin(async move { self.page(from, max_bytes) })
    }

    fn head<'a>(&'a self, _: &'a StreamName) -> BoxFuture<'a, Result<Head, ReadError>> {
        Box::pin(async { Ok(self.head()) })
    }

    fn look<'a>(&'a self, _: &'a [StreamName]) -> BoxFuture<'a, Result<Vec<Look>, ReadError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn delete<'a>(&'a self, _: &'a StreamName) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(async { Err(DeleteError::OutcomeUnknown("a secret of the store".to_owned())) })
    }

    fn lasts(&self) -> bool {
        false
    }
}

/// A front on such a store, which runs as long as this is held.
struct Front {
    bare: Bare,
    script: Arc<Script>,
    client: Client,
}

impl Front {
    fn start(script: Script) -> Self {
        let script = Arc::new(script);
        let store = Arc::clone(&script) as Arc<dyn StreamStore>;
        let config = HttpConfig { max_append_bytes: 1000, anonymous: AnonymousAccess::All, ..bare::config() };
        let bare = Bare::start(Arc::new(Idle), store, config);
        Self { client: Client::new(bare.address), script, bare }
    }
}

/// Far more than is held at once, over both versions of HTTP: what the head promised is what comes.
#[tokio::test]
async fn a_read_is_not_cut_to_pages() -> anyhow::Result<()> {
    let front = Front::start(Script::of("text/plain", 500_000, "0123456789".repeat(10)));
    let answer = front.client.get(PATH).send().await?;
    let told = |name| answer.head.header(name);
    assert_eq!((answer.status(), answer.body.len()), (200, 50_000_000));
    assert!(answer.body.chunks(10).all(|ten| ten == b"0123456789"));
    assert_eq!(told("stream-next-offset"), Some("0000000000000007_0000000000500000"));
    assert_eq!(told("stream-up-to-date"), Some("true"));
    assert!(front.script.largest_read.load(Ordering::Relaxed) < 2000);
    let tag = told("etag").unwrap().to_owned();
    let again = front.client.get(PATH).header("if-none-match", tag).send().await?;
    assert_eq!((again.status(), again.body.len()), (304, 0));
    let page = front.bare.app.metrics.encode();
    ensure!(
        page.contains("weir_stream_reads_total 2\n")
            && page.contains("weir_stream_read_bytes_total 50000000\n"),
        "{page}"
    );
    Ok(())
}

#[tokio::test]
async fn pages_of_json_are_one_array() -> anyhow::Result<()> {
    let front = Front::start(Script::of("application/json", 20_000, "{\"a\":1},[2,3],4"));
    let answer = front.client.get(PATH).send().await?.json()?;
    let values = answer.as_array().unwrap();
    assert_eq!(values.len(), 60_000);
    assert!(values.chunks(3).all(|three| *three == [serde_json::json!({"a": 1}), [2, 3].into(), 4.into()]));
    let from = format!("{PATH}?offset=0000000000000007_0000000000019999");
    assert_eq!(front.client.get(&from).send().await?.text()?, "[{\"a\":1},[2,3],4]");
    let end = format!("{PATH}?offset=0000000000000007_0000000000020000");
    assert_eq!(front.client.get(&end).send().await?.text()?, "[]");
    Ok(())
}

/// Where an answer ends is said when it begins.
#[tokio::test]
async fn what_is_appended_meanwhile_is_for_the_next_read() -> anyhow::Result<()> {
    let script = Script::of("text/plain", 10_000, "x".repeat(100));
    script.grows.store(1, Ordering::Relaxed);
    let front = Front::start(script);
    let read = async |from: &str| {
        let answer = front.client.get(&format!("{PATH}?offset={from}")).send().await?;
        let next = answer.head.header("stream-next-offset").unwrap().to_owned();
        anyhow::Ok((next, answer.body.len()))
    };
    let (next, bytes) = read("-1").await?;
    assert_eq!((&*next, bytes), ("0000000000000007_0000000000010002", 1_000_200));
    // Each page of the first read has brought one more.
    let (after, bytes) = read(&next).await?;
    assert!(after > next && bytes > 100 && bytes < 10_000, "{after} {bytes}");
    Ok(())
}

/// The answer to a read of all, whose head says where the connection ends.
async fn raw(front: &Front, version: &str) -> anyhow::Result<(String, String)> {
    let mut conn = RawConn::open(front.bare.address).await?;
    conn.write(format!("GET {PATH} {version}\r\nhost: localhost\r\n\r\n").as_bytes()).await?;
    let (answer, closed) = conn.read_until_close(DEADLINE).await?;
    ensure!(closed.is_some(), "it goes on");
    let answer = String::from_utf8(answer.to_vec())?;
    let (head, body) = answer.split_once("\r\n\r\n").context("a head")?;
    Ok((head.to_owned(), body.to_owned()))
}

/// As proxies speak it that were told nothing.
#[tokio::test]
async fn over_http_1_0_an_answer_says_how_long_it_is() -> anyhow::Result<()> {
    let script = Script::of("application/json", 10_000, "1".repeat(100));
    script.grows.store(1, Ordering::Relaxed);
    let front = Front::start(script);
    let (head, body) = raw(&front, "HTTP/1.0").await?;
    ensure!(
        head.contains(&format!("\r\ncontent-length: {}", body.len())) && body.len() > 1_000_000,
        "{head}"
    );
    ensure!(serde_json::from_str::<Vec<serde_json::Value>>(&body)?.len() == 10_002);
    ensure!(head.contains("stream-next-offset: 0000000000000007_0000000000010002"), "{head}");
    ensure!(head.contains("stream-up-to-date: true"), "{head}");
    // What is a page, and no more, is read once.
    let front = Front::start(Script::of("text/plain", 10, "x"));
    ensure!(raw(&front, "HTTP/1.0").await?.1 == "x".repeat(10));
    ensure!(front.script.reads.load(Ordering::Relaxed) == 1);
    Ok(())
}

/// Nobody takes what came for the whole.
#[tokio::test]
async fn an_answer_whose_rest_is_lost_breaks_off() -> anyhow::Result<()> {
    let lost_after = |reads| {
        let mut script = Script::of("text/plain", 10_000, "x".repeat(100));
        script.lost_after = reads;
        Front::start(script)
    };
    let (head, body) = raw(&lost_after(4), "HTTP/1.1").await?;
    ensure!(head.starts_with("HTTP/1.1 200 ") && head.contains("chunked") && !body.ends_with("0\r\n\r\n"));
    ensure!(head.contains("stream-next-offset: 0000000000000007_0000000000010000"));
    // Over HTTP/1.0 it is read once before its head is written, and nothing is promised that is not there then.
    let (head, body) = raw(&lost_after(4), "HTTP/1.0").await?;
    ensure!(head.starts_with("HTTP/1.0 410 ") && body.contains("\"offset_gone\""), "{head}");
    let (head, body) = raw(&lost_after(10), "HTTP/1.0").await?;
    ensure!(head.starts_with("HTTP/1.0 200 ") && head.contains("content-length: 1000000"), "{head}");
    ensure!(body.len() > 1000 && body.len() < 1_000_000);
    Ok(())
}

/// What a store says of itself stays with the operator.
#[tokio::test]
async fn every_refusal_to_append_has_a_code() -> anyhow::Result<()> {
    let front = Front::start(Script::of("text/plain", 1, "x"));
    let secret = || "a secret of the store".to_owned();
    let tail = Offset::new(7, 1);
    let appends = [
        (AppendError::Missing, 404, "no_stream", None),
        (AppendError::Deleted, 410, "stream_deleted", None),
        (AppendError::Closed { tail }, 409, "stream_closed", Some(("stream-next-offset", tail.to_string()))),
        (AppendError::Media, 409, "content_type", None),
        (AppendError::Seq, 409, "sequence", None),
        (
            AppendError::StaleEpoch { current: 5 },
            403,
            "stale_epoch",
            Some(("producer-epoch", "5".to_owned())),
        ),
        (AppendError::EpochBegins, 400, "epoch_begins", None),
        (
            AppendError::Gap { expected: 3, received: 9 },
            409,
            "producer_gap",
            Some(("producer-expected-seq", "3".to_owned())),
        ),
        (AppendError::Full(secret()), 507, "storage_full", None),
        (AppendError::Unavailable(secret()), 503, "streams_unavailable", None),
        (AppendError::OutcomeUnknown(secret()), 503, "outcome_unknown", None),
    ];
    for (error, status, code, header) in appends {
        *front.script.append.lock().unwrap() = Some(error);
        let answer = front.client.post(PATH).header("content-type", "text/plain").body("x").send().await?;
        expect::problem(&answer, status, code)?;
        if let Some((name, value)) = header {
            assert_eq!(answer.head.header(name), Some(value.as_str()));
        }
        assert_eq!(answer.head.header("retry-after").is_some(), status == 503);
        assert!(answer.head.header("www-authenticate").is_none() && !answer.text()?.contains("secret"));
    }
    let page = front.bare.app.metrics.encode();
    for (result, count) in
        [("refused", 7), ("invalid", 1), ("full", 1), ("unavailable", 2), ("ok", 0), ("denied", 0)]
    {
        let line = format!("weir_stream_appends_total{{result=\"{result}\"}} {count}\n");
        ensure!(page.contains(&line), "{line}{page}");
    }
    Ok(())
}

#[tokio::test]
async fn so_has_every_refusal_to_create_delete_and_read() -> anyhow::Result<()> {
    let front = Front::start(Script::of("text/plain", 1, "x"));
    let secret = || "a secret of the store".to_owned();
    let creates = [
        (CreateError::Exists, 409, "stream_exists"),
        (CreateError::Taken, 409, "stream_taken"),
        (CreateError::NoSource, 404, "no_source"),
        (CreateError::SourceDeleted, 409, "source_deleted"),
        (CreateError::NoSuchOffset, 400, "no_such_offset"),
        (CreateError::OffsetGone, 410, "offset_gone"),
        (CreateError::NoSuchUnits, 400, "no_such_sub_offset"),
        (CreateError::TooDeep(32), 409, "fork_depth"),
        (CreateError::Media, 409, "content_type"),
        (CreateError::Full(secret()), 507, "storage_full"),
        (CreateError::Unavailable(secret()), 503, "streams_unavailable"),
        (CreateError::OutcomeUnknown(secret()), 503, "outcome_unknown"),
    ];
    for (error, status, code) in creates {
        *front.script.create.lock().unwrap() = Some(error);
        let answer = front.client.request("PUT", PATH).send().await?;
        expect::problem(&answer, status, code)?;
        assert!(!answer.text()?.contains("secret"));
    }
    expect::problem(&front.client.request("DELETE", PATH).send().await?, 503, "outcome_unknown")?;
    for (error, status, code) in [
        (ReadError::Missing, 404, "no_stream"),
        (ReadError::Deleted, 410, "stream_deleted"),
        (ReadError::OffsetGone, 410, "offset_gone"),
        (ReadError::Unavailable(secret()), 503, "streams_unavailable"),
    ] {
        *front.script.read.lock().unwrap() = Some(error);
        let answer = front.client.get(PATH).send().await?;
        expect::problem(&answer, status, code)?;
        assert!(!answer.text()?.contains("secret"));
    }
    Ok(())
}

/// Before the store is asked.
#[tokio::test]
async fn what_is_not_as_it_should_be_is_refused() -> anyhow::Result<()> {
    let front = Front::start(Script::of("text/plain", 1, "x"));
    let text = ("content-type", "text/plain");
    let append = |headers: &[(&str, &str)], body: &'static str| {
        let request = front.client.post(PATH).body(body);
        headers.iter().fold(request, |request, (name, value)| request.header(name, *value)).send()
    };
    for (headers, body, status, code) in [
        (&[][..], "x", 400, "missing_content_type"),
        (&[text], "", 400, "empty_body"),
        (&[("content-type", "text")], "x", 400, "invalid_header"),
        (&[("content-type", "application/json")], "[]", 400, "empty_body"),
        (&[("content-type", "application/json")], "{", 400, "invalid_json"),
        (&[text, ("stream-closed", "yes")], "x", 400, "invalid_header"),
        (&[text, ("stream-seq", "")], "x", 400, "invalid_header"),
        (&[text, ("stream-seq", "1"), ("stream-seq", "2")], "x", 400, "invalid_header"),
        (&[text, ("producer-id", "a")], "x", 400, "invalid_header"),
        (&[text, ("content-encoding", "gzip")], "x", 415, "unsupported_content_encoding"),
    ] {
        expect::problem(&append(headers, body).await?, status, code)?;
    }
    let large = front.client.post(PATH).header("content-type", "text/plain").body("x".repeat(1001));
    expect::problem(&large.send().await?, 413, "too_large")?;
    let create =
        |name: &'static str, value: &'static str| front.client.request("PUT", PATH).header(name, value);
    for (name, value) in [
        ("stream-ttl", "01"),
        ("stream-ttl", "-1"),
        ("stream-expires-at", "tomorrow"),
        ("stream-fork-offset", "0000000000000000_0000000000000000"),
        ("stream-fork-sub-offset", "0"),
        ("stream-forked-from", "s"),
        ("content-type", "a/b/c"),
    ] {
        expect::problem(&create(name, value).send().await?, 400, "invalid_header")?;
    }
    expect::problem(
        &create("content-type", "application/json").body("{").send().await?,
        400,
        "invalid_json",
    )?;
    for raw in ["/v1/stream/", "/v1/stream/%zz", "/v1/stream/%00"] {
        expect::problem(&front.client.get(raw).send().await?, 400, "invalid_stream")?;
    }
    for (query, code) in [
        ("offset=", "invalid_offset"),
        ("offset=a&offset=b", "invalid_parameter"),
        ("live=x", "invalid_parameter"),
        ("live=sse", "missing_offset"),
    ] {
        expect::problem(&front.client.get(&format!("{PATH}?{query}")).send().await?, 400, code)?;
    }
    let other = front.client.request("PATCH", PATH).send().await?;
    expect::problem(&other, 405, "method_not_allowed")?;
    assert_eq!(other.head.header("allow"), Some("GET, HEAD, POST, PUT, DELETE"));
    Ok(())
}

/// Absolute, and as the caller sees it.
#[tokio::test]
async fn where_a_new_stream_is() -> anyhow::Result<()> {
    let front = Front::start(Script::of("text/plain", 0, "x"));
    let made = front.client.request("PUT", "/v1/stream/a%20b/c").send().await?;
    assert_eq!(made.status(), 201);
    assert_eq!(
        made.head.header("location"),
        Some(format!("http://{}/v1/stream/a%20b/c", front.bare.address).as_str())
    );
    assert_eq!(
        made.head.header("content-security-policy").map(|policy| policy.contains("sandbox")),
        Some(true)
    );
    Ok(())
}
