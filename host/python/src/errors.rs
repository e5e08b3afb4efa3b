//! Errors as exceptions. Which class an error becomes is decided in `errors.py`, by the contract's kind; here its parts are handed over.

use aiida_firecrest_host::Error;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The same number on every Unix.
const ENOENT: i32 = 2;

/// The exception for an error. Its text is one line, without a secret.
pub(crate) fn exception(error: Error) -> PyErr {
    Python::attach(|py| match build(py, &error) {
        Ok(exception) => PyErr::from_value(exception),
        // Only if the package is broken; the error itself must not be lost then.
        Err(_) => PyOSError::new_err(error.to_string()),
    })
}

fn build<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let details = PyDict::new(py);
    if let Some(told) = error.plugin() {
        details.set_item("subject", told.subject.as_deref())?;
        details.set_item("http_status", told.http_status)?;
        details.set_item("server_message", told.server_message.as_deref())?;
        details.set_item("request_id", told.request_id.as_deref())?;
        details.set_item("retry_after", told.retry_after_ms.map(|ms| ms as f64 / 1000.0))?;
    }
    match error {
        Error::Folder { missing: true, .. } => details.set_item("code", ENOENT)?,
        Error::Io { error, .. } => details.set_item("code", error.raw_os_error())?,
        _ => {}
    }
    let module = py.import("aiida_firecrest_wasm.errors")?;
    module.call_method("of_kind", (error.kind(), error.to_string()), Some(&details))
}
