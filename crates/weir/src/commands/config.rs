//! `weir config`

use std::fmt::Write as _;
use std::io::Write as _;

use toml::Value;

use crate::args::layers::Setting;
use crate::config::ServeConfig;
use crate::config::redis::RedisUrl;

/// Prints the effective configuration. What it prints is a file that `--config` takes, but for redacted passwords.
pub(crate) fn run(config: &ServeConfig, settings: &[Setting]) -> anyhow::Result<()> {
    super::finish(std::io::stdout().write_all(page(config, settings).as_bytes()))
}

fn page(config: &ServeConfig, settings: &[Setting]) -> String {
    let mut page = String::new();
    let lines: Vec<_> = settings.iter().map(|setting| (line(config, setting), &setting.source)).collect();
    let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or_default();
    for (line, source) in lines {
        writeln!(page, "{line:width$}  # {source}").expect("a text takes every byte");
    }
    page
}

fn line(config: &ServeConfig, setting: &Setting) -> String {
    let name = setting.name.as_str();
    let mut texts: Vec<String> = setting.texts.clone();
    match name {
        "instance" => texts = vec![config.instance.clone()],
        "max-connections" => texts = vec![config.limits.clients.to_string()],
        "redis" => texts.iter_mut().for_each(|url| *url = redacted(url)),
        _ => {}
    }
    match texts.as_slice() {
        _ if setting.list => format!("{name} = {}", Value::from(texts)),
        [] => format!("# {name} is not set"),
        [text, ..] => format!("{name} = {}", Value::from(text.as_str())),
    }
}

fn redacted(url: &str) -> String {
    RedisUrl::parse(url).map_or_else(|_| "redacted".to_owned(), |url| url.to_string())
}
