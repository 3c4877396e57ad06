//! `weir tail`

use weir_client::{Item, TailEvent, TailRequest};

use super::{advice, output};
use crate::args::client::TailArgs;

/// Prints the events of sessions to standard output, and what happens to the stream to standard error.
pub(crate) fn run(args: TailArgs) -> anyhow::Result<()> {
    super::block_on(async move {
        let stopped = super::stopped()?;
        tokio::select! {
            followed = follow(args) => followed,
            () = stopped => Ok(()),
        }
    })
}

async fn follow(args: TailArgs) -> anyhow::Result<()> {
    let TailArgs { sessions, from, kinds, keys, json, count, server } = args;
    let mut tail = super::client(&server)?.tail(TailRequest { sessions, from, types: kinds, keys })?;
    let (mut out, mut err) = (tokio::io::stdout(), tokio::io::stderr());
    let mut left = count;
    while left != Some(0) {
        match tail.next().await.map_err(advice::tail)? {
            Item::Event(event) => {
                output::line(&mut out, &shown(event, json)).await?;
                left = left.map(|left| left - 1);
            }
            Item::Notice(notice) => output::line(&mut err, &format!("weir: {notice}")).await?,
        }
    }
    Ok(())
}

fn shown(event: TailEvent, json: bool) -> String {
    if json {
        serde_json::to_string(&event).expect("strings and numbers always serialise")
    } else {
        event.data
    }
}
