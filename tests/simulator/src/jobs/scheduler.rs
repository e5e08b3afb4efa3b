//! The queue: jobs in order, nodes to run them on, and the life of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use tokio::sync::{Notify, watch};

use crate::commands::User;
use crate::jobs::names::{node_names, placeholders};
use crate::jobs::process;
use crate::jobs::submit::absolute;
use crate::knobs::Knobs;
use crate::paths::FileSystems;

/// What sbatch has worked out of a submission.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewJob {
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) partition: String,
    pub(crate) nodes: u32,
    pub(crate) tasks: u32,
    pub(crate) work_dir: String,
    /// Files, with Slurm's placeholders, relative to the working directory.
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) error: Option<String>,
    pub(crate) append: bool,
    pub(crate) hold: bool,
    /// In minutes.
    pub(crate) limit: Option<u64>,
    /// How long one of those lasts.
    pub(crate) minute: Duration,
    pub(crate) script: String,
    pub(crate) environment: Vec<(String, String)>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) state: String,
    pub(crate) exit: i32,
    pub(crate) signal: i32,
    /// The same of its batch step.
    pub(crate) batch: (&'static str, i32, i32),
}

/// A job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) partition: String,
    pub(crate) nodes: u32,
    pub(crate) work_dir: String,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) error: String,
    pub(crate) limit: Option<u64>,
    pub(crate) script: String,
    /// Why it waits.
    pub(crate) reason: &'static str,
    pub(crate) held: bool,
    pub(crate) submitted: SystemTime,
    pub(crate) started: Option<SystemTime>,
    pub(crate) ended: Option<SystemTime>,
    pub(crate) node_list: Vec<String>,
    pub(crate) completing: bool,
    pub(crate) outcome: Option<Outcome>,
    /// A state set by a test, in place of the real one.
    pub(crate) raw_state: Option<String>,
    /// Made by a test: no process, no lag.
    pub(crate) synthetic: bool,
    pub(super) order: NewJob,
    pub(super) leader: Option<u32>,
    pub(super) stop: Arc<Notify>,
}

/// What became of a cancellation.
pub(crate) enum Cancelled {
    Done,
    Unknown,
    Finished,
}

pub(super) struct Queue {
    pub(super) jobs: BTreeMap<u64, Job>,
    next: u64,
    pub(super) closed: bool,
}

pub(crate) struct Scheduler {
    id: String,
    pub(super) root: PathBuf,
    pub(super) user: User,
    pub(super) file_systems: FileSystems,
    pub(super) knobs: Arc<RwLock<Knobs>>,
    pub(super) queue: Mutex<Queue>,
    pub(super) changed: Notify,
}

impl Scheduler {
    pub(crate) fn new(root: PathBuf, user: User, file_systems: FileSystems, knobs: Arc<RwLock<Knobs>>) -> Self {
        Self {
            id: uuid::Uuid::new_v4().simple().to_string(),
            root,
            user,
            file_systems,
            knobs,
            queue: Mutex::new(Queue { jobs: BTreeMap::new(), next: 1, closed: false }),
            changed: Notify::new(),
        }
    }

    pub(super) fn mark(&self, id: u64) -> String {
        format!("{}:{id}", self.id)
    }

    pub(crate) fn submit(&self, order: NewJob) -> u64 {
        let mut queue = crate::lock(&self.queue);
        let id = queue.next;
        queue.next += 1;
        let job = self.job(id, order);
        queue.jobs.insert(id, job);
        drop(queue);
        self.changed.notify_one();
        id
    }

    fn job(&self, id: u64, order: NewJob) -> Job {
        let expand = |text: &str| absolute(&order.work_dir, &placeholders(text, id, &order.name, &self.user.name));
        let output = expand(&order.output);
        Job {
            id,
            name: order.name.clone(),
            account: order.account.clone(),
            partition: order.partition.clone(),
            nodes: order.nodes,
            work_dir: order.work_dir.clone(),
            input: expand(&order.input),
            error: order.error.as_deref().map_or_else(|| output.clone(), &expand),
            output,
            limit: order.limit,
            script: order.script.clone(),
            reason: if order.hold { "JobHeldUser" } else { "None" },
            held: order.hold,
            submitted: SystemTime::now(),
            started: None,
            ended: None,
            node_list: Vec::new(),
            completing: false,
            outcome: None,
            raw_state: None,
            synthetic: false,
            leader: None,
            stop: Arc::new(Notify::new()),
            order,
        }
    }

    /// Adds jobs that have no process, in that state.
    pub(crate) fn add(&self, count: usize, state: &str, template: &NewJob) -> Vec<u64> {
        let now = SystemTime::now();
        let waiting = matches!(state, "PENDING" | "CONFIGURING" | "REQUEUED" | "RESV_DEL_HOLD");
        let running = matches!(state, "RUNNING" | "COMPLETING" | "SUSPENDED" | "STAGE_OUT");
        (0..count)
            .map(|_| {
                let mut queue = crate::lock(&self.queue);
                let id = queue.next;
                queue.next += 1;
                let mut job = self.job(id, template.clone());
                job.synthetic = true;
                job.held = true;
                job.raw_state = Some(state.to_owned());
                if !waiting {
                    job.started = Some(now - Duration::from_secs(60));
                    job.node_list = node_names(1);
                }
                if !waiting && !running {
                    job.ended = Some(now);
                    job.outcome = Some(Outcome {
                        state: state.to_owned(),
                        exit: i32::from(state == "FAILED"),
                        signal: 0,
                        batch: ("COMPLETED", 0, 0),
                    });
                }
                queue.jobs.insert(id, job);
                id
            })
            .collect()
    }

    /// Sets, or with `None` clears, the state that answers show for a job. False for an unknown one.
    pub(crate) fn set_state(&self, id: u64, state: Option<String>) -> bool {
        crate::lock(&self.queue).jobs.get_mut(&id).map(|job| job.raw_state = state).is_some()
    }

    /// Lets a held job go. False for an unknown one.
    pub(crate) fn release(&self, id: u64) -> bool {
        let found = crate::lock(&self.queue)
            .jobs
            .get_mut(&id)
            .map(|job| {
                job.held = false;
                job.reason = "None";
            })
            .is_some();
        self.changed.notify_one();
        found
    }

    pub(crate) fn with_job<T>(&self, id: u64, look: impl FnOnce(&Job) -> T) -> Option<T> {
        crate::lock(&self.queue).jobs.get(&id).map(look)
    }

    pub(crate) fn with_jobs<T>(&self, look: impl FnOnce(&mut dyn Iterator<Item = &Job>) -> T) -> T {
        look(&mut crate::lock(&self.queue).jobs.values())
    }

    pub(crate) fn busy_nodes(&self) -> BTreeSet<String> {
        busy(&crate::lock(&self.queue).jobs)
    }

    /// Looks at the queue again, after a knob was turned.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    pub(crate) fn cancel(&self, id: u64, uid: u32) -> Cancelled {
        let mut queue = crate::lock(&self.queue);
        let Some(job) = queue.jobs.get_mut(&id) else {
            return Cancelled::Unknown;
        };
        if job.ended.is_some() || job.completing {
            return Cancelled::Finished;
        }
        if job.started.is_none() || job.synthetic {
            job.ended = Some(SystemTime::now());
            job.raw_state = None;
            job.outcome =
                Some(Outcome { state: format!("CANCELLED by {uid}"), exit: 0, signal: 0, batch: ("CANCELLED", 0, 15) });
        } else {
            job.completing = true;
            job.ended = Some(SystemTime::now());
            job.stop.notify_one();
        }
        drop(queue);
        self.changed.notify_one();
        Cancelled::Done
    }

    /// Ends all jobs, at once and for good.
    pub(crate) fn shut_down(&self) {
        let leaders: Vec<(u64, Option<u32>)> = {
            let mut queue = crate::lock(&self.queue);
            queue.closed = true;
            queue.jobs.values().filter(|job| job.leader.is_some()).map(|job| (job.id, job.leader)).collect()
        };
        for (id, leader) in leaders {
            process::signal(leader, &self.mark(id), Signal::KILL);
        }
    }

    /// Runs the queue until told to stop.
    pub(crate) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            let next = self.start_what_can();
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(next) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.shut_down();
    }

    /// Starts jobs in order until one does not fit. When to look again.
    fn start_what_can(self: &Arc<Self>) -> Duration {
        let (queue_wait, total) = {
            let knobs = crate::read(&self.knobs);
            (knobs.queue_wait, knobs.nodes)
        };
        let now = SystemTime::now();
        let mut next = Duration::from_secs(3600);
        let mut queue = crate::lock(&self.queue);
        if queue.closed {
            return next;
        }
        let mut taken = busy(&queue.jobs);
        let names = node_names(total);
        let mut blocked = false;
        for job in queue.jobs.values_mut() {
            if job.held || job.started.is_some() || job.ended.is_some() {
                continue;
            }
            if job.nodes > total {
                job.reason = "PartitionConfig";
                continue;
            }
            let waited = now.duration_since(job.submitted).unwrap_or_default();
            if waited < queue_wait {
                job.reason = "None";
                next = next.min(queue_wait - waited);
                continue;
            }
            if blocked {
                job.reason = "Priority";
                continue;
            }
            let free: Vec<String> =
                names.iter().filter(|name| !taken.contains(*name)).take(job.nodes as usize).cloned().collect();
            if free.len() < job.nodes as usize {
                job.reason = "Resources";
                blocked = true;
                continue;
            }
            taken.extend(free.iter().cloned());
            job.node_list = free;
            job.reason = "None";
            job.started = Some(now);
            tokio::spawn(self.clone().live(job.clone()));
        }
        next.max(Duration::from_millis(1))
    }

    pub(super) fn change(&self, id: u64, change: impl FnOnce(&mut Job)) {
        if let Some(job) = crate::lock(&self.queue).jobs.get_mut(&id) {
            change(job);
        }
    }
}

fn busy(jobs: &BTreeMap<u64, Job>) -> BTreeSet<String> {
    jobs.values()
        .filter(|job| job.started.is_some() && job.outcome.is_none() && !job.synthetic)
        .flat_map(|job| job.node_list.iter().cloned())
        .collect()
}
