//! Keys that are fetched from whoever publishes them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::ensure;
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use weir_testkit::token::{Kind, Pair, claims, hs256};
use weir_testkit::{DEADLINE, Instance, Response, Secret, Signal, eventually, expect};

use crate::WEIR;

/// What the provider does when it is asked.
#[derive(Clone)]
enum Answer {
    Body(&'static str, Vec<u8>),
    /// The connection is closed.
    Nothing,
    /// Nothing comes, and nothing ends.
    Silence,
    /// It goes on for ever.
    Endless,
}

/// Somebody who publishes keys.
struct Provider {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
    /// Ends with the test.
    _accepting: JoinSet<()>,
}

impl Provider {
    async fn start(answer: Answer) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (answer, asked) = (Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let (answers, count) = (Arc::clone(&answer), Arc::clone(&asked));
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut answering = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let answer = answers.lock().clone();
                answering.spawn(give(tcp, answer));
            }
        });
        Ok(Self { address, answer, asked, _accepting: accepting })
    }

    fn url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn give(mut tcp: TcpStream, answer: Answer) {
    let mut request = [0; 4096];
    let _ = tcp.read(&mut request).await;
    match answer {
        Answer::Body(status, body) => {
            let head =
                format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = tcp.write_all(&[head.into_bytes(), body].concat()).await;
        }
        Answer::Nothing => {}
        Answer::Silence => {
            let _ = tcp.read(&mut request).await;
        }
        Answer::Endless => {
            let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"keys\":[").await;
            while tcp.write_all(&[b' '; 4096]).await.is_ok() {}
        }
    }
}

fn keys(pairs: &[(&Pair, &str)]) -> Answer {
    let keys: Vec<_> = pairs.iter().map(|(pair, id)| pair.jwk(id)).collect();
    Answer::Body("200 OK", json!({ "keys": keys }).to_string().into_bytes())
}

fn token(pair: &Pair, id: &str) -> String {
    let header = json!({"alg": pair.algorithm(), "kid": id}).to_string();
    pair.sign_text(&header, &claims("7", &["s"], &["s"]).to_string())
}

async fn publish(weir: &Instance, token: &str) -> anyhow::Result<Response> {
    weir.client().event("s").bearer(token).body("x").send().await
}

/// A token with a key that is new is taken at once; who is connected stays; and a key that is gone is gone.
#[tokio::test]
async fn keys_come_and_go() -> anyhow::Result<()> {
    let (old, new) = (Pair::new(Kind::P256), Pair::new(Kind::Ed25519));
    let provider = Provider::start(keys(&[(&old, "old")])).await?;
    let url = provider.url();
    let flags = ["--jwks-url", &url, "--jwt-audience", "a", "--jwt-audience", "b"];
    let began = Instant::now();
    let weir = Instance::start(WEIR, &flags).await?;
    let sign = |pair: &Pair, id: &str| {
        let mut claims = claims("7", &["s"], &["s"]);
        claims["aud"] = json!(["b"]);
        pair.sign_text(&json!({"alg": pair.algorithm(), "kid": id}).to_string(), &claims.to_string())
    };
    let mut stream = weir.client().events("s").bearer(&sign(&old, "old")).subscribe().await?;
    publish(&weir, &sign(&old, "old")).await?.event_id()?;
    expect::problem(&publish(&weir, &sign(&new, "old")).await?, 503, "keys_unavailable")?;
    expect::problem(&publish(&weir, &sign(&old, "new")).await?, 503, "keys_unavailable")?;
    // They were just fetched, unless the machine took ten seconds for that.
    assert!(provider.asked() == 1 || began.elapsed() > DEADLINE, "asked {} times", provider.asked());

    // Keys are believed for a while. Whoever has a new one before that comes back by itself, whoever made it so.
    provider.answers(keys(&[(&new, "new")]));
    let mut early = weir.client().events("s").bearer(&sign(&new, "new")).subscribe().await?;
    let (events, _) = early.read_to_end().await?;
    let refused: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(refused, ["weir.refused"]);
    eventually(DEADLINE * 2, async || Ok(publish(&weir, &sign(&new, "new")).await?.event_id().map(drop)?))
        .await?;
    ensure_seldom(&provider, began)?;
    expect::problem(&publish(&weir, &sign(&old, "old")).await?, 503, "keys_unavailable")?;
    assert_eq!(stream.next_data(2).await?.len(), 2);
    // Once it could have been fetched it is unknown.
    eventually(DEADLINE * 2, async || {
        expect::problem(&publish(&weir, &sign(&old, "old")).await?, 401, "token_key_unknown")
    })
    .await?;
    ensure_seldom(&provider, began)
}

/// It was asked at the start, and once in ten seconds from then on.
fn ensure_seldom(provider: &Provider, began: Instant) -> anyhow::Result<()> {
    let most = began.elapsed().as_secs() / 10 + 2;
    ensure!(provider.asked() as u64 <= most, "asked {} times, not {most}", provider.asked());
    Ok(())
}

/// However many keys are made up, they are asked for once in a while.
#[tokio::test]
async fn made_up_keys_do_not_flood_the_provider() -> anyhow::Result<()> {
    let (good, other) = (Pair::new(Kind::P256), Pair::new(Kind::P256));
    let provider = Provider::start(keys(&[(&good, "a")])).await?;
    let weir = Instance::start(WEIR, &["--jwks-url", &provider.url()]).await?;
    let began = Instant::now();
    for nth in 0..200 {
        let forged = token(&other, &format!("made-up-{nth}"));
        let answer = publish(&weir, &forged).await?;
        // Where this takes so long that keys are fetched again, it may be said that the made-up one is not among them.
        if answer.status() == 503 || began.elapsed() < DEADLINE {
            expect::problem(&answer, 503, "keys_unavailable")?;
        } else {
            expect::problem(&answer, 401, "token_key_unknown")?;
        }
    }
    publish(&weir, &token(&good, "a")).await?.event_id()?;
    ensure_seldom(&provider, began)
}

/// Nothing is open until there are keys, and whoever asks for a stream comes back by itself.
#[tokio::test]
async fn without_keys_nobody_gets_in() -> anyhow::Result<()> {
    let pair = Pair::new(Kind::Rsa);
    let provider = Provider::start(Answer::Nothing).await?;
    let weir = Instance::builder(WEIR).flags(&["--jwks-url", &provider.url()]).unready().start().await?;
    let good = token(&pair, "a");
    let ready = weir.admin_client().get("/readyz").send().await?;
    assert_eq!((ready.status(), ready.json()?["waitingFor"].as_str()), (503, Some("the keys of --jwks-url")));
    expect::problem(&publish(&weir, &good).await?, 503, "keys_unavailable")?;
    let poll = weir.client().events("s").bearer(&good).query("wait", "0").send().await?;
    expect::problem(&poll, 503, "keys_unavailable")?;
    let (events, _) = weir.client().events("s").bearer(&good).subscribe().await?.read_to_end().await?;
    let refused: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(refused, ["weir.refused"]);
    expect::problem(&publish(&weir, "x").await?, 401, "token_malformed")?;
    expect::problem(&weir.client().events("s").send().await?, 401, "unauthorized")?;

    provider.answers(keys(&[(&pair, "a")]));
    eventually(DEADLINE, async || Ok(publish(&weir, &good).await?.event_id().map(drop)?)).await
}

/// A provider that is down, lies or is taken over by a proxy changes nothing.
#[tokio::test]
async fn the_last_good_keys_stay() -> anyhow::Result<()> {
    let pair = Pair::new(Kind::P256);
    let provider = Provider::start(keys(&[(&pair, "a")])).await?;
    let weir = Instance::start(WEIR, &["--jwks-url", &provider.url()]).await?;
    let good = token(&pair, "a");
    publish(&weir, &good).await?.event_id()?;
    let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA";
    let oct = json!({"keys": [{"kty": "oct", "k": secret, "alg": "HS256", "kid": "a"}]}).to_string();
    let bad = [
        Answer::Body("503 Service Unavailable", Vec::new()),
        Answer::Body("200 OK", b"<html>log in here</html>".to_vec()),
        Answer::Endless,
        Answer::Body("200 OK", oct.into_bytes()),
    ];
    // The first try comes with the signal, the others after the pauses that follow a failure.
    for (nth, answer) in bad.into_iter().enumerate() {
        provider.answers(answer);
        let asked = provider.asked();
        eventually(DEADLINE * 2, async || {
            if nth == 0 {
                weir.signal(Signal::HUP)?;
            } else {
                let _ = publish(&weir, &token(&pair, "unknown")).await?;
            }
            ensure!(provider.asked() > asked, "not asked again");
            Ok(())
        })
        .await?;
        publish(&weir, &good).await?.event_id()?;
        let forged = hs256(b"secret-secret-secret-secret-secret", r#"{"alg":"HS256","kid":"a"}"#, "{}");
        expect::problem(&publish(&weir, &forged).await?, 401, "token_algorithm")?;
    }
    Ok(())
}

/// Tokens of files do not wait for a provider that does not answer.
#[tokio::test]
async fn a_silent_provider_holds_nobody_up() -> anyhow::Result<()> {
    let secret = Secret::new();
    let provider = Provider::start(Answer::Silence).await?;
    let flags = ["--jwks-url", &provider.url(), "--jwt-secret-file", secret.flag()];
    let weir = Instance::start(WEIR, &flags).await?;
    let began = Instant::now();
    publish(&weir, &secret.token("7", &[], &["s"])).await?.event_id()?;
    ensure!(began.elapsed() < DEADLINE / 2, "{:?}", began.elapsed());
    let pair = Pair::new(Kind::Ed25519);
    expect::problem(&publish(&weir, &token(&pair, "a")).await?, 503, "keys_unavailable")
}
