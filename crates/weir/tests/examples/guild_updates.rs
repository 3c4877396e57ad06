//! `docs/examples/guild-updates`: accounts, webhooks, and what a user's page shows in Chromium.

#[path = "guild_updates/access.rs"]
mod access;
#[path = "guild_updates/page.rs"]
mod page;
#[path = "guild_updates/shown.rs"]
mod shown;
#[path = "guild_updates/site.rs"]
mod site;
#[path = "guild_updates/webhooks.rs"]
mod webhooks;
