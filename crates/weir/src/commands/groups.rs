//! `weir groups`

use serde_json::json;
use weir_log::Pace;
use weir_log::redis::inspect::Inspector;
use weir_log::redis::inspect::groups::{Group, Orphans, Standing};

use super::output::{self, Form};
use super::{amount, table, terminal};
use crate::args::usage::UsageError;
use crate::config::ServeConfig;

/// There are no groups without Redis.
#[derive(Debug, thiserror::Error)]
#[error(
    "weir groups looks at a stream in Redis: say where with --redis URL, WEIR_REDIS or redis in the --config file"
)]
struct NoRedis;

const HEAD: [&str; 7] = ["GROUP", "INSTANCE", "STATE", "LEASE", "CONSUMERS", "PENDING", "LAG"];

/// The columns of names, which can be long.
const NAMES: [usize; 2] = [0, 1];

/// Prints the reader groups of the stream, and destroys the orphans among them where that is asked for.
pub(crate) fn run(config: &ServeConfig, orphans: Orphans, form: Form) -> anyhow::Result<()> {
    let access = config.redis.as_ref().ok_or_else(|| UsageError::of(&NoRedis))?;
    super::block_on(async {
        let inspector = Inspector::connect(access, &config.stream).await?;
        let groups = inspector.groups(Pace::default().lease, orphans).await?;
        let lines = match (&groups, form) {
            (Some(groups), Form::Json) => groups.iter().map(|group| object(group).to_string()).collect(),
            (None, Form::Json) => Vec::new(),
            (None, Form::Text) => vec![format!("there is no stream {}", config.stream)],
            (Some(groups), Form::Text) if groups.is_empty() => {
                vec![format!("no groups on {}", config.stream)]
            }
            (Some(groups), Form::Text) => page(groups),
        };
        let mut out = tokio::io::stdout();
        for line in lines {
            output::line(&mut out, &line).await?;
        }
        Ok(())
    })
}

fn object(group: &Group) -> serde_json::Value {
    json!({
        "group": group.name,
        "instance": group.instance(),
        "state": state(group.standing),
        "leaseMs": lease(group.standing).map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        "consumers": group.consumers,
        "pending": group.pending,
        "lag": group.lag,
    })
}

fn page(groups: &[Group]) -> Vec<String> {
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    rows.extend(groups.iter().map(row));
    table::layout(&rows, &NAMES, terminal::width())
}

fn row(group: &Group) -> Vec<String> {
    let unknown = || "-".to_owned();
    vec![
        terminal::printable(&group.name),
        group.instance().map_or_else(unknown, terminal::printable),
        state(group.standing).to_owned(),
        lease(group.standing).map_or_else(unknown, amount::time),
        group.consumers.to_string(),
        group.pending.to_string(),
        group.lag.map_or_else(unknown, |lag| lag.to_string()),
    ]
}

fn state(standing: Standing) -> &'static str {
    match standing {
        Standing::Alive(_) => "alive",
        Standing::Orphaned(_) => "orphaned",
        Standing::Reaped(_) => "reaped",
        Standing::Unleased => "unleased",
        Standing::Foreign => "foreign",
    }
}

fn lease(standing: Standing) -> Option<std::time::Duration> {
    match standing {
        Standing::Alive(age) | Standing::Orphaned(age) | Standing::Reaped(age) => Some(age),
        Standing::Unleased | Standing::Foreign => None,
    }
}
