//! The plots of a case: bars of the medians with the range of the rounds, and the quantiles of the latency.
//!
//! Bars are all that is needed, so they are written here rather than by a plotting library.

use std::fmt::Write as _;

use crate::report::{Case, is_quantile, median, number};

const WIDTH: f64 = 760.0;
/// Room for the names of the servers.
const LEFT: f64 = 130.0;
/// Room for the numbers behind the bars.
const RIGHT: f64 = 80.0;
/// Room for the title.
const TOP: f64 = 34.0;
/// Height of one bar, and of the gap between two servers.
const BAR: f64 = 16.0;
const GAP: f64 = 8.0;

/// weir stands out, the kernel's price stands back.
const OURS: &str = "#0b7285";
const FLOOR: &str = "#ced4da";
const PEERS: &str = "#868e96";

/// The files of a case and what is in them.
pub fn of(case: &Case) -> Vec<(String, String)> {
    let quantiles: Vec<_> = case.figures().into_iter().filter(|name| is_quantile(name)).collect();
    let mut files = Vec::new();
    if let Some(main) = case.figures().first() {
        files.push((format!("{}.svg", case.name), Plot::new(case, &[main], Scale::Linear).svg(main)));
    }
    if quantiles.len() > 1 {
        let title = format!("latency: {}", quantiles.join(", "));
        let svg = Plot::new(case, &quantiles, Scale::Logarithmic).svg(&title);
        files.push((format!("{}-latency.svg", case.name), svg));
    }
    files
}

/// How values become lengths.
#[derive(Clone, Copy, Debug)]
enum Scale {
    /// From nothing to the longest.
    Linear,
    /// From half the shortest to the longest: latencies lie too far apart for one ruler.
    Logarithmic,
}

#[derive(Debug)]
struct Bar {
    server: &'static str,
    /// Which of the figures, from 0.
    nth: usize,
    least: f64,
    middle: f64,
    most: f64,
}

#[derive(Debug)]
struct Plot {
    name: &'static str,
    bars: Vec<Bar>,
    scale: Scale,
    least: f64,
    most: f64,
}

impl Plot {
    fn new(case: &Case, figures: &[&'static str], scale: Scale) -> Self {
        let mut bars = Vec::new();
        for server in case.servers() {
            for (nth, figure) in figures.iter().enumerate() {
                let mut values = case.values(server, figure);
                values.sort_unstable_by(f64::total_cmp);
                let (Some(least), Some(most)) = (values.first().copied(), values.last().copied()) else {
                    continue;
                };
                bars.push(Bar { server, nth, least, middle: median(values), most });
            }
        }
        let least = bars.iter().map(|bar| bar.least).filter(|least| *least > 0.0).fold(f64::MAX, f64::min);
        let most = bars.iter().map(|bar| bar.most).fold(0.0, f64::max);
        Self { name: case.name, bars, scale, least, most }
    }

    /// How far to the right a value lies.
    fn x(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => value / self.most,
            Scale::Logarithmic => (value * 2.0 / self.least).ln() / (self.most * 2.0 / self.least).ln(),
        };
        let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }

    fn svg(&self, title: &str) -> String {
        let mut y = TOP;
        let body: String = self.bars.iter().map(|bar| self.bar(bar, &mut y)).collect();
        let height = y + GAP;
        let note = match self.scale {
            Scale::Linear => "",
            Scale::Logarithmic => ", logarithmic",
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"8\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{}: {}{note}</text>\n{body}</svg>\n",
            self.name,
            escaped(title)
        )
    }

    fn bar(&self, bar: &Bar, y: &mut f64) -> String {
        let mut out = String::new();
        if bar.nth == 0 {
            *y += GAP;
            let text = *y + BAR - 4.0;
            writeln!(
                out,
                "<text x=\"{:.0}\" y=\"{text:.0}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                escaped(bar.server)
            )
            .expect("a string grows");
        }
        let colour = match bar.server {
            ours if ours.starts_with("weir") => OURS,
            "floor" => FLOOR,
            _ => PEERS,
        };
        let (from, to, least, most) = (LEFT, self.x(bar.middle), self.x(bar.least), self.x(bar.most));
        let (width, middle, text) = (to - from, *y + BAR / 2.0, *y + BAR - 4.0);
        let opacity = 1.0 / (1.0 + bar.nth as f64 / 2.0);
        writeln!(
            out,
            "<rect x=\"{from:.0}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{:.0}\" fill=\"{colour}\" opacity=\"{opacity:.2}\"/>\n\
             <path d=\"M{least:.1} {middle:.0}H{most:.1}\" stroke=\"black\"/>\n\
             <text x=\"{:.1}\" y=\"{text:.0}\">{}</text>",
            BAR - 1.0,
            most + 5.0,
            number(bar.middle)
        )
        .expect("a string grows");
        *y += BAR;
        out
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Figure, Round};

    fn case(figures: &[(&'static str, [f64; 2])]) -> Case {
        let round = |server, nth: usize| Round {
            server,
            figures: figures.iter().map(|(name, values)| Figure::new(name, values[nth])).collect(),
        };
        let rounds = vec![round("weir", 0), round("a<b", 1)];
        Case { name: "one", what: String::new(), rounds, goals: Vec::new() }
    }

    #[test]
    fn a_longer_value_has_a_longer_bar() {
        let files = of(&case(&[("CPU", [5.0, 10.0])]));
        let [(name, svg)] = &files[..] else { panic!("one plot: {files:?}") };
        assert_eq!(name, "one.svg");
        let full = WIDTH - LEFT - RIGHT;
        let width = |part: f64| format!("width=\"{:.1}\" height=\"15\"", part * full);
        assert!(svg.contains(&width(0.5)) && svg.contains(&width(1.0)), "{svg}");
        assert!(svg.contains(">a&lt;b</text>"), "{svg}");
    }

    #[test]
    fn latencies_get_a_plot_of_their_own() {
        let files = of(&case(&[("CPU", [1.0, 1.0]), ("p50 ms", [1.0, 1.0]), ("p99 ms", [1.0, 16.0])]));
        let [_, (name, svg)] = &files[..] else { panic!("two plots: {files:?}") };
        assert_eq!(name, "one-latency.svg");
        // Half the least to the most is 0.5 to 16, five doublings; 1 is one of them.
        let width = format!("width=\"{:.1}\"", (WIDTH - LEFT - RIGHT) / 5.0);
        assert!(svg.contains(&width), "{svg}");
    }

    #[test]
    fn nothing_measured_is_no_fault() {
        let nothing = Case { rounds: Vec::new(), ..case(&[]) };
        assert!(of(&nothing).is_empty());
        assert!(of(&case(&[("CPU", [0.0, 0.0])]))[0].1.contains("width=\"0.0\""));
    }
}
