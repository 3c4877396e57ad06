//! Pages in browsers, which `.ci/setup test` installs, with what drives them beside the build.
//!
//! - [`browse`]: pages one after the other in Chromium, each with one script
//! - [`Browser`]: Chromium or Firefox with tabs, while the test does other things to the servers behind their pages

mod session;

pub use session::{Browser, Kind, Tab, View};

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::program::{Output, Program, installed};

/// How long Chromium may take for all pages of a test.
const PATIENCE: Duration = Duration::from_secs(90);

/// The names of the tests are on this machine, and there are no others.
const NAMES: &str =
    "--host-resolver-rules=MAP *.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.*";

/// `faintTexts()`, for scripts: what stands on what less bright than WCAG 2 wants text to be, 4.5 to 1.
pub const FAINT_TEXTS: &str = "
    const faintTexts = () => {
        const dot = (color) => {
            const given = color.match(/[\\d.]+/g).map(Number);
            const channels = color.startsWith('color(') ? given.slice(0, 3) : given.slice(0, 3).map((one) => one / 255);
            return { channels, alpha: given[3] ?? 1 };
        };
        const light = ({ channels }) => channels.map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
            .reduce((sum, one, nth) => sum + one * [0.2126, 0.7152, 0.0722][nth], 0);
        const ground = (node) => {
            for (; node; node = node.parentElement) {
                const color = dot(getComputedStyle(node).backgroundColor);
                if (color.alpha === 1) return color;
            }
            return dot('rgb(255, 255, 255)');
        };
        const faint = [];
        for (const node of document.querySelectorAll('body *')) {
            const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
            if (!own || !node.checkVisibility() || node.closest('script, style, noscript, .skip')) continue;
            const [one, two] = [light(dot(getComputedStyle(node).color)), light(ground(node))];
            const contrast = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
            if (contrast < 4.5) faint.push(`${node.textContent.slice(0, 20)} ${contrast.toFixed(2)}`);
        }
        return faint;
    };";

/// A page, and what it does.
pub fn step(page: impl Into<String>, script: &str) -> Value {
    json!({ "page": page.into(), "script": script })
}

/// What the scripts of the pages returned.
///
/// # Errors
/// A page cannot be opened, a script fails, or all of it takes too long.
///
/// # Panics
/// Where Chromium is not installed.
pub async fn browse(steps: &[Value]) -> anyhow::Result<Vec<Value>> {
    let flags = json!([NAMES]).to_string();
    let driver = [env!("CARGO_MANIFEST_DIR"), "..", "weir", "tests", "foreign", "browser.cjs"];
    let mut command = Command::new("node");
    command.env("NODE_PATH", installed("node_modules"));
    command.arg(driver.iter().collect::<PathBuf>());
    command.arg(chromium()).arg(flags).arg(serde_json::to_string(steps)?);
    let mut driver = Program::start(command, Output::Stdout)?;
    let ended = driver.wait_exit(PATIENCE).await?;
    ensure!(ended.success(), "{ended}: {}", driver.tail());
    let results: Vec<Value> =
        driver.lines().iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?;
    ensure!(results.len() == steps.len(), "{results:?}");
    Ok(results)
}

fn chromium() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("chromium")).find(|file| file.exists());
    found.expect("chromium is missing: run .ci/setup test")
}
