//! Requests summed up by endpoint: how many with which status, how long, how many repeats and waits.

use super::RequestRecord;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Endpoints that are told apart; what comes later is counted together, so that names in paths cannot fill the memory.
const MOST: usize = 256;

/// Upper bounds of the latency buckets, in milliseconds; a last bucket is open. A stat on loopback takes 3 ms, on a slow cluster seconds;
/// the server's commands end after 5 s, gateways after 60 s.
pub const BOUNDS: [u64; 14] = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000];

/// What requests are summed up by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// For example `https://api.example.org`.
    pub origin: String,
    /// The path, with `{id}` for what is a number or looks random, and `{object}` for all of a presigned address.
    pub path: String,
    /// `GET`, `POST`, …
    pub method: String,
}

/// How long requests took, in buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many took at most as long as the bound of the same place in [`BOUNDS`], and longer than the one before; the last: longer than all.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Latency {
    fn add(&mut self, duration: Duration) {
        let place = BOUNDS.iter().position(|bound| duration <= Duration::from_millis(*bound)).unwrap_or(BOUNDS.len());
        self.buckets[place] += 1;
        self.sum += duration;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// A bound that this share of the requests (0 to 1) did not exceed. None: there are no requests, or it is past the last bound.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let place = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        place.and_then(|place| BOUNDS.get(place)).map(|bound| Duration::from_millis(*bound))
    }
}

/// The sums of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// How many ended with which status; none: without an answer.
    pub statuses: BTreeMap<Option<u16>, u64>,
    /// How many of them repeated an earlier one that had failed.
    pub repeats: u64,
    /// How many waited for their place in the budget of requests a minute.
    pub waits: u64,
    /// How long those waited, together.
    pub waited: Duration,
    /// Bytes of request bodies.
    pub sent: u64,
    /// Bytes of answer bodies.
    pub received: u64,
    /// From the sending of a request until its answer's body was read or dropped; what it waited before is not in it.
    pub latency: Latency,
}

impl Statistics {
    /// How many there were.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.statuses.values().sum()
    }
}

/// All endpoints.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoints(pub(super) BTreeMap<Endpoint, Statistics>);

impl Endpoints {
    pub(super) fn add(&mut self, record: &RequestRecord, presigned: bool) {
        let path = if presigned { "/{object}".to_owned() } else { template(&record.path) };
        let mut endpoint = Endpoint { origin: record.origin.clone(), path, method: record.method.clone() };
        if self.0.len() >= MOST && !self.0.contains_key(&endpoint) {
            endpoint = Endpoint { origin: "other".into(), path: "/{other}".into(), method: "OTHER".into() };
        }
        let sums = self.0.entry(endpoint).or_default();
        *sums.statuses.entry(record.status.filter(|_| record.error.is_none())).or_default() += 1;
        sums.repeats += u64::from(record.repeat);
        sums.waits += u64::from(!record.waited.is_zero());
        sums.waited += record.waited;
        sums.sent += record.sent;
        sums.received += record.received;
        sums.latency.add(record.duration);
    }

    /// For people: a line an endpoint.
    pub(super) fn report(&self) -> String {
        let header = ["METHOD", "ENDPOINT", "COUNT", "STATUS", "REPEATS", "WAITED", "SENT", "RECEIVED", "50 %", "95 %"];
        let mut rows = vec![header.map(str::to_owned)];
        rows.extend(self.0.iter().map(|(endpoint, sums)| {
            let statuses = sums.statuses.iter().map(|(status, count)| format!("{}×{count}", told(*status)));
            let time = |share| {
                sums.latency
                    .quantile(share)
                    .map_or_else(|| "longer".into(), |time| format!("≤ {} ms", time.as_millis()))
            };
            [
                endpoint.method.clone(),
                format!("{}{}", endpoint.origin, endpoint.path),
                sums.requests().to_string(),
                statuses.collect::<Vec<_>>().join(" "),
                sums.repeats.to_string(),
                format!("{:.1} s", sums.waited.as_secs_f64()),
                sums.sent.to_string(),
                sums.received.to_string(),
                time(0.5),
                time(0.95),
            ]
        }));
        let widths: Vec<usize> = (0..header.len())
            .map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or_default())
            .collect();
        let mut text = String::new();
        for row in &rows {
            let line: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// For Prometheus, in its text format 0.0.4. `refused`: by the policy.
    pub(super) fn prometheus(&self, refused: u64) -> String {
        let mut text = String::new();
        let mut family =
            |name: &str, kind: &str, help: &str, samples: &dyn Fn(&Statistics) -> Vec<(String, String)>| {
                let name = format!("aiida_firecrest_{name}");
                let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
                for (endpoint, sums) in &self.0 {
                    let labels = format!(
                        "origin=\"{}\",method=\"{}\",endpoint=\"{}\"",
                        escape(&endpoint.origin),
                        escape(&endpoint.method),
                        escape(&endpoint.path)
                    );
                    for (more, value) in samples(sums) {
                        // The suffix of a histogram's sample stands before the brace, its own label behind the others.
                        let (suffix, label) = more.split_once('|').unwrap_or(("", &more));
                        let comma = if label.is_empty() { "" } else { "," };
                        let _ = writeln!(text, "{name}{suffix}{{{labels}{comma}{label}}} {value}");
                    }
                }
            };
        family("requests_total", "counter", "Requests that ended; status none: without a whole answer.", &|sums| {
            let sample =
                |(status, count): (&Option<u16>, &u64)| (format!("status=\"{}\"", told(*status)), count.to_string());
            sums.statuses.iter().map(sample).collect()
        });
        family("repeats_total", "counter", "Requests that repeated an earlier one.", &|sums| {
            vec![(String::new(), sums.repeats.to_string())]
        });
        family("waits_total", "counter", "Requests that waited for their place in the budget.", &|sums| {
            vec![(String::new(), sums.waits.to_string())]
        });
        family("wait_seconds_total", "counter", "How long they waited.", &|sums| {
            vec![(String::new(), sums.waited.as_secs_f64().to_string())]
        });
        family("body_bytes_total", "counter", "Bytes of bodies.", &|sums| {
            vec![
                ("direction=\"sent\"".into(), sums.sent.to_string()),
                ("direction=\"received\"".into(), sums.received.to_string()),
            ]
        });
        family("request_duration_seconds", "histogram", "From the sending until the body was read.", &|sums| {
            let mut total = 0;
            let mut samples = Vec::new();
            for (place, count) in sums.latency.buckets.iter().enumerate() {
                total += count;
                let bound = BOUNDS.get(place).map_or("+Inf".to_owned(), |ms| (*ms as f64 / 1000.0).to_string());
                samples.push((format!("_bucket|le=\"{bound}\""), total.to_string()));
            }
            samples.push(("_sum|".into(), sums.latency.sum.as_secs_f64().to_string()));
            samples.push(("_count|".into(), total.to_string()));
            samples
        });
        let name = "aiida_firecrest_refused_total";
        let _ =
            write!(text, "# HELP {name} Requests that the policy refused.\n# TYPE {name} counter\n{name} {refused}\n");
        text
    }
}

fn told(status: Option<u16>) -> String {
    status.map_or_else(|| "none".to_owned(), |status| status.to_string())
}

/// A path in which what names one of many is `{id}`: a segment of digits alone, or a long one with digits in it.
fn template(path: &str) -> String {
    let variable = |segment: &str| {
        let digits = segment.bytes().filter(u8::is_ascii_digit).count();
        digits > 0 && (digits == segment.len() || segment.len() > 24)
    };
    path.split('/').map(|segment| if variable(segment) { "{id}" } else { segment }).collect::<Vec<_>>().join("/")
}

/// A label's value, as the text format wants it.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(path: &str, status: Option<u16>, milliseconds: u64) -> RequestRecord {
        RequestRecord {
            method: "GET".into(),
            origin: "http://a".into(),
            path: path.into(),
            status,
            error: status.is_none().then(|| "broken".into()),
            sent: 1,
            received: 2,
            duration: Duration::from_millis(milliseconds),
            waited: Duration::from_millis(500),
            repeat: status == Some(200),
        }
    }

    #[test]
    fn ids_are_no_endpoints_of_their_own() {
        for (path, expected) in [
            ("/compute/cluster2/jobs/4711", "/compute/cluster2/jobs/{id}"),
            ("/compute/c/jobs/4711/metadata", "/compute/c/jobs/{id}/metadata"),
            ("/hpc/firecrest/v2/filesystem/daint/ops/ls", "/hpc/firecrest/v2/filesystem/daint/ops/ls"),
            ("/bucket/0f8fad5b-d9cb-469f-a165-70867728950e", "/bucket/{id}"),
        ] {
            assert_eq!(template(path), expected);
        }
    }

    #[test]
    fn sums_and_both_texts() {
        let mut endpoints = Endpoints::default();
        for (job, status, time) in [(1, Some(200), 3), (2, Some(200), 40), (3, Some(503), 40), (4, None, 500_000)] {
            endpoints.add(&record(&format!("/jobs/{job}"), status, time), false);
        }
        let (endpoint, sums) = endpoints.0.first_key_value().unwrap();
        assert_eq!((endpoint.path.as_str(), endpoints.0.len(), sums.requests(), sums.repeats), ("/jobs/{id}", 1, 4, 2));
        assert_eq!((sums.waits, sums.waited, sums.received), (4, Duration::from_secs(2), 8));
        assert_eq!(sums.latency.quantile(0.5), Some(Duration::from_millis(50)));
        assert_eq!(sums.latency.quantile(0.95), None);
        let told = endpoints.prometheus(7);
        let labels = "origin=\"http://a\",method=\"GET\",endpoint=\"/jobs/{id}\"";
        for line in [
            format!("aiida_firecrest_requests_total{{{labels},status=\"none\"}} 1"),
            format!("aiida_firecrest_requests_total{{{labels},status=\"200\"}} 2"),
            format!("aiida_firecrest_repeats_total{{{labels}}} 2"),
            format!("aiida_firecrest_wait_seconds_total{{{labels}}} 2"),
            format!("aiida_firecrest_body_bytes_total{{{labels},direction=\"sent\"}} 4"),
            format!("aiida_firecrest_request_duration_seconds_bucket{{{labels},le=\"0.05\"}} 3"),
            format!("aiida_firecrest_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 4"),
            format!("aiida_firecrest_request_duration_seconds_sum{{{labels}}} 500.083"),
            format!("aiida_firecrest_request_duration_seconds_count{{{labels}}} 4"),
            "aiida_firecrest_refused_total 7".to_owned(),
        ] {
            assert!(told.lines().any(|found| found == line), "{line}\n{told}");
        }
        let report = endpoints.report();
        assert!(report.contains("none×1 200×2 503×1") && report.contains("≤ 50 ms"), "{report}");
    }

    #[test]
    fn paths_do_not_fill_the_memory() {
        let mut endpoints = Endpoints::default();
        for name in 0..MOST + 50 {
            endpoints.add(&record(&format!("/file-{name}"), Some(200), 1), false);
        }
        assert_eq!(endpoints.0.len(), MOST + 1);
        assert_eq!(endpoints.0.values().map(Statistics::requests).sum::<u64>(), MOST as u64 + 50);
    }
}
