//! `aiida_firecrest_wasm._native`: the host library for Python.
//!
//! It knows nothing of AiiDA. Every function that talks to a server returns a [`Call`](call::Call), which Python awaits or waits for; what
//! AiiDA asks for is in `python/aiida_firecrest_wasm`.
//!
//! | module    | what is in it                                                                        |
//! |-----------|--------------------------------------------------------------------------------------|
//! | `runtime` | the one engine, plugin and tokio runtime of a process                                |
//! | `pool`    | sessions of one configuration: several calls at once for one token                   |
//! | `call`    | a call that has not run yet: awaited, or waited for with the GIL released            |
//! | `client`  | the class that Python sees                                                           |
//! | `convert` | the contract's records as dictionaries, and back                                     |
//! | `errors`  | every error as the exception that its kind asks for                                  |

mod call;
mod client;
mod convert;
mod errors;
mod pool;
mod runtime;

use call::Call;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The plugin's options, in the order in which a person should be asked. Sends nothing.
#[pyfunction]
fn options() -> PyResult<Call> {
    let plugin = runtime::plugin()?;
    Ok(Call::of(async move { plugin.options().await }))
}

/// The plugin's name, version and summary. Sends nothing.
#[pyfunction]
fn describe() -> PyResult<Call> {
    let plugin = runtime::plugin()?;
    Ok(Call::of(async move { plugin.describe().await }))
}

/// Renders a job script. Sends nothing.
#[pyfunction]
fn script(template: &Bound<'_, PyDict>) -> PyResult<Call> {
    let template = convert::template(template)?;
    let plugin = runtime::plugin()?;
    Ok(Call::of(async move { plugin.script(&template).await }))
}

/// What this process asked of servers so far: `requests`, `failed`, `refused`, `sent`, `received`.
#[pyfunction]
fn counters(py: Python<'_>) -> PyResult<Py<PyAny>> {
    convert::IntoPython::into_python(runtime::telemetry(), py)
}

/// The latest requests one by one, oldest first.
#[pyfunction]
fn records(py: Python<'_>) -> PyResult<Py<PyAny>> {
    convert::IntoPython::into_python(runtime::records(), py)
}

/// The module's contents.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<client::Client>()?;
    module.add_class::<Call>()?;
    module.add_function(wrap_pyfunction!(options, module)?)?;
    module.add_function(wrap_pyfunction!(describe, module)?)?;
    module.add_function(wrap_pyfunction!(script, module)?)?;
    module.add_function(wrap_pyfunction!(counters, module)?)?;
    module.add_function(wrap_pyfunction!(records, module)?)
}
