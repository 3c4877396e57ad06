//! What tokens are checked with.

use std::path::PathBuf;

use clap::Args;
use weir_client::document::DocumentUrl;

use super::value;

/// The flags about tokens of `weir serve`.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// File with a secret that HS256 tokens are checked with (repeatable, to change it)
    #[arg(long, env = "WEIR_JWT_SECRET_FILE", value_name = "FILE", value_delimiter = ',')]
    pub(crate) jwt_secret_file: Vec<PathBuf>,
    /// PEM file with public keys that RS256, ES256 and EdDSA tokens are checked with (repeatable)
    #[arg(long, env = "WEIR_JWT_PUBLIC_KEY_FILE", value_name = "FILE", value_delimiter = ',')]
    pub(crate) jwt_public_key_file: Vec<PathBuf>,
    /// Address of a JSON Web Key Set with public keys that tokens are checked with
    #[arg(long, env = "WEIR_JWKS_URL", value_name = "URL", value_parser = DocumentUrl::parse)]
    pub(crate) jwks_url: Option<DocumentUrl>,
    /// Whom tokens are made for (repeatable): one of these has to stand in their claim aud
    #[arg(long, env = "WEIR_JWT_AUDIENCE", value_name = "NAME", value_delimiter = ',', value_parser = value::name)]
    pub(crate) jwt_audience: Vec<String>,
    /// Who makes tokens (repeatable): one of these has to stand in their claim iss
    #[arg(long, env = "WEIR_JWT_ISSUER", value_name = "NAME", value_delimiter = ',', value_parser = value::name)]
    pub(crate) jwt_issuer: Vec<String>,
    /// Cookie that may carry a token to subscribe with
    #[arg(long, env = "WEIR_TOKEN_COOKIE", value_name = "NAME", default_value = "weir_token", value_parser = value::cookie)]
    pub(crate) token_cookie: String,
}
