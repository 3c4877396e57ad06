//! `weir publish`

use std::io::{self, BufRead, Read};

use anyhow::{Context, bail};
use tokio::sync::mpsc;
use weir_client::NewPublish;

use super::{advice, output};
use crate::args::client::PublishArgs;

/// Longest line of standard input in bytes: no server takes an event beyond it, and input without line ends must not
/// fill memory.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// Publishes one event, or every line of standard input, and prints the ids.
pub(crate) fn run(mut args: PublishArgs) -> anyhow::Result<()> {
    super::block_on(async move {
        match args.data.take() {
            Some(data) => one(&args, data).await,
            None => lines(&args).await,
        }
    })
}

async fn one(args: &PublishArgs, data: String) -> anyhow::Result<()> {
    let id = super::client(&args.server)?.publish(&args.session, &event(args, data)).await;
    let id = id.map_err(advice::publish)?;
    Ok(output::line(&mut tokio::io::stdout(), &id).await?)
}

/// A signal ends it between two lines, so that each line read is published and its id printed.
async fn lines(args: &PublishArgs) -> anyhow::Result<()> {
    let client = super::client(&args.server)?;
    let mut out = tokio::io::stdout();
    let mut lines = input();
    let stopped = super::stopped()?;
    tokio::pin!(stopped);
    let mut number = 0_u64;
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            () = &mut stopped => None,
        };
        let Some(line) = line else { return Ok(()) };
        number += 1;
        let data = line.with_context(|| format!("line {number} of standard input"))?;
        let id = client.publish(&args.session, &event(args, data)).await;
        let id = id.map_err(advice::publish).with_context(|| format!("line {number} of standard input"))?;
        output::line(&mut out, &id).await?;
    }
}

fn event(args: &PublishArgs, data: String) -> NewPublish {
    NewPublish { data, kind: args.kind.clone(), key: args.key.clone(), snapshot: args.snapshot }
}

/// Standard input line by line, from a thread of its own: a read cannot be called off, and the process ends without
/// waiting for it.
fn input() -> mpsc::Receiver<anyhow::Result<String>> {
    let (lines, received) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Some(line) = next_line(&mut input).transpose() {
            let is_last = line.is_err();
            if lines.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    });
    received
}

fn next_line(input: &mut impl BufRead) -> anyhow::Result<Option<String>> {
    let mut line = Vec::new();
    input.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    match line.strip_suffix(b"\n") {
        Some(whole) => line.truncate(whole.strip_suffix(b"\r").unwrap_or(whole).len()),
        None if line.len() as u64 == LONGEST_LINE => bail!("it is longer than {LONGEST_LINE} bytes"),
        None => {}
    }
    Ok(Some(String::from_utf8(line).context("it is not UTF-8")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_they_are() {
        let mut input: &[u8] = b"a\n\n b \r\nlast";
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut input).unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, ["a", "", " b ", "last"]);
        assert!(next_line(&mut &b"\xff\n"[..]).is_err());
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut input = io::BufReader::new(io::repeat(b'x'));
        assert!(next_line(&mut input).unwrap_err().to_string().contains("longer than"));
    }
}
