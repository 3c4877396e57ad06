//! `weir healthcheck`

use weir_client::Client;

use crate::args::client::HealthcheckArgs;

/// Succeeds when the instance says that it is ready.
pub(crate) fn run(args: &HealthcheckArgs) -> anyhow::Result<()> {
    super::block_on(async { Ok(Client::new(&args.admin_url, None)?.check_ready().await?) })
}
