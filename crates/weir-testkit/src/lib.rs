//! What the tests of weir share: private servers, running instances, a strict SSE parser, the log suite.
//!
//! In reading order:
//! - [`redis`]: a private redis-server for one test, and several that are a cluster or watched by Sentinels
//! - [`certificates`]: an authority for one test
//! - [`mod@log_suite`]: what every backend of the event log must pass
//! - [`mod@stream_suite`]: what every backend of durable streams must pass
//! - [`sse`]: what a stream said, and what a clean server never says
//! - [`deadline`]: waiting that ends
//! - [`client`]: requests and answers, and [`stream`]: subscriptions; with the [`head`] and the [`body`] of an answer
//! - [`raw`]: bare connections for hostile clients, by TCP or by TLS ([`trust`])
//! - [`http2`]: the same for HTTP/2, frame by frame
//! - [`beset`]: an instance among peers that mean harm, and what it counts of them: [`refusals`]
//! - [`assault`]: many such peers at once
//! - [`program`]: a program that runs beside the test ([`leash`]: and ends with it); [`instance`]: a running `weir serve`, with its [`metrics`]
//! - [`mod@token`]: makes tokens, good ones and forged ones
//! - [`usage`]: what a process uses and does; [`ticker`]: what a busy machine takes from it
//! - [`checker`]: what every client was owed, against what it got
//! - [`balancer`]: a real load balancer in front of instances, whose addresses ([`loopback`]) outlive them
//! - [`mod@prometheus`]: scrapes what runs; [`alertmanager`]: tells somebody; [`tools`]: where such programs are
//! - [`browser`]: pages in Chromium and Firefox
//! - [`event_source`]: a client that comes back as a browser does; many of them need many [`files`]
//! - [`chaos`]: a network that fails on command, and an address that outlives the server behind it
//! - [`workload`]: producers and clients that write down what they do; [`mod@stall`]: a client that does not read
//! - [`expect`]: what tests expect again and again; [`page`]: what the documents say, [`series`]: of metrics; [`shell`]: does what they say

pub mod certificates;
pub mod log_suite;
pub mod redis;
pub mod sse;
pub mod stream_suite;

pub mod deadline;

pub mod body;
pub mod client;
pub mod head;
pub mod http2;
pub mod raw;
pub mod stream;
pub mod trust;

mod lines;

pub mod alertmanager;
pub mod assault;
pub mod balancer;
pub mod beset;
pub mod browser;
pub mod chaos;
pub mod checker;
pub mod event_source;
pub mod expect;
pub mod files;
pub mod instance;
pub mod leash;
pub mod loopback;
pub mod metrics;
pub mod page;
pub mod program;
pub mod prometheus;
pub mod refusals;
pub mod series;
pub mod shell;
pub mod stall;
pub mod ticker;
pub mod token;
pub mod tools;
pub mod usage;
pub mod workload;

pub use alertmanager::{Alertmanager, Webhook};
pub use assault::Assault;
pub use balancer::Balancer;
pub use beset::Beset;
pub use body::End;
pub use chaos::Proxy;
pub use client::{Client, Response};
pub use deadline::{DEADLINE, eventually};
pub use event_source::EventSource;
pub use http2::Http2;
pub use instance::Instance;
pub use metrics::Metrics;
pub use program::{Output, Program, Signal};
pub use prometheus::Prometheus;
pub use raw::{Closed, RawConn};
pub use refusals::Refusals;
pub use shell::Shell;
pub use stall::stall;
pub use stream::{Next, SseStream};
pub use ticker::Ticker;
pub use token::Secret;
pub use trust::{Trust, Version};
