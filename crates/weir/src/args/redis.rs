//! Where the shared log is.

use std::path::PathBuf;

use clap::Args;

use super::value;
use crate::config::redis::RedisUrl;

/// The flags of every command that talks to Redis.
#[derive(Debug, Args)]
pub(crate) struct RedisArgs {
    /// Redis that holds the shared log; without it the log is embedded, in memory or in --data-dir
    #[arg(long, env = "WEIR_REDIS", value_name = "URL", value_parser = RedisUrl::parse)]
    pub(crate) redis: Option<RedisUrl>,
    /// File that holds the password of Redis
    #[arg(long, env = "WEIR_REDIS_PASSWORD_FILE", value_name = "FILE")]
    pub(crate) redis_password_file: Option<PathBuf>,
    /// PEM file of who may vouch for Redis over TLS [default: whom the system trusts]
    #[arg(long, env = "WEIR_REDIS_CA_FILE", value_name = "FILE")]
    pub(crate) redis_ca_file: Option<PathBuf>,
    /// PEM file of the certificate that is shown to Redis over TLS
    #[arg(long, env = "WEIR_REDIS_CERT_FILE", value_name = "FILE", requires = "redis_key_file")]
    pub(crate) redis_cert_file: Option<PathBuf>,
    /// PEM file of the key of that certificate
    #[arg(long, env = "WEIR_REDIS_KEY_FILE", value_name = "FILE", requires = "redis_cert_file")]
    pub(crate) redis_key_file: Option<PathBuf>,
    /// Key of the shared stream; one per application system
    #[arg(long, env = "WEIR_STREAM", value_name = "KEY", default_value = "weir:events", value_parser = value::stream)]
    pub(crate) stream: String,
}
