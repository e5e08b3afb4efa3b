//! JSON of any shape, read as every answer that the server has.
#![no_main]

use aiida_firecrest::firecrest::errors;
use aiida_firecrest::firecrest::v2::jobs::RawJob;
use aiida_firecrest::firecrest::v2::lenient::{JobMetadata, Node, Partition, Reservation, System, UserInfo};
use aiida_firecrest::firecrest::v2::limits;
use aiida_firecrest::firecrest::v2::models::{Job, Jobs, Stat};
use aiida_firecrest::http::retry::Effect;
use aiida_firecrest::scheduler::info::JobInfo;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let status = 400 + u16::from(bytes.first().copied().unwrap_or_default());
    let error = errors::classify(status, &[], bytes, Effect::Write, "/p", 0);
    assert!(error.to_string().len() < bytes.len() * 8 + 4096);
    let _ = serde_json::from_slice::<Jobs>(bytes);
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    for system in System::read_all(&value).unwrap_or_default() {
        limits::of(&system, None);
    }
    limits::of(&System::read(&value), None);
    Stat::read(&value);
    UserInfo::read(&value);
    Partition::read_all(&value);
    Node::read_all(&value);
    Reservation::read_all(&value);
    JobMetadata::read(&value);
    if let Ok(job) = serde_json::from_value::<Job>(value.clone()) {
        JobInfo::from_raw(RawJob { job, raw: value.to_string() });
    }
});
