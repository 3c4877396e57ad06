//! The pictures of `docs/images` that show the examples, made anew by `make pictures`.

use weir_testkit::browser::{Tab, View};
use weir_testkit::page::root;

/// In light and in dark colours, and on a phone; this wide and high, in CSS pixels.
const VIEWS: [(&str, View); 3] = [
    ("light", View { width: 1120, height: 700, dark: false, scale: 1 }),
    ("dark", View { width: 1120, height: 700, dark: true, scale: 1 }),
    ("phone", View { width: 390, height: 844, dark: true, scale: 2 }),
];

/// The names of an example's pictures, below `docs/images`.
pub(crate) fn names(example: &str) -> impl Iterator<Item = String> {
    VIEWS.map(|(view, _)| format!("example-{example}-{view}.png")).into_iter()
}

/// Makes them of what the tab shows, where `WEIR_TEST_PICTURES` names a folder, relative to that of `docs/`; else only looks
/// whether the page fits into each window.
pub(crate) async fn pictures(tab: &Tab, example: &str) -> anyhow::Result<()> {
    let into = std::env::var_os("WEIR_TEST_PICTURES");
    for ((_, view), name) in VIEWS.into_iter().zip(names(example)) {
        tab.view(view).await?;
        tab.until("return document.documentElement.scrollWidth <= innerWidth").await?;
        if let Some(folder) = &into {
            tab.glance(&root().join(folder).join(name)).await?;
        }
    }
    Ok(())
}
