//! What browsers get on the public listener: the client for pages of any origin, and the demo page where it is to be had.

#[path = "demo/served.rs"]
mod served;
