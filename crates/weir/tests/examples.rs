//! The applications of `docs/examples`, each started by its own command and looked at in a browser. What needs packages that an
//! example brings is ignored here and run by `make examples`.

#[path = "examples/agent_dashboard.rs"]
mod agent_dashboard;
#[path = "examples/application.rs"]
mod application;
#[path = "examples/attacks.rs"]
mod attacks;
#[path = "examples/guild_updates.rs"]
mod guild_updates;
#[path = "examples/index.rs"]
mod index;
#[path = "examples/match_rooms.rs"]
mod match_rooms;
#[path = "examples/mishaps.rs"]
mod mishaps;
#[path = "examples/order_board.rs"]
mod order_board;
#[path = "examples/pictures.rs"]
mod pictures;
#[path = "examples/realtime_bus.rs"]
mod realtime_bus;
#[path = "examples/started.rs"]
mod started;
