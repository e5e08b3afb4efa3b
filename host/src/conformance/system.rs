//! The system: `partitions`, `nodes`, `reservations`.

use super::bench::Bench;
use super::judge::{Judge, Outcome, holds};
use super::{Behaviour, behaviour};
use std::collections::BTreeSet;

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour!("partitions", have_names_and_states, "A system has a partition; each has a name of its own and a state"),
    behaviour!(
        "nodes",
        have_names_and_states_too,
        "A system has a node; each has a name and a state, and no more idle processors than it has"
    ),
    behaviour!(
        "nodes",
        belong_to_partitions_that_exist,
        "The partitions that nodes name are those that the system has"
    ),
    behaviour!(
        "reservations",
        have_names_and_end_after_they_start,
        "Reservations have names, and end after they start"
    ),
];

async fn have_names_and_states(b: &mut Bench) -> Outcome {
    let partitions = b.session.partitions().await.done("partitions")?;
    let names: BTreeSet<&str> = partitions.iter().map(|one| one.name.as_str()).collect();
    let fits = !partitions.is_empty() && names.len() == partitions.len();
    holds("partitions", fits && !names.contains(""), "one at least, each name once", &partitions)?;
    holds("their states", partitions.iter().all(|one| !one.state.is_empty()), "a word each", &partitions)
}

async fn have_names_and_states_too(b: &mut Bench) -> Outcome {
    let nodes = b.session.nodes().await.done("nodes")?;
    holds("nodes", !nodes.is_empty(), "one at least", &nodes)?;
    for node in &nodes {
        holds("a node", !node.name.is_empty() && !node.states.is_empty(), "a name and a state", node)?;
        let idle = node.cpus.zip(node.idle_cpus).is_none_or(|(cpus, idle)| idle <= cpus);
        holds("its idle processors", idle, "no more than it has", node)?;
    }
    Ok(())
}

async fn belong_to_partitions_that_exist(b: &mut Bench) -> Outcome {
    let partitions = b.session.partitions().await.done("partitions")?;
    for node in b.session.nodes().await.done("nodes")? {
        for name in &node.partitions {
            let known = partitions.iter().any(|one| one.name == *name);
            holds(format!("the partition {name} of {}", node.name), known, "a partition of the system", &partitions)?;
        }
    }
    Ok(())
}

async fn have_names_and_end_after_they_start(b: &mut Bench) -> Outcome {
    for one in b.session.reservations().await.done("reservations")? {
        holds("a reservation", !one.name.is_empty(), "a name", &one)?;
        holds("its times", one.start.zip(one.end).is_none_or(|(start, end)| start <= end), "start before end", &one)?;
    }
    Ok(())
}
