//! The contract's `scheduler`: jobs.
//!
//! What each function means, and which errors it has, is written in `wit/scheduler.wit`.

use super::{Session, call};
use crate::error::Result;
use crate::instance::Instance;
use crate::plugin::Plugin;
use crate::policy::Policy;
use crate::scheduler::{
    CancelOutcome, JobDetails, JobListing, JobQuery, JobTemplate, Node, Partition, Reservation, Submission, WaitOptions,
};

impl Plugin {
    /// Renders a job script from a template. Needs no session and sends nothing.
    ///
    /// # Errors
    /// [`Error::Plugin`](crate::Error::Plugin), `invalid-argument`: the subject names the field.
    pub async fn script(&self, template: &JobTemplate) -> Result<String> {
        let mut instance = Instance::open(self, &Policy::only([])).await?;
        let answer =
            instance.run(async |plugin, store| plugin.aiida_hpc_scheduler().call_script(store, template).await).await?;
        answer.map_err(|error| instance.explain(error))
    }
}

/// Every method returns [`Error::Plugin`](crate::Error::Plugin) with the contract's errors, and the faults that end a [session](super).
impl Session {
    /// Renders a job script from a template. Sends nothing.
    pub async fn script(&mut self, template: &JobTemplate) -> Result<String> {
        let answer = self
            .instance
            .run(async |plugin, store| plugin.aiida_hpc_scheduler().call_script(store, template).await)
            .await?;
        answer.map_err(|error| self.instance.explain(error))
    }

    /// Submits a job and returns its id. `outcome-unknown`: whether the job exists could not be proved.
    pub async fn submit(&mut self, submission: &Submission) -> Result<String> {
        call!(self, |plugin, store, handle| plugin.aiida_hpc_scheduler().call_submit(store, handle, submission))
    }

    /// Jobs by their ids, or all of mine. An unknown id is no error: it is in `missing`.
    pub async fn jobs(&mut self, query: &JobQuery) -> Result<JobListing> {
        call!(self, |plugin, store, handle| plugin.aiida_hpc_scheduler().call_jobs(store, handle, query))
    }

    /// Asks the scheduler to end these jobs; the outcomes are in the order of the ids.
    pub async fn cancel(&mut self, ids: &[String]) -> Result<Vec<CancelOutcome>> {
        call!(self, |plugin, store, handle| plugin.aiida_hpc_scheduler().call_cancel(store, handle, ids))
    }

    /// Waits until the jobs have got that far, or the time is over.
    pub async fn wait(&mut self, ids: &[String], options: &WaitOptions) -> Result<JobListing> {
        call!(self, |plugin, store, handle| plugin.aiida_hpc_scheduler().call_wait(store, handle, ids, *options))
    }

    /// A job's accounting, script and files.
    pub async fn details(&mut self, id: &str) -> Result<JobDetails> {
        call!(self, |plugin, store, handle| plugin.aiida_hpc_scheduler().call_details(store, handle, id))
    }

    /// The partitions of the system.
    pub async fn partitions(&mut self) -> Result<Vec<Partition>> {
        call!(self, |plugin, store, handle| plugin.aiida_hpc_scheduler().call_partitions(store, handle))
    }

    /// The nodes of the system.
    pub async fn nodes(&mut self) -> Result<Vec<Node>> {
        call!(self, |plugin, store, handle| plugin.aiida_hpc_scheduler().call_nodes(store, handle))
    }

    /// The reservations of the system.
    pub async fn reservations(&mut self) -> Result<Vec<Reservation>> {
        call!(self, |plugin, store, handle| plugin.aiida_hpc_scheduler().call_reservations(store, handle))
    }
}
