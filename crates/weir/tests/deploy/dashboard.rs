//! A dashboard of `deploy/grafana/dashboards`, read.

use serde_json::Value;
use weir_testkit::page::read;

/// The dashboards there are. The name of a file is the `uid` in it.
pub(crate) const UIDS: [&str; 2] = ["weir-overview", "weir-instance"];

/// One of them.
pub(crate) struct Dashboard {
    pub(crate) json: Value,
}

/// A panel that shows something, as those of rows do not.
pub(crate) struct Panel<'a> {
    pub(crate) title: String,
    pub(crate) json: &'a Value,
}

impl Dashboard {
    pub(crate) fn read(uid: &str) -> Self {
        let text = read(&format!("deploy/grafana/dashboards/{uid}.json"));
        Self { json: serde_json::from_str(&text).expect("a dashboard is JSON") }
    }

    pub(crate) fn panels(&self) -> impl Iterator<Item = Panel<'_>> {
        let panels = self.json["panels"].as_array().into_iter().flatten();
        let panels = panels.filter(|panel| panel["type"] != "row");
        panels.map(|json| Panel { title: json["title"].as_str().unwrap_or_default().to_owned(), json })
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &Value> {
        self.json["templating"]["list"].as_array().into_iter().flatten()
    }

    /// What is asked of Prometheus: the title of the panel or the name of the annotation, and the expression.
    pub(crate) fn queries(&self) -> Vec<(String, String)> {
        let of_panels = self.panels().flat_map(|panel| {
            let targets = panel.json["targets"].as_array().into_iter().flatten();
            targets.map(move |target| (panel.title.clone(), expr(target)))
        });
        let annotations = self.json["annotations"]["list"].as_array().into_iter().flatten();
        let of_annotations = annotations
            .map(|annotation| (annotation["name"].as_str().unwrap_or_default().to_owned(), expr(annotation)));
        of_panels.chain(of_annotations).collect()
    }

    pub(crate) fn queries_of(&self, title: &str) -> Vec<String> {
        self.queries().into_iter().filter(|(of, _)| of == title).map(|(_, expr)| expr).collect()
    }
}

fn expr(of: &Value) -> String {
    of["expr"].as_str().expect("a query has an expression").to_owned()
}
