//! The flags of an instance.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use ipnet::IpNet;
use weir_core::{EventType, Session};
use weir_http::cors::Origin;
use weir_http::rates::Rate;

use super::redis::RedisArgs;
use super::tokens::TokenArgs;
use super::value::{self, OrOff};

/// `weir serve`. `docs/configuration.md` lists the same flags, and a test compares.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// TOML file; its keys are these flags without the dashes in front
    #[arg(long, env = "WEIR_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Public address (repeatable): HTTP/1.1 and cleartext HTTP/2
    #[arg(long, env = "WEIR_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080", value_delimiter = ',', value_parser = value::address)]
    pub(crate) listen: Vec<SocketAddr>,
    /// PEM file of the certificate, with its chain, that the public addresses show: they speak TLS then
    #[arg(long, env = "WEIR_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file of the private key of that certificate
    #[arg(long, env = "WEIR_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Address for metrics, health and admin calls
    #[arg(long, env = "WEIR_ADMIN_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8081", value_parser = value::address)]
    pub(crate) admin_listen: SocketAddr,
    /// File with the bearer token of admin calls; needed where other machines can reach them
    #[arg(long, env = "WEIR_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// Address that tells HAProxy, or whoever connects, in one line whether new clients are welcome and how many more have room
    #[arg(long, env = "WEIR_AGENT_LISTEN", value_name = "ADDR", value_parser = value::address)]
    pub(crate) agent_listen: Option<SocketAddr>,
    /// Where the shared log is
    #[command(flatten)]
    pub(crate) shared: RedisArgs,
    /// Directory in which the embedded log and durable streams outlive this instance
    #[arg(long, env = "WEIR_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Most entries of the stream and of the window
    #[arg(long, env = "WEIR_MAXLEN", value_name = "N", default_value = "5000", value_parser = value::count)]
    pub(crate) maxlen: usize,
    /// Oldest age of entries in the stream and in the window
    #[arg(long, env = "WEIR_MAX_AGE", value_name = "DURATION", default_value = "off", value_parser = value::positive_or_off)]
    pub(crate) max_age: OrOff<Duration>,
    /// Most bytes of the window
    #[arg(long, env = "WEIR_WINDOW_BYTES", value_name = "SIZE", default_value = "64MiB", value_parser = value::size)]
    pub(crate) window_bytes: usize,
    /// Most chunks of one durable stream; its oldest go
    #[arg(long, env = "WEIR_STREAM_MAXLEN", value_name = "N", default_value = "off", value_parser = value::count_or_off)]
    pub(crate) stream_maxlen: OrOff<usize>,
    /// Most bytes of all durable streams in memory
    #[arg(long, env = "WEIR_STREAM_BYTES", value_name = "SIZE", default_value = "256MiB", value_parser = value::size)]
    pub(crate) stream_bytes: usize,
    /// Name in groups, logs and metrics; never sent to clients [default: the host name]
    #[arg(long, env = "WEIR_INSTANCE", value_name = "NAME", value_parser = value::instance)]
    pub(crate) instance: Option<String>,
    /// Most entries of one read
    #[arg(long, env = "WEIR_READ_COUNT", value_name = "N", default_value = "200", value_parser = value::count)]
    pub(crate) read_count: usize,
    /// How long a read waits on a quiet stream
    #[arg(long, env = "WEIR_READ_BLOCK", value_name = "DURATION", default_value = "5s", value_parser = value::positive)]
    pub(crate) read_block: Duration,
    /// Most events in one client's queue
    #[arg(long, env = "WEIR_QUEUE_EVENTS", value_name = "N", default_value = "100", value_parser = value::count)]
    pub(crate) queue_events: usize,
    /// Most bytes in one client's queue; an event always fits an empty queue
    #[arg(long, env = "WEIR_QUEUE_BYTES", value_name = "SIZE", default_value = "1MiB", value_parser = value::size)]
    pub(crate) queue_bytes: usize,
    /// What a full queue does
    #[arg(long, env = "WEIR_OVERFLOW", value_name = "POLICY", default_value = "catch-up", value_enum)]
    pub(crate) overflow: OverflowChoice,
    /// Longest wait of a durable stream's long-poll
    #[arg(long, env = "WEIR_LONG_POLL_TIMEOUT", value_name = "DURATION", default_value = "20s", value_parser = value::positive)]
    pub(crate) long_poll_timeout: Duration,
    /// Longest silence of a stream
    #[arg(long, env = "WEIR_HEARTBEAT", value_name = "DURATION", default_value = "15s", value_parser = value::positive)]
    pub(crate) heartbeat: Duration,
    /// Reconnection time told to clients, jittered by 20 % for each
    #[arg(long, env = "WEIR_RETRY", value_name = "DURATION", default_value = "5s", value_parser = value::positive)]
    pub(crate) retry: Duration,
    /// A client whose oldest waiting event has not left within this is disconnected
    #[arg(long, env = "WEIR_STALL_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = value::positive)]
    pub(crate) stall_timeout: Duration,
    /// Most bytes of an event's data
    #[arg(long, env = "WEIR_MAX_EVENT_BYTES", value_name = "SIZE", default_value = "256KiB", value_parser = value::size)]
    pub(crate) max_event_bytes: usize,
    /// Most bytes that are appended to a durable stream at once, or that it begins with
    #[arg(long, env = "WEIR_MAX_APPEND_BYTES", value_name = "SIZE", default_value = "4MiB", value_parser = value::size)]
    pub(crate) max_append_bytes: usize,
    /// Most clients at once [default: the limit of open files, less what weir needs itself]
    #[arg(long, env = "WEIR_MAX_CONNECTIONS", value_name = "N", value_parser = value::count)]
    pub(crate) max_connections: Option<usize>,
    /// Most clients at once of one address, of IPv6 of one /64
    #[arg(long, env = "WEIR_MAX_CONNECTIONS_PER_IP", value_name = "N", default_value = "off", value_parser = value::count_or_off)]
    pub(crate) max_connections_per_ip: OrOff<usize>,
    /// Most clients at once of one subject
    #[arg(long, env = "WEIR_MAX_CONNECTIONS_PER_SUBJECT", value_name = "N", default_value = "off", value_parser = value::count_or_off)]
    pub(crate) max_connections_per_subject: OrOff<usize>,
    /// How fast clients may come, of one address and of one subject
    #[arg(long, env = "WEIR_CONNECT_RATE", value_name = "RATE", default_value = "off", value_parser = value::rate_or_off)]
    pub(crate) connect_rate: OrOff<Rate>,
    /// How fast events may be published, by one subject, or by one address without one
    #[arg(long, env = "WEIR_PUBLISH_RATE", value_name = "RATE", default_value = "off", value_parser = value::rate_or_off)]
    pub(crate) publish_rate: OrOff<Rate>,
    /// Resident memory above which new clients and publishes are turned away
    #[arg(long, env = "WEIR_MEMORY_LIMIT", value_name = "SIZE", default_value = "off", value_parser = value::size_or_off)]
    pub(crate) memory_limit: OrOff<usize>,
    /// Most sessions on one connection
    #[arg(long, env = "WEIR_MAX_SESSIONS_PER_CONNECTION", value_name = "N", default_value = "64", value_parser = value::count)]
    pub(crate) max_sessions_per_connection: usize,
    /// Connections are rotated at about this age
    #[arg(long, env = "WEIR_MAX_CONNECTION_AGE", value_name = "DURATION", default_value = "off", value_parser = value::positive_or_off)]
    pub(crate) max_connection_age: OrOff<Duration>,
    /// Proxies (repeatable) whose word is taken about where a request comes from
    #[arg(long, env = "WEIR_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',', value_parser = value::network)]
    pub(crate) trusted_proxy: Vec<IpNet>,
    /// Connections of trusted proxies begin with a header of the PROXY protocol
    #[arg(long, env = "WEIR_PROXY_PROTOCOL", value_name = "BOOL", default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set, value_parser = value::switch)]
    pub(crate) proxy_protocol: bool,
    /// How long the listener stays open after SIGTERM while load balancers notice
    #[arg(long, env = "WEIR_DRAIN_DELAY", value_name = "DURATION", default_value = "5s", value_parser = value::duration)]
    pub(crate) drain_delay: Duration,
    /// Time across which clients are then released in random order
    #[arg(long, env = "WEIR_DRAIN_WINDOW", value_name = "DURATION", default_value = "15s", value_parser = value::duration)]
    pub(crate) drain_window: Duration,
    /// Time from the signal after which the rest is cut
    #[arg(long, env = "WEIR_SHUTDOWN_TIMEOUT", value_name = "DURATION", default_value = "25s", value_parser = value::positive)]
    pub(crate) shutdown_timeout: Duration,
    /// How long an instance whose Redis is away stays ready
    #[arg(long, env = "WEIR_READY_GRACE", value_name = "DURATION", default_value = "60s", value_parser = value::duration)]
    pub(crate) ready_grace: Duration,
    /// How a subscribe that cannot be served now is turned away
    #[arg(long, env = "WEIR_REFUSE", value_name = "HOW", default_value = "soft", value_enum)]
    pub(crate) refuse: RefuseChoice,
    /// Session of entries that carry none
    #[arg(long, env = "WEIR_DEFAULT_SESSION", value_name = "NAME", value_parser = Session::parse)]
    pub(crate) default_session: Option<Session>,
    /// Who needs no token [default: whoever is on this machine, where every listener is on loopback, no key is given and no trusted proxy is named]
    #[arg(long, env = "WEIR_ANONYMOUS", value_name = "WHO", value_enum)]
    pub(crate) anonymous: Option<AnonymousChoice>,
    /// What tokens are checked with
    #[command(flatten)]
    pub(crate) tokens: TokenArgs,
    /// Origin (repeatable) whose pages may call, with their cookies
    #[arg(long, env = "WEIR_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub(crate) cors_origin: Vec<Origin>,
    /// Redis hash to which every instance adds its own connections, disconnects and dropped events
    #[arg(long, env = "WEIR_STATS_KEY", value_name = "KEY", value_parser = value::stream)]
    pub(crate) stats_key: Option<String>,
    /// Event types (repeatable) that get a label of their own in weir_events_total
    #[arg(long, env = "WEIR_METRIC_TYPES", value_name = "TYPE", value_delimiter = ',', value_parser = EventType::parse)]
    pub(crate) metric_types: Vec<EventType>,
    /// Form of the log: text on a terminal and JSON lines elsewhere, or one of them
    #[arg(long, env = "WEIR_LOG_FORMAT", value_name = "FORMAT", default_value = "auto", value_enum)]
    pub(crate) log_format: LogFormat,
    /// Least severity that is logged
    #[arg(long, env = "WEIR_LOG", value_name = "LEVEL", default_value = "info", value_enum)]
    pub(crate) log: LogLevel,
}

/// What a full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OverflowChoice {
    /// Live events stop entering; the drained queue is refilled from the window
    CatchUp,
    /// The oldest queued events make room, counted and announced
    DropOldest,
    /// An event replaces the queued one of its key
    Latest,
    /// The client is closed and resumes
    Disconnect,
}

/// How a subscribe that cannot be served now is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RefuseChoice {
    /// 200 and a clean end, so that a browser comes back by itself
    Soft,
    /// 503 with Retry-After, for load balancers that try elsewhere
    #[value(name = "503")]
    Status,
}

/// Who needs no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnonymousChoice {
    /// Nobody
    None,
    /// Whoever subscribes
    Subscribe,
    /// Whoever publishes
    Publish,
    /// Everybody
    All,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON elsewhere
    Auto,
    /// For people
    Text,
    /// One object a line
    Json,
}

/// Least severity that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Nothing
    Off,
    /// Somebody has to act
    Error,
    /// Somebody should look
    Warn,
    /// What an operator wants to have seen
    Info,
    /// What a developer wants to have seen
    Debug,
    /// Every event
    Trace,
}

#[cfg(test)]
mod tests {
    use clap::{Arg, CommandFactory};

    use crate::args::Cli;
    use crate::args::layers::variable;

    const PAGE: &str = include_str!("../../../../docs/configuration.md");

    /// Defaults that are words on the page, because they depend on the machine.
    const COMPUTED: [(&str, &str); 3] = [
        ("instance", "the host name"),
        ("max-connections", "from the limit of open files"),
        ("anonymous", "whoever is on this machine"),
    ];

    /// Flag, variable, key and default, as the page should have them.
    fn row(arg: &Arg) -> Option<[String; 4]> {
        let name = arg.get_long()?;
        let value = arg.get_value_names()?.first()?;
        let list = if matches!(arg.get_action(), clap::ArgAction::Append) { " (repeatable)" } else { "" };
        let computed = COMPUTED.iter().find(|(flag, _)| *flag == name).map(|(_, words)| (*words).to_owned());
        let default = arg.get_default_values().first().map(|text| format!("`{}`", text.to_string_lossy()));
        Some([
            format!("`--{name} {value}`{list}"),
            format!("`{}`", arg.get_env()?.to_string_lossy()),
            if name == "config" { String::new() } else { format!("`{name}`") },
            computed.or(default).unwrap_or_else(|| "none".to_owned()),
        ])
    }

    #[test]
    fn the_page_lists_exactly_the_flags_that_exist() {
        let cli = Cli::command();
        let serve = cli.find_subcommand("serve").unwrap();
        let want: Vec<_> = serve.get_arguments().filter_map(row).collect();
        assert!(want.len() > 30, "only {} flags", want.len());
        let section = PAGE.split("## `weir serve`").nth(1).unwrap().split("\n## ").next().unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `--"));
        let have: Vec<[String; 4]> = rows
            .map(|line| {
                let cells: Vec<_> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
                assert!(cells.len() == 7 && !cells[5].is_empty(), "{line}");
                cells[1..5].to_vec().try_into().unwrap()
            })
            .collect();
        assert_eq!(have, want);
    }

    #[test]
    fn every_flag_has_the_variable_of_its_name() {
        let cli = Cli::command();
        for arg in cli.find_subcommand("serve").unwrap().get_arguments() {
            let name = arg.get_long().unwrap();
            assert_eq!(arg.get_env().unwrap().to_str(), Some(variable(name).as_str()));
        }
    }
}
