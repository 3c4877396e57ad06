//! Publishing and learning the outcome.

use std::time::Duration;

use weir_client::{BatchEvent, Client, IdempotencyKey, NewPublish, PublishError, ServerUrl, Token};

use crate::server::{Nobody, Server, answer, client};

fn event(data: &str) -> NewPublish {
    NewPublish { data: data.into(), ..NewPublish::default() }
}

async fn outcome(status: u16, headers: &str, body: &str) -> Result<String, PublishError> {
    let server = Server::start(vec![answer(status, headers, body)]).await;
    client(&server.url).publish("s", &event("x")).await
}

#[tokio::test]
async fn all_that_an_event_has_goes_out() {
    let mut server = Server::start(vec![answer(201, "", r#"{"id":"7-0"}"#)]).await;
    let token = Token::parse("secret").unwrap();
    let client = Client::new(&ServerUrl::parse(&server.url).unwrap(), Some(&token)).unwrap();
    assert!(!format!("{client:?}").contains("secret"));
    let event = NewPublish {
        data: "é\n{}".into(),
        kind: Some("order.created".into()),
        key: Some("ord 42&".into()),
        snapshot: Some(60),
    };
    assert_eq!(client.publish("room/1 ü", &event).await.unwrap(), "7-0");
    let request = server.request().await;
    assert_eq!(
        request.line,
        "POST /v1/sessions/room%2F1%20%C3%BC/events?type=order.created&key=ord+42%26&snapshot=60"
    );
    assert_eq!(request.body, "é\n{}");
    assert_eq!(request.header("authorization"), Some("Bearer secret"));
    assert_eq!(request.header("idempotency-key"), None);
}

#[tokio::test]
async fn an_event_goes_out_under_the_key_of_the_caller() {
    let mut server = Server::start(vec![answer(201, "weir-duplicate: true\r\n", r#"{"id":"7-0"}"#)]).await;
    let key = IdempotencyKey::parse("delivery-7").unwrap();
    assert_eq!(client(&server.url).publish_once("s", &event("x"), &key).await.unwrap(), "7-0");
    assert_eq!(server.request().await.header("idempotency-key"), Some("delivery-7"));
}

#[tokio::test]
async fn sessions_that_no_path_can_hold_go_as_a_batch() {
    for session in [".", ".."] {
        let mut server = Server::start(vec![answer(201, "", r#"{"ids":["7-0"]}"#)]).await;
        let client = client(&server.url);
        assert_eq!(client.publish(session, &event("x")).await.unwrap(), "7-0");
        let request = server.request().await;
        assert_eq!(request.line, "POST /v1/events");
        assert_eq!(request.body, format!("{{\"session\":\"{session}\",\"data\":\"x\"}}\n"));
    }
}

#[tokio::test]
async fn a_batch_is_one_line_an_event() {
    let mut server = Server::start(vec![answer(201, "", r#"{"ids":["7-0","7-1"]}"#)]).await;
    let client = client(&server.url);
    let full =
        NewPublish { kind: Some("t".into()), key: Some("k".into()), snapshot: Some(5), ..event("a\nb") };
    let batch = [
        BatchEvent { session: "a".into(), event: full },
        BatchEvent { session: "b".into(), event: event("{}") },
    ];
    assert_eq!(client.publish_batch(&batch).await.unwrap(), ["7-0", "7-1"]);
    let request = server.request().await;
    assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(
        request.body,
        "{\"session\":\"a\",\"data\":\"a\\nb\",\"type\":\"t\",\"key\":\"k\",\"snapshot\":5}\n\
         {\"session\":\"b\",\"data\":\"{}\"}\n"
    );
}

#[tokio::test]
async fn the_servers_own_words_come_through() {
    let problem = r#"{"status":422,"title":"No","code":"type_reserved","detail":"choose another type"}"#;
    let error = outcome(422, "content-type: application/problem+json\r\n", problem).await.unwrap_err();
    assert_eq!(error.to_string(), "choose another type (HTTP 422, type_reserved)");
    assert!(!error.is_temporary() && error.is_about_the_event());
}

#[tokio::test]
async fn a_limit_says_when_to_come_back() {
    let problem = r#"{"code":"rate_limited","detail":"slow down"}"#;
    let headers = "content-type: application/problem+json\r\nretry-after: 7\r\n";
    let error = outcome(429, headers, problem).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert!(error.is_temporary());
}

#[tokio::test]
async fn answers_of_others_are_told_apart() {
    let error = outcome(502, "content-type: text/html\r\n", "<html>").await.unwrap_err();
    assert_eq!(error.to_string(), "bad gateway (HTTP 502)");
    let error = outcome(308, "location: https://h/x\r\n", "").await.unwrap_err();
    assert_eq!(error.to_string(), "the server points to https://h/x: use that address (HTTP 308)");
    for (status, body) in [(200, r#"{"id":"1-0"}"#), (201, "hello"), (201, "{}")] {
        let error = outcome(status, "", body).await.unwrap_err();
        assert!(matches!(error, PublishError::NotWeir { .. }), "{error}");
        assert!(!error.is_temporary() && !error.is_about_the_event());
    }
}

#[tokio::test]
async fn a_batch_with_too_few_ids_is_no_success() {
    let server = Server::start(vec![answer(201, "", r#"{"ids":[]}"#)]).await;
    let client = client(&server.url);
    let error = client.publish("..", &event("x")).await.unwrap_err();
    assert!(matches!(error, PublishError::NotWeir { .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_and_no_answer_are_told_apart() {
    let nobody = Nobody::new();
    let url = nobody.url();
    let error = client(&url).publish("s", &event("x")).await.unwrap_err();
    assert!(matches!(error, PublishError::Unreachable { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("cannot reach {url}: Connection refused (os error 111)"));

    let server = Server::start(vec![vec![]]).await;
    let error = client(&server.url).publish("s", &event("x")).await.unwrap_err();
    assert!(matches!(error, PublishError::OutcomeUnknown { .. }), "{error:?}");
    assert!(error.is_temporary());
}

#[tokio::test]
async fn readiness_with_its_reason() {
    let ready = Server::start(vec![answer(200, "", "ready")]).await;
    client(&ready.url).check_ready().await.unwrap();
    let waiting = Server::start(vec![answer(503, "", "waiting for\nthe log\n")]).await;
    let error = client(&waiting.url).check_ready().await.unwrap_err();
    assert_eq!(error.to_string(), format!("{} is not ready (HTTP 503): waiting for the log", waiting.url));
    let nobody = Nobody::new();
    let url = nobody.url();
    let error = client(&url).check_ready().await.unwrap_err();
    assert_eq!(error.to_string(), format!("no answer from {url}: Connection refused (os error 111)"));
}
