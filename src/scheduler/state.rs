//! What a Slurm state means to AiiDA.
//!
//! [`classify`] knows every state and flag that Slurm names: squeue(1) and sacct(1), long and short, and the page "Job
//! State Codes" of Slurm's documentation. For the eleven that aiida-core 2.9's Slurm plugin knows it gives the same
//! answer. It takes what the sources really hand out: `CANCELLED by 1001`, `OUT_OF_ME+` as sacct cuts names to a
//! column, lists such as `COMPLETED,COMPLETING` from Slurm's REST interface, any case. What it does not know is
//! [`JobState::Undetermined`], never a guess.
//!
//! It errs on one side. AiiDA fetches a job's files once, when the job is [`JobState::Done`]; so where a state leaves
//! open whether a job is over, it is not, unless AiiDA has decided otherwise (`PREEMPTED`).

/// The states that AiiDA knows. There is none for failure: a job that is over is done, however it went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum JobState {
    /// No state that means anything.
    #[default]
    Undetermined,
    /// Waits, and will start by itself.
    Queued,
    /// Waits for somebody to release it, for another job, or for a time.
    QueuedHeld,
    /// Runs, or still has something to do on its nodes.
    Running,
    /// Has nodes, but stands still.
    Suspended,
    /// Is over and stays so.
    Done,
}

/// A name that Slurm gives a state or a flag, and what it means.
struct Row {
    long: &'static str,
    /// Empty when Slurm has none.
    short: &'static str,
    state: JobState,
}

const fn row(long: &'static str, short: &'static str, state: JobState) -> Row {
    Row { long, short, state }
}

/// In the order of precedence.
///
/// Slurm gives a job one base state and any number of flags, but squeue shows a single name: a flag when one is set,
/// and among flags the earliest of a fixed order. A list is read in the same way.
const TABLE: &[Row] = {
    use JobState::{Done, Queued, QueuedHeld, Running, Suspended, Undetermined};
    &[
        // Flags that say more than the base state.
        //
        // The base state beside it is the final one already, but an epilog may still be writing: not over.
        row("COMPLETING", "CG", Running),
        // The program has ended, but its files are still on the way from the burst buffer.
        row("STAGE_OUT", "SO", Running),
        // Has nodes, but they still boot: for the user it waits.
        row("CONFIGURING", "CF", Queued),
        row("POWER_UP_NODE", "", Queued),
        row("RESIZING", "RS", Running),
        // Requeued: its base state may be a final one, of the run before, but it will run again.
        row("REQUEUED", "RQ", Queued),
        row("REQUEUE_FED", "RF", Queued),
        row("REQUEUE_HOLD", "RH", QueuedHeld),
        // Requeued and held, to draw somebody's attention.
        row("SPECIAL_EXIT", "SE", QueuedHeld),
        // Stopped by a signal: as suspended, but it keeps its cores.
        row("STOPPED", "ST", Suspended),
        // In a federation another cluster took the job; on this one it never runs.
        row("REVOKED", "RV", Done),
        // Its reservation is gone, and it waits for somebody to decide.
        row("RESV_DEL_HOLD", "RD", QueuedHeld),
        row("SIGNALING", "SI", Running),
        // Base states.
        row("PENDING", "PD", Queued),
        row("RUNNING", "R", Running),
        row("SUSPENDED", "S", Suspended),
        row("COMPLETED", "CD", Done),
        row("CANCELLED", "CA", Done),
        row("FAILED", "F", Done),
        row("TIMEOUT", "TO", Done),
        row("NODE_FAIL", "NF", Done),
        // May still turn into another state where Slurm requeues what it preempts: AiiDA takes it as done all the same.
        row("PREEMPTED", "PR", Done),
        row("BOOT_FAIL", "BF", Done),
        row("DEADLINE", "DL", Done),
        row("OUT_OF_MEMORY", "OOM", Done),
        // Flags that say nothing once there is a base state.
        //
        // Waits with the highest priority.
        row("EXPEDITING", "", Queued),
        // Tells why a job failed or was requeued, and the base state which of the two: alone it tells nothing.
        row("LAUNCH_FAILED", "", Undetermined),
        row("RECONFIG_FAIL", "", Undetermined),
        // Slurm's bookkeeping.
        row("UPDATE_DB", "", Undetermined),
    ]
};

/// Reasons that hold a queued job, compared by [`same_reason`].
const HELD: &[&str] = &[
    // AiiDA's.
    "Dependency",
    "JobHeldUser",
    "JobHeldAdmin",
    "BeginTime",
    // Not AiiDA's: Slurm put the job back and holds it, so that it never starts by itself.
    "JobHoldMaxRequeue",
    "launch failed requeued held",
    "user env retrieval failed requeued held",
    "job requeued in held state",
];

/// What `raw_state`, with Slurm's reason beside it, means.
///
/// `raw_state` may be a single name or a list of them. `reason` counts only for a job that is queued, and may be in
/// parentheses, as squeue shows it.
pub fn classify(raw_state: &str, reason: Option<&str>) -> JobState {
    match state_of(raw_state) {
        JobState::Queued if reason.is_some_and(is_held) => JobState::QueuedHeld,
        state => state,
    }
}

/// Whether a job in this state is over for good. An unknown state is not.
pub fn is_terminal(raw_state: &str) -> bool {
    state_of(raw_state) == JobState::Done
}

fn state_of(raw_state: &str) -> JobState {
    let mut found: Option<(usize, JobState)> = None;
    for (word, cut) in words(raw_state) {
        if let Some((rank, state)) = look_up(word, cut)
            && found.is_none_or(|(best, _)| rank < best)
        {
            found = Some((rank, state));
        }
    }
    found.map_or(JobState::Undetermined, |(_, state)| state)
}

/// The names in a raw state, each with whether a `+` says that its end is cut off.
fn words(raw_state: &str) -> impl Iterator<Item = (&str, bool)> {
    // Brackets and quotes: a list may have been turned into text as it was.
    raw_state.split([',', '|', ';', '[', ']', '"', '\'']).flat_map(|part| {
        // A `+` between names joins them, one at the end cuts.
        let mut pieces = part.trim().split('+').peekable();
        std::iter::from_fn(move || {
            let piece = pieces.next()?;
            let cut = pieces.peek() == Some(&"");
            // What follows a name is a remark: "by 1001".
            Some((piece.split_whitespace().next().unwrap_or(""), cut))
        })
    })
}

/// A name's place in the table and its state.
fn look_up(word: &str, cut: bool) -> Option<(usize, JobState)> {
    let exact = TABLE.iter().position(|row| {
        // A short name is never cut: "R+" is the beginning of several long ones.
        row.long.eq_ignore_ascii_case(word) || (!cut && !row.short.is_empty() && row.short.eq_ignore_ascii_case(word))
    });
    if let Some(rank) = exact {
        return Some((rank, TABLE[rank].state));
    }
    if !cut || word.is_empty() {
        return None;
    }
    // A cut name counts when all the names that begin so mean the same.
    let mut matching = TABLE
        .iter()
        .enumerate()
        .filter(|(_, row)| row.long.get(..word.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(word)));
    let (rank, first) = matching.next()?;
    matching.all(|(_, row)| row.state == first.state).then_some((rank, first.state))
}

fn is_held(reason: &str) -> bool {
    HELD.iter().any(|held| same_reason(held, reason))
}

/// Compares letters and digits alone: squeue writes "(job requeued in held state)" where scontrol writes
/// "job_requeued_in_held_state".
fn same_reason(a: &str, b: &str) -> bool {
    letters(a).eq(letters(b))
}

fn letters(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use JobState::{Done, Queued, QueuedHeld, Running, Suspended, Undetermined};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_name_long_and_short_has_its_state() {
        // By hand from the manual pages, and not from the table.
        let cases = [
            ("BOOT_FAIL", "BF", Done),
            ("CANCELLED", "CA", Done),
            ("COMPLETED", "CD", Done),
            ("CONFIGURING", "CF", Queued),
            ("COMPLETING", "CG", Running),
            ("DEADLINE", "DL", Done),
            ("FAILED", "F", Done),
            ("NODE_FAIL", "NF", Done),
            ("OUT_OF_MEMORY", "OOM", Done),
            ("PENDING", "PD", Queued),
            ("PREEMPTED", "PR", Done),
            ("RUNNING", "R", Running),
            ("RESV_DEL_HOLD", "RD", QueuedHeld),
            ("REQUEUE_FED", "RF", Queued),
            ("REQUEUE_HOLD", "RH", QueuedHeld),
            ("REQUEUED", "RQ", Queued),
            ("RESIZING", "RS", Running),
            ("REVOKED", "RV", Done),
            ("SIGNALING", "SI", Running),
            ("SPECIAL_EXIT", "SE", QueuedHeld),
            ("STAGE_OUT", "SO", Running),
            ("STOPPED", "ST", Suspended),
            ("SUSPENDED", "S", Suspended),
            ("TIMEOUT", "TO", Done),
            ("EXPEDITING", "", Queued),
            ("LAUNCH_FAILED", "", Undetermined),
            ("POWER_UP_NODE", "", Queued),
            ("RECONFIG_FAIL", "", Undetermined),
            ("UPDATE_DB", "", Undetermined),
        ];
        assert_eq!(cases.len(), TABLE.len());
        for (long, short, state) in cases {
            for name in [long, short].into_iter().filter(|name| !name.is_empty()) {
                for name in [name.to_owned(), name.to_lowercase(), format!(" {name}\n")] {
                    assert_eq!(classify(&name, None), state, "{name:?}");
                    assert_eq!(is_terminal(&name), state == Done, "{name:?}");
                }
            }
        }
    }

    #[test]
    fn names_are_told_apart() {
        for (i, row) in TABLE.iter().enumerate() {
            for other in &TABLE[i + 1..] {
                assert_ne!(row.long, other.long);
                assert!(row.short.is_empty() || row.short != other.short, "{}", row.short);
            }
        }
    }

    #[test]
    fn states_as_they_come() {
        let cases = [
            ("CANCELLED by 1001", Done),
            ("CANCELLED by 1+", Done),
            ("CANCELLED+", Done),
            ("OUT_OF_ME+", Done),
            ("CONFIGURI+", Queued),
            ("REQUEUE_H+", QueuedHeld),
            // COMPLETED or COMPLETING; RUNNING, REQUEUED, REVOKED or others.
            ("COMPL+", Undetermined),
            ("R+", Undetermined),
            ("S+", Undetermined),
            ("NONSENSE+", Undetermined),
            ("+", Undetermined),
            ("COMPLETED,COMPLETING", Running),
            ("CANCELLED,COMPLETING", Running),
            ("COMPLETING,RUNNING", Running),
            ("RUNNING+COMPLETING", Running),
            (r#"["RUNNING","CONFIGURING"]"#, Queued),
            ("['COMPLETED']", Done),
            ("RUNNING, POWER_UP_NODE", Queued),
            ("RUNNING,STOPPED", Suspended),
            ("COMPLETED,STAGE_OUT", Running),
            ("PREEMPTED,REQUEUED", Queued),
            ("PENDING,REQUEUE_HOLD", QueuedHeld),
            ("PENDING,EXPEDITING", Queued),
            ("COMPLETED,UPDATE_DB", Done),
            ("FAILED,LAUNCH_FAILED", Done),
            ("PENDING,LAUNCH_FAILED", Queued),
            ("PENDING,REVOKED", Done),
            // Two base states cannot be: the one that goes on counts.
            ("COMPLETED,RUNNING", Running),
            ("RUNNING,SOMETHING_NEW", Running),
            ("SOMETHING_NEW", Undetermined),
            ("by 1001", Undetermined),
            ("", Undetermined),
            (" , ", Undetermined),
        ];
        for (raw, state) in cases {
            assert_eq!(classify(raw, None), state, "{raw:?}");
            assert_eq!(is_terminal(raw), state == Done, "{raw:?}");
        }
    }

    #[test]
    fn a_reason_holds_a_queued_job_only() {
        let held = [
            "Dependency",
            "JobHeldUser",
            "JobHeldAdmin",
            "(JobHeldUser)",
            "BeginTime",
            "JobHoldMaxRequeue",
            "launch failed requeued held",
            "(launch failed requeued held)",
            "launch_failed_requeued_held",
            "job requeued in held state",
            "user env retrieval failed requeued held",
        ];
        for reason in held {
            assert_eq!(classify("PENDING", Some(reason)), QueuedHeld, "{reason}");
            assert_eq!(classify("CF", Some(reason)), QueuedHeld, "{reason}");
            assert_eq!(classify("RUNNING", Some(reason)), Running, "{reason}");
            assert_eq!(classify("COMPLETED", Some(reason)), Done, "{reason}");
            assert_eq!(classify("NONSENSE", Some(reason)), Undetermined, "{reason}");
        }
        for reason in ["", "()", "None", "Priority", "Resources", "DependencyNeverSatisfied", "ReqNodeNotAvail, held"] {
            assert_eq!(classify("PENDING", Some(reason)), Queued, "{reason}");
        }
    }

    proptest! {
        #[test]
        fn anything_has_an_answer(raw: String, reason: Option<String>) {
            classify(&raw, reason.as_deref());
            is_terminal(&raw);
        }

        /// However a list is ordered and written, the answer is the same, and over is what nothing contradicts.
        #[test]
        fn the_order_of_a_list_does_not_matter(
            picked in prop::sample::subsequence((0..TABLE.len()).collect::<Vec<_>>(), 1..4).prop_shuffle(),
            separator in prop::sample::select(vec![",", ", ", "+", "|"]),
        ) {
            let listed = |picked: &[usize]| {
                picked.iter().map(|&i| TABLE[i].long).collect::<Vec<_>>().join(separator)
            };
            let state = classify(&listed(&picked), None);
            let mut sorted = picked.clone();
            sorted.sort();
            prop_assert_eq!(state, classify(&listed(&sorted), None));
            prop_assert_eq!(state, TABLE[sorted[0]].state);
        }
    }
}
