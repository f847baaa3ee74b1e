//! Results as an SVG plot.

use std::fmt::Write;

use crate::process::Kind;
use crate::table::Measure;

const LABELS: usize = 150;
const BARS: usize = 440;
const FIGURES: usize = 70;
const BAR: usize = 14;
const GAP: usize = 18;

/// Readable on light and dark pages, and for color-blind readers.
const STYLE: &str = "\
text { font: 12px sans-serif; fill: #222; }
.title { font-weight: bold; }
.grid { stroke: #888; stroke-opacity: .4; }
.k0 { fill: #888888; } .k1 { fill: #0072b2; } .k2 { fill: #56b4e9; } .k3 { fill: #e69f00; } .k4 { fill: #d55e00; } .k5 { fill: #009e73; }
@media (prefers-color-scheme: dark) { text { fill: #ddd; } }";

/// Bars for each measure relative to the baseline, and for the memory of idle connections.
pub(crate) fn draw(measures: &[Measure], idle: &[(Kind, u64)], connections: usize) -> String {
    let mut groups: Vec<Group> = measures
        .iter()
        .map(|measure| Group {
            name: measure.name.clone(),
            bars: measure.servers.iter().map(|series| (series.kind, measure.of_baseline(series))).collect(),
            show: |value| if value.is_nan() { "fails".into() } else { format!("{value:.2}") },
        })
        .collect();
    let largest = groups.iter().flat_map(|group| group.bars.iter().map(|bar| bar.1)).fold(1.0, f64::max);
    let mut picture = Picture::new();
    picture.line("title", "Rates as parts of bare TCP's in the same run: longer is better");
    picture.legend(&groups);
    groups.iter().for_each(|group| picture.group(group, largest));
    groups = vec![Group {
        name: format!("{connections} idle"),
        bars: idle.iter().map(|(kind, bytes)| (*kind, *bytes as f64 / 1000.0)).collect(),
        show: |value| format!("{value:.1} kB"),
    }];
    let largest = groups[0].bars.iter().map(|bar| bar.1).fold(0.0, f64::max);
    picture.line("title", "Memory of a connection: shorter is better");
    groups.iter().for_each(|group| picture.group(group, largest));
    picture.finish()
}

struct Group {
    name: String,
    bars: Vec<(Kind, f64)>,
    show: fn(f64) -> String,
}

struct Picture {
    body: String,
    y: usize,
}

impl Picture {
    fn new() -> Self {
        Self { body: String::new(), y: 0 }
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(format_args!("{element}\n"));
    }

    fn line(&mut self, class: &str, text: &str) {
        self.y += 2 * GAP;
        let y = self.y;
        self.add(format_args!("<text class=\"{class}\" x=\"10\" y=\"{y}\">{text}</text>"));
        self.y += GAP / 2;
    }

    fn legend(&mut self, groups: &[Group]) {
        self.y += GAP;
        let (mut x, y) = (10, self.y);
        for (kind, _) in
            groups.iter().map(|group| &group.bars).max_by_key(|bars| bars.len()).into_iter().flatten()
        {
            let (class, name) = (class(*kind), kind.name());
            self.add(format_args!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\"/>",
                y - 11
            ));
            self.add(format_args!("<text x=\"{}\" y=\"{y}\">{name}</text>", x + 18));
            x += 40 + 8 * name.len();
        }
        self.y += GAP / 2;
    }

    fn group(&mut self, group: &Group, largest: f64) {
        self.y += GAP / 2;
        let top = self.y;
        let middle = top + BAR * group.bars.len() / 2 + 4;
        self.add(format_args!("<text x=\"10\" y=\"{middle}\">{}</text>", group.name));
        for (kind, value) in &group.bars {
            // No bar without a value.
            let width = (value / largest * BARS as f64).max(0.0);
            let (class, y) = (class(*kind), self.y);
            self.add(format_args!(
                "<rect class=\"{class}\" x=\"{LABELS}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\"><title>{}</title></rect>",
                BAR - 2,
                kind.name()
            ));
            let (x, text) = (LABELS as f64 + width + 6.0, (group.show)(*value));
            self.add(format_args!("<text x=\"{x:.1}\" y=\"{}\">{text}</text>", y + BAR - 3));
            self.y += BAR;
        }
        let y = self.y;
        self.add(format_args!(
            "<line class=\"grid\" x1=\"{LABELS}\" y1=\"{top}\" x2=\"{LABELS}\" y2=\"{y}\"/>"
        ));
    }

    fn finish(self) -> String {
        let (width, height) = (LABELS + BARS + FIGURES, self.y + GAP);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
             <style>{STYLE}</style>\n{}</svg>\n",
            self.body
        )
    }
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Tcp => "k0",
        Kind::Component => "k1",
        Kind::Native => "k2",
        // Those of one class never share a plot.
        Kind::Application | Kind::Wasmtime | Kind::WasmtimeP3 | Kind::BareWasmtimeP3 => "k5",
        Kind::WebsocketDriver | Kind::Ws => "k3",
        Kind::Netty | Kind::Tungstenite | Kind::Gateway | Kind::Nginx => "k4",
    }
}
