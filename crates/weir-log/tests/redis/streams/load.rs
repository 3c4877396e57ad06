//! Many appends.

use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::{FuturesUnordered, iter};
use weir_core::durable::{Appended, From, StreamStore};

use super::{Streams, chunk, name, server};

/// Most that wait for their answers at once: a busy machine answers so many in the time that each has.
const AT_ONCE: usize = 256;

/// Two instances append at once: dense numbers, each given once, and what is read is what was acknowledged.
#[tokio::test]
async fn appends_of_two_instances_are_dense() {
    let server = server().await;
    let (one, two) = (Streams::join(&server).await, Streams::join(&server).await);
    let stream = name("s");
    one.create(&stream).await;
    let appends = iter(0..2000).map(|nth| {
        let (of, stream) = (if nth % 2 == 0 { &one } else { &two }, &stream);
        async move { (of.append(stream, &nth.to_string()).await, nth.to_string()) }
    });
    let mut written: Vec<_> = appends.buffer_unordered(AT_ONCE).collect().await;
    written.sort_unstable();
    assert!(written.iter().map(|(end, _)| end.n()).eq(1..=2000));
    assert_eq!(two.all(&stream).await, written);
}

/// Fifty thousand appends on one connection, and read back whole in pages.
#[tokio::test]
async fn fifty_thousand_appends() {
    let server = server().await;
    let one = Streams::join(&server).await;
    let stream = name("s");
    one.create(&stream).await;
    let start = Instant::now();
    append_many(&one, &stream, 50_000).await;
    println!("50,000 appends in {:?}", start.elapsed());
    println!(
        "{}",
        server.cli(&["INFO", "commandstats"]).await.lines().find(|line| line.contains("evalsha")).unwrap()
    );
    let start = Instant::now();
    let (mut read, mut pages, mut from) = (0, 0, From::Begin);
    loop {
        let page = one.store.read(&stream, from, 100_000).await.unwrap();
        for piece in &page.chunks {
            read += 1;
            assert_eq!(piece.end.n(), read);
        }
        pages += 1;
        if page.is_up_to_date() {
            break;
        }
        let bytes: usize = page.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        assert!((90_000..=100_000).contains(&bytes), "a page is filled: {bytes}");
        from = From::After(page.next);
    }
    println!("read back in {pages} pages in {:?}", start.elapsed());
    assert_eq!(read, 50_000);
}

pub(super) async fn append_many(one: &Streams, stream: &weir_core::durable::StreamName, count: u64) {
    let mut running = FuturesUnordered::new();
    for nth in 0..count {
        running.push(async move { one.store.append(stream, &chunk(&format!("chunk {nth}"))).await });
        if running.len() == AT_ONCE {
            assert!(matches!(running.next().await, Some(Ok(Appended::Written { .. }))));
        }
    }
    while let Some(done) = running.next().await {
        assert!(matches!(done, Ok(Appended::Written { .. })), "{done:?}");
    }
}
