//! What browsers get on the public listener: the client for pages of any origin, and the demo page where it is to be had.

#[path = "demo/looks.rs"]
mod looks;
#[path = "demo/pictures.rs"]
mod pictures;
#[path = "demo/scenes.rs"]
mod scenes;
#[path = "demo/script.rs"]
mod script;
#[path = "demo/served.rs"]
mod served;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
