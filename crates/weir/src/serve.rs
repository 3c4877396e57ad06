//! Runs an instance: log, window, listeners, and their end.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_client::document::Document;
use weir_core::log::LogReader;
use weir_core::mailbox::MailboxBounds;
use weir_core::window::WindowBounds;
use weir_core::{Broker, BrokerBounds};
use weir_http::admin::console;
use weir_http::agent::Agent;
use weir_http::app::{AnonymousAccess, App, HttpConfig};
use weir_http::cors::Cors;
use weir_http::drain::{DrainPlan, Drained, drain, obey};
use weir_http::memory;
use weir_http::server::{Listener, Role, Server};
use weir_http::tails;
use weir_http::tls::Tls;
use weir_metrics::{BuildInfo, Metrics};

use crate::config::{ServeConfig, admin_token};
use crate::version::{REVISION, VERSION};

pub(crate) mod settings;

mod backend;
mod certificate;
mod keys;
mod manager;
mod pump;
mod reload;
mod signals;
mod stats;

use backend::{Backend, Held};
use manager::{Manager, Pulse};
use pump::Watched;
use reload::Reload;
use settings::Given;
use signals::Signals;

/// Sessions without an event in the window whose last evicted id is remembered: about 10 MB at the longest names' usual
/// length, so that a flood of session names cannot take the memory.
const REMEMBERED_SESSIONS: usize = 65_536;

/// How long the log may take to let go of its group, or of its file, once the clients are gone; kept back from the shutdown's
/// deadline.
const LOG_CLOSE: Duration = Duration::from_secs(2);

/// Beyond its block a read may take this long before the instance is called stuck.
const READER_MARGIN: Duration = Duration::from_secs(5);

/// Serves until a signal.
///
/// # Errors
/// An address cannot be bound, or the settings of the log make no sense.
pub(crate) fn run(config: ServeConfig, given: Given) -> anyhow::Result<()> {
    let runtime = Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let served = runtime.block_on(serve(config, given));
    // What is still running holds nothing that has to be kept.
    runtime.shutdown_background();
    served
}

async fn serve(config: ServeConfig, given: Given) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("listen for signals")?;
    let tls = config.tls.clone().map(certificate::open).transpose()?;
    let metrics = Arc::new(series(&config));
    let Backend { log, reader, streams, wakes, peers, held } = Backend::open(&config, &metrics)?;
    let public = bind(&config.listen, Role::Public)?;
    let admin = bind(&[config.admin_listen], Role::Admin)?;
    let agent = config.agent_listen.map(agent).transpose()?;
    let tasks = TaskTracker::new();
    let app = Arc::new(App::new(broker(&config), log, streams, metrics, http(&config)));
    announce(&config, (&public, &admin, agent.as_ref()))?;
    if let Some(tls) = &tls {
        certificate::look(tls, &app);
    }
    let stop = CancellationToken::new();
    tasks.spawn(given.sparing.clone().tell());
    tasks.spawn(memory::watch(Arc::clone(&app), stop.clone()));
    let (manager, (pulse, asked)) = (Manager::new(), Pulse::new());
    let watched = Watched { queue_events: config.queue_events, stop: stop.clone(), asked };
    let mut pump = tasks.spawn(pump::run(Arc::clone(&app), reader, watched));
    // The pump that ends by then is no fault.
    tasks.spawn(stop.clone().run_until_cancelled_owned(manager.clone().keep(Arc::clone(&app), pulse)));
    let adding = |totals| tasks.spawn(stats::run(Arc::clone(&app), totals, stop.clone()));
    let stats = held.totals(&config).map(adding);
    tasks.spawn(tails::pump(Arc::clone(&app), wakes, stop.clone()));
    tasks.spawn(tails::watch(Arc::clone(&app), stop.clone()));
    if let Some(agent) = agent {
        tasks.spawn(agent.run(Arc::clone(&app), stop.clone()));
    }
    tasks.spawn(console::run(Arc::clone(&app), about(&config), peers, stop.clone()));
    if let Some(hangup) = signals.hangup() {
        let reload = settings::reload(reload(&config, &app, tls.as_ref()), given, &app);
        tasks.spawn(reload.run(hangup, (Arc::clone(&app.metrics), manager.clone())));
    }
    if let Some(url) = config.tokens.jwks_url.clone() {
        tasks.spawn(keys::run(Document::new(url).context("prepare to fetch --jwks-url")?, Arc::clone(&app)));
    }
    let server = Server::new(app);
    accept(&tasks, &server, (public, admin, tls.as_ref()));
    let hurry = tokio::select! {
        hurry = signals.stop() => hurry,
        never = obey(server.app(), plan(&config, false)) => match never {},
        _ = &mut pump => anyhow::bail!("the pump failed: an instance that delivers nothing is of no use"),
    };
    tasks.spawn(manager.stopping());
    let drained = tokio::select! {
        drained = drain(&server, plan(&config, hurry)) => drained,
        () = signals.again() => {
            backend::leave(&held);
            anyhow::bail!("a second signal: stopped at once")
        }
    };
    report(drained);
    stop.cancel();
    let reader = pump.await.context("the pump failed")?;
    leave(stats, (reader, held), log_close(&config)).await;
    Ok(())
}

/// Every series, those that only the settings know included.
fn series(config: &ServeConfig) -> Metrics {
    let metrics = Metrics::new(build_info(), &config.metric_types);
    metrics.log.maxlen.set(i64::try_from(config.maxlen).unwrap_or(i64::MAX));
    metrics.log.window_max_bytes.set(i64::try_from(config.window_bytes).unwrap_or(i64::MAX));
    metrics
}

fn accept(
    tasks: &TaskTracker,
    server: &Server,
    (public, admin, tls): (Vec<Listener>, Vec<Listener>, Option<&Arc<Tls>>),
) {
    let public = public.into_iter().map(|listener| match tls {
        Some(tls) => listener.with_tls(tls),
        None => listener,
    });
    for listener in public.chain(admin) {
        tasks.spawn(server.clone().accept(listener));
    }
}

/// Adds the last totals, and leaves nothing else behind in the log.
async fn leave(
    stats: Option<JoinHandle<()>>,
    (reader, held): (Box<dyn LogReader>, Held),
    patience: Duration,
) {
    let deadline = Instant::now() + patience;
    // Half of the time is the group's, and what the totals leave.
    if let Some(stats) = stats
        && tokio::time::timeout(patience / 2, stats).await.is_err()
    {
        tracing::warn!("the last totals of this instance were not added in time");
    }
    backend::close(reader, held, deadline.saturating_duration_since(Instant::now())).await;
}

/// What SIGHUP has read anew.
fn reload(config: &ServeConfig, app: &Arc<App>, tls: Option<&Arc<Tls>>) -> Reload {
    let (tokens, holder) = (config.tokens.clone(), Arc::clone(app));
    let keys = Reload::default().with("keys for tokens", move || {
        let (keys, holder) = (tokens.read_keys()?, Arc::clone(&holder));
        Ok(move || {
            holder.config.tokens.keyring.refresh();
            holder.config.tokens.keyring.replace_files(keys);
        })
    });
    let keys = match config.admin_token.clone().zip(config.admin_token_file.clone()) {
        Some((token, file)) => keys.with("admin token", move || {
            let (new, token) = (admin_token(&file)?, token.clone());
            Ok(move || token.replace(&new))
        }),
        None => keys,
    };
    match tls {
        Some(tls) => certificate::reload(keys, tls, app),
        None => keys,
    }
}

fn bind(addresses: &[SocketAddr], role: Role) -> anyhow::Result<Vec<Listener>> {
    let flag = match role {
        Role::Public => "--listen",
        Role::Admin => "--admin-listen",
    };
    let bound = addresses.iter().map(|address| {
        Listener::bind(*address, role)
            .with_context(|| format!("cannot listen on {address}: choose another with {flag}"))
    });
    bound.collect()
}

fn agent(address: SocketAddr) -> anyhow::Result<Agent> {
    Agent::bind(address)
        .with_context(|| format!("cannot listen on {address}: choose another with --agent-listen"))
}

fn broker(config: &ServeConfig) -> Broker {
    Broker::new(BrokerBounds {
        window: WindowBounds {
            events: config.maxlen,
            bytes: config.window_bytes,
            age: config.max_age,
            remembered_sessions: REMEMBERED_SESSIONS,
        },
        mailbox: MailboxBounds { events: config.queue_events, bytes: config.queue_bytes },
        snapshot_bytes: config.window_bytes,
    })
}

fn http(config: &ServeConfig) -> HttpConfig {
    HttpConfig {
        long_poll_timeout: config.long_poll_timeout,
        heartbeat: config.heartbeat,
        retry: config.retry,
        stall_timeout: config.stall_timeout,
        overflow: config.overflow,
        max_event_bytes: config.max_event_bytes,
        max_append_bytes: config.max_append_bytes,
        limits: config.limits,
        max_sessions_per_connection: config.max_sessions_per_connection,
        max_connection_age: config.max_connection_age,
        refuse: config.refuse,
        anonymous: config.anonymous,
        admin_token: config.admin_token.clone(),
        tokens: Arc::new(config.tokens.tokens()),
        cors: Cors::new(config.cors_origins.clone()),
        proxies: config.proxies.clone(),
        ready_grace: config.ready_grace,
        reader_patience: config.read_block * 2 + READER_MARGIN,
    }
}

fn plan(config: &ServeConfig, hurry: bool) -> DrainPlan {
    let unless_hurried = |step| if hurry { Duration::ZERO } else { step };
    DrainPlan {
        delay: unless_hurried(config.drain_delay),
        window: unless_hurried(config.drain_window),
        timeout: config.shutdown_timeout.saturating_sub(log_close(config)),
    }
}

fn log_close(config: &ServeConfig) -> Duration {
    LOG_CLOSE.min(config.shutdown_timeout / 4)
}

fn build_info() -> BuildInfo<'static> {
    BuildInfo { version: VERSION, revision: REVISION }
}

/// What operators see of it.
fn about(config: &ServeConfig) -> console::About {
    let log = match (&config.redis, &config.data_dir) {
        (Some(_), _) => "redis",
        (None, Some(_)) => "file",
        (None, None) => "memory",
    };
    console::About { instance: config.instance.clone(), version: VERSION, revision: REVISION, log }
}

/// Says where the instance is. On a terminal a person reads it, elsewhere a program reads the log line.
fn announce(
    config: &ServeConfig,
    (public, admin, agent): (&[Listener], &[Listener], Option<&Agent>),
) -> anyhow::Result<()> {
    let addresses = |listeners: &[Listener]| -> anyhow::Result<Vec<String>> {
        listeners.iter().map(|listener| Ok(listener.local_addr()?.to_string())).collect()
    };
    let (public, admin) = (addresses(public)?, addresses(admin)?);
    let agent = agent.map(Agent::local_addr).transpose()?;
    tracing::info!(
        public = public.join(","),
        admin = admin.join(","),
        agent = agent.map(tracing::field::display),
        instance = config.instance,
        version = VERSION,
        revision = REVISION,
        tls = config.tls.is_some(),
        log = if config.redis.is_some() { "redis" } else { "embedded" },
        "listening"
    );
    alone(config);
    if config.anonymous == AnonymousAccess::Local {
        tracing::warn!(
            "no keys for tokens: everybody on this machine may do everything, and so may those for whom a proxy on this \
             machine asks without saying so; before you put one in front, give keys or --anonymous none"
        );
    }
    if std::io::stderr().is_terminal() {
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        banner((scheme, &public[0]), &admin[0]).context("write the banner")?;
    }
    Ok(())
}

/// Says what becomes of the log of an instance that shares none.
fn alone(config: &ServeConfig) {
    match (&config.redis, &config.data_dir) {
        (Some(_), _) => {}
        (None, Some(dir)) => tracing::info!(
            dir = %dir.display(),
            "no --redis: this instance stands alone, and what it keeps is in --data-dir"
        ),
        (None, None) => tracing::warn!(
            "no --redis: this instance stands alone and keeps nothing beyond its life; to keep the log, give --data-dir DIR, \
             and to share one, start every instance with --redis redis://HOST:6379"
        ),
    }
}

fn banner((scheme, public): (&str, &str), admin: &str) -> std::io::Result<()> {
    let url = format!("{scheme}://{public}/v1/sessions/demo/events");
    writeln!(
        std::io::stderr(),
        "\n  subscribe  curl -N {url}\n  publish    curl -d 'hello' {url}\n  operators  http://{admin}/  /metrics  /readyz\n"
    )
}

fn report(drained: Drained) {
    let Drained { released, cut } = drained;
    if cut > 0 {
        tracing::warn!(cut, "stopped at the deadline: the clients left were cut");
    } else {
        tracing::info!(released, "stopped");
    }
}
