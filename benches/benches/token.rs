//! What checking a token costs. It is done once for each call, and never for an event; 60 µs for HS256 are allowed.

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use criterion::{Criterion, criterion_group, criterion_main};
use weir_http::auth::denial::Denial;
use weir_http::auth::key::Key;
use weir_http::auth::keyring::Keyring;
use weir_http::auth::mint::{Order, SigningKey};
use weir_http::auth::token::Token;
use weir_http::auth::tokens::{Rules, Tokens};

const NOW_SECS: u64 = 1_795_000_000;

const SECRET: &[u8] = b"a secret that is long enough for HS256";

/// As an application makes them, and with as many patterns as fit a header of 8 KiB.
fn tokens() -> [(&'static str, String); 2] {
    let key = SigningKey::secret(SECRET).expect("the secret is long enough");
    let few = vec!["user:{sub}".to_owned(), "news".to_owned()];
    let many: Vec<_> = (0..200).map(|nth| format!("project:{nth}:documents:*")).collect();
    [("HS256", few), ("HS256, 200 patterns", many)].map(|(name, subscribe)| {
        let order = Order {
            subject: Some("7f3c2a10-5c55-4f0e-9d0b-2b8f4f6f1c11".to_owned()),
            subscribe,
            lifetime_secs: 3600,
            audience: vec!["weir".to_owned()],
            issuer: Some("https://issuer.example".to_owned()),
            ..Order::default()
        };
        (name, key.mint(&order, NOW_SECS).expect("a secret signs"))
    })
}

/// Without a provider of keys nothing is waited for.
fn check(tokens: &Tokens, text: &str) -> Result<Token, Denial> {
    match pin!(tokens.check(text, NOW_SECS)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(checked) => checked,
        Poll::Pending => unreachable!("there is no provider"),
    }
}

fn check_tokens(criterion: &mut Criterion) {
    let keyring = Keyring::new(vec![Key::secret(SECRET).expect("the secret is long enough")]);
    let rules =
        Rules { audience: vec!["weir".to_owned()], issuer: vec!["https://issuer.example".to_owned()] };
    let checker = Tokens { keyring, rules, cookie: String::new() };
    for (name, token) in tokens() {
        assert!(check(&checker, &token).is_ok(), "{name}");
        criterion
            .bench_function(&format!("token: {name}"), |bencher| bencher.iter(|| check(&checker, &token)));
    }
    let (_, good) = &tokens()[0];
    let forged = format!("{}A", &good[..good.len() - 1]);
    assert_eq!(check(&checker, &forged).err(), Some(Denial::Signature));
    criterion.bench_function("token: HS256, forged", |bencher| bencher.iter(|| check(&checker, &forged)));
}

criterion_group!(benches, check_tokens);
criterion_main!(benches);
