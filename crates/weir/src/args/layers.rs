//! The one precedence: flags, then environment, then file, then defaults.
//!
//! What the file says goes in as flags that nobody gave, so that one typed parser reads all layers.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, FromArgMatches};

use super::file::{FileLayer, FlagKind};
use super::usage::{Called, UsageError, explain};
use super::{Cli, Command, command, known_variables};

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The command, with its typed values.
    pub(crate) command: Command,
    /// Where each value of `serve` or `config` came from; empty for the others.
    pub(crate) settings: Vec<Setting>,
}

/// One value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The flag without dashes in front.
    pub(crate) name: String,
    /// Its texts: none where it has no value, several for a list.
    pub(crate) texts: Vec<String>,
    /// Whether it takes a list.
    pub(crate) list: bool,
    /// Where they came from.
    pub(crate) source: Source,
}

/// The layer that a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The command line.
    Flag,
    /// An environment variable, by its name.
    Variable(String),
    /// A configuration file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

/// Why there is nothing to run.
#[derive(Debug)]
pub(crate) enum NotParsed {
    /// Help or version was asked for; it is clap's to print.
    Shown(clap::Error),
    /// A mistake.
    Usage(UsageError),
}

/// The variable of a flag.
pub(crate) fn variable(flag: &str) -> String {
    format!("WEIR_{}", flag.replace('-', "_").to_ascii_uppercase())
}

/// Reads all layers.
///
/// # Errors
/// [`NotParsed`].
pub(crate) fn parse(argv: &[OsString]) -> Result<Parsed, NotParsed> {
    let cli = command();
    let matches = run(&cli, argv, &Called { argv, file: None })?;
    let (name, sub) = subcommand(&matches);
    let Some(layer) = file_layer(&cli, name, sub)? else { return parsed(&cli, &matches, None) };
    let mut with_file = argv.to_vec();
    // Right after the command: what stands behind a lone `--` would be no flag.
    with_file.splice(2..2, layer.as_flags());
    let matches = run(&cli, &with_file, &Called { argv, file: Some(&layer) })?;
    parsed(&cli, &matches, Some(&layer))
}

fn run(cli: &clap::Command, argv: &[OsString], called: &Called<'_>) -> Result<ArgMatches, NotParsed> {
    cli.clone().try_get_matches_from(argv).map_err(|error| {
        if error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            NotParsed::Usage(explain(&error, called, cli))
        } else {
            NotParsed::Shown(error)
        }
    })
}

fn subcommand(matches: &ArgMatches) -> (&str, &ArgMatches) {
    matches.subcommand().expect("clap demands a command")
}

/// What the file sets that neither a flag nor a variable does.
fn file_layer(cli: &clap::Command, name: &str, sub: &ArgMatches) -> Result<Option<FileLayer>, NotParsed> {
    let Some(file) = sub.try_get_one::<PathBuf>("config").ok().flatten() else { return Ok(None) };
    let mut layer =
        FileLayer::read(file, &flags(cli, name)).map_err(|e| NotParsed::Usage(UsageError::of(&e)))?;
    layer.settings.retain(|(flag, _)| !is_given(sub, &flag.replace('-', "_")));
    Ok(Some(layer))
}

fn is_given(sub: &ArgMatches, id: &str) -> bool {
    matches!(sub.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

fn parsed(cli: &clap::Command, matches: &ArgMatches, file: Option<&FileLayer>) -> Result<Parsed, NotParsed> {
    let (name, sub) = subcommand(matches);
    let flags = if matches!(name, "serve" | "config") { flags(cli, name) } else { Vec::new() };
    let settings = flags.iter().map(|flag| setting(flag, sub, file)).collect();
    let cli = Cli::from_arg_matches(matches).map_err(NotParsed::Shown)?;
    Ok(Parsed { command: cli.command, settings })
}

fn flags<'a>(cli: &'a clap::Command, name: &str) -> Vec<FlagKind<'a>> {
    let args = cli.find_subcommand(name).map(clap::Command::get_arguments).into_iter().flatten();
    // A flag without a variable says what one call does, and is no setting.
    let variables = known_variables();
    let is_setting =
        |arg: &&clap::Arg| arg.get_long().is_some_and(|name| variables.contains(&variable(name)));
    let kind = |arg: &'a clap::Arg| {
        let list = matches!(arg.get_action(), ArgAction::Append);
        arg.get_long().filter(|name| *name != "config").map(|name| FlagKind { name, list })
    };
    args.filter(is_setting).filter_map(kind).collect()
}

fn setting(flag: &FlagKind<'_>, sub: &ArgMatches, file: Option<&FileLayer>) -> Setting {
    let id = flag.name.replace('-', "_");
    let raw = sub.get_raw(&id).into_iter().flatten();
    let source = match (file.filter(|file| file.sets(flag.name)), sub.value_source(&id)) {
        (Some(file), _) => Source::File(file.path.clone()),
        (None, Some(ValueSource::EnvVariable)) => Source::Variable(variable(flag.name)),
        (None, Some(ValueSource::CommandLine)) => Source::Flag,
        (None, _) => Source::Default,
    };
    let texts = raw.map(|text| text.to_string_lossy().into_owned()).collect();
    Setting { name: flag.name.to_owned(), texts, list: flag.list, source }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Variable(name) => write!(f, "env {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}
