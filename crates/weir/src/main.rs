//! The `weir` binary.
//!
//! - [`args`]: command line, environment and file become typed values
//! - [`mod@config`]: which become the plain settings of an instance
//! - [`logging`]: where the log goes
//! - [`mod@serve`]: runs an instance
//! - [`commands`]: everything else
//! - [`version`]: what was built

mod args;
mod commands;
mod config;
mod logging;
mod serve;
mod version;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use args::Command;
use args::inspect::{DoctorArgs, GroupsArgs};
use args::layers::{NotParsed, Parsed, Setting, parse};
use args::nearest::nearest;
use args::serve::ServeArgs;
use args::usage::UsageError;
use commands::doctor::Patient;
use commands::output::Form;
use config::ServeConfig;
use config::fd_limit::{self, FdLimit};
use config::warning::Warning;
use serve::settings::Given;
use weir_log::redis::inspect::groups::Orphans;

/// Exit status of a mistake in how weir was called.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    match parse(&argv) {
        Ok(parsed) => run(parsed, argv),
        Err(NotParsed::Usage(error)) => say(&error, ExitCode::from(USAGE)),
        Err(NotParsed::Shown(help)) => {
            // Nobody reads it: nothing to be done.
            let _ = help.print();
            ExitCode::from(u8::try_from(help.exit_code()).unwrap_or(USAGE))
        }
    }
}

fn run(parsed: Parsed, argv: Vec<OsString>) -> ExitCode {
    let done = match parsed.command {
        Command::Serve(args) => serve(*args, (argv, parsed.settings)),
        Command::Config(args) => show_config(*args, &parsed.settings),
        Command::Groups(args) => groups(*args),
        Command::Doctor(args) => doctor(*args),
        Command::Publish(args) => commands::publish::run(args),
        Command::Tail(args) => commands::tail::run(args),
        Command::Drain(args) => commands::drain::run(&args),
        Command::Token(command) => commands::token::run(command),
        Command::Healthcheck(args) => commands::healthcheck::run(&args),
        Command::Completions(args) => commands::completions::run(args.shell),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<UsageError>() => say(&error, ExitCode::from(USAGE)),
        Err(error) => say(&format_args!("{error:#}"), ExitCode::FAILURE),
    }
}

fn serve(args: ServeArgs, (argv, settings): (Vec<OsString>, Vec<Setting>)) -> anyhow::Result<()> {
    let files = fd_limit::raise();
    let (config, warnings) = settle(args, files)?;
    let (_logging, level, sparing) = logging::init(config.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    for (variable, nearest) in unknown_variables() {
        tracing::warn!(variable, nearest, "unknown environment variable");
    }
    serve::run(config, Given { argv, settings, files, level, sparing })
}

fn show_config(args: ServeArgs, settings: &[Setting]) -> anyhow::Result<()> {
    let (config, warnings) = settle(args, FdLimit::reachable())?;
    for warning in warnings {
        say(&warning, ());
    }
    say_unknown_variables();
    commands::config::run(&config, settings)
}

fn groups(args: GroupsArgs) -> anyhow::Result<()> {
    let GroupsArgs { reap, json, serve } = args;
    let (config, _) = settle(serve, FdLimit::reachable())?;
    say_unknown_variables();
    let orphans = if reap { Orphans::Reap } else { Orphans::Keep };
    commands::groups::run(&config, orphans, Form::of(json))
}

fn doctor(args: DoctorArgs) -> anyhow::Result<()> {
    let DoctorArgs { through, token_file, json, serve } = args;
    let through = through.map(|url| commands::client_of(&url, token_file.as_deref())).transpose()?;
    let files = FdLimit::reachable();
    let (config, _) = settle(serve, files)?;
    commands::doctor::run(
        &Patient { config, files, unknown_variables: unknown_variables(), through },
        Form::of(json),
    )
}

fn settle(args: ServeArgs, files: FdLimit) -> anyhow::Result<(ServeConfig, Vec<Warning>)> {
    let config = ServeConfig::new(args, files).map_err(|error| UsageError::of(&error))?;
    let warnings = config.warnings(files);
    Ok((config, warnings))
}

fn say_unknown_variables() {
    for (variable, nearest) in unknown_variables() {
        say(&format_args!("unknown environment variable {variable}: the nearest is {nearest}"), ());
    }
}

/// Variables that look like ours and are not, with the one that may have been meant. They are no error: Kubernetes sets
/// such for a service named weir.
fn unknown_variables() -> Vec<(String, String)> {
    let known = args::known_variables();
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unknown = set.filter(|name| name.starts_with("WEIR_") && !known.contains(name));
    let with_nearest = |name: String| {
        let nearest = nearest(&name, known.iter().map(String::as_str)).unwrap_or_default().to_owned();
        (name, nearest)
    };
    unknown.map(with_nearest).collect()
}

/// Tells one line on standard error. If that is closed there is nobody to tell.
fn say<T>(line: &dyn std::fmt::Display, then: T) -> T {
    let _ = writeln!(std::io::stderr(), "weir: {line}");
    then
}
