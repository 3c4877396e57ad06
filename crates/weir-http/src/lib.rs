//! The HTTP front of weir on raw hyper.
//!
//! In reading order:
//! - [`app`]: what every request shares
//! - [`server`]: listeners, connections, their end
//! - [`proxies`], `announced`: whom a connection is made for
//! - [`tls`], `handshake`, `sniff`: how it begins; `line`: what its bytes go through
//! - `connection`, `socket`: one connection, HTTP/1.1 or HTTP/2
//! - `link`, `client`, `lease`, `supervisor`: the clients of a connection, and who looks after them from outside what writes to them
//! - `head`, `breach`: what hyper lets pass and weir does not, and why hyper let somebody go
//! - `router`, [`path`], `query`, `call`, `access`, `local`: which call it is, who makes it, and whether it may be made
//! - [`auth`]: the tokens that say so
//! - [`cors`], `headers`: what browsers are told, and let pages see
//! - [`admission`], `room`, `places`, [`rates`], [`memory`]: how many are let in, how fast, and while there is memory
//! - `revoked`: whose tokens are refused all the same
//! - `subscribe`, `stream`, `longpoll`: how clients get events
//! - `handover`, `writer`, `body`: how a stream leaves by HTTP/1.1, without hyper, and by HTTP/2
//! - `publish`, `intake`, `batch`, `snapshot`: how events get in, and the newest one out; `refusals`: why they do not, said `seldom`
//! - `streams`: durable streams, by the Durable Streams protocol; [`tails`]: who follows them
//! - `description`: all of this for programs, by OpenAPI
//! - `web`: what browsers get, the client and the demo page; `page`, `asset`: as what it leaves; `etag`: who has an answer already
//! - [`turn`]: who goes first
//! - [`admin`], [`health`]: what operators see and do; [`agent`]: what HAProxy is told
//! - [`stage`], [`drain`]: how an instance goes away
//! - `trace`, `audit`: what a request is called, and what is written down of it
//! - `problem`: the one place that turns errors into answers

pub mod admin;
pub mod admission;
pub mod agent;
pub mod app;
pub mod auth;
pub mod cors;
pub mod drain;
pub mod health;
pub mod memory;
pub mod path;
pub mod proxies;
pub mod rates;
pub mod server;
pub mod stage;
pub mod tls;
pub mod turn;

mod access;
mod announced;
mod asset;
mod audit;
mod batch;
mod body;
mod breach;
mod call;
mod client;
mod connection;
mod description;
mod etag;
#[doc(hidden)]
pub mod fuzz;
mod handover;
mod handshake;
mod head;
mod headers;
mod intake;
mod lease;
mod line;
mod link;
mod local;
mod longpoll;
mod page;
mod places;
mod problem;
mod publish;
mod query;
mod refusals;
mod revoked;
mod room;
mod router;
mod seldom;
mod snapshot;
mod sniff;
mod socket;
mod stream;
mod streams;
mod subscribe;
mod supervisor;
pub mod tails;
mod trace;
mod web;
mod writer;
