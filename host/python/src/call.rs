//! A call that has not run yet.
//!
//! `await call` runs it on the tokio runtime as an asyncio future: no thread waits for it, and cancelling the task drops it, which ends its
//! requests. `call.wait()` blocks with the GIL released and looks for signals meanwhile: KeyboardInterrupt drops it just so.

use crate::convert::IntoPython;
use crate::{errors, runtime};
use aiida_firecrest_host::Result as HostResult;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a signal may stay unseen.
const GLANCE: Duration = Duration::from_millis(50);

type Deliver = Box<dyn for<'py> FnOnce(Python<'py>) -> PyResult<Py<PyAny>> + Send>;
type Work = Pin<Box<dyn Future<Output = PyResult<Answer>> + Send>>;

/// A result on its way to Python: made into an object where the GIL is held.
struct Answer(Deliver);

impl<'py> IntoPyObject<'py> for Answer {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok((self.0)(py)?.into_bound(py))
    }
}

/// One call: await it, or wait for it. Once.
#[pyclass(frozen, module = "aiida_firecrest_wasm._native")]
pub(crate) struct Call {
    work: Mutex<Option<Work>>,
}

impl Call {
    pub(crate) fn of<T: IntoPython>(work: impl Future<Output = HostResult<T>> + Send + 'static) -> Call {
        let work: Work = Box::pin(async move {
            match work.await {
                Ok(value) => Ok(Answer(Box::new(move |py| value.into_python(py)))),
                Err(error) => Err(Python::attach(|_| errors::exception(error))),
            }
        });
        Call { work: Mutex::new(Some(work)) }
    }

    fn take(&self) -> PyResult<Work> {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        work.ok_or_else(|| PyRuntimeError::new_err("this call has already been awaited"))
    }
}

#[pymethods]
impl Call {
    /// Blocks until the answer is there. KeyboardInterrupt, and any other exception of a signal handler, cancels the call.
    fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let work = self.take()?;
        let answer = py.detach(|| {
            runtime::tokio().block_on(async {
                let mut work = work;
                loop {
                    match tokio::time::timeout(GLANCE, &mut work).await {
                        Ok(answer) => return answer,
                        Err(_) => Python::attach(|py| py.check_signals())?,
                    }
                }
            })
        })?;
        (answer.0)(py)
    }

    /// An asyncio future of the running loop.
    fn __await__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let work = self.take()?;
        pyo3_async_runtimes::tokio::future_into_py(py, work)?.call_method0("__await__")
    }
}
