//! One job's life: its processes are started, watched and ended here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::jobs::names::placeholders;
use crate::jobs::process::{self, Launch};
use crate::jobs::scheduler::{Job, Outcome, Scheduler};
use crate::jobs::submit::absolute;

impl Scheduler {
    /// One job, from its start to its end.
    pub(super) async fn live(self: Arc<Self>, job: Job) {
        let id = job.id;
        let outcome = self.execute(&job).await;
        let now = SystemTime::now();
        let completing = {
            let knobs = crate::read(&self.knobs);
            knobs.job_lag.completing
        };
        let cancelled = self.with_job(id, |job| job.completing.then_some(job.ended).flatten()).flatten();
        if let Some(since) = cancelled {
            let passed = now.duration_since(since).unwrap_or_default();
            tokio::time::sleep(completing.saturating_sub(passed)).await;
        }
        let uid = self.user.uid;
        self.change(id, |job| {
            let outcome = if job.completing {
                Outcome { state: format!("CANCELLED by {uid}"), exit: 0, signal: 0, batch: ("CANCELLED", 0, 15) }
            } else {
                outcome
            };
            job.completing = false;
            job.ended.get_or_insert(now);
            job.outcome = Some(outcome);
        });
        self.changed.notify_one();
    }

    async fn execute(&self, job: &Job) -> Outcome {
        let failed =
            |exit: i32, signal: i32| Outcome { state: "FAILED".into(), exit, signal, batch: ("FAILED", exit, signal) };
        let mark = self.mark(job.id);
        let Ok(script) = process::spool(&self.user, &self.root, job.id, &job.script) else {
            return failed(1, 0);
        };
        let launch = self.launch(job, mark.clone(), script);
        let running = self.root.join("spool/running").join(job.id.to_string());
        let _ = std::fs::write(&running, &mark);
        let kill_wait = crate::read(&self.knobs).kill_wait;
        let mut child = match process::start(&self.user, &launch) {
            Ok(child) => child,
            Err(_) => {
                let _ = std::fs::remove_file(&running);
                return failed(0, 53);
            }
        };
        let leader = child.id();
        let closed = {
            let mut queue = crate::lock(&self.queue);
            if let Some(entry) = queue.jobs.get_mut(&job.id) {
                entry.leader = leader;
            }
            queue.closed
        };
        if closed {
            process::signal(leader, &mark, Signal::KILL);
        }
        let limit = job.limit.map_or(Duration::from_secs(u64::from(u32::MAX)), |minutes| {
            job.order.minute.saturating_mul(u32::try_from(minutes).unwrap_or(u32::MAX))
        });
        let early = tokio::select! {
            status = child.wait() => Ok(status),
            () = tokio::time::sleep(limit) => Err("DUE TO TIME LIMIT"),
            () = job.stop.notified() => Err(""),
        };
        let outcome = match early {
            Ok(status) => {
                use std::os::unix::process::ExitStatusExt as _;
                let status = status.ok();
                match (status.and_then(|status| status.code()), status.and_then(|status| status.signal())) {
                    (Some(0), _) => {
                        Outcome { state: "COMPLETED".into(), exit: 0, signal: 0, batch: ("COMPLETED", 0, 0) }
                    }
                    (Some(process::NO_OUTPUT), _) if std::fs::metadata(&launch.output).is_err() => failed(0, 53),
                    (Some(code), _) => failed(code, 0),
                    (None, signal) => failed(0, signal.unwrap_or(9)),
                }
            }
            Err(why) => {
                let node = job.node_list.first().map_or("localhost", String::as_str);
                let text = format!(
                    "slurmstepd: error: *** JOB {} ON {node} CANCELLED AT {} {why}",
                    job.id,
                    crate::status::slurm_date(SystemTime::now())
                );
                let text = format!("{} ***", text.trim_end());
                process::note(&self.user, &launch.error, &text).await;
                process::signal(leader, &mark, Signal::TERM);
                if tokio::time::timeout(kill_wait, child.wait()).await.is_err() {
                    process::signal(leader, &mark, Signal::KILL);
                    let _ = child.wait().await;
                }
                Outcome { state: "TIMEOUT".into(), exit: 0, signal: 0, batch: ("CANCELLED", 0, 15) }
            }
        };
        // Slurm ends what the script has left behind.
        process::signal(leader, &mark, Signal::KILL);
        self.change(job.id, |job| job.leader = None);
        let _ = std::fs::remove_file(&running);
        outcome
    }

    fn launch(&self, job: &Job, mark: String, script: PathBuf) -> Launch {
        let home = &self.user.home;
        let confined = |path: &str| self.file_systems.confine("slurmstepd", path, home, true).is_ok();
        // Where the working directory is missing, Slurm goes to /tmp: here, to the root's own.
        let there = std::fs::metadata(&job.work_dir).is_ok_and(|data| data.is_dir()) && confined(&job.work_dir);
        let directory = if there { &job.work_dir } else { &self.user.tmp };
        let place = |text: &str| {
            let path = absolute(directory, &placeholders(text, job.id, &job.name, &self.user.name));
            let inside_tmp = !there && Path::new(&path).starts_with(&self.user.tmp);
            if path == "/dev/null" || inside_tmp || confined(&path) {
                path
            } else {
                // Nothing can be opened there.
                format!("{directory}/./no/such/place")
            }
        };
        let output = place(&job.order.output);
        // Ids are one cluster's own, and this machine may be several.
        let cluster = self.root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = job.id.to_string();
        let nodes = job.nodes.to_string();
        let mut environment: Vec<(String, String)> = job.order.environment.clone();
        for (name, value) in [
            ("SLURM_JOB_ID", number.as_str()),
            ("SLURM_JOBID", &number),
            ("SLURM_JOB_NAME", &job.name),
            ("SLURM_JOB_ACCOUNT", &job.account),
            ("SLURM_JOB_PARTITION", &job.partition),
            ("SLURM_JOB_USER", &self.user.name),
            ("SLURM_JOB_NODELIST", &job.node_list.join(",")),
            ("SLURM_NODELIST", &job.node_list.join(",")),
            ("SLURM_JOB_NUM_NODES", &nodes),
            ("SLURM_NNODES", &nodes),
            ("SLURM_NTASKS", &job.order.tasks.to_string()),
            ("SLURM_CLUSTER_NAME", &cluster),
            ("SLURM_SUBMIT_DIR", &job.work_dir),
            ("SLURM_SUBMIT_HOST", "simulator"),
        ] {
            environment.push((name.to_owned(), value.to_owned()));
        }
        Launch {
            mark,
            interpreter: process::interpreter(&job.script),
            script,
            append: job.order.append,
            input: place(&job.order.input),
            error: job.order.error.as_deref().map_or_else(|| output.clone(), place),
            output,
            directory: directory.into(),
            environment,
        }
    }
}
