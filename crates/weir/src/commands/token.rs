//! `weir token`: makes tokens for development, and says what is right and wrong with one.

use std::io::{Read as _, Write as _, stdin, stdout};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use weir_client::document::Document;
use weir_http::auth::jwks;
use weir_http::auth::mint::{Order, SigningKey};
use weir_http::auth::token::Token;
use weir_http::auth::tokens::{Tokens, unchecked};

use super::terminal::printable;
use super::{block_on, finish};
use crate::args::token::{InspectArgs, MintArgs, TokenCommand};
use crate::args::usage::UsageError;
use crate::config::tokens::{TokenConfig, contents};

/// Most bytes of standard input: more is no token.
const MAX_INPUT: u64 = 64 * 1024;

/// Runs it.
///
/// # Errors
/// A key is of no use, or the token is not good.
pub(crate) fn run(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Mint(args) => mint(*args),
        TokenCommand::Inspect(args) => inspect(&args),
    }
}

fn mint(args: MintArgs) -> anyhow::Result<()> {
    let (flag, file) = match (&args.jwt_secret_file, &args.private_key_file) {
        (Some(file), _) => ("jwt-secret-file", file),
        (None, Some(file)) => ("private-key-file", file),
        (None, None) => bail!("give --jwt-secret-file or --private-key-file"),
    };
    let unusable = || format!("cannot use --{flag} {}", file.display());
    let bytes = contents(file).with_context(unusable)?;
    let key = match args.private_key_file {
        Some(_) => SigningKey::private(&bytes),
        None => SigningKey::secret(&bytes),
    };
    let order = Order {
        subject: args.sub,
        subscribe: args.subscribe,
        publish: args.publish,
        read: args.stream_read,
        append: args.stream_append,
        manage: args.stream_manage,
        lifetime_secs: args.expires_in.as_secs(),
        audience: args.audience,
        issuer: args.issuer,
        key_id: args.kid,
    };
    let token = key.with_context(unusable)?.mint(&order, now_secs())?;
    finish(writeln!(stdout(), "{token}"))
}

fn inspect(args: &InspectArgs) -> anyhow::Result<()> {
    let config = TokenConfig::new(&args.tokens).map_err(|error| UsageError::of(&error))?;
    let text = match &args.token {
        Some(token) => token.clone(),
        None => {
            let mut text = String::new();
            stdin()
                .take(MAX_INPUT)
                .read_to_string(&mut text)
                .context("read the token from standard input")?;
            text
        }
    };
    let text = text.trim();
    if let Some([header, claims]) = unchecked(text) {
        finish(writeln!(stdout(), "header     {}\nclaims     {}", printable(&header), printable(&claims)))?;
    }
    if !config.has_keys() {
        return finish(writeln!(
            stdout(),
            "not checked: give --jwt-secret-file, --jwt-public-key-file or --jwks-url"
        ));
    }
    block_on(async {
        let tokens = config.tokens();
        if let Some(url) = config.jwks_url.clone() {
            fetch(Document::new(url)?, &tokens).await.context("fetch --jwks-url")?;
        }
        match tokens.check(text, now_secs()).await {
            Ok(token) => Ok(writeln!(stdout(), "{}", describe(&token))?),
            Err(denial) => bail!("{}: {denial}", denial.code()),
        }
    })
}

async fn fetch(document: Document, tokens: &Tokens) -> anyhow::Result<()> {
    tokens.keyring.fetched(Some(jwks::parse(&document.fetch().await?)?));
    Ok(())
}

fn describe(token: &Token) -> String {
    let left = Duration::from_secs(token.expires_secs.saturating_sub(now_secs()));
    let (subscribe, publish) = (token.grants.subscribe(), token.grants.publish());
    let [read, append, manage] = token.grants.streams().map(|patterns| list(&patterns));
    format!(
        "good for   {left:?}\nsubject    {}\nsubscribe  {}\npublish    {}\n\
         streams    read: {read}, append: {append}, manage: {manage}",
        token.subject.as_deref().map_or_else(|| "none".to_owned(), printable),
        list(&subscribe),
        list(&publish)
    )
}

fn list(patterns: &[String]) -> String {
    if patterns.is_empty() {
        return "nothing".to_owned();
    }
    patterns.iter().map(|pattern| printable(pattern)).collect::<Vec<_>>().join("  ")
}

fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
