//! The retry queue.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use weir_client::{Bounds, Counts, NewPublish, Offer, Publisher};

use crate::server::{SOON, Server, Step, answer, client, nobody};

fn event(data: &str) -> NewPublish {
    NewPublish { data: data.into(), ..NewPublish::default() }
}

fn yes() -> Vec<Step> {
    answer(201, "", r#"{"id":"7-0"}"#)
}

fn publisher(url: &str, bounds: Bounds) -> Publisher {
    Publisher::start(client(url), bounds)
}

#[tokio::test]
async fn delivers_in_order_each_under_its_own_key() {
    let mut server = Server::start(vec![yes(), yes(), yes()]).await;
    let publisher = publisher(&server.url, Bounds::default());
    for data in ["a", "b", "c"] {
        assert_eq!(publisher.offer("s", event(data)), Offer::Queued);
    }
    let mut keys = Vec::new();
    for data in ["a", "b", "c"] {
        let request = server.request().await;
        assert_eq!(request.body, data);
        keys.push(request.header("idempotency-key").unwrap().to_owned());
    }
    keys.dedup();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| key.len() == 32));
    assert_eq!(publisher.close(SOON).await, Counts { delivered: 3, ..Counts::default() });
}

#[tokio::test]
async fn a_lost_answer_and_an_outage_repeat_the_same_key() {
    let unavailable = answer(503, "", "");
    let mut server = Server::start(vec![vec![], unavailable, yes()]).await;
    let publisher = publisher(&server.url, Bounds::default());
    let _ = publisher.offer("s", event("a"));
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.push(server.request().await.header("idempotency-key").unwrap().to_owned());
    }
    keys.dedup();
    assert_eq!(keys.len(), 1);
    assert_eq!(publisher.close(SOON).await.delivered, 1);
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
async fn an_event_that_is_refused_does_not_hold_up_the_next() {
    let server = Server::start(vec![answer(422, "", ""), yes()]).await;
    let publisher = publisher(&server.url, Bounds::default());
    let _ = publisher.offer("s", event("a"));
    let _ = publisher.offer("s", event("b"));
    assert_eq!(publisher.close(SOON).await, Counts { delivered: 1, refused: 1, ..Counts::default() });
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

    let mut server = Server::on(listener, vec![yes(), yes()]);
    assert_eq!([server.request().await.body, server.request().await.body], ["a", "b"]);
    assert_eq!(by_count.close(SOON).await, Counts { delivered: 2, overflowed: 1, ..Counts::default() });
    assert_eq!(by_count.offer("s", event("d")), Offer::Closed);
    assert_eq!(by_count.counts().overflowed, 2);
}

#[tokio::test]
async fn bytes_are_bounded_too() {
    let publisher = publisher(&format!("http://{}", nobody().await), Bounds { events: 100, bytes: 10 });
    assert_eq!(publisher.offer("s", event("12345678")), Offer::Queued);
    assert_eq!(publisher.offer("s", event("1")), Offer::Full);
    assert_eq!(publisher.offer("", event("1")), Offer::Queued);
}

#[tokio::test]
async fn closing_ends_in_time_and_says_what_is_left() {
    let publisher = publisher(&format!("http://{}", nobody().await), Bounds::default());
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
    let address = nobody().await;
    let publisher = publisher(&format!("http://{address}"), Bounds::default());
    for data in ["a", "b"] {
        assert_eq!(publisher.offer("s", event(data)), Offer::Queued);
    }
    let listener = TcpListener::bind(address).await.unwrap();
    let mut server = Server::on(listener, vec![yes(), yes()]);
    assert_eq!([server.request().await.body, server.request().await.body], ["a", "b"]);
    assert_eq!(publisher.close(SOON).await.delivered, 2);
}
