//! The hooks of `@weir/react` in Chromium, with React and TanStack Query as they are installed beside it, and what docs/react.md says
//! of them.

#[path = "react/api.rs"]
mod api;
#[path = "react/hooks.rs"]
mod hooks;
#[path = "react/pages.rs"]
mod pages;
#[path = "react/query.rs"]
mod query;
