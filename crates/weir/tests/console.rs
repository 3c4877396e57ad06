//! The console on the admin listener: its stream, what instances see of each other, and its page in Chromium.

#[path = "console/page.rs"]
mod page;
#[path = "console/peers.rs"]
mod peers;
#[path = "console/pictures.rs"]
mod pictures;
#[path = "console/script.rs"]
mod script;
#[path = "console/stream.rs"]
mod stream;
#[path = "console/watch.rs"]
mod watch;
