//! `weir drain`

use std::io::Write as _;

use anyhow::Context as _;
use weir_client::{Client, Order, Token};

use crate::args::client::DrainArgs;

/// Has the instance release its clients, or take clients again, and says how many there are.
pub(crate) fn run(args: &DrainArgs) -> anyhow::Result<()> {
    let token = token(args)?;
    let order = if args.undo { Order::Undrain } else { Order::Drain };
    super::block_on(async {
        let clients = Client::new(&args.admin_url, token.as_ref())?.order(order).await?;
        let line = match order {
            Order::Drain => format!("draining: {clients} clients are being released"),
            Order::Undrain => format!("taking clients again: {clients} are there"),
        };
        Ok(writeln!(std::io::stdout(), "{line}")?)
    })
}

/// What is given by name wins over what is in a file.
fn token(args: &DrainArgs) -> anyhow::Result<Option<Token>> {
    let (None, Some(file)) = (&args.admin_token, &args.admin_token_file) else {
        return Ok(args.admin_token.clone());
    };
    let name = || format!("--admin-token-file {}", file.display());
    let text = std::fs::read_to_string(file).with_context(name)?;
    Ok(Some(Token::parse(&text).with_context(name)?))
}
