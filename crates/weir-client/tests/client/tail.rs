//! Following sessions.

use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use weir_client::{Item, Notice, Tail, TailError, TailRequest};

use crate::server::{SOON, Server, Step, answer, client, stream};

/// What a weir says first, with a pause short enough for a test.
const CONNECTED: &str = "retry: 100\nevent: weir.connected\nid: 5-0\ndata: {\"heartbeat\":15000}\n\n";

fn frame(id: &str, data: &str) -> String {
    format!(
        "id: {id}\ndata: {{\"id\":\"{id}\",\"session\":\"a\",\"type\":null,\"key\":null,\"data\":\"{data}\",\"ts\":5}}\n\n"
    )
}

fn of(sessions: &[&str]) -> TailRequest {
    TailRequest { sessions: sessions.iter().map(|&s| s.to_owned()).collect(), ..TailRequest::default() }
}

fn follow(server: &Server, request: TailRequest) -> Tail {
    client(&server.url).tail(request).unwrap()
}

async fn next(tail: &mut Tail) -> Item {
    timeout(SOON, tail.next()).await.expect("nothing came").unwrap()
}

/// What comes next, in short: the data of an event, the text of a notice.
async fn short(tail: &mut Tail) -> String {
    match next(tail).await {
        Item::Event(event) => event.data,
        Item::Notice(notice) => notice.to_string(),
    }
}

async fn expect_disconnect(tail: &mut Tail) -> (String, Duration) {
    let item = next(tail).await;
    let Item::Notice(Notice::Disconnected { why, pause }) = item else { panic!("{item:?}") };
    (why, pause)
}

#[tokio::test]
async fn asks_for_what_was_said() {
    let mut server = Server::start(vec![vec![stream(CONNECTED), Step::Hang]]).await;
    let request = TailRequest {
        from: Some("earliest".into()),
        types: vec!["x".into(), "y z".into()],
        keys: vec!["k&".into()],
        ..of(&["a", "b/ü"])
    };
    let mut tail = follow(&server, request);
    assert_eq!(short(&mut tail).await, "connected");
    let request = server.request().await;
    assert_eq!(
        request.line,
        "GET /v1/events?session=a&session=b%2F%C3%BC&type=x&type=y+z&key=k%26&format=json"
    );
    assert_eq!(request.header("last-event-id"), Some("earliest"));
    assert_eq!(request.header("accept"), Some("text/event-stream"));
}

#[tokio::test]
async fn resumes_where_it_was() {
    let mut server = Server::start(vec![
        vec![stream(&format!("{CONNECTED}{}", frame("7-0", "one")))],
        vec![stream(CONNECTED.replace("5-0", "8-0").as_str())],
        vec![stream(&format!("{CONNECTED}:\n{}", frame("9-0", "two"))), Step::Hang],
    ])
    .await;
    let mut tail = follow(&server, of(&["a"]));
    assert_eq!(server_then(&mut server, &mut tail).await, None);
    assert_eq!(short(&mut tail).await, "one");
    let (why, pause) = expect_disconnect(&mut tail).await;
    assert_eq!(why, "the server ended the stream");
    assert!((100..=120).contains(&pause.as_millis()), "{pause:?} is not what retry said");
    assert_eq!(server_then(&mut server, &mut tail).await.as_deref(), Some("7-0"));
    expect_disconnect(&mut tail).await;
    // A position of a control event counts like that of an event.
    assert_eq!(server_then(&mut server, &mut tail).await.as_deref(), Some("8-0"));
    assert_eq!(short(&mut tail).await, "two");
}

/// `0-0` would ask for whatever is held, and be told nothing of what is not.
#[tokio::test]
async fn who_was_there_when_the_log_was_empty_says_so() {
    let empty = CONNECTED.replace("5-0", "0-0");
    let mut server = Server::start(vec![vec![stream(&empty)], vec![stream(&empty)]]).await;
    let mut tail = follow(&server, of(&["a"]));
    assert_eq!(server_then(&mut server, &mut tail).await, None);
    expect_disconnect(&mut tail).await;
    assert_eq!(server_then(&mut server, &mut tail).await.as_deref(), Some("0-1"));
}

/// Gets connected and tells the position that was asked for.
async fn server_then(server: &mut Server, tail: &mut Tail) -> Option<String> {
    assert_eq!(short(tail).await, "connected");
    server.request().await.header("last-event-id").map(str::to_owned)
}

#[tokio::test]
async fn tells_all_that_happens_in_its_place() {
    let text = [
        CONNECTED,
        &frame("7-0", "one"),
        "event: weir.gap\ndata: {\"reason\":\"overflow\",\"session\":\"a\",\"missed\":2,\"after\":null,\"before\":null}\n\n",
        "event: weir.ping\nid: 8-0\ndata: {\"ts\":1}\n\n",
        &frame("9-0", "two"),
        "event: weir.degraded\ndata: {\"since\":1}\n\nevent: weir.restored\ndata: {}\n\n",
        "id: 9-5\ndata: {no json\n\n",
        &frame("10-0", "three"),
        "retry: 200\nevent: weir.shutdown\ndata: {\"reconnect\":200}\n\n",
    ]
    .concat();
    let mut server = Server::start(vec![vec![stream(&text)], vec![stream(CONNECTED), Step::Hang]]).await;
    let mut tail = follow(&server, of(&["a"]));
    let mut told = Vec::new();
    for _ in 0..9 {
        told.push(short(&mut tail).await);
    }
    assert!(told[6].starts_with("skipped the event at 9-5: "), "{told:?}");
    told.remove(6);
    assert_eq!(
        told,
        [
            "connected",
            "one",
            "gap (overflow): 2 events missed of session a",
            "two",
            "degraded: the instance lost its log and waits for it",
            "restored: the instance found its log again",
            "three",
            "shutdown: the instance goes away",
        ]
    );
    let (_, pause) = expect_disconnect(&mut tail).await;
    assert!((200..=240).contains(&pause.as_millis()), "{pause:?}");
    assert_eq!(short(&mut tail).await, "connected");
    assert_eq!(server.request().await.header("last-event-id"), None);
    assert_eq!(server.request().await.header("last-event-id"), Some("10-0"));
}

#[tokio::test]
async fn a_soft_refusal_brings_it_back_later_each_time() {
    let refusal = "retry: 100\nevent: weir.refused\ndata: {\"reason\":\"limit\",\"reconnect\":100}\n\n";
    let server = Server::start(vec![
        vec![stream(refusal)],
        vec![stream(refusal)],
        vec![stream(refusal)],
        vec![stream(CONNECTED), Step::Hang],
    ])
    .await;
    let mut tail = follow(&server, of(&["a"]));
    for step in [100, 200, 400] {
        assert_eq!(short(&mut tail).await, "refused for now: limit");
        let (_, pause) = expect_disconnect(&mut tail).await;
        assert!((step * 4 / 5..=step * 6 / 5).contains(&pause.as_millis()), "{pause:?}");
    }
    assert_eq!(short(&mut tail).await, "connected");
}

#[tokio::test]
async fn what_retrying_cannot_mend_ends_it() {
    for status in [400, 401, 403, 404] {
        let problem = r#"{"code":"c","detail":"no"}"#;
        let headers = "content-type: application/problem+json\r\n";
        let server = Server::start(vec![answer(status, headers, problem)]).await;
        let error = timeout(SOON, follow(&server, of(&["a"])).next()).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), format!("no (HTTP {status}, c)"));
    }
}

#[tokio::test]
async fn what_retrying_can_mend_is_retried() {
    let no_stream = answer(200, "content-type: text/html\r\n", "<html>");
    let busy = answer(503, "retry-after: 1\r\n", "");
    let server = Server::start(vec![busy, no_stream, vec![], vec![stream(CONNECTED), Step::Hang]]).await;
    let mut tail = follow(&server, of(&["a"]));
    let first = Instant::now();
    assert_eq!(expect_disconnect(&mut tail).await.0, "service unavailable (HTTP 503)");
    let (why, _) = expect_disconnect(&mut tail).await;
    assert!(first.elapsed() >= Duration::from_secs(1), "Retry-After was not heeded");
    assert_eq!(why, "the answer is \"text/html\" and no event stream: is it a weir?");
    let (why, _) = expect_disconnect(&mut tail).await;
    assert!(why.starts_with(&format!("cannot reach {}: ", server.url)), "{why}");
    assert_eq!(short(&mut tail).await, "connected");
}

#[tokio::test]
async fn a_silent_connection_is_left() {
    let quick = CONNECTED.replace("15000", "40");
    let mut server =
        Server::start(vec![vec![stream(&quick), Step::Hang], vec![stream(CONNECTED), Step::Hang]]).await;
    let mut tail = follow(&server, of(&["a"]));
    assert_eq!(short(&mut tail).await, "connected");
    let (why, _) = expect_disconnect(&mut tail).await;
    assert_eq!(why, "nothing came for 100.0ms");
    assert_eq!(short(&mut tail).await, "connected");
    server.request().await;
    assert_eq!(server.request().await.header("last-event-id"), Some("5-0"));
}

#[tokio::test]
async fn a_heartbeat_that_cannot_be_is_not_believed() {
    for heartbeat in ["0", "18446744073709551615"] {
        let odd = CONNECTED.replace("15000", heartbeat);
        let server =
            Server::start(vec![vec![stream(&format!("{odd}{}", frame("7-0", "one"))), Step::Hang]]).await;
        let mut tail = follow(&server, of(&["a"]));
        assert_eq!(short(&mut tail).await, "connected");
        assert_eq!(short(&mut tail).await, "one");
    }
}

/// Drops every call after one poll: nothing may be lost or started anew.
#[tokio::test]
async fn a_call_that_is_dropped_loses_nothing() {
    let [one, two] = [frame("7-0", "one"), frame("8-0", "two")];
    let (head, rest) = one.split_at(20);
    let script =
        vec![stream(&format!("{CONNECTED}{head}")), Step::Send(rest.to_owned()), Step::Send(two), Step::Hang];
    let server = Server::start(vec![script]).await;
    let mut tail = follow(&server, of(&["a"]));
    let mut told = Vec::new();
    let deadline = Instant::now() + SOON;
    while told.len() < 3 {
        assert!(Instant::now() < deadline, "only {told:?} came");
        match poll_once(&mut tail).await {
            Some(Item::Event(event)) => told.push(event.data),
            Some(Item::Notice(notice)) => told.push(notice.to_string()),
            None => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    assert_eq!(told, ["connected", "one", "two"]);
}

async fn poll_once(tail: &mut Tail) -> Option<Item> {
    let mut call = pin!(tail.next());
    std::future::poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(item) => Poll::Ready(Some(item.unwrap())),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn a_position_that_no_header_can_hold_is_refused() {
    let client = client("http://127.0.0.1:1");
    for bad in ["", "a\nb"] {
        let refused = client.tail(TailRequest { from: Some(bad.into()), ..of(&["a"]) });
        assert!(matches!(refused, Err(TailError::BadPosition)), "{bad:?}");
    }
}
