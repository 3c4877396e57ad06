//! Mistakes, in one line each.

use std::error::Error;
use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::file::FileLayer;
use super::layers::variable;
use super::nearest::nearest;

/// A mistake in how weir was called. It displays as one line that says how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(String);

impl UsageError {
    /// Any other mistake that was found before anything was done.
    pub(crate) fn of(error: &impl Error) -> Self {
        Self(error.to_string())
    }
}

/// Where the values came from that clap complains about.
#[derive(Debug)]
pub(crate) struct Called<'a> {
    /// The arguments as typed.
    pub(crate) argv: &'a [OsString],
    /// The file, with what it set.
    pub(crate) file: Option<&'a FileLayer>,
}

/// Flags whose values are never repeated: they are secrets, or addresses that may carry one.
const SECRETS: [&str; 5] = ["redis", "token", "url", "admin-url", "jwks-url"];

/// Says in one line what clap says in several.
#[expect(clippy::wildcard_enum_match_arm, reason = "clap may add kinds, and has a text of its own for each")]
pub(crate) fn explain(error: &clap::Error, called: &Called<'_>, cli: &Command) -> UsageError {
    let text = match error.kind() {
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => bad_value(error, called),
        ErrorKind::UnknownArgument => unknown_argument(error, called, cli),
        ErrorKind::InvalidSubcommand => unknown_command(error, cli),
        _ => first_paragraph(error),
    };
    UsageError(text)
}

fn bad_value(error: &clap::Error, called: &Called<'_>) -> String {
    let argument = text_of(error, ContextKind::InvalidArg);
    let flag = argument.split([' ', '=']).next().unwrap_or_default();
    let name = flag.trim_start_matches('-');
    let value = text_of(error, ContextKind::InvalidValue);
    let subject = place(flag, name, called);
    if value.is_empty()
        && !SECRETS.contains(&name)
        && error.source().is_none()
        && !flag_is_given_empty(called, flag)
    {
        return format!("{subject} needs a value");
    }
    let quoted = if SECRETS.contains(&name) { String::new() } else { format!(" {value:?}") };
    format!("invalid value{quoted} for {subject}: {}", remedy(error, &value))
}

fn flag_is_given_empty(called: &Called<'_>, flag: &str) -> bool {
    let joined = format!("{flag}=");
    called.argv.iter().any(|arg| arg.to_str() == Some(joined.as_str()) || arg.is_empty())
}

/// How the user named the setting: by flag, variable or key.
fn place(flag: &str, name: &str, called: &Called<'_>) -> String {
    if !flag.starts_with("--") || is_on_command_line(flag, called.argv) {
        return flag.to_owned();
    }
    match called.file.filter(|file| file.sets(name)) {
        Some(file) => format!("{name} in {}", file.path.display()),
        None => variable(name),
    }
}

fn is_on_command_line(flag: &str, argv: &[OsString]) -> bool {
    let joined = format!("{flag}=");
    argv.iter().filter_map(|arg| arg.to_str()).any(|arg| arg == flag || arg.starts_with(&joined))
}

fn remedy(error: &clap::Error, value: &str) -> String {
    if let Some(source) = error.source() {
        return source.to_string();
    }
    let valid = strings_of(error, ContextKind::ValidValue);
    let nearest = nearest(value, valid.iter().map(String::as_str)).unwrap_or_default();
    format!("it is one of {}; the nearest is {nearest}", valid.join(", "))
}

fn unknown_argument(error: &clap::Error, called: &Called<'_>, cli: &Command) -> String {
    let argument = text_of(error, ContextKind::InvalidArg);
    let argument = argument.split('=').next().unwrap_or_default();
    let (mut path, mut command) = ("weir".to_owned(), cli);
    for name in called.argv.iter().skip(1).map_while(|arg| arg.to_str()) {
        let Some(sub) = command.find_subcommand(name) else { break };
        path = format!("{path} {name}");
        command = sub;
    }
    if !argument.starts_with('-') {
        return format!("{path} takes no further argument {argument:?}: {path} --help lists what it takes");
    }
    let flags: Vec<String> =
        command.get_arguments().filter_map(|a| a.get_long()).map(|f| format!("--{f}")).collect();
    let nearest = nearest(argument, flags.iter().map(String::as_str)).unwrap_or("--help");
    format!("unknown flag {argument} of {path}: the nearest is {nearest}; {path} --help lists all")
}

fn unknown_command(error: &clap::Error, cli: &Command) -> String {
    let given = text_of(error, ContextKind::InvalidSubcommand);
    let nearest = nearest(&given, cli.get_subcommands().map(Command::get_name)).unwrap_or("serve");
    format!("unknown command {given:?}: the nearest is {nearest}; weir --help lists all")
}

/// Everything up to the first blank line, as one line.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
    lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}

fn text_of(error: &clap::Error, kind: ContextKind) -> String {
    strings_of(error, kind).into_iter().next().unwrap_or_default()
}

fn strings_of(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        Some(_) | None => Vec::new(),
    }
}
