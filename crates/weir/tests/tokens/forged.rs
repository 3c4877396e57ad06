//! Every token that is not right is refused, and its answer says why without repeating anything of it.

use anyhow::Context as _;
use serde_json::{Value, json};
use weir_testkit::token::{claims, hs256, message, now_secs};
use weir_testkit::{Instance, Secret, expect};

use crate::WEIR;

/// What stands in tokens and must not stand in answers.
const CANARY: &str = "canary-3f9c";

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Good claims, but for these.
fn but(name: &str, value: Value) -> Value {
    let mut claims = claims(CANARY, &["*"], &["*"]);
    claims[name] = value;
    claims
}

/// The answer has this code, names the claim or the field that is wrong, where there is one, and says nothing of the token.
async fn refused(weir: &Instance, token: &str, (code, names): (&str, &str)) -> anyhow::Result<()> {
    let publish = weir.client().event("s").bearer(token).body("x").send().await?;
    let subscribe = weir.client().events("s").query("token", token).query("wait", "0").send().await?;
    for answer in [publish, subscribe] {
        expect::problem(&answer, 401, code).with_context(|| token.chars().take(300).collect::<String>())?;
        assert_eq!(answer.head.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        let detail = answer.json()?["detail"].as_str().context("a detail")?.to_owned();
        assert!(names.is_empty() || detail.contains(&format!("`{names}`")), "no {names} in {detail}");
        assert!(!format!("{answer:?}").contains(CANARY) && !answer.text()?.contains(CANARY), "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn signatures_and_algorithms() -> anyhow::Result<()> {
    let secret = Secret::of(CANARY.repeat(4).as_bytes());
    let weir = Instance::start(WEIR, &["--jwt-secret-file", secret.flag()]).await?;
    let good = claims(CANARY, &["*"], &["*"]).to_string();
    for alg in [
        "none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "HS384", "HS512", "RS256", "ES256", "EdDSA",
        "PS256", CANARY,
    ] {
        let header = json!({"alg": alg}).to_string();
        for token in [secret.sign_text(&header, &good), format!("{}.", message(&header, &good))] {
            refused(&weir, &token, ("token_algorithm", "alg")).await?;
        }
    }
    refused(&weir, &secret.sign_text(r#"{"typ":"JWT"}"#, &good), ("token_algorithm", "alg")).await?;
    for other in [&b""[..], b"x", CANARY.as_bytes()] {
        refused(&weir, &hs256(other, HEADER, &good), ("token_signature", "")).await?;
    }
    let token = secret.sign_text(HEADER, &good);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    refused(&weir, &format!("{signed}."), ("token_signature", "")).await?;
    refused(&weir, &format!("{signed}.{}", &signature[..20]), ("token_signature", "")).await?;
    let swapped = message(HEADER, &but("sub", json!("admin")).to_string());
    refused(&weir, &format!("{swapped}.{signature}"), ("token_signature", "")).await?;
    for (field, value) in [("kid", "../../dev/null"), ("kid", CANARY), ("typ", CANARY), ("cty", CANARY)] {
        let header = json!({"alg": "HS256", field: value}).to_string();
        let other = message(&header, &good);
        refused(&weir, &format!("{other}.{signature}"), ("token_signature", "")).await?;
    }
    Ok(())
}

/// A text that is no token, or whose header or claims are none.
#[tokio::test]
async fn texts_that_are_no_tokens() -> anyhow::Result<()> {
    let secret = Secret::new();
    let weir = Instance::start(WEIR, &["--jwt-secret-file", secret.flag()]).await?;
    let good = claims(CANARY, &["*"], &["*"]).to_string();
    let token = secret.sign_text(HEADER, &good);
    for bad in
        [CANARY, "a.b", "a.b.c", "..", "....", "a.b.c.d.e", &format!("{token}="), &format!("{token}.x")]
    {
        refused(&weir, bad, ("token_malformed", "")).await?;
    }
    for header in [
        "",
        "[]",
        "{}x",
        "\"HS256\"",
        r#"["HS256"]"#,
        r#"{"alg":1}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","kid":{}}"#,
        &json!({"alg": "HS256", "kid": {CANARY: 1}}).to_string(),
        &json!({"alg": [CANARY]}).to_string(),
        &json!({"alg": "HS256", "crit": [CANARY]}).to_string(),
    ] {
        refused(&weir, &secret.sign_text(header, &good), ("token_malformed", "")).await?;
    }
    let twice = good.replacen('{', "{\"exp\":99999999999,", 1);
    for claims in [
        "",
        "null",
        "[]",
        "[1,2,3,4,5,6,7]",
        "\"x\"",
        "{",
        &twice,
        &good.replacen("\"sub\"", "\"sub\":\"x\",\"sub\"", 1),
    ] {
        refused(&weir, &secret.sign_text(HEADER, claims), ("token_malformed", "")).await?;
    }
    let long = secret.sign(&but("x", json!("x".repeat(7000))));
    refused(&weir, &long, ("token_malformed", "")).await
}

/// An instance that looks at every claim, and claims that it takes.
struct Strict {
    weir: Instance,
    secret: Secret,
    good: Value,
}

impl Strict {
    async fn start() -> anyhow::Result<Self> {
        let secret = Secret::new();
        let rules =
            ["--jwt-audience", "weir", "--jwt-audience", "b", "--jwt-issuer", "https://issuer.example"];
        let weir =
            Instance::start(WEIR, &[&["--jwt-secret-file", secret.flag()], &rules[..]].concat()).await?;
        let mut good = claims(CANARY, &["*"], &["*"]);
        good["aud"] = json!("weir");
        good["iss"] = json!("https://issuer.example");
        Ok(Self { weir, secret, good })
    }

    fn but(&self, name: &str, value: Value) -> String {
        let mut claims = self.good.clone();
        claims[name] = value;
        self.secret.sign(&claims)
    }

    async fn refused(&self, name: &str, values: &[Value], code: &str) -> anyhow::Result<()> {
        for value in values {
            refused(&self.weir, &self.but(name, value.clone()), (code, name)).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn times_that_do_not_hold() -> anyhow::Result<()> {
    let strict = Strict::start().await?;
    let now = now_secs();
    #[expect(clippy::cast_precision_loss, reason = "seconds of this century fit")]
    let fraction = |secs: f64| json!(now as f64 + secs);
    let allowed = [
        ("exp", fraction(60.5)),
        ("nbf", json!(now + 30)),
        ("iat", json!(now + 30)),
        ("nbf", json!(0)),
        ("iat", fraction(-0.5)),
    ];
    for (name, value) in allowed {
        let token = strict.but(name, value.clone());
        let answer = strict.weir.client().event("s").bearer(&token).body("x").send().await?;
        assert_eq!(answer.status(), 201, "{name} {value}");
    }
    let over = [json!(now), json!(now - 1), fraction(-0.5), json!(0)];
    strict.refused("exp", &over, "token_expired").await?;
    let to_come = [json!(now + 3600), fraction(99.5)];
    strict.refused("nbf", &to_come, "token_not_yet_valid").await?;
    strict.refused("iat", &to_come, "token_not_yet_valid").await?;
    let soon = (now + 60).to_string();
    let none = [
        json!(soon),
        json!(-1),
        json!(-0.5),
        json!(1e300),
        json!(u64::MAX),
        json!([now + 60]),
        json!({}),
        json!(CANARY),
    ];
    for name in ["exp", "nbf", "iat"] {
        strict.refused(name, &none, "token_claim_invalid").await?;
    }
    let deep = format!("{{\"exp\":{}{}}}", "[".repeat(2000), "]".repeat(2000));
    refused(&strict.weir, &strict.secret.sign_text(HEADER, &deep), ("token_claim_invalid", "exp")).await?;
    let huge = format!("{{\"exp\":1{}}}", "0".repeat(400));
    refused(&strict.weir, &strict.secret.sign_text(HEADER, &huge), ("token_claim_invalid", "exp")).await
}

#[tokio::test]
async fn claims_that_do_not_hold() -> anyhow::Result<()> {
    let strict = Strict::start().await?;
    let taken = strict.but("aud", json!(["x", "b"]));
    strict.weir.client().event("s").bearer(&taken).body("x").send().await?.event_id()?;
    for name in ["exp", "aud", "iss"] {
        let mut without = strict.good.clone();
        without.as_object_mut().context("claims are an object")?.remove(name);
        refused(&strict.weir, &strict.secret.sign(&without), ("token_claim_missing", name)).await?;
        strict.refused(name, &[Value::Null], "token_claim_missing").await?;
    }
    let invalid = "token_claim_invalid";
    strict.refused("aud", &[json!(7), json!([[CANARY]]), json!({CANARY: 1})], invalid).await?;
    strict.refused("iss", &[json!([CANARY]), json!(false)], invalid).await?;
    let subjects = [json!(""), json!(7), json!(format!("{CANARY}\nb")), json!("x".repeat(257)), json!(["a"])];
    strict.refused("sub", &subjects, invalid).await?;
    let lists = [
        json!([]),
        json!("*"),
        json!({"subscribe": CANARY}),
        json!({CANARY: ["*"], "publish": [[CANARY]]}),
        json!({"publish": [["*"]]}),
    ];
    strict.refused("weir", &lists, invalid).await?;
    let others = [json!(CANARY), json!([CANARY, "other"]), json!([]), json!("weir "), json!(["WEIR"])];
    strict.refused("aud", &others, "token_audience").await?;
    strict.refused("iss", &[json!(CANARY), json!("https://issuer.example/"), json!("")], "token_issuer").await
}
