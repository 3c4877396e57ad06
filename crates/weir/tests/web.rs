//! The packages for browsers, `crates/weir-web`: what is committed is what the sources make, small, usable from npm, tested, documented,
//! and at home with a real instance.
//!
//! `.ci/setup test` installs what they are built with.
#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;
use weir_testkit::loopback::own_address;
use weir_testkit::page::{self, quoted, read, rows, section};
use weir_testkit::{DEADLINE, Instance, Output, Program, Signal, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// What the client may take on its way to a page.
const MOST_BYTES: usize = 6_000;

const MEND: &str = "run `npm run build` in crates/weir-web and commit dist";

/// An application that uses all of it, as strictly as TypeScript can.
const APPLICATION: &str = r#"
import { Weir, type Gap, type Options, type Problem, type State, type WeirEvent } from '@weir/client'

interface Order { readonly id: string, readonly at: number }
const options: Options = {
  url: new URL('https://live.example'), token: async () => 'token', credentials: 'include', keep: true, shared: 'orders', tries: 5,
  fallback: { every: 5_000, poll: async (signal) => void (await fetch('/orders', { signal })) }, pauseWhenHidden: 60_000, snapshot: true,
  overflow: 'latest', conflate: 250, backoff: { first: 500, most: 10_000 }, fetch,
}
const weir = new Weir(options)
const shown: Order[] = []
const subscription = weir.subscribe(['orders', 'news'], ({ value }: WeirEvent<Order>) => void shown.push(value), {
  parse: (data): Order => JSON.parse(data), stale: { at: (event) => event.value.at, of: (event) => event.value.id }, types: ['order.updated'],
  keys: ['ord_42'], from: 'earliest', onGap: ({ reason, missed }: Gap) => console.log(reason, missed),
})
weir.subscribe('log', (event) => { const text: string = event.value; console.log(text) })
const off: () => void = weir.on('status', ({ state, retryAt }) => { const s: State = state; console.log(s, retryAt) })
weir.on('problem', ({ kind, code }: Problem) => console.log(kind, code))
// @ts-expect-error There is no such state.
const never: State = 'asleep'
const at: string | null = weir.position
console.log(never, at, weir.status.state)
off(); weir.retry(); subscription.close(); weir.close()
"#;

/// A page without a browser: it tells each event and state on a line of its own.
const PAGE: &str = r#"
const [url, client] = process.argv.slice(1)
const { Weir } = await import(client)
const weir = new Weir({ url })
weir.on('status', ({ state }) => console.log('state', state))
weir.on('gap', ({ reason }) => console.log('gap', reason))
weir.on('problem', ({ kind }) => console.log('problem', kind))
weir.subscribe(['room', 'other'], ({ session, data }) => console.log('event', session, data))
"#;

fn web() -> PathBuf {
    page::root().join("crates/weir-web")
}

/// Runs a program to its end, and gives what it printed.
fn run(command: &mut Command) -> String {
    assert!(
        web().join("node_modules").is_dir(),
        "crates/weir-web/node_modules is missing: run .ci/setup test"
    );
    let ran = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run .ci/setup test"));
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{command:?}\n{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    said
}

fn node(arguments: &[&str]) -> String {
    run(Command::new("node").args(arguments).current_dir(web()))
}

/// Every file below a folder, by its path from there.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}: {MEND}", next.display()))
        {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn what_is_committed_is_what_the_sources_make() {
    let made = tempfile::tempdir().unwrap();
    node(&["build.mjs", made.path().to_str().unwrap()]);
    for package in ["client", "react"] {
        let (made, kept) = (files(&made.path().join(package)), files(&web().join(package).join("dist")));
        let named = |files: &BTreeMap<PathBuf, _>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(named(&made), named(&kept), "{package}/dist: {MEND}");
        let other: Vec<_> = made
            .iter()
            .filter(|(path, bytes)| kept.get(*path) != Some(*bytes))
            .map(|(path, _)| path)
            .collect();
        assert!(other.is_empty(), "{package}/dist, {other:?}: {MEND}");
    }
}

#[test]
fn the_client_is_small() {
    const COUNT: &str = "console.log(require('zlib').gzipSync(require('fs').readFileSync('client/dist/client.js'), { level: 9 }).length)";
    let bytes: usize = node(&["-e", COUNT]).trim().parse().unwrap();
    assert!(bytes < MOST_BYTES, "client/dist/client.js has {bytes} bytes gzipped, the bound is {MOST_BYTES}");
}

#[test]
fn its_units_pass() {
    run(Command::new("npm").args(["test", "--silent"]).current_dir(web()));
}

/// As an application has it: packed, installed, checked by its own compiler, and imported.
#[test]
fn an_application_can_install_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let cache = format!("--cache={}", at("cache").display());
    let npm = |from: &Path, arguments: &[&str]| {
        run(Command::new("npm").args(arguments).args([&*cache, "--silent", "--offline"]).current_dir(from))
    };
    let packed = npm(&web().join("client"), &["pack", "--pack-destination", dir.path().to_str().unwrap()]);
    fs::write(at("package.json"), r#"{"type":"module"}"#).unwrap();
    npm(dir.path(), &["install", "--no-audit", "--no-fund", &format!("./{}", packed.trim())]);
    assert!(at("node_modules/@weir/client/README.md").is_file(), "the package has no README.md");

    fs::write(at("application.ts"), APPLICATION).unwrap();
    let tsc = [
        "--strict",
        "--exactOptionalPropertyTypes",
        "--noUncheckedIndexedAccess",
        "--noEmit",
        "--target",
        "es2022",
    ];
    let lib = ["--module", "nodenext", "--lib", "es2022,dom,dom.iterable", "--types", "", "application.ts"];
    run(Command::new(web().join("node_modules/.bin/tsc")).args(tsc).args(lib).current_dir(dir.path()));
    let import = "import { Weir } from '@weir/client'; console.log(Object.keys(await import('@weir/client')), new Weir().status.state)";
    let said = run(Command::new("node").args(["--input-type=module", "-e", import]).current_dir(dir.path()));
    assert_eq!(said.trim(), "[ 'Weir' ] idle");
}

#[tokio::test]
async fn an_instance_that_is_killed_costs_nothing_that_was_published() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let flags = ["--data-dir", data.path().to_str().unwrap(), "--retry", "100ms"];
    let at = (own_address()?, own_address()?);
    let start = || Instance::builder(WEIR).listen(at.0).admin_listen(at.1).flags(&flags).start();
    let mut weir = start().await?;

    let mut command = Command::new("node");
    let client = format!("file://{}", web().canonicalize()?.join("client/dist/client.js").display());
    command.args(["--input-type=module", "-e", PAGE, &format!("http://{}", at.0), &client]);
    let page = Program::start(command, Output::Stdout)?;
    let said = async |wanted: &str| {
        eventually(DEADLINE, async || {
            ensure!(page.lines().iter().any(|line| line == wanted), "no {wanted}: {}", page.tail());
            Ok(())
        })
        .await
    };
    said("state live").await?;
    weir.client().publish("room", "1").await?;
    said("event room 1").await?;
    let before = page.lines().len();
    weir.signal(Signal::KILL)?;
    weir.wait_exit(DEADLINE).await?;
    said("problem network").await?;
    weir = start().await?;
    for (session, data) in [("room", "2"), ("other", "3"), ("elsewhere", "4"), ("room", "5")] {
        weir.client().publish(session, data).await?;
    }
    said("event room 5").await?;
    let lines = page.lines();
    let events: Vec<_> = lines.iter().filter(|line| line.starts_with("event")).collect();
    assert_eq!(events, ["event room 1", "event room 2", "event other 3", "event room 5"]);
    assert!(!lines.iter().any(|line| line.starts_with("gap")), "{lines:?}");
    assert!(lines[before..].iter().any(|line| line == "state live"), "{lines:?}");
    Ok(())
}

const PAGE_OF_DOCS: &str = "docs/client.md";
const TYPES: &str = "crates/weir-web/client/src/types.ts";

/// What follows `export TYPE NAME` of the sources, up to the next thing that is exported.
fn declared<'a>(source: &'a str, what: &str) -> &'a str {
    let start = source.find(what).unwrap_or_else(|| panic!("no {what}"));
    let rest = &source[start + what.len()..];
    &rest[..rest.find("\nexport ").unwrap_or(rest.len())]
}

/// The fields of an interface, without those of the objects in it.
fn fields(source: &str, interface: &str) -> BTreeSet<String> {
    let lines = declared(source, &format!("export interface {interface}")).lines();
    let fields =
        lines.filter_map(|line| line.strip_prefix("  ")).map(|line| line.trim_start_matches("readonly "));
    let names = fields.filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim_end_matches('?'));
    let is_name = |name: &&str| !name.is_empty() && name.chars().all(char::is_alphanumeric);
    names.filter(is_name).map(str::to_owned).collect()
}

/// The texts of a union, such as `'one' | 'two'`.
fn texts(union: &str) -> BTreeSet<String> {
    union.lines().next().unwrap().split('\'').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What the first cells of a table name.
fn named(page: &str, heading: &str, table: &str) -> BTreeSet<String> {
    let section = section(page, heading);
    let start =
        section.find(&format!("\n| {table} |")).unwrap_or_else(|| panic!("no table {table} in {heading}"));
    let table = &section[start + 1..];
    let table = &table[..table.find("\n\n").unwrap_or(table.len())];
    rows(table).iter().flat_map(|row| quoted(row[0])).map(str::to_owned).collect()
}

#[test]
fn every_option_state_and_problem_is_documented_and_nothing_else() {
    let (types, docs) = (read(TYPES), read(PAGE_OF_DOCS));
    let of_field = |interface: &str, field: &str| {
        let interface = declared(&types, &format!("export interface {interface}"));
        texts(declared(interface, &format!("  readonly {field}: ")))
    };
    let client = read("crates/weir-web/client/src/client.ts");
    let members =
        client.lines().filter_map(|line| line.strip_prefix("  ")).map(|line| line.trim_start_matches("get "));
    let methods = members.filter_map(|line| Some(line.split_once(['(', '<'])?.0));
    let is_public = |name: &&str| *name != "constructor" && name.chars().all(char::is_alphabetic);
    let methods = methods.filter(is_public).map(str::to_owned).collect();
    let contract = read("docs/contract.md");
    let control = rows(section(&contract, "3. Server-Sent Events on the wire"));
    let control: BTreeSet<_> = control.iter().flat_map(|row| quoted(row[0])).map(str::to_owned).collect();
    let told = named(&docs, "What it does on each message", "from weir");
    for (what, built, said) in [
        ("methods", methods, named(&docs, "Methods", "of a `Weir`")),
        ("options", fields(&types, "Options"), named(&docs, "Options", "option")),
        (
            "options of a subscription",
            fields(&types, "SubscribeOptions"),
            named(&docs, "Options", "option of a subscription"),
        ),
        ("fields of an event", fields(&types, "WeirEvent"), named(&docs, "Events", "field")),
        ("fields of a gap", fields(&types, "Gap"), named(&docs, "Gaps", "field")),
        ("reasons of a gap", of_field("Gap", "reason"), named(&docs, "Gaps", "reason")),
        ("what can be listened to", fields(&types, "Events"), named(&docs, "Listening", "`on`")),
        ("states", texts(declared(&types, "export type State")), named(&docs, "States", "state")),
        ("fields of the status", fields(&types, "Status"), named(&docs, "States", "status")),
        ("kinds of problems", of_field("Problem", "kind"), named(&docs, "Problems", "kind")),
        ("fields of a problem", fields(&types, "Problem"), named(&docs, "Problems", "field")),
        ("control events", control, told.into_iter().filter(|name| name.starts_with("weir.")).collect()),
    ] {
        assert!(!built.is_empty(), "no {what} found");
        assert_eq!(built, said, "{what}: what is built, and what {PAGE_OF_DOCS} says");
    }
}
