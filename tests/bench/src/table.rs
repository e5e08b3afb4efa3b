//! The table, for the terminal and for the page.

use comfy_table::{ContentArrangement, Table, presets};

use crate::results::{Cell, Row, Run, Time};
use crate::stats;
use crate::works::PEERS;

/// One row as it is done, for the impatient.
pub(crate) fn line(row: &Row) -> String {
    let cells = PEERS.iter().filter_map(|peer| Some(format!("{peer} {}", brief(row.peers.get(*peer)?))));
    format!("{:>4} ms  {}: {}", row.latency_ms, row.work, cells.collect::<Vec<_>>().join(" · "))
}

fn brief(cell: &Cell) -> String {
    match (cell.time(), &cell.error) {
        (_, Some(error)) => format!("fails: {error}"),
        (Some(time), None) => format!("{} ({} req)", time_text(time), requests(cell)),
        (None, None) => "–".into(),
    }
}

/// The whole run.
pub(crate) fn terminal(run: &Run) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["ms", "work"].into_iter().chain(PEERS));
    for row in &run.rows {
        let cells = PEERS.iter().map(|peer| cell_text(row, peer, "; "));
        table.add_row([row.latency_ms.to_string(), row.work.clone()].into_iter().chain(cells));
    }
    table.to_string()
}

/// A table in Markdown for each latency.
pub(crate) fn markdown(run: &Run) -> String {
    let mut latencies: Vec<u64> = run.rows.iter().map(|row| row.latency_ms).collect();
    latencies.dedup();
    let mut out = String::new();
    for latency in latencies {
        out += &format!("### {latency} ms\n\n| work | {} |\n|---|", PEERS.join(" | "));
        out += &"---|".repeat(PEERS.len());
        for row in run.rows.iter().filter(|row| row.latency_ms == latency) {
            let cells: Vec<String> =
                PEERS.iter().map(|peer| cell_text(row, peer, "<br>").replace('|', "\\|")).collect();
            out += &format!("\n| {} | {} |", row.work, cells.join(" | "));
        }
        out += "\n\n";
    }
    out
}

/// Time and spread, requests, bytes, and how many times our time it is.
fn cell_text(row: &Row, peer: &str, between: &str) -> String {
    let Some(cell) = row.peers.get(peer) else { return "–".into() };
    if let Some(error) = &cell.error {
        return format!("fails: {error}");
    }
    let Some(time) = cell.time() else { return "–".into() };
    let mut out = time_text(time);
    if let (Some((low, high)), true) = (stats::spread(&cell.seconds), cell.seconds.len() > 1) {
        out += &format!(" ({}–{})", plain(low), plain(high));
    }
    let plural = if requests(cell) == 1 { "request" } else { "requests" };
    out += &format!("{between}{} {plural}, {}", requests(cell), bytes(cell.counts.bytes_in + cell.counts.bytes_out));
    let ours = row.peers.get("us-rust").and_then(Cell::time);
    if let Some(Time::Known(ours)) = ours.filter(|_| peer != "us-rust") {
        let sign = if matches!(time, Time::Over(_)) { "> " } else { "" };
        out += &format!("{between}{sign}{} ×", figures(time.seconds() / ours));
    }
    out
}

fn requests(cell: &Cell) -> u64 {
    cell.counts.requests + cell.counts.tokens + cell.counts.s3_requests
}

/// With its unit.
pub(crate) fn time_text(time: Time) -> String {
    match time {
        Time::Known(seconds) => plain(seconds),
        Time::Over(seconds) => format!("> {}", plain(seconds)),
    }
}

pub(crate) fn plain(seconds: f64) -> String {
    if seconds < 1.0 { format!("{} ms", figures(seconds * 1e3)) } else { format!("{} s", figures(seconds)) }
}

/// Three figures.
fn figures(value: f64) -> String {
    match value {
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

pub(crate) fn bytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        bytes if bytes < 1e3 => format!("{bytes} B"),
        bytes if bytes < 1e6 => format!("{} kB", figures(bytes / 1e3)),
        bytes if bytes < 1e9 => format!("{} MB", figures(bytes / 1e6)),
        bytes => format!("{} GB", figures(bytes / 1e9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_figures_and_a_unit() {
        let texts = [0.001_234, 0.0123, 0.4567, 1.0, 65.43, 123.4].map(plain);
        assert_eq!(texts, ["1.23 ms", "12.3 ms", "457 ms", "1.00 s", "65.4 s", "123 s"]);
    }

    #[test]
    fn a_peer_that_fails_or_was_stopped_says_so() {
        let mut row = Row::default();
        row.peers.insert("us-rust".into(), Cell { seconds: vec![0.5], ..Cell::default() });
        row.peers.insert("floor".into(), Cell { error: Some("a|b".into()), ..Cell::default() });
        row.peers.insert("pyfirecrest".into(), Cell { capped: Some(12.0), ..Cell::default() });
        let table = markdown(&Run { rows: vec![row], ..Run::default() });
        assert!(table.contains("fails: a\\|b"), "{table}");
        assert!(table.contains("> 12.0 s<br>0 requests, 0 B<br>> 24.0 ×"), "{table}");
    }
}
