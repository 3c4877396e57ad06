//! Settings that may change while the instance runs, and those that may not.

use std::ffi::OsString;
use std::sync::Arc;

use anyhow::bail;
use weir_http::app::App;

use super::reload::Reload;
use crate::args::Command;
use crate::args::layers::{NotParsed, Parsed, Setting, parse};
use crate::args::serve::ServeArgs;
use crate::config::ServeConfig;
use crate::config::fd_limit::FdLimit;
use crate::logging::{Level, Sparing};

/// What takes effect without a restart: whom an instance lets in, and what it says. All else is part of what clients and other
/// instances were promised at its start. `docs/configuration.md` lists the same, and a test compares.
const LIVE: [&str; 8] = [
    "max-connections",
    "max-connections-per-ip",
    "max-connections-per-subject",
    "connect-rate",
    "publish-rate",
    "memory-limit",
    "cors-origin",
    "log",
];

/// How the instance was started: where its settings come from, and what they were.
#[derive(Debug)]
pub(crate) struct Given {
    /// The arguments as typed; a file among them is read anew.
    pub(crate) argv: Vec<OsString>,
    /// What all layers said together.
    pub(crate) settings: Vec<Setting>,
    /// How many files this process may open.
    pub(crate) files: FdLimit,
    /// Changes what is logged.
    pub(crate) level: Level,
    /// Tells what was left out of the log.
    pub(crate) sparing: Sparing,
}

/// Has them read anew with the rest.
pub(super) fn reload(rest: Reload, given: Given, app: &Arc<App>) -> Reload {
    let (given, app) = (Arc::new(given), Arc::clone(app));
    rest.with("settings", move || {
        let (args, settings) = read(&given.argv)?;
        let config = ServeConfig::new(args, given.files)?;
        let (given, app) = (Arc::clone(&given), Arc::clone(&app));
        Ok(move || {
            app.change(&config.limits, config.cors_origins.clone());
            given.level.set(config.log.level);
            for warning in config.warnings(given.files) {
                tracing::warn!("{warning}");
            }
            let late = too_late(&given.settings, &settings);
            if !late.is_empty() {
                tracing::warn!(
                    settings = late.join(", "),
                    "changed, but these take effect only at the next start"
                );
            }
        })
    })
}

fn read(argv: &[OsString]) -> anyhow::Result<(ServeArgs, Vec<Setting>)> {
    match parse(argv) {
        Ok(Parsed { command: Command::Serve(args), settings }) => Ok((*args, settings)),
        Err(NotParsed::Usage(error)) => Err(error.into()),
        Ok(_) | Err(NotParsed::Shown(_)) => bail!("the arguments are no longer those of an instance"),
    }
}

/// The names of settings that changed and do not take effect by that.
fn too_late<'a>(before: &'a [Setting], now: &[Setting]) -> Vec<&'a str> {
    let changed = before.iter().zip(now).filter(|(before, now)| before.texts != now.texts);
    changed.map(|(before, _)| before.name.as_str()).filter(|name| !LIVE.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/configuration.md");

    #[test]
    fn the_page_lists_exactly_what_takes_effect_without_a_restart() {
        let section = PAGE.split("## Changing settings").nth(1).unwrap().split("\n## ").next().unwrap();
        let list = section.split("at once: ").nth(1).unwrap().split(". ").next().unwrap();
        let listed: Vec<_> = list.split('`').skip(1).step_by(2).collect();
        assert_eq!(listed, LIVE.map(|name| format!("--{name}")));
        let argv = ["weir", "serve"].map(OsString::from);
        let (_, settings) = read(&argv).unwrap();
        assert!(LIVE.iter().all(|name| settings.iter().any(|setting| setting.name == *name)));
    }

    #[test]
    fn what_has_to_wait_is_named() {
        let settings = |more: &[&str]| {
            let argv: Vec<_> = ["weir", "serve"].iter().chain(more).map(OsString::from).collect();
            read(&argv).unwrap().1
        };
        let before = settings(&[]);
        assert!(too_late(&before, &settings(&["--connect-rate=5/s", "--log=debug"])).is_empty());
        assert_eq!(too_late(&before, &settings(&["--maxlen=7", "--log=debug"])), ["maxlen"]);
    }
}
