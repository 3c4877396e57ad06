//! The binary from outside: flags, environment, file, output and exit status.
#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]
// sizes: one table of flags after the other, all told by the same runner

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use weir_testkit::Secret;
use weir_testkit::program::without_settings;
use weir_testkit::token::{Kind, Pair};

/// A weir with nothing of the tester's own environment that could matter.
fn weir(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    without_settings(&mut command).args(args);
    command
}

/// What came of a run.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    status: Option<i32>,
    out: String,
    err: String,
}

fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { status: status.code(), out: text(stdout), err: text(stderr) }
}

/// One line on standard error, nothing on standard output, exit status 2.
fn assert_usage_error(command: &mut Command, line: &str) {
    assert_eq!(run(command), Ran { status: Some(2), out: String::new(), err: format!("weir: {line}\n") });
}

/// A configuration file that is gone with the test.
struct File {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn file(text: &str) -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.toml");
    std::fs::write(&path, text).unwrap();
    File { _dir: dir, path }
}

impl File {
    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// The line of `weir config` about one setting, single spaced.
fn setting(config: &str, name: &str) -> String {
    let of = |line: &&str| line.starts_with(&format!("{name} = ")) || line.starts_with(&format!("# {name} "));
    let line = config.lines().find(of).unwrap_or_else(|| panic!("no {name} in:\n{config}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let file =
        file("heartbeat = \"1s\"\nretry = \"1s\"\nmaxlen = 7\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n");
    let mut command = weir(&["config", "--heartbeat", "3s"]);
    command.env("WEIR_CONFIG", &file.path).env("WEIR_HEARTBEAT", "2s").env("WEIR_RETRY", "2s");
    let Ran { status, out, err } = run(&mut command);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let from_file = format!("# file {}", file.path());
    for (name, want) in [
        ("heartbeat", "heartbeat = \"3s\" # flag".to_owned()),
        ("retry", "retry = \"2s\" # env WEIR_RETRY".to_owned()),
        ("maxlen", format!("maxlen = \"7\" {from_file}")),
        ("listen", format!("listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"] {from_file}")),
        ("overflow", "overflow = \"catch-up\" # default".to_owned()),
        ("redis", "# redis is not set # default".to_owned()),
    ] {
        assert_eq!(setting(&out, name), want);
    }
}

#[test]
fn lists_are_repeated_flags_or_separated_by_commas() {
    let want = "listen = [\"127.0.0.1:1\", \"[::1]:2\"]";
    let flags = run(&mut weir(&["config", "--listen", "127.0.0.1:1", "--listen", "[::1]:2"]));
    assert_eq!(setting(&flags.out, "listen"), format!("{want} # flag"));
    let variable = run(weir(&["config"]).env("WEIR_LISTEN", "127.0.0.1:1,[::1]:2"));
    assert_eq!(setting(&variable.out, "listen"), format!("{want} # env WEIR_LISTEN"));
}

#[test]
fn what_config_prints_is_a_file_that_says_the_same() {
    let first = run(&mut weir(&["config", "--max-age", "2h", "--metric-types", "a,b", "--anonymous", "all"]));
    let file = file(&first.out);
    let second = run(&mut weir(&["config", "--config", file.path()]));
    assert_eq!((second.status, second.err.as_str()), (Some(0), ""));
    let values = |out: &str| -> Vec<String> {
        out.lines().map(|line| line.rsplit_once("  # ").unwrap().0.trim_end().to_owned()).collect()
    };
    assert_eq!(values(&second.out), values(&first.out));
    assert!(second.out.contains(&format!("# file {}", file.path())));
}

#[test]
fn a_variable_set_to_nothing_counts_as_not_set() {
    let ran = run(weir(&["config"]).env("WEIR_REDIS", "").env("WEIR_HEARTBEAT", ""));
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert_eq!(setting(&ran.out, "heartbeat"), "heartbeat = \"15s\" # default");
    assert_eq!(setting(&ran.out, "redis"), "# redis is not set # default");
}

#[test]
fn secrets_do_not_show() {
    let url = "redis://user:secret1@127.0.0.1:1/2";
    let ran = run(weir(&["config"]).env("WEIR_REDIS", url).env("WEIR_TOKEN", "secret2"));
    assert_eq!(
        setting(&ran.out, "redis"),
        "redis = \"redis://user:redacted@127.0.0.1:1/2\" # env WEIR_REDIS"
    );
    let wrong_url = run(&mut weir(&["serve", "--redis", "rediz://user:secret3@h"]));
    let wrong_token = run(&mut weir(&["publish", "s", "x", "--token", "secret4 x"]));
    let misspelt = run(&mut weir(&["publish", "s", "x", "--tokn=secret5"]));
    let in_server = run(&mut weir(&["publish", "s", "x", "--url", "http://u:secret6@h"]));
    let help = run(weir(&["serve", "--help"]).env("WEIR_REDIS", url));
    for ran in [&ran, &wrong_url, &wrong_token, &misspelt, &in_server, &help] {
        let shown = |nth| [&ran.out, &ran.err].iter().any(|text| text.contains(&format!("secret{nth}")));
        assert!(!(1..=6).any(shown), "{ran:?}");
    }
    for ran in [wrong_url, wrong_token, misspelt, in_server] {
        assert_eq!((ran.status, ran.err.lines().count()), (Some(2), 1), "{}", ran.err);
    }
}

#[test]
fn an_unknown_flag_names_the_nearest() {
    assert_usage_error(
        &mut weir(&["serve", "--lisen", "127.0.0.1:1"]),
        "unknown flag --lisen of weir serve: the nearest is --listen; weir serve --help lists all",
    );
    assert_usage_error(
        &mut weir(&["tail", "s", "--jsn"]),
        "unknown flag --jsn of weir tail: the nearest is --json; weir tail --help lists all",
    );
    assert_usage_error(
        &mut weir(&["token", "mint", "--subscibe", "s"]),
        "unknown flag --subscibe of weir token mint: the nearest is --subscribe; weir token mint --help lists all",
    );
    assert_usage_error(
        &mut weir(&["srve"]),
        "unknown command \"srve\": the nearest is serve; weir --help lists all",
    );
    assert_usage_error(
        &mut weir(&["healthcheck", "now"]),
        "weir healthcheck takes no further argument \"now\": weir healthcheck --help lists what it takes",
    );
}

#[test]
fn an_unknown_value_names_the_nearest_and_where_it_stands() {
    let policies = "it is one of catch-up, drop-oldest, latest, disconnect; the nearest is drop-oldest";
    assert_usage_error(
        &mut weir(&["serve", "--overflow", "dropoldest"]),
        &format!("invalid value \"dropoldest\" for --overflow: {policies}"),
    );
    assert_usage_error(
        weir(&["serve"]).env("WEIR_OVERFLOW", "dropoldest"),
        &format!("invalid value \"dropoldest\" for WEIR_OVERFLOW: {policies}"),
    );
    let file = file("overflow = \"dropoldest\"\n");
    assert_usage_error(
        &mut weir(&["serve", "--config", file.path()]),
        &format!("invalid value \"dropoldest\" for overflow in {}: {policies}", file.path()),
    );
}

#[test]
fn a_wrong_value_says_what_a_right_one_looks_like() {
    for (flag, value, reason) in [
        (
            "--heartbeat",
            "5",
            "a duration is a whole number with a unit, such as 250ms, 5s, 10m, 2h or 7d, and at most 365d",
        ),
        ("--heartbeat", "0", "it must be longer than 0, such as 250ms, 5s or 2h"),
        (
            "--heartbeat",
            "",
            "a duration is a whole number with a unit, such as 250ms, 5s, 10m, 2h or 7d, and at most 365d",
        ),
        ("--max-age", "never", "it is a duration such as 30s, 10m or 2h, or off"),
        (
            "--window-bytes",
            "64MB",
            "a size is a whole number of bytes or with a unit, such as 65536, 256KiB, 64MiB or 1GiB, and at least 1",
        ),
        ("--read-count", "0", "it is a whole number of at least 1"),
        ("--listen", "8080", "an address is IP:PORT, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080"),
        (
            "--instance",
            "a:b",
            "the name of an instance is 1 to 64 letters, digits, dots, dashes and underscores",
        ),
        ("--refuse", "504", "it is one of soft, 503; the nearest is 503"),
    ] {
        assert_usage_error(
            &mut weir(&["serve", &format!("{flag}={value}")]),
            &format!("invalid value {value:?} for {flag}: {reason}"),
        );
    }
    assert_usage_error(&mut weir(&["serve", "--heartbeat"]), "--heartbeat needs a value");
}

#[test]
fn a_wrong_file_is_told_in_one_line() {
    let unknown = file("lissten = \"127.0.0.1:1\"\n");
    let in_file = |text| format!("{text} in {}", unknown.path());
    assert_usage_error(
        &mut weir(&["serve", "--config", unknown.path()]),
        &format!("{}: the nearest is listen", in_file("unknown key lissten")),
    );
    let list = file("maxlen = [1, 2]\n");
    assert_usage_error(
        &mut weir(&["serve", "--config", list.path()]),
        &format!("the value of maxlen in {} must be one text or number", list.path()),
    );
    let table = file("[redis]\nurl = \"x\"\n");
    assert_usage_error(
        &mut weir(&["serve", "--config", table.path()]),
        &format!("the value of redis in {} must be one text or number", table.path()),
    );
    let broken = file("maxlen = 1\nredis = \"redis://u:secret@h\n");
    let ran = run(&mut weir(&["serve", "--config", broken.path()]));
    assert_eq!((ran.status, ran.err.lines().count()), (Some(2), 1), "{}", ran.err);
    assert!(ran.err.starts_with(&format!("weir: {} is not TOML: line 2: ", broken.path())), "{}", ran.err);
    assert!(!ran.err.contains("secret"), "{}", ran.err);
    assert_usage_error(
        &mut weir(&["serve", "--config", "/nowhere/weir.toml"]),
        "cannot read the configuration file /nowhere/weir.toml: No such file or directory (os error 2)",
    );
    let itself = file("config = \"other.toml\"\n");
    let ran = run(&mut weir(&["serve", "--config", itself.path()]));
    assert!(ran.err.starts_with("weir: unknown key config in "), "{}", ran.err);
}

#[test]
fn an_unknown_variable_is_only_warned_about() {
    let ran =
        run(weir(&["config"]).env("WEIR_HARTBEAT", "5s").env("WEIR_URL", "http://h").env("WEIR_TOKEN", "t"));
    assert_eq!(ran.status, Some(0));
    assert_eq!(ran.err, "weir: unknown environment variable WEIR_HARTBEAT: the nearest is WEIR_HEARTBEAT\n");
}

#[test]
fn an_admin_listener_for_others_needs_a_token() {
    let public = |file: &std::path::Path| {
        let mut weir = weir(&["config", "--admin-listen", "0.0.0.0:8081", "--admin-token-file"]);
        weir.arg(file);
        weir
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let name = file.display().to_string();
    assert_usage_error(
        &mut public(&file),
        &format!("--admin-token-file {name}: No such file or directory (os error 2)"),
    );
    let short = "short-secret";
    std::fs::write(&file, short).unwrap();
    let refused = format!(
        "--admin-token-file {name}: an admin token is one line of 32 to 1024 visible ASCII characters without spaces: \
         make one with openssl rand -hex 32"
    );
    assert_usage_error(&mut public(&file), &refused);
    std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
    let ran = run(&mut public(&file));
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.out.contains(&name) && !format!("{ran:?}").contains("0123456789abcdef"), "{ran:?}");
}

#[test]
fn what_others_can_reach_needs_a_decision() {
    assert_usage_error(
        &mut weir(&["serve", "--listen", "0.0.0.0:8080"]),
        "--listen 0.0.0.0:8080 can be reached from other machines: say what tokens are checked with, such as \
         --jwt-secret-file FILE, or who needs none with --anonymous none, subscribe, publish or all",
    );
    assert_usage_error(
        &mut weir(&["serve", "--admin-listen", "[::]:8081"]),
        "--admin-listen [::]:8081 can be reached from other machines: give the token that admin calls need with \
         --admin-token-file, or use an address of this machine alone, such as 127.0.0.1:8081",
    );
    let decided = run(&mut weir(&["config", "--listen", "0.0.0.0:8080", "--anonymous", "subscribe"]));
    assert_eq!((decided.status, decided.err.as_str()), (Some(0), ""), "{decided:?}");
    let secret = Secret::new();
    let keys = run(&mut weir(&["config", "--listen", "0.0.0.0:8080", "--jwt-secret-file", secret.flag()]));
    assert_eq!((keys.status, keys.err.as_str()), (Some(0), ""), "{keys:?}");
    let everybody = run(&mut weir(&["config", "--listen", "0.0.0.0:8080", "--anonymous", "all"]));
    assert_eq!(
        (everybody.status, everybody.err.as_str()),
        (
            Some(0),
            "weir: --anonymous lets everybody publish who can reach --listen 0.0.0.0:8080: have publishers show a token, \
             with --jwt-secret-file and --anonymous subscribe or none\n"
        )
    );
}

#[test]
fn key_files_of_no_use_are_named_and_not_shown() {
    let short = Secret::of(b"hunter2\n");
    assert_usage_error(
        &mut weir(&["serve", "--jwt-secret-file", short.flag()]),
        &format!(
            "cannot use --jwt-secret-file {}: a secret has at least 32 bytes, this one has 7: make one with `openssl rand \
             -hex 32`",
            short.flag()
        ),
    );
    let public = |key: &std::path::Path| {
        let ran = run(&mut weir(&["serve", "--jwt-public-key-file", key.to_str().unwrap()]));
        assert_eq!((ran.status, ran.err.lines().count()), (Some(2), 1), "{ran:?}");
        ran.err
    };
    let (ed25519, p384) = (Pair::new(Kind::Ed25519), Pair::new(Kind::P384));
    assert!(public(ed25519.private()).contains(": it holds a private key, which nobody needs here: "));
    assert!(public(p384.public()).contains(": a public key is RSA, ECDSA on the curve P-256"));
    assert!(public(short.path()).contains(": it holds no public key in PEM (BEGIN PUBLIC KEY): "));
    let swapped = run(&mut weir(&["serve", "--jwt-secret-file", ed25519.public().to_str().unwrap()]));
    assert!(swapped.err.contains(": it is a PEM file and no secret: "), "{swapped:?}");
    let open = Secret::new();
    std::fs::set_permissions(open.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = run(&mut weir(&["config", "--jwt-secret-file", open.flag()]));
    assert_eq!(setting(&ran.out, "jwt-secret-file"), format!("jwt-secret-file = [{:?}] # flag", open.flag()));
    let warned = "weir: every user of this machine can read the secret in ";
    assert!(ran.err.starts_with(warned) && ran.err.lines().count() == 1, "{ran:?}");
}

#[test]
fn settings_that_do_not_go_together() {
    assert_usage_error(
        &mut weir(&["serve", "--listen", "127.0.0.1:8081"]),
        "127.0.0.1:8081 is given to two listeners: choose another port for one of --listen, --admin-listen and --agent-listen",
    );
    assert_usage_error(
        &mut weir(&["serve", "--agent-listen", "127.0.0.1:8080"]),
        "127.0.0.1:8080 is given to two listeners: choose another port for one of --listen, --admin-listen and --agent-listen",
    );
    assert_usage_error(
        &mut weir(&["serve", "--redis-password-file", "/nowhere"]),
        "--redis-password-file has no effect without --redis: give both or none",
    );
    assert_usage_error(
        &mut weir(&["serve", "--redis-password-file", "/nowhere", "--redis", "redis://h"]),
        "cannot use --redis-password-file /nowhere: No such file or directory (os error 2)",
    );
    let drain = run(&mut weir(&["config", "--drain-window", "1m"]));
    assert_eq!(drain.status, Some(0));
    assert_eq!(
        drain.err,
        "weir: --drain-delay and --drain-window take 65s together, --shutdown-timeout allows 25s: clients whose turn \
         comes later are cut\n"
    );
}

#[test]
fn the_default_of_max_connections_follows_the_limit_of_files() {
    let shell = format!("ulimit -n 1000 && exec {} config", env!("CARGO_BIN_EXE_weir"));
    let ran = run(Command::new("sh").args(["-c", &shell]));
    assert_eq!(setting(&ran.out, "max-connections"), "max-connections = \"872\" # default");
}

#[test]
fn a_port_in_use_ends_it_with_one_line_and_status_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = run(&mut weir(&["serve", "--listen", &address, "--admin-listen", "127.0.0.1:0"]));
    assert_eq!((ran.status, ran.err.lines().count()), (Some(1), 1), "{}", ran.err);
    assert!(ran.err.contains(&address), "{}", ran.err);
}

#[test]
fn completions_know_the_flags() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = run(&mut weir(&["completions", shell]));
        assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""));
        assert!(ran.out.contains("max-sessions-per-connection"), "{shell}");
    }
    assert_usage_error(
        &mut weir(&["completions", "bsh"]),
        "invalid value \"bsh\" for <SHELL>: it is one of bash, elvish, fish, powershell, zsh; the nearest is bash",
    );
}

#[test]
fn help_and_version_go_to_standard_output() {
    for args in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        let ran = run(&mut weir(args));
        assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""), "{args:?}");
        assert!(!ran.out.is_empty());
    }
    let alone = run(&mut weir(&[]));
    assert_eq!((alone.status, alone.out.as_str()), (Some(2), ""));
    assert!(alone.err.contains("Usage: weir <COMMAND>"), "{}", alone.err);
    assert_usage_error(
        &mut weir(&["tail"]),
        "the following required arguments were not provided: <SESSION>...",
    );
}

#[test]
fn a_closed_pipe_is_a_clean_end() {
    let mut child = weir(&["config"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

#[test]
fn nobody_there_is_a_failure_with_its_reason() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}");
    let publish = run(&mut weir(&["publish", "s", "x", "--url", &url]));
    let refused = "Connection refused (os error 111)";
    assert_eq!(publish.err, format!("weir: cannot reach {url}: {refused}\n"));
    let health = run(&mut weir(&["healthcheck", "--admin-url", &url]));
    assert_eq!(health.err, format!("weir: no answer from {url}: {refused}\n"));
    assert_eq!((publish.status, health.status), (Some(1), Some(1)));
}

#[test]
fn standard_input_is_published_line_by_line() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = weir(&["publish", "s", "--url", &format!("http://{address}")]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a\nb\n").unwrap();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(1));
    let err = String::from_utf8(stderr).unwrap();
    assert!(err.starts_with("weir: line 1 of standard input: cannot reach "), "{err}");

    let nothing = run(&mut weir(&["publish", "s"]));
    assert_eq!(nothing, Ran { status: Some(0), out: String::new(), err: String::new() });
}
