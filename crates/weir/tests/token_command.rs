//! `weir token`, and the commands that show one.
#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use weir_testkit::token::{Kind, Pair};
use weir_testkit::{Instance, Secret};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// What came of a run: its status, standard output, standard error.
fn run(args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(WEIR);
    weir_testkit::program::without_settings(&mut command).args(args);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn name(file: &Path) -> &str {
    file.to_str().unwrap()
}

fn mint(args: &[&str]) -> String {
    let (status, out, err) = run(&[&["token", "mint"], args].concat(), "");
    assert_eq!((status, err.as_str()), (Some(0), ""));
    out.trim_end().to_owned()
}

/// Whatever a key is for, what is made with its private half is taken with its public one.
#[test]
fn what_is_minted_is_good() {
    let secret = Secret::of(b"a secret that ends with the end of its line\n");
    let pairs = [Kind::Rsa, Kind::P256, Kind::Ed25519].map(Pair::new);
    let sessions = ["--subscribe", "user:{sub}", "--subscribe", "news:*", "--publish", "user:{sub}"];
    let streams = ["--stream-read", "{sub}/*", "--stream-append", "{sub}/log", "--stream-append", "all"];
    let says = [&["--sub", "7"][..], &sessions, &streams].concat();
    let rules = ["--audience", "a", "--audience", "b", "--issuer", "i", "--kid", "k", "--expires-in", "2m"];
    let mut keys = vec![(["--jwt-secret-file", secret.flag()], ["--jwt-secret-file", secret.flag()])];
    for pair in &pairs {
        let (private, public) = (name(pair.private()), name(pair.public()));
        keys.push((["--private-key-file", private], ["--jwt-public-key-file", public]));
    }
    for (signs, checks) in keys {
        let token = mint(&[&signs[..], &says, &rules].concat());
        let asks = ["token", "inspect", "--jwt-audience", "b", "--jwt-issuer", "i"];
        let (status, out, err) = run(&[&asks[..], &checks].concat(), &token);
        assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
        let lines: Vec<_> = out.lines().map(str::to_owned).collect();
        assert!(lines[0].starts_with("header     {") && lines[0].contains(r#""kid":"k""#), "{out}");
        assert!(lines[1].contains(r#""aud":["a","b"]"#) && lines[1].contains(r#""iss":"i""#), "{out}");
        let secs: u32 =
            lines[2].strip_prefix("good for   ").unwrap().strip_suffix('s').unwrap().parse().unwrap();
        assert!((100..=120).contains(&secs), "{out}");
        let streams = "streams    read: 7/*, append: 7/log  all, manage: nothing";
        assert_eq!(lines[3..], ["subject    7", "subscribe  user:7  news:*", "publish    user:7", streams]);
    }
}

#[test]
fn what_is_wrong_is_said_and_ends_with_1() {
    let (secret, other) = (Secret::new(), Secret::new());
    let good = mint(&["--jwt-secret-file", secret.flag()]);
    let refused = |token: &str, flags: &[&str]| {
        let (status, out, err) = run(&[&["token", "inspect", token], flags].concat(), "");
        assert_eq!((status, err.lines().count()), (Some(1), 1), "{out}{err}");
        err
    };
    let own = ["--jwt-secret-file", secret.flag()];
    assert!(refused(&good, &["--jwt-secret-file", other.flag()]).starts_with("weir: token_signature: "));
    assert!(refused("x", &own).starts_with("weir: token_malformed: "));
    let needs = [&own[..], &["--jwt-audience", "a"]].concat();
    assert!(refused(&good, &needs).starts_with("weir: token_claim_missing: "));
    // What it says is shown before anybody knows who says it, and nothing that a terminal would obey.
    let rude = other.sign_text(r#"{"alg":"HS256"}"#, "{\"sub\":\"a\u{9b}2J\"}");
    let (status, out, _) = run(&["token", "inspect"], &rude);
    assert_eq!(status, Some(0));
    assert!(out.contains("not checked: give --jwt-secret-file") && out.contains(r"a\u{9b}2J"), "{out}");
}

/// Keys of a provider are fetched once, and a provider that is away is a failure of its own.
#[test]
fn keys_of_a_provider() {
    let pair = Pair::new(Kind::P256);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let set = serde_json::json!({ "keys": [pair.jwk("k")] }).to_string();
    let provider = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let _request = tcp.read(&mut [0; 4096]).unwrap();
        write!(tcp, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{set}", set.len())
            .unwrap();
    });
    let token = mint(&["--private-key-file", name(pair.private()), "--kid", "k"]);
    let (status, out, err) = run(&["token", "inspect", "--jwks-url", &url], &token);
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("good for   "), "{out}");
    provider.join().unwrap();
    let (status, _, err) = run(&["token", "inspect", "--jwks-url", &url], &token);
    assert!(status == Some(1) && err.starts_with("weir: fetch --jwks-url: Connection refused"), "{err}");
}

#[test]
fn files_that_are_no_keys() {
    let (pair, short, p384) = (Pair::new(Kind::P256), Secret::of(b"hunter2"), Pair::new(Kind::P384));
    for (flags, says) in [
        (&["--jwt-secret-file", short.flag()][..], ": a secret has at least 32 bytes"),
        (&["--jwt-secret-file", name(pair.private())], ": it is a PEM file and no secret"),
        (&["--private-key-file", name(pair.public())], ": it holds no private key in PEM"),
        (&["--private-key-file", name(p384.private())], ": a private key is RSA"),
        (&["--private-key-file", "/nowhere"], ": No such file or directory"),
    ] {
        let (status, out, err) = run(&[&["token", "mint"], flags].concat(), "");
        assert_eq!((status, out.as_str(), err.lines().count()), (Some(1), "", 1), "{err}");
        assert!(err.contains(says) && !err.contains("hunter"), "{err}");
    }
    let (status, _, err) = run(&["token", "mint"], "");
    assert_eq!((status, err.lines().count()), (Some(2), 1), "{err}");
}

/// The commands show it where an instance wants it, from wherever they got it.
#[tokio::test]
async fn publish_and_tail_show_it() -> anyhow::Result<()> {
    let secret = Secret::new();
    let weir = Instance::start(WEIR, &["--jwt-secret-file", secret.flag()]).await?;
    let url = format!("http://{}", weir.public());
    let token = mint(&["--jwt-secret-file", secret.flag(), "--subscribe", "s", "--publish", "s"]);
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), format!("{token}\n"))?;
    let (status, _, err) = run(&["publish", "s", "x", "--url", &url], "");
    assert!(status == Some(1) && err.contains("unauthorized"), "{status:?} {err}");
    for flags in [["--token", &token], ["--token-file", name(file.path())]] {
        let (status, _, err) = run(&[&["publish", "s", "x", "--url", &url], &flags[..]].concat(), "");
        assert_eq!((status, err.as_str()), (Some(0), ""));
        let tail = ["tail", "s", "--url", &url, "--from", "earliest", "--count", "1"];
        let (status, out, err) = run(&[&tail[..], &flags].concat(), "");
        assert_eq!((status, out.trim_end()), (Some(0), "x"), "{err}");
    }
    Ok(())
}
