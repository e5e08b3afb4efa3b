//! Long answers of FirecREST 2.5.7, field for field.

use std::fmt::Write;

/// The answer of `ops/ls` about so many files.
pub fn listing(count: usize) -> String {
    let mut text = String::from(r#"{"output":["#);
    for number in 0..count {
        let comma = if number == 0 { "" } else { "," };
        let (second, size) = (number % 60, number * 37);
        write!(
            text,
            r#"{comma}{{"name":"calculation-{number:05}.out","type":"-","linkTarget":null,"user":"username","group":"projectgroup","#
        )
        .and_then(|()| {
            write!(
                text,
                r#""permissions":"rw-r--r--.","lastModified":"2026-11-24T09:30:{second:02}","size":"{size}"}}"#
            )
        })
        .expect("a text");
    }
    text + "]}"
}

/// The answer of `compute/{system}/jobs` about so many finished jobs.
pub fn jobs(count: usize) -> String {
    let status = r#"{"state":"COMPLETED","stateReason":"None","exitCode":0,"interruptSignal":0}"#;
    let mut text = String::from(r#"{"jobs":["#);
    for number in 0..count {
        let comma = if number == 0 { "" } else { "," };
        let (id, node) = (100_000 + number, number % 10_000);
        let time = r#"{"elapsed":61,"start":1790000000,"end":1790000061,"suspended":0,"limit":3600}"#;
        let tasks = format!(r#"[{{"id":"{id}.batch","name":"batch","status":{status},"time":{time}}}]"#);
        write!(
            text,
            r#"{comma}{{"jobId":"{id}","name":"aiida-{number}","status":{status},"tasks":{tasks},"time":{time},"#
        )
        .and_then(|()| {
            write!(text, r#""account":"projectgroup","allocationNodes":1,"cluster":"cluster","group":"projectgroup","#)
        })
        .and_then(|()| {
            write!(text, r#""nodes":"nid00{node:04}","partition":"normal","killRequestUser":"","user":"username","#)
        })
        .and_then(|()| write!(text, r#""workingDirectory":"/home/u/work/{number}","priority":4294901760}}"#))
        .expect("a text");
    }
    text + "]}"
}
