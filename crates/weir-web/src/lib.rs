//! What browsers get of weir: pages of plain HTML, CSS and JavaScript, as they are written, and the client for pages of others.
//!
//! - [`CONSOLE`]: what operators see of the instances
//! - [`DEMO`]: what weir does, to try out
//! - [`CLIENT`]: what brings events to a page

/// A page whose style and script stand in it, so that it needs no second request. They are given apart as well, for a
/// policy that allows these very ones.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    template: &'static str,
    /// What stands within its `<style>`.
    pub style: &'static str,
    /// What stands within its `<script>`.
    pub script: &'static str,
    /// What the script loads besides.
    pub imports: Imports,
}

/// What the script of a page loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imports {
    /// All that it needs stands in it.
    Nothing,
    /// Modules of the origin of the page.
    OwnOrigin,
}

/// What operators see of the instances, on the admin listener.
pub const CONSOLE: Page = Page {
    template: include_str!("console/index.html"),
    style: include_str!("console/console.css"),
    script: include_str!("console/console.js"),
    imports: Imports::Nothing,
};

/// What weir does, to try out: publish and watch side by side. It lives on [`CLIENT`], beside which it is served.
pub const DEMO: Page = Page {
    template: include_str!("demo/index.html"),
    style: include_str!("demo/demo.css"),
    script: concat!(
        include_str!("demo/tape.js"),
        include_str!("demo/watcher.js"),
        include_str!("demo/scenes.js")
    ),
    imports: Imports::OwnOrigin,
};

/// The client for browsers, an ES module. `node build.mjs` makes it of `client/src`.
pub const CLIENT: &str = include_str!("../client/dist/client.js");

impl Page {
    /// The whole page.
    pub fn html(&self) -> String {
        self.template.replacen("/* style */", self.style, 1).replacen("/* script */", self.script, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a policy allows is what stands in the page, and neither ends its element early.
    #[test]
    fn style_and_script_stand_in_the_page_as_they_are() {
        for page in [CONSOLE, DEMO] {
            let html = page.html();
            assert!(html.contains(&format!("<style>{}</style>", page.style)));
            assert!(html.contains(&format!("<script type=\"module\">{}</script>", page.script)));
            assert_eq!((html.matches("</style").count(), html.matches("</script").count()), (1, 1));
        }
    }

    /// The page asks nobody else, runs nothing that stands in markup, and makes no markup of texts.
    #[test]
    fn a_page_is_all_there_is() {
        for page in [CONSOLE, DEMO] {
            nothing_else(&page.html());
        }
    }

    fn nothing_else(html: &str) {
        for never in [
            "http://",
            "https://",
            "//cdn",
            "@import",
            "url(",
            "innerHTML",
            "outerHTML",
            "eval(",
            "style=\"",
            "document.write",
            "localStorage",
        ] {
            let allowed = html.matches("http://www.w3.org/").count();
            let found = html.matches(never).count() - if never == "http://" { allowed } else { 0 };
            assert_eq!(found, 0, "{never}");
        }
        let handlers = html.split_whitespace().filter(|word| word.starts_with("on") && word.contains("=\""));
        assert_eq!(handlers.count(), 0);
    }
}
