//! What an attacker would try on the applications, which people take as they are.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use weir_testkit::DEADLINE;

use crate::application::folder;
use crate::started::Started;

/// A body of less than nothing, which whoever believes it reads until its end; one that goes too deep; and one of a stranger's page.
#[tokio::test]
async fn bodies_that_lie_keep_no_room_waiting() -> anyhow::Result<()> {
    let rooms = Started::start("match-rooms", &[]).await?;
    let deep = "[".repeat(4096);
    let json = "application/json";
    for (kind, length, body, status) in [
        (json, "-1", "{}", 400),
        (json, "4096", deep.as_str(), 400),
        (json, "x", "{}", 400),
        (json, "99999999", deep.as_str(), 400),
        (json, "16", r#"{"name": "Grace"}"#, 400),
        (json, "17", r#"{"name": "Grace"}"#, 200),
        // As a page of another origin may send without asking first.
        ("text/plain", "17", r#"{"name": "Grace"}"#, 415),
    ] {
        let mut socket = TcpStream::connect(rooms.at(0)).await?;
        let head = format!("content-type: {kind}\r\ncontent-length: {length}");
        let head = format!("POST /api/rooms/north/host HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n");
        socket.write_all(format!("{head}{body}").as_bytes()).await?;
        // What is left unread of a body has the connection reset after the answer.
        let mut answer = [0; 12];
        let read = timeout(DEADLINE, socket.read_exact(&mut answer)).await;
        read.with_context(|| format!("{length}: it waits"))?
            .with_context(|| format!("{length}: no answer"))?;
        ensure!(answer == format!("HTTP/1.0 {status}").as_bytes(), "{length}: {answer:?}");
    }
    Ok(())
}

fn program(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, format!("#!/bin/sh\n{text}\n"))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// By its `sh`, which is bash in some places: that carries out what stands in the index of an array.
#[test]
fn what_stands_in_redis_is_no_command() -> anyhow::Result<()> {
    for (stored, expected) in [("5", "app:events"), ("a[$(echo here >carried-out)0]", "")] {
        let place = tempfile::tempdir()?;
        let at = |name: &str| place.path().join(name);
        program(&at("redis-cli"), r#"case "$*" in *XADD*) echo "$*" >>added ;; *) cat stored ;; esac"#)?;
        // One round, and no more.
        program(&at("sleep"), "[ ! -e slept ] && : >slept")?;
        fs::write(at("stored"), stored)?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::env::join_paths([place.path().to_owned()].into_iter().chain(std::env::split_paths(&path)))?;
        let mut job = Command::new("bash");
        job.arg(folder("realtime-bus").join("analytics.sh")).current_dir(place.path()).env("PATH", path);
        job.env("REDIS_HOST", "127.0.0.1").env("REDIS_PORT", "9").output()?;
        ensure!(!at("carried-out").exists(), "{stored} was carried out");
        let added = fs::read_to_string(at("added")).unwrap_or_default();
        ensure!(
            at("slept").exists() && added.contains(expected) && added.is_empty() == expected.is_empty(),
            "{added:?}"
        );
    }
    Ok(())
}
