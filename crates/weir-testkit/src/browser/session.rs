//! A browser that stays open while a test does other things to the servers behind its pages.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::NAMES;
use crate::deadline::within;
use crate::leash;
use crate::program::installed;
use crate::tools::tool;

/// How long a browser may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// How long any order may take.
const ORDER: Duration = Duration::from_secs(60);

/// How long [`Tab::until`] looks.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a browser may take to end.
const END: Duration = Duration::from_secs(10);

/// Which browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The one of most.
    Chromium,
    /// Another engine: other limits, other messages, another `EventSource`.
    Firefox,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox-esr",
        }
    }
}

/// The size and the colours of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// In CSS pixels.
    pub width: u32,
    /// In CSS pixels.
    pub height: u32,
    /// Whether the user prefers dark colours. Chromium alone can be told.
    pub dark: bool,
    /// Pixels of a picture for each CSS pixel.
    pub scale: u32,
}

impl View {
    /// A window of this size, in light colours.
    pub fn of(width: u32, height: u32) -> Self {
        Self { width, height, dark: false, scale: 1 }
    }

    fn told(self) -> Value {
        json!({ "width": self.width, "height": self.height, "dark": self.dark, "scale": self.scale })
    }
}

/// A running browser with a profile of its own. It is ended when it is dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Arc<Driver>,
}

/// A tab. It stays open when it is dropped; the browser closes it.
#[derive(Debug)]
pub struct Tab {
    driver: Arc<Driver>,
    id: u64,
}

impl Browser {
    /// Starts one.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub async fn start(kind: Kind) -> anyhow::Result<Self> {
        let (driver, started) = Driver::start(kind)?;
        within(START, format!("{} starts", kind.program()), answered(started)).await?;
        Ok(Self { driver: Arc::new(driver) })
    }

    /// Opens a page in a new tab and waits until it is loaded.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub async fn open(&self, url: impl AsRef<str>) -> anyhow::Result<Tab> {
        self.opened(json!({ "order": "open", "url": url.as_ref() })).await
    }

    /// The same in a window of this size and these colours.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub async fn open_in(&self, url: impl AsRef<str>, view: View) -> anyhow::Result<Tab> {
        self.opened(json!({ "order": "open", "url": url.as_ref(), "view": view.told() })).await
    }

    /// The same with cookies, in the form of puppeteer's `CookieData`, which all tabs have from then on.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub async fn open_with(&self, url: impl AsRef<str>, cookies: Value) -> anyhow::Result<Tab> {
        self.opened(json!({ "order": "open", "url": url.as_ref(), "cookies": cookies })).await
    }

    async fn opened(&self, order: Value) -> anyhow::Result<Tab> {
        let id = self.driver.order(order).await?.as_u64().context("the number of a tab")?;
        Ok(Tab { driver: Arc::clone(&self.driver), id })
    }
}

impl Tab {
    /// What a script returns, which is the body of an async function.
    ///
    /// # Errors
    /// It throws.
    pub async fn run(&self, script: &str) -> anyhow::Result<Value> {
        self.run_with(script, Value::Null).await
    }

    /// The same, where the script finds this value as `given`.
    ///
    /// # Errors
    /// It throws.
    pub async fn run_with(&self, script: &str, given: Value) -> anyhow::Result<Value> {
        self.order(json!({ "order": "run", "script": script, "given": given })).await
    }

    /// Runs a script again and again until what it returns is true in the sense of JavaScript, and gives that.
    ///
    /// # Errors
    /// It throws, or never is; the error says what the page shows.
    pub async fn until(&self, script: &str) -> anyhow::Result<Value> {
        self.until_within(PATIENCE, script).await
    }

    /// The same with another patience than 20 s, of at most 50 s.
    ///
    /// # Errors
    /// It throws, or never is; the error says what the page shows.
    pub async fn until_within(&self, patience: Duration, script: &str) -> anyhow::Result<Value> {
        let patience = u64::try_from(patience.as_millis())?;
        self.order(json!({ "order": "until", "script": script, "patience": patience })).await
    }

    /// Goes to another page.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub async fn go(&self, url: impl AsRef<str>) -> anyhow::Result<()> {
        self.done(json!({ "order": "goto", "url": url.as_ref() })).await
    }

    /// Loads the page anew.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub async fn reload(&self) -> anyhow::Result<()> {
        self.done(json!({ "order": "reload" })).await
    }

    /// Looks at this tab, which hides the others of its window.
    ///
    /// # Errors
    /// The browser does not.
    pub async fn front(&self) -> anyhow::Result<()> {
        self.done(json!({ "order": "front" })).await
    }

    /// Freezes the page as a sleeping machine does: no timer and no callback of it runs. Chromium alone; a frozen page answers
    /// nothing until [`thaw`](Self::thaw).
    ///
    /// # Errors
    /// The browser cannot.
    pub async fn freeze(&self) -> anyhow::Result<()> {
        self.done(json!({ "order": "freeze" })).await
    }

    /// The end of [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// The browser cannot.
    pub async fn thaw(&self) -> anyhow::Result<()> {
        self.done(json!({ "order": "thaw" })).await
    }

    /// Ends the process of the page, as a fault of the browser or want of memory does. Chromium alone.
    ///
    /// # Errors
    /// The browser cannot.
    pub async fn crash(self) -> anyhow::Result<()> {
        self.done(json!({ "order": "crash" })).await
    }

    /// Presses a key, such as `Tab` or `Enter`.
    ///
    /// # Errors
    /// There is no such key.
    pub async fn press(&self, key: &str) -> anyhow::Result<()> {
        self.done(json!({ "order": "press", "key": key })).await
    }

    /// Changes the window.
    ///
    /// # Errors
    /// The browser does not.
    pub async fn view(&self, view: View) -> anyhow::Result<()> {
        self.done(json!({ "order": "view", "view": view.told() })).await
    }

    /// Makes a picture of the whole page, as PNG.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn picture(&self, file: &Path) -> anyhow::Result<()> {
        self.done(json!({ "order": "picture", "path": file })).await
    }

    /// Makes a picture of what the window shows of the page, as PNG.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn glance(&self, file: &Path) -> anyhow::Result<()> {
        self.done(json!({ "order": "picture", "path": file, "fold": true })).await
    }

    /// What went wrong on the page since the last look: errors nobody caught, and those in its console.
    ///
    /// # Errors
    /// The tab is gone.
    pub async fn complaints(&self) -> anyhow::Result<Vec<String>> {
        let complaints = self.order(json!({ "order": "complaints" })).await?;
        Ok(serde_json::from_value(complaints)?)
    }

    /// Closes the tab, as a user does.
    ///
    /// # Errors
    /// It is closed already.
    pub async fn close(self) -> anyhow::Result<()> {
        self.done(json!({ "order": "close" })).await
    }

    async fn done(&self, order: Value) -> anyhow::Result<()> {
        self.order(order).await.map(drop)
    }

    async fn order(&self, mut order: Value) -> anyhow::Result<Value> {
        order["tab"] = json!(self.id);
        self.driver.order(order).await
    }
}

/// Who waits for which answer; nobody can wait any more once the driver has ended.
type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Value>>>>>;

/// The program that tells the browser what to do.
#[derive(Debug)]
struct Driver {
    input: Mutex<Option<ChildStdin>>,
    process: Mutex<Child>,
    waiting: Waiting,
    last: AtomicU64,
    reader: Option<JoinHandle<()>>,
    _profile: TempDir,
}

impl Driver {
    /// Starts it. What it says first is for the receiver.
    fn start(kind: Kind) -> anyhow::Result<(Self, oneshot::Receiver<Value>)> {
        let profile = TempDir::new()?;
        let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "src", "browser", "driver.cjs"].iter().collect();
        let mut command = leash::command(tool("node")?);
        command.env("NODE_PATH", installed("node_modules")).arg(script);
        command
            .arg(kind.name())
            .arg(tool(kind.program())?)
            .arg(profile.path())
            .arg(json!([NAMES]).to_string());
        let mut process = spawn(&mut command)?;
        let (told, started) = oneshot::channel();
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::from([(0, told)]))));
        let output = process.stdout.take().context("its output")?;
        let sink = Arc::clone(&waiting);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                hand_out(&sink, &line);
            }
            // Whoever still waits learns that nothing will come.
            sink.lock().unwrap_or_else(PoisonError::into_inner).take();
        });
        let driver = Self {
            input: Mutex::new(process.stdin.take()),
            process: Mutex::new(process),
            waiting,
            last: AtomicU64::new(0),
            reader: Some(reader),
            _profile: profile,
        };
        Ok((driver, started))
    }

    async fn order(&self, mut order: Value) -> anyhow::Result<Value> {
        let nth = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        order["nth"] = json!(nth);
        let (told, answer) = oneshot::channel();
        if let Some(waiting) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            waiting.insert(nth, told);
        }
        if let Some(input) = self.input.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            writeln!(input, "{order}").context("the browser is gone")?;
        }
        within(ORDER, &order["order"], answered(answer)).await
    }
}

fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().with_context(|| format!("start {command:?}"))
}

fn hand_out(waiting: &Waiting, line: &str) {
    let answer: Option<Value> = serde_json::from_str(line).ok();
    let nth = answer.as_ref().and_then(|answer| answer["nth"].as_u64());
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let waits = nth.and_then(|nth| waiting.as_mut()?.remove(&nth));
    if let (Some(waits), Some(answer)) = (waits, answer) {
        // The test may have stopped waiting.
        let _ = waits.send(answer);
    }
}

async fn answered(answer: oneshot::Receiver<Value>) -> anyhow::Result<Value> {
    let mut answer = answer.await.context("the browser has ended")?;
    match answer["error"].as_str() {
        Some(error) => Err(anyhow!("{error}")),
        None => Ok(answer["value"].take()),
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The end of its input is its sign to end the browser, which outlives it where it is killed.
        self.input.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        let end = Instant::now() + END;
        while matches!(process.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Neither can fail in a way that matters: the process is gone already, or is gone after this.
        let _ = process.kill();
        let _ = process.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
