//! The chart: bars on a logarithmic scale, one group a work, as SVG. Every bar is named by its pattern (readable without colours) and ends
//! with its figure. The ground is white, so that it reads on dark pages, too.

use crate::results::{Run, Time};
use crate::table::time_text;
use crate::works::PEERS;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 230.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 84.0;
const BAR: f64 = 10.0;
const GAP: f64 = 12.0;

/// What is shown, where it was run.
const SHOWN: &[&str] = &[
    "open a session",
    "stat",
    "100 × exists, at once",
    "list with attributes, 30",
    "list with attributes, 1,000",
    "put 1 KiB",
    "put 5 MiB",
    "put 64 MiB",
    "get 64 MiB",
    "put a tree of 1,000 files",
    "get a tree of 1,000 files",
    "copy",
    "submit",
    "jobs, 100 ids",
    "jobs, 1,000 ids",
    "200 jobs submitted and watched",
];

/// Pattern definitions, in the peers' order; the last one is empty.
const PATTERNS: [&str; 5] = [
    r##"<rect width="8" height="8" fill="#111"/>"##,
    r##"<rect width="8" height="8" fill="#666"/>"##,
    r##"<rect width="8" height="8" fill="#fff"/><path d="M-2 10 10-2M-2 2 2-2M6 10 10 6" stroke="#111" stroke-width="1.6"/>"##,
    r##"<rect width="8" height="8" fill="#fff"/><circle cx="2" cy="2" r="1.1" fill="#111"/><circle cx="6" cy="6" r="1.1" fill="#111"/>"##,
    r##"<rect width="8" height="8" fill="#fff"/>"##,
];

/// One group of bars.
struct Group<'a> {
    work: &'a str,
    bars: Vec<(usize, Time)>,
}

/// The chart of a run at one latency.
pub(crate) fn svg(run: &Run, latency_ms: u64) -> String {
    let groups: Vec<Group> = SHOWN.iter().filter_map(|work| group(run, work, latency_ms)).collect();
    let all = groups.iter().flat_map(|group| group.bars.iter().map(|(_, time)| time.seconds()));
    let (least, most) = all.fold((1.0_f64, 1.0_f64), |(least, most), seconds| (least.min(seconds), most.max(seconds)));
    let scale = Scale { from: least.log10().floor(), to: most.log10().ceil().max(least.log10().floor() + 1.0) };
    let bars: usize = groups.iter().map(|group| group.bars.len()).sum();
    let height = TOP + bars as f64 * BAR + groups.len() as f64 * GAP + 30.0;

    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" fill="#111" role="img" aria-label="Time of each work by peer, logarithmic">"##
    );
    out += &format!(r##"<rect width="{WIDTH}" height="{height}" fill="#fff" stroke="#bbb"/><defs>"##);
    for (number, pattern) in PATTERNS.iter().enumerate() {
        out += &format!(
            r##"<pattern id="p{number}" width="8" height="8" patternUnits="userSpaceOnUse">{pattern}</pattern>"##
        );
    }
    out += "</defs>";
    out += &format!(
        r##"<text x="14" y="24" font-size="15" font-weight="bold">Time of each work, {latency_ms} ms of network latency; shorter is better</text>"##
    );
    out += &legend();
    out += &scale.lines(height - 22.0);
    let mut y = TOP;
    for group in &groups {
        out += &drawn(group, &scale, y);
        y += group.bars.len() as f64 * BAR + GAP;
    }
    out + "</svg>\n"
}

fn group<'a>(run: &Run, work: &'a str, latency_ms: u64) -> Option<Group<'a>> {
    let row = run.row(work, latency_ms)?;
    let bars = PEERS.iter().enumerate().filter_map(|(number, peer)| Some((number, row.peers.get(*peer)?.time()?)));
    Some(Group { work, bars: bars.collect() })
}

fn legend() -> String {
    let items = PEERS.iter().enumerate().map(|(number, peer)| {
        let x = 14.0 + number as f64 * 150.0;
        format!(
            r##"<rect x="{x}" y="38" width="26" height="12" fill="url(#p{number})" stroke="#111"/><text x="{}" y="48">{peer}</text>"##,
            x + 32.0
        )
    });
    items.collect()
}

fn drawn(group: &Group, scale: &Scale, top: f64) -> String {
    let middle = top + group.bars.len() as f64 * BAR / 2.0 + 4.0;
    let mut out =
        format!(r##"<text x="{}" y="{middle}" text-anchor="end">{}</text>"##, LEFT - 10.0, escaped(group.work));
    for (at, (peer, time)) in group.bars.iter().enumerate() {
        let y = top + at as f64 * BAR;
        let end = scale.x(time.seconds());
        out += &format!(
            r##"<rect x="{LEFT}" y="{y:.1}" width="{:.1}" height="{}" fill="url(#p{peer})" stroke="#111" stroke-width="0.8"/>"##,
            (end - LEFT).max(1.0),
            BAR - 1.5
        );
        out += &format!(
            r##"<text x="{:.1}" y="{:.1}" font-size="9">{}</text>"##,
            end + 4.0,
            y + 7.5,
            escaped(&time_text(*time))
        );
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// From one power of ten to another, in seconds.
struct Scale {
    from: f64,
    to: f64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (seconds.log10() - self.from) / (self.to - self.from) * (WIDTH - LEFT - RIGHT)
    }

    fn lines(&self, bottom: f64) -> String {
        let powers = (self.from as i32)..=(self.to as i32);
        let lines = powers.map(|power| {
            let seconds = 10_f64.powi(power);
            let x = self.x(seconds);
            let label = if power < 0 { format!("{} ms", (seconds * 1e3).round()) } else { format!("{} s", seconds.round()) };
            format!(
                r##"<path d="M{x:.1} {} V{bottom:.1}" stroke="#ccc"/><text x="{x:.1}" y="{}" text-anchor="middle" font-size="10">{label}</text>"##,
                TOP - 8.0,
                TOP - 12.0
            )
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Cell, Row};

    fn run() -> Run {
        let cell = |seconds| Cell { seconds: vec![seconds], ..Cell::default() };
        let peers = [("us-rust", 0.01), ("floor", 0.1), ("pyfirecrest", 10.0)];
        let peers = peers.map(|(peer, seconds)| (peer.to_owned(), cell(seconds)));
        Run { rows: vec![Row { work: "stat".into(), latency_ms: 20, peers: peers.into() }], ..Run::default() }
    }

    #[test]
    fn a_tenth_of_the_time_is_one_step_less() {
        let scale = Scale { from: -3.0, to: 2.0 };
        let step = scale.x(0.1) - scale.x(0.01);
        assert!((scale.x(100.0) - scale.x(10.0) - step).abs() < 1e-6);
        assert!((scale.x(0.001) - LEFT).abs() < 1e-6);
    }

    #[test]
    fn every_peer_is_named_and_every_bar_has_its_figure() {
        let chart = svg(&run(), 20);
        for text in PEERS.into_iter().chain(["10.0 ms", "100 ms", "10.0 s", "stat"]) {
            assert!(chart.contains(text), "{text}: {chart}");
        }
        assert_eq!(chart.matches("url(#p").count(), PEERS.len() + 3);
        assert!(!chart.contains("NaN"));
    }

    #[test]
    fn a_run_without_rows_is_an_empty_chart() {
        assert!(svg(&Run::default(), 20).ends_with("</svg>\n"));
    }
}
