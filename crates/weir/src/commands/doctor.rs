//! `weir doctor`
//!
//! - [`finding`]: what a check says; [`report`]: where that goes
//! - [`local`]: this machine and the settings; [`kept`]: the log, where it is not in Redis
//! - [`through`]: the way that clients take, through a load balancer
//! - [`redis`]: the checks of Redis, one after the other, with the judgement of [`server`], [`stream`] and [`groups`]

mod finding;
mod groups;
mod kept;
mod local;
mod redis;
mod report;
mod server;
mod stream;
mod through;

use weir_client::Client;

use crate::config::ServeConfig;
use crate::config::fd_limit::FdLimit;
use finding::Finding;
use report::Report;

use super::output::Form;

/// What is examined.
#[derive(Debug)]
pub(crate) struct Patient {
    /// How an instance would be set up.
    pub(crate) config: ServeConfig,
    /// Files that it could open.
    pub(crate) files: FdLimit,
    /// Variables that look like ours and are not, with the one that may have been meant.
    pub(crate) unknown_variables: Vec<(String, String)>,
    /// By the way that clients take, where that is to be tried.
    pub(crate) through: Option<Client>,
}

/// Prints one finding a line, and fails where one of them does.
pub(crate) fn run(patient: &Patient, form: Form) -> anyhow::Result<()> {
    super::block_on(async {
        let mut report = Report::new(form);
        for finding in local::check(patient) {
            report.tell(finding).await?;
        }
        match &patient.config.redis {
            Some(access) => redis::check(access, &patient.config, &mut report).await?,
            None => report.tell(kept::check(&patient.config)).await?,
        }
        if let Some(client) = &patient.through {
            through::check(client, &mut report).await?;
        }
        report.verdict()
    })
}
