//! Tokens that are checked with public keys.

use std::path::Path;

use anyhow::Context as _;
use serde_json::json;
use weir_testkit::token::{Kind, Pair, claims, hs256, message};
use weir_testkit::{Instance, Secret, expect};

use crate::WEIR;

fn name(file: &Path) -> &str {
    file.to_str().expect("a temporary path is text")
}

async fn publish(weir: &Instance, token: &str) -> anyhow::Result<weir_testkit::Response> {
    weir.client().event("s").bearer(token).body("x").send().await
}

/// Each key takes its own tokens, and two of a kind may be there at once.
#[tokio::test]
async fn each_algorithm() -> anyhow::Result<()> {
    let secret = Secret::new();
    let pairs = [Kind::Rsa, Kind::P256, Kind::P256, Kind::Ed25519].map(Pair::new);
    let stranger = [Kind::P256, Kind::Ed25519].map(Pair::new);
    let both = tempfile::NamedTempFile::new()?;
    std::fs::write(both.path(), format!("{}\n{}", pairs[2].public_pem(), pairs[3].public_pem()))?;
    let mut flags = vec!["--jwt-secret-file", secret.flag()];
    for file in [pairs[0].public(), pairs[1].public(), both.path()] {
        flags.extend(["--jwt-public-key-file", name(file)]);
    }
    let weir = Instance::start(WEIR, &flags).await?;
    let claims = claims("7", &["s"], &["s"]);
    publish(&weir, &secret.sign(&claims)).await?.event_id()?;
    for pair in &pairs {
        publish(&weir, &pair.sign(&claims)).await?.event_id().with_context(|| pair.algorithm())?;
        // What a header says about keys is not looked at.
        let header = json!({"alg": pair.algorithm(), "kid": "x", "jku": "http://127.0.0.1:1/", "x5u": "file:///etc/passwd",
            "x5c": ["AAAA"], "jwk": stranger[0].jwk("x")});
        publish(&weir, &pair.sign_text(&header.to_string(), &claims.to_string())).await?.event_id()?;
    }
    for pair in stranger {
        expect::problem(&publish(&weir, &pair.sign(&claims)).await?, 401, "token_signature")?;
        let header = json!({"alg": pair.algorithm(), "jwk": pair.jwk("x")}).to_string();
        let own = pair.sign_text(&header, &claims.to_string());
        expect::problem(&publish(&weir, &own).await?, 401, "token_signature")?;
    }
    Ok(())
}

/// A key is for one algorithm, whatever a token says.
#[tokio::test]
async fn a_token_cannot_choose_the_algorithm() -> anyhow::Result<()> {
    let pairs = [Kind::Rsa, Kind::P256, Kind::Ed25519].map(Pair::new);
    let claims = claims("7", &["s"], &["s"]).to_string();
    for pair in &pairs {
        let weir = Instance::start(WEIR, &["--jwt-public-key-file", name(pair.public())]).await?;
        let pem = pair.public_pem();
        // The public key taken for a secret, as the file has it and without its line end.
        for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), &pem.replace("\r\n", "\n").into_bytes()] {
            let token = hs256(secret, r#"{"alg":"HS256"}"#, &claims);
            expect::problem(&publish(&weir, &token).await?, 401, "token_algorithm")?;
            let token = hs256(secret, &format!(r#"{{"alg":{:?}}}"#, pair.algorithm()), &claims);
            expect::problem(&publish(&weir, &token).await?, 401, "token_signature")?;
        }
        for other in pairs.iter().filter(|other| other.algorithm() != pair.algorithm()) {
            let token = other.sign_text(&format!(r#"{{"alg":{:?}}}"#, pair.algorithm()), &claims);
            expect::problem(&publish(&weir, &token).await?, 401, "token_signature")?;
            let token = other.sign_text(&format!(r#"{{"alg":{:?}}}"#, other.algorithm()), &claims);
            expect::problem(&publish(&weir, &token).await?, 401, "token_algorithm")?;
        }
        // Signatures that are zero, empty, or of the wrong length.
        let signed = message(&format!(r#"{{"alg":{:?}}}"#, pair.algorithm()), &claims);
        for zeros in [0, 43, 86, 342] {
            let token = format!("{signed}.{}", "A".repeat(zeros));
            expect::problem(&publish(&weir, &token).await?, 401, "token_signature")?;
        }
    }
    Ok(())
}
