//! The retry queue.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use weir_client::{Bounds, Client, Counts, NewPublish, Offer, Publisher, ServerUrl, Token};

use crate::server::{Nobody, Request, SOON, Server, Step, answer, client};

fn event(data: &str) -> NewPublish {
    NewPublish { data: data.into(), ..NewPublish::default() }
}

/// As many ids as there were events.
fn took(count: usize) -> Vec<Step> {
    answer(201, "", &format!("{{\"ids\":[{}]}}", vec!["\"7-0\""; count].join(",")))
}

fn yes() -> Vec<Step> {
    took(1)
}

/// The data of the events that a request brought.
fn data(request: &Request) -> Vec<&str> {
    assert_eq!(request.line, "POST /v1/events");
    let data = |line: &'_ str| line.split("\"data\":\"").nth(1).map(|rest| rest.len());
    request
        .body
        .lines()
        .map(|line| line[line.len() - data(line).unwrap()..].split('"').next().unwrap())
        .collect()
}

fn key(request: &Request) -> String {
    request.header("idempotency-key").unwrap().to_owned()
}

fn publisher(url: &str, bounds: Bounds) -> Publisher {
    Publisher::start(client(url), bounds)
}

#[tokio::test]
async fn delivers_in_order_and_many_at_once_each_batch_under_its_own_key() {
    let mut server = Server::start(vec![took(200), took(200), took(50)]).await;
    let publisher = publisher(&server.url, Bounds::default());
    let all: Vec<String> = (0..450).map(|n| n.to_string()).collect();
    for data in &all {
        // Nothing else runs meanwhile.
        assert_eq!(publisher.offer("s", event(data)), Offer::Queued);
    }
    let (mut seen, mut keys) = (Vec::new(), HashSet::new());
    for count in [200, 200, 50] {
        let request = server.request().await;
        assert_eq!(data(&request).len(), count);
        seen.extend(data(&request).into_iter().map(str::to_owned));
        assert_eq!(key(&request).len(), 32);
        keys.insert(key(&request));
    }
    assert_eq!((seen, keys.len()), (all, 3));
    assert_eq!(publisher.close(SOON).await, Counts { delivered: 450, ..Counts::default() });
}

#[tokio::test]
async fn a_batch_is_bounded_in_bytes_but_an_event_always_fits_one() {
    let mut server = Server::start(vec![yes(), yes(), took(2)]).await;
    let publisher = publisher(&server.url, Bounds::default());
    for size in [600, 300, 300, 0] {
        let _ = publisher.offer("s", event(&"x".repeat(size * 1024)));
    }
    for sizes in [vec![600], vec![300], vec![300, 0]] {
        let request = server.request().await;
        assert_eq!(data(&request).iter().map(|data| data.len() / 1024).collect::<Vec<_>>(), sizes);
    }
}

#[tokio::test]
async fn a_lost_answer_and_an_outage_repeat_the_same_under_the_same_key() {
    let mut server = Server::start(vec![vec![], answer(503, "", ""), yes(), yes()]).await;
    let publisher = publisher(&server.url, Bounds::default());
    let _ = publisher.offer("s", event("a"));
    let first = server.request().await;
    // What comes meanwhile must not change what goes out under that key.
    let _ = publisher.offer("s", event("b"));
    for _ in 0..2 {
        let again = server.request().await;
        assert_eq!((key(&again), &again.body), (key(&first), &first.body));
    }
    let next = server.request().await;
    assert_eq!(data(&next), ["b"]);
    assert_ne!(key(&next), key(&first));
    assert_eq!(publisher.close(SOON).await.delivered, 2);
}

#[tokio::test]
async fn comes_back_no_earlier_than_the_server_asks() {
    let mut server = Server::start(vec![answer(429, "retry-after: 1\r\n", ""), yes()]).await;
    let publisher = publisher(&server.url, Bounds::default());
    let _ = publisher.offer("s", event("a"));
    server.request().await;
    let first = Instant::now();
    server.request().await;
    assert!(first.elapsed() >= Duration::from_millis(950), "{:?}", first.elapsed());
    assert_eq!(publisher.close(SOON).await.delivered, 1);
}

#[tokio::test]
async fn an_event_that_is_refused_holds_up_nobody_and_takes_no_other_with_it() {
    let no = || answer(422, "", "");
    let mut server = Server::start(vec![no(), yes(), no(), yes(), took(2)]).await;
    let publisher = publisher(&server.url, Bounds::default());
    for data in ["a", "bad", "b"] {
        let _ = publisher.offer("s", event(data));
    }
    for want in [&["a", "bad", "b"][..], &["a"], &["bad"], &["b"]] {
        assert_eq!(data(&server.request().await), want);
    }
    // And then it is as it was.
    for data in ["c", "d"] {
        let _ = publisher.offer("s", event(data));
    }
    assert_eq!(data(&server.request().await), ["c", "d"]);
    assert_eq!(publisher.close(SOON).await, Counts { delivered: 4, refused: 1, ..Counts::default() });
}

#[tokio::test]
async fn what_is_about_the_way_there_costs_no_event() {
    let script = vec![answer(401, "", ""), answer(200, "", ""), answer(201, "", r#"{"ids":[]}"#), yes()];
    let mut server = Server::start(script).await;
    let publisher = publisher(&server.url, Bounds::default());
    let _ = publisher.offer("s", event("a"));
    let first = key(&server.request().await);
    for _ in 0..3 {
        assert_eq!(key(&server.request().await), first);
    }
    assert_eq!(publisher.close(SOON).await, Counts { delivered: 1, ..Counts::default() });
}

#[tokio::test]
async fn a_token_is_renewed_under_way() {
    let mut server = Server::start(vec![answer(401, "", ""), yes()]).await;
    let old = Token::parse("old").unwrap();
    let client = Client::new(&ServerUrl::parse(&server.url).unwrap(), Some(&old)).unwrap();
    let publisher = Publisher::start(client.clone(), Bounds::default());
    let _ = publisher.offer("s", event("a"));
    assert_eq!(server.request().await.header("authorization"), Some("Bearer old"));
    client.renew(&Token::parse("new").unwrap());
    assert_eq!(server.request().await.header("authorization"), Some("Bearer new"));
    assert_eq!(publisher.close(SOON).await.delivered, 1);
}

#[tokio::test]
async fn closing_does_not_wait_for_a_pause_of_its_own_making() {
    let away = (0..4).map(|_| answer(503, "", "")).chain([yes()]).collect();
    let mut server = Server::start(away).await;
    let publisher = publisher(&server.url, Bounds::default());
    let _ = publisher.offer("s", event("a"));
    for _ in 0..4 {
        server.request().await;
    }
    // The pause after the fourth failure is 1.6 s at least.
    assert_eq!(
        publisher.close(Duration::from_millis(1500)).await,
        Counts { delivered: 1, ..Counts::default() }
    );
}

#[tokio::test]
async fn overflow_is_told_and_counted_and_the_rest_is_delivered_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // The listener takes connections into its backlog and nobody answers: the broker hangs.
    let by_count = publisher(&url, Bounds { events: 2, bytes: 1000 });
    let offers = ["a", "b", "c"].map(|data| by_count.offer("s", event(data)));
    assert_eq!(offers, [Offer::Queued, Offer::Queued, Offer::Full]);
    assert_eq!(by_count.counts(), Counts { overflowed: 1, waiting: 2, ..Counts::default() });

    let mut server = Server::on(listener, vec![took(2)]);
    assert_eq!(data(&server.request().await), ["a", "b"]);
    assert_eq!(by_count.close(SOON).await, Counts { delivered: 2, overflowed: 1, ..Counts::default() });
    assert_eq!(by_count.offer("s", event("d")), Offer::Closed);
    assert_eq!(by_count.counts().overflowed, 2);
}

#[tokio::test]
async fn bytes_are_bounded_too() {
    let nobody = Nobody::new();
    let publisher = publisher(&nobody.url(), Bounds { events: 100, bytes: 10 });
    assert_eq!(publisher.offer("s", event("12345678")), Offer::Queued);
    assert_eq!(publisher.offer("s", event("1")), Offer::Full);
    assert_eq!(publisher.offer("", event("1")), Offer::Queued);
}

#[tokio::test]
async fn room_is_given_back() {
    let mut server = Server::start(vec![yes(), answer(422, "", ""), yes()]).await;
    let publisher = publisher(&server.url, Bounds { events: 1, bytes: 10 });
    for dealt_with in 1..=3 {
        assert_eq!(publisher.offer("s", event("12345678")), Offer::Queued);
        server.request().await;
        let end = Instant::now() + SOON;
        while publisher.counts().delivered + publisher.counts().refused < dealt_with {
            assert!(Instant::now() < end, "{:?}", publisher.counts());
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(publisher.counts(), Counts { delivered: 2, refused: 1, ..Counts::default() });
}

#[tokio::test]
async fn closing_ends_in_time_and_says_what_is_left() {
    let nobody = Nobody::new();
    let publisher = publisher(&nobody.url(), Bounds::default());
    for data in ["a", "b"] {
        let _ = publisher.offer("s", event(data));
    }
    let before = Instant::now();
    let counts = publisher.close(Duration::from_millis(50)).await;
    assert!(before.elapsed() < SOON);
    assert_eq!(counts, Counts { waiting: 2, ..Counts::default() });
}

#[tokio::test]
async fn delivers_what_waited_once_the_broker_is_back() {
    let nobody = Nobody::new();
    let publisher = publisher(&nobody.url(), Bounds::default());
    for data in ["a", "b"] {
        assert_eq!(publisher.offer("s", event(data)), Offer::Queued);
    }
    let mut server = Server::on(nobody.listen(), vec![took(2)]);
    assert_eq!(data(&server.request().await), ["a", "b"]);
    assert_eq!(publisher.close(SOON).await.delivered, 2);
}
