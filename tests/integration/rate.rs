//! The budget of requests a minute that all sessions of a host share, and the statistics of what was asked.

use std::time::{Duration, Instant};

use aiida_firecrest_host::scheduler::JobQuery;
use aiida_firecrest_host::{Policy, Session};
use aiida_firecrest_tests::{Rig, plugin, seen};
use firecrest_simulator::{Fault, FaultKind, Quota, RetryAfter};

async fn stats(session: &mut Session, path: &str, count: usize) {
    for _ in 0..count {
        session.stat(path).await.unwrap();
    }
}

/// One a second after a burst of ten: sixteen by two sessions together take longer than by either alone.
#[tokio::test]
async fn sessions_share_one_budget() {
    let mut rig = Rig::setup().option("requests_per_minute", "60").open().await;
    let path = rig.place("f", b"1");
    let mut options = rig.options();
    options.set("requests_per_minute", "60");
    let state = rig.session.state().await.unwrap();
    let mut other = Session::open_with(plugin(), &options, &Policy::default(), Some(&state)).await.unwrap();
    let start = Instant::now();
    tokio::join!(stats(&mut rig.session, &path, 8), stats(&mut other, &path, 8));
    assert!(start.elapsed() >= Duration::from_millis(4500), "{:?}", start.elapsed());
    let waited = [&rig.session, &other].map(|session| session.telemetry().counters());
    assert!(waited.iter().all(|sums| sums.waits >= 2), "both waited: {waited:?}");
}

/// A session that asks for hundreds of things does not keep another from its few.
#[tokio::test]
async fn sessions_take_turns() {
    let mut rig = Rig::setup().option("requests_per_minute", "600").open().await;
    let path = rig.place("f", b"1");
    let mut other = rig.another().await;
    let many = JobQuery::Ids((0..400).map(|id| (1000 + id).to_string()).collect());
    let simulator = &rig.simulator;
    let few = async {
        aiida_firecrest_tests::eventually("the burst is over", || seen(simulator).len() >= 100).await;
        stats(&mut other, &path, 5).await;
        seen(simulator).len()
    };
    tokio::select! {
        answer = rig.session.jobs(&many) => panic!("first of all: {answer:?}"),
        asked = few => assert!(asked < 300, "{asked}"),
    }
}

/// The gateway's word holds for all sessions, and nothing is lost by it.
#[tokio::test]
async fn a_quota_of_the_gateway_is_kept() {
    let quota = Quota { requests: 30, window: Duration::from_secs(2), form: RetryAfter::Seconds };
    let mut rig = Rig::open().await;
    let path = rig.place("f", b"1");
    let mut other = rig.another().await;
    rig.simulator.adjust(|knobs| knobs.quota = Some(quota));
    let many = JobQuery::Ids((0..80).map(|id| (1000 + id).to_string()).collect());
    let (listing, ()) = tokio::join!(rig.session.jobs(&many), stats(&mut other, &path, 20));
    assert_eq!(listing.unwrap().missing.len(), 80);
    let refused = rig.simulator.requests().iter().filter(|request| request.status == 429).count();
    // Each window can refuse what is under way when it ends: eight of the one, one of the other.
    assert!((1..=60).contains(&refused), "{refused}");
}

/// Counts by endpoint and status, repeats, bytes, times; and nothing of what nobody should read.
#[tokio::test]
async fn the_statistics_tell_what_was_asked() {
    let mut rig = Rig::open().await;
    let path = rig.place("secret-name", b"12");
    rig.simulator.plant(Fault::once("/ops/stat", FaultKind::DropBefore));
    stats(&mut rig.session, &path, 3).await;
    rig.session.jobs(&JobQuery::Ids(vec!["4711".into()])).await.unwrap();
    let telemetry = rig.session.telemetry();
    let endpoints = telemetry.endpoints();
    let of = |end: &str| endpoints.iter().find(|(endpoint, _)| endpoint.path.ends_with(end)).expect(end).1;
    let stat = of("/ops/stat");
    let statuses: Vec<_> = stat.statuses.iter().map(|(status, count)| (*status, *count)).collect();
    assert_eq!((statuses, stat.repeats), (vec![(None, 1), (Some(200), 3)], 1));
    assert_eq!((of("/jobs/{id}").requests(), of("/token").requests()), (1, 1));
    assert_eq!((stat.latency.count(), telemetry.counters().repeats), (4, 1));
    let (report, prometheus) = (telemetry.report(), telemetry.prometheus());
    assert!(report.contains("none×1 200×3") && report.contains("1 repeats"), "{report}");
    assert!(
        prometheus.lines().all(|line| line.starts_with('#') || line.starts_with("aiida_firecrest_")),
        "{prometheus}"
    );
    for text in [report, prometheus] {
        for hidden in ["secret-name", rig.simulator.client_secret(), "4711", "Bearer"] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
    }
}
