//! Jobs, from submission to their end, and transfer jobs.

use std::path::Path;
use std::time::{Duration, Instant};

use firecrest_simulator::{JobLag, Simulator};
use serde_json::{Value, json};

use crate::client::{Answer, Client, encode, same_shape};
use crate::quick;

const PENDING: &str = r#"{"jobs":[{"jobId":"46","name":"probe","status":{"state":"PENDING","stateReason":"None","exitCode":null,"interruptSignal":null},"tasks":[],"time":{"elapsed":0,"start":null,"end":null,"suspended":null,"limit":300},"account":"staff","allocationNodes":1,"cluster":"cluster","group":"users","nodes":"","partition":"part01","killRequestUser":null,"user":"fireuser","workingDirectory":"/home/fireuser/probe","priority":4294901714}]}"#;
const QUEUED: &str = r#"{"jobs":[{"jobId":"46","name":"probe","status":{"state":"RUNNING","stateReason":"None","exitCode":null,"interruptSignal":null},"tasks":[],"time":{"elapsed":0,"start":1795501203,"end":1795501503,"suspended":null,"limit":300},"account":"staff","allocationNodes":1,"cluster":"cluster","group":"users","nodes":"localhost","partition":"part01","killRequestUser":null,"user":"fireuser","workingDirectory":"/home/fireuser/probe","priority":4294901714}]}"#;
const RUNNING: &str = r#"{"jobs":[{"jobId":"245","name":"hello","status":{"state":"RUNNING","stateReason":"None","exitCode":0,"interruptSignal":0},"tasks":[{"id":"245.batch","name":"batch","status":{"state":"RUNNING","stateReason":null,"exitCode":0,"interruptSignal":0},"time":{"elapsed":5,"start":1795503097,"end":null,"suspended":0,"limit":null}}],"time":{"elapsed":5,"start":1795503097,"end":null,"suspended":0,"limit":300},"account":"staff","allocationNodes":1,"cluster":"cluster","group":"users","nodes":"localhost","partition":"part01","killRequestUser":null,"user":"fireuser","workingDirectory":"/home/fireuser","priority":4294901515}]}"#;
const FINISHED: &str = r#"{"jobs":[{"jobId":"47","name":"job.sh","status":{"state":"FAILED","stateReason":"None","exitCode":3,"interruptSignal":0},"tasks":[{"id":"47.batch","name":"batch","status":{"state":"FAILED","stateReason":null,"exitCode":3,"interruptSignal":0},"time":{"elapsed":0,"start":1795501207,"end":1795501207,"suspended":0,"limit":null}}],"time":{"elapsed":0,"start":1795501207,"end":1795501207,"suspended":0,"limit":60},"account":"staff","allocationNodes":1,"cluster":"cluster","group":"users","nodes":"localhost","partition":"part01","killRequestUser":null,"user":"fireuser","workingDirectory":"/home/fireuser/probe","priority":4294901713}]}"#;
const STUB: &str = r#"{"jobs":[{"jobId":"46","name":"allocation","status":{"state":"CANCELLED by 1001","stateReason":"None","exitCode":0,"interruptSignal":0},"tasks":[{"id":"46.batch","name":"batch","status":{"state":"CANCELLED","stateReason":null,"exitCode":0,"interruptSignal":15},"time":{"elapsed":0,"start":1795501203,"end":1795501203,"suspended":0,"limit":null}}],"time":{"elapsed":0,"start":1795501203,"end":1795501203,"suspended":0,"limit":null},"account":"staff","allocationNodes":1,"cluster":"cluster","group":"root","nodes":"localhost","partition":"","killRequestUser":null,"user":"fireuser","workingDirectory":"","priority":0}]}"#;

fn shape(name: &str, answer: &Answer, sample: &str) {
    assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    let sample: Value = serde_json::from_str(sample).expect("a recorded body");
    same_shape(name, &answer.json(), &sample);
}

/// Submits a script; what the server says.
fn post(client: &mut Client, mut job: Value) -> Answer {
    if job.get("workingDirectory").is_none() {
        job["workingDirectory"] = client.fill("{home}").into();
    }
    client.with_json("POST", "/compute/{system}/jobs", &json!({ "job": job }).to_string())
}

/// Submits a script that is accepted; its id.
fn submit(client: &mut Client, job: Value) -> String {
    let answer = post(client, job);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["jobId"].as_str().expect("an id").to_owned()
}

fn job(client: &mut Client, id: &str) -> Answer {
    client.get(&format!("/compute/{{system}}/jobs/{id}"))
}

/// Looks until a job is in a state that starts so.
pub fn wait_for(client: &mut Client, id: &str, state: &str) -> Value {
    let start = Instant::now();
    loop {
        let answer = job(client, id);
        let job = if answer.status == 200 { answer.json()["jobs"][0].clone() } else { Value::Null };
        let seen = job["status"]["state"].as_str().unwrap_or_default();
        if seen.starts_with(state) {
            return job;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{id} is {seen}, not {state}");
        std::thread::sleep(Duration::from_millis(15));
    }
}

fn content(simulator: &Simulator, name: &str) -> String {
    std::fs::read_to_string(Path::new(simulator.home()).join(name)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_through_the_recorded_answers() {
    let simulator = Simulator::builder()
        .adjust(|knobs| {
            knobs.queue_wait = Duration::from_millis(500);
            knobs.job_lag = JobLag {
                registered: Duration::from_millis(1000),
                complete: Duration::from_millis(2000),
                completing: Duration::from_millis(1000),
            };
        })
        .start()
        .await
        .expect("a simulator");
    let mut client = Client::new(&simulator);
    let script = "#!/bin/bash\n#SBATCH --time=00:05:00\necho hi\nsleep 30\n";
    let id = submit(&mut client, json!({"name": "probe", "script": script}));
    shape("pending", &job(&mut client, &id), PENDING);
    let start = Instant::now();
    let seen = wait_for(&mut client, &id, "RUNNING");
    assert_eq!(seen["status"]["exitCode"], Value::Null);
    shape("queued", &job(&mut client, &id), QUEUED);
    // Known to the accounting database as a stub: pending, although it runs.
    let stub = wait_for(&mut client, &id, "PENDING");
    assert_eq!(stub["name"], "allocation");
    assert_eq!(
        (&stub["partition"], &stub["workingDirectory"], &stub["group"]),
        (&json!(""), &json!(""), &json!("root"))
    );
    assert_eq!(stub["time"]["limit"], Value::Null);
    let seen = wait_for(&mut client, &id, "RUNNING");
    assert_eq!(seen["name"], "probe");
    assert!(start.elapsed() < Duration::from_secs(60));
    shape("running", &job(&mut client, &id), RUNNING);

    let answer = client.get(&format!("/compute/{{system}}/jobs/{id}/metadata"));
    let out = format!("{}/slurm-{id}.out", simulator.home());
    assert_eq!(
        answer.json(),
        json!({"jobs": [{"jobId": id, "script": script, "standardInput": "/dev/null", "standardOutput": out, "standardError": out}]})
    );

    let path = format!("/compute/{{system}}/jobs/{id}");
    assert_eq!(client.send("DELETE", &path, &[], b"").status, 204);
    shape("completing", &job(&mut client, &id), QUEUED);
    let state = job(&mut client, &id).json()["jobs"][0]["status"]["state"].clone();
    assert_eq!(state, "COMPLETING");
    let again = client.send("DELETE", &path, &[], b"");
    assert_eq!(again.status, 500);
    assert_eq!(
        again.message(),
        format!(
            "Unexpected Slurm command response. exit_status:0 std_err:scancel: Terminating job {id}\nscancel: error: Kill job error on job id {id}: Job/step already completing or completed\n"
        )
    );
    let done = wait_for(&mut client, &id, "CANCELLED");
    assert_eq!(done["status"]["state"], format!("CANCELLED by {}", simulator.uid()));
    assert_eq!(done["tasks"][0]["status"]["interruptSignal"], 15);

    // A short one: gone for a moment, then a stub, then all of it.
    let id = submit(&mut client, json!({"script": "#!/bin/bash\nexit 3\n", "name": "short"}));
    let mut seen: Vec<String> = Vec::new();
    let start = Instant::now();
    loop {
        let answer = job(&mut client, &id);
        let what = if answer.status == 404 {
            "404".to_owned()
        } else {
            let job = &answer.json()["jobs"][0];
            let (state, name) = (&job["status"]["state"], &job["name"]);
            format!("{}/{}", state.as_str().unwrap_or_default(), name.as_str().unwrap_or_default())
        };
        if what == "FAILED/allocation" {
            shape("stub", &answer, STUB);
        }
        if seen.last() != Some(&what) {
            seen.push(what.clone());
        }
        if what == "FAILED/short" {
            shape("finished", &answer, FINISHED);
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{seen:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    seen.retain(|what| what != "RUNNING/short");
    assert_eq!(seen, ["PENDING/short", "404", "FAILED/allocation", "FAILED/short"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn directives_and_environment_reach_the_job() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let script = concat!(
        "#!/bin/bash\n",
        "#SBATCH --job-name=named --output=%x-%j.out\n",
        "#SBATCH -e errors.txt -t 2-0 -N 2 --partition=xfer --account=myproject\n",
        "echo \"$GREETING $SLURM_JOB_ID $SLURM_JOB_NAME $SLURM_NNODES $PWD\"\n",
        "echo oops >&2\nsrun -n 1 echo step\n",
    );
    std::fs::create_dir_all(Path::new(simulator.home()).join("work")).expect("a folder");
    std::fs::set_permissions(
        Path::new(simulator.home()).join("work"),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .expect("a mode");
    let work = format!("{}/work", simulator.home());
    let id = submit(&mut client, json!({"script": script, "workingDirectory": work, "env": {"GREETING": "good day"}}));
    let done = wait_for(&mut client, &id, "COMPLETED");
    assert_eq!(done["name"], "named");
    assert_eq!(done["partition"], "xfer");
    assert_eq!(done["account"], "myproject");
    assert_eq!(done["allocationNodes"], 2);
    assert_eq!(done["nodes"], "nid[0001-0002]");
    assert_eq!(done["time"]["limit"], 172_800);
    assert_eq!(content(&simulator, &format!("work/named-{id}.out")), format!("good day {id} named 2 {work}\nstep\n"));
    assert_eq!(content(&simulator, "work/errors.txt"), "oops\n");

    // The request wins over the script.
    let id = submit(
        &mut client,
        json!({"script": "#!/bin/sh\n#SBATCH -J script -o script.out\necho x\necho y >&2\n", "name": "body", "standardOutput": "body.out"}),
    );
    assert_eq!(wait_for(&mut client, &id, "COMPLETED")["name"], "body");
    assert_eq!(content(&simulator, "body.out"), "x\ny\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_are_refused_as_recorded() {
    let limit = Duration::from_millis(700);
    let simulator = quick().adjust(|knobs| knobs.command_time_limit = limit).start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let start = "Unexpected Slurm command response. exit_status:1 std_err:";
    let missing = format!("{}/nope.sh", simulator.home());
    let cases = [
        (
            json!({"scriptPath": missing}),
            format!("sbatch: error: Unable to open file {missing}\n"),
        ),
        (
            json!({"script": "#!/bin/bash\n", "partition": "nope"}),
            "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission failed: Invalid partition name specified\n".to_owned(),
        ),
        (
            json!({"script": "echo hi\n"}),
            "sbatch: error: This does not look like a batch script.  The first\nsbatch: error: line must start with #! followed by the path to an interpreter.\nsbatch: error: For instance: #!/bin/sh\n".to_owned(),
        ),
        (
            json!({"script": "#!/bin/bash\n", "account": "nope"}),
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified\n".to_owned(),
        ),
    ];
    for (job, message) in cases {
        let answer = post(&mut client, job);
        assert_eq!(answer.status, 500);
        assert_eq!(answer.message(), format!("{start}{message}"));
        assert_eq!(answer.json()["user"], "fireuser");
    }
    let answer = post(&mut client, json!({}));
    assert_eq!(answer.status, 408);
    assert!(answer.elapsed >= limit);

    // With both, the path is taken.
    client.upload("{home}", "job.sh", b"#!/bin/bash\nexit 4\n");
    let path = format!("{}/job.sh", simulator.home());
    let id = submit(&mut client, json!({"script_path": path, "script": "#!/bin/bash\n"}));
    let done = wait_for(&mut client, &id, "FAILED");
    assert_eq!((&done["name"], &done["status"]["exitCode"]), (&json!("job.sh"), &json!(4)));

    // A missing working directory: Slurm goes to its /tmp.
    let nowhere = format!("{}/nowhere", simulator.home());
    let id = submit(&mut client, json!({"script": "#!/bin/bash\npwd\n", "workingDirectory": nowhere}));
    let done = wait_for(&mut client, &id, "COMPLETED");
    assert_eq!(done["workingDirectory"], nowhere);
    let tmp = simulator.root().join("tmp");
    let said = std::fs::read_to_string(tmp.join(format!("slurm-{id}.out"))).unwrap_or_default();
    assert_eq!(said.trim(), tmp.to_string_lossy());
    // Output that cannot be opened.
    let id = submit(&mut client, json!({"script": "#!/bin/bash\n", "standardOutput": "no/such/x"}));
    let done = wait_for(&mut client, &id, "FAILED");
    assert_eq!(done["status"]["interruptSignal"], 53);

    let unknown = [
        ("GET", "jobs/99999999", 404, "Job not found."),
        ("GET", "jobs/99999999/metadata", 404, "Job not found."),
        (
            "DELETE",
            "jobs/99999999",
            500,
            "Unexpected Slurm command response. exit_status:0 std_err:scancel: Terminating job 99999999\nscancel: error: Kill job error on job id 99999999: Invalid job id specified\n",
        ),
        (
            "DELETE",
            "jobs/abc",
            500,
            "Unexpected Slurm command response. exit_status:1 std_err:scancel: error: Invalid job id abc\n",
        ),
        ("GET", "jobs/abc", 500, "Error executing Slurm command."),
    ];
    for (method, path, status, message) in unknown {
        let answer = client.send(method, &format!("/compute/{{system}}/{path}"), &[], b"");
        assert_eq!((answer.status, answer.message().as_str()), (status, message));
    }
    assert_eq!(
        job(&mut client, "abc").json()["causedBy"],
        json!(["Unexpected Slurm command response. exit_status:1 std_err:sacct: fatal: Bad job/step specified: abc\n"])
    );
    let answer = job(&mut client, "12_3");
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json()["data"]["fields"][0],
        json!({"location": "path", "name": "job_id", "message": "String should match pattern '^[a-zA-Z0-9]+$'"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_has_nodes_and_an_order() {
    let simulator = quick()
        .adjust(|knobs| {
            knobs.nodes = 1;
            knobs.minute = Duration::from_millis(400);
            knobs.kill_wait = Duration::from_millis(200);
        })
        .start()
        .await
        .expect("a simulator");
    let mut client = Client::new(&simulator);
    let state = |client: &mut Client, id: &str| {
        let job = job(client, id).json()["jobs"][0].clone();
        (
            job["status"]["state"].as_str().unwrap_or_default().to_owned(),
            job["status"]["stateReason"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let first = submit(&mut client, json!({"script": "#!/bin/bash\nsleep 60\n"}));
    wait_for(&mut client, &first, "RUNNING");
    let second = submit(&mut client, json!({"script": "#!/bin/bash\nsleep 60 & sleep 60\n"}));
    let third = submit(&mut client, json!({"script": "#!/bin/bash\n#SBATCH -t 1\ntrap '' TERM\nsleep 60; sleep 60\n"}));
    let held = submit(&mut client, json!({"script": "#!/bin/bash\n#SBATCH --hold\n"}));
    let big = submit(&mut client, json!({"script": "#!/bin/bash\n#SBATCH -N 9\n"}));
    std::thread::sleep(Duration::from_millis(100));
    let pending = |reason: &str| ("PENDING".to_owned(), reason.to_owned());
    assert_eq!(state(&mut client, &second), pending("Resources"));
    assert_eq!(state(&mut client, &third), pending("Priority"));
    assert_eq!(state(&mut client, &held), pending("JobHeldUser"));
    assert_eq!(state(&mut client, &big), pending("PartitionConfig"));
    let nodes = client.get("/status/{system}/nodes").json();
    assert_eq!(nodes["nodes"][0]["state"][0], "ALLOCATED");

    let cancel = |client: &mut Client, id: &str| {
        let path = format!("/compute/{{system}}/jobs/{id}");
        client.send("DELETE", &path, &[], b"").status
    };
    assert_eq!(cancel(&mut client, &big), 204);
    let gone = wait_for(&mut client, &big, "CANCELLED");
    assert_eq!(gone["tasks"], json!([]));
    assert_eq!(cancel(&mut client, &first), 204);
    wait_for(&mut client, &first, "CANCELLED");
    assert!(content(&simulator, &format!("slurm-{first}.out")).contains("CANCELLED AT"));
    wait_for(&mut client, &second, "RUNNING");
    assert_eq!(cancel(&mut client, &second), 204);
    // It ignores SIGTERM, and is killed.
    let timed_out = wait_for(&mut client, &third, "TIMEOUT");
    assert_eq!(timed_out["status"]["exitCode"], 0);
    assert_eq!(timed_out["tasks"][0]["status"]["state"], "CANCELLED");
    assert!(content(&simulator, &format!("slurm-{third}.out")).contains("DUE TO TIME LIMIT"));
    assert_eq!(state(&mut client, &held), pending("JobHeldUser"));
    assert!(simulator.release_job(&held));
    wait_for(&mut client, &held, "COMPLETED");
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_jobs_leave_nothing_running() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let pids = Path::new(simulator.home()).join("pids");
    let script =
        format!("#!/bin/bash\nsetsid sleep 300 & echo $! >> {0}\nsleep 300 & echo $! >> {0}\n", pids.display());
    let alive = |count: usize| {
        let text = std::fs::read_to_string(&pids).unwrap_or_default();
        assert_eq!(text.lines().count(), count);
        // A zombie has ended, too.
        text.lines()
            .any(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")))
    };
    let id = submit(&mut client, json!({ "script": script }));
    wait_for(&mut client, &id, "COMPLETED");
    let start = Instant::now();
    while alive(2) {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = submit(&mut client, json!({ "script": script + "sleep 300\n" }));
    wait_for(&mut client, &id, "RUNNING");
    let start = Instant::now();
    while std::fs::read_to_string(&pids).is_ok_and(|text| text.lines().count() < 4) {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    let root = simulator.root().to_owned();
    let text = std::fs::read_to_string(&pids).unwrap_or_default();
    simulator.shutdown().await;
    let start = Instant::now();
    while text
        .lines()
        .any(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")))
    {
        assert!(start.elapsed() < Duration::from_secs(60), "jobs live on");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!root.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_can_be_attached() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    // What a client does to wake a transfer job: it ends the job's own sleep, by its environment.
    let id = submit(
        &mut client,
        json!({"script": "#!/bin/bash\nsleep 60\necho woken\nend=$((SECONDS + 1)); while ((SECONDS <= end)); do :; done\n"}),
    );
    wait_for(&mut client, &id, "RUNNING");
    std::thread::sleep(Duration::from_millis(200));
    let command = r#"bash -c 'for p in /proc/[0-9]*; do if [ "$(cat $p/comm 2>/dev/null)" = sleep ] && tr "\0" "\n" <$p/environ 2>/dev/null | grep -qx "SLURM_JOB_ID=$SLURM_JOB_ID" && tr "\0" "\n" <$p/environ | grep -q "^HOME=$HOME$"; then kill ${p#/proc/}; fi; done'"#;
    let path = format!("/compute/{{system}}/jobs/{id}/attach");
    let body = json!({ "command": command }).to_string();
    let answer = client.with_json("PUT", &path, &body);
    assert_eq!(answer.status, 204, "{}", answer.text());
    wait_for(&mut client, &id, "COMPLETED");
    assert!(content(&simulator, &format!("slurm-{id}.out")).contains("woken"));
    let late = client.with_json("PUT", &path, r#"{"command":"true"}"#);
    assert_eq!(late.status, 500);
    assert!(late.message().contains("Invalid job id specified"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_can_be_long() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let done = simulator.add_jobs(1000, "COMPLETED");
    let waiting = simulator.add_jobs(2, "PENDING");
    assert_eq!((done.len(), waiting.len()), (1000, 2));
    let id = submit(&mut client, json!({"script": "#!/bin/bash\n", "name": "hello", "account": "myproject"}));
    wait_for(&mut client, &id, "COMPLETED");
    let list = |client: &mut Client, query: &str| {
        let answer = client.get(&format!("/compute/{{system}}/jobs{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["jobs"].as_array().expect("a list").clone()
    };
    assert_eq!(list(&mut client, "").len(), 1003);
    let found = list(&mut client, "?name=hello&time_window=1h");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["jobId"], id.as_str());
    assert_eq!(list(&mut client, "?account=myproject").len(), 1);
    assert_eq!(list(&mut client, "?name=other").len(), 0);
    assert!(simulator.set_job_state(&done[0], Some("NODE_FAIL")));
    assert_eq!(wait_for(&mut client, &done[0], "NODE_FAIL")["jobId"], done[0].as_str());
    assert!(simulator.set_job_state(&done[0], None));
    wait_for(&mut client, &done[0], "COMPLETED");
    assert!(!simulator.set_job_state("99999", Some("X")));
    let long = "x".repeat(236);
    let answer = client.get(&format!("/compute/{{system}}/jobs?name={long}&time_window=2h"));
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["data"]["fields"].as_array().map(Vec::len), Some(2));
    // Older servers know neither.
    simulator.adjust(|knobs| knobs.version = "2.5.6".into());
    assert_eq!(list(&mut client, "?name=hello&time_window=2h").len(), 1003);
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_are_jobs() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    client.upload("{home}", "a.txt", b"hello");
    let transfer = |client: &mut Client, operation: &str, body: &str| {
        let answer = client.with_json("POST", &format!("/filesystem/{{system}}/transfer/{operation}"), body);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let body = answer.json();
        same_shape(
            operation,
            &body,
            &json!({"transferJob": {"jobId": "52", "system": "x", "workingDirectory": "/", "logs": {"outputLog": "", "errorLog": ""}}}),
        );
        let job = &body["transferJob"];
        wait_for(client, job["jobId"].as_str().unwrap_or_default(), "COMPLETED");
        let log = |name: &str| {
            let path = job["logs"][name].as_str().unwrap_or_default();
            std::fs::read_to_string(path).unwrap_or_default()
        };
        (log("outputLog"), log("errorLog"))
    };
    let (said, _) = transfer(&mut client, "cp", r#"{"path":"{home}/a.txt","targetPath":"{home}/a&b.txt"}"#);
    assert!(said.contains("Copy Files Job (id:1)") && said.contains("Files were successfully copied."));
    assert_eq!(content(&simulator, "a&amp;b.txt"), "hello");
    let (said, wrong) = transfer(&mut client, "mv", r#"{"path":"{home}/nope","targetPath":"{home}/x"}"#);
    assert!(!said.contains("successfully"));
    assert!(wrong.contains("No such file or directory") && wrong.contains("Unable to move files"));
    transfer(&mut client, "mv", r#"{"path":"{home}/a.txt","target_path":"{home}/it's"}"#);
    assert_eq!(content(&simulator, "it&#39;s"), "hello");
    transfer(&mut client, "compress", r#"{"path":"{home}/it&#39;s","targetPath":"{home}/x.tar","compression":"none"}"#);
    let answer = client.send(
        "DELETE",
        &format!("/filesystem/{{system}}/transfer/rm?path={}", encode(&client.fill("{home}/a.txt"))),
        &[],
        b"",
    );
    assert_eq!(answer.status, 200);

    let directives = r#"{"path":"{home}/x","transferDirectives":{"transferMethod":"streamer"}}"#;
    let answer = client.with_json("POST", "/filesystem/{system}/transfer/upload", directives);
    assert_eq!((answer.status, answer.message().as_str()), (400, "Requested transfer method is not available."));
    let answer =
        client.with_json("POST", "/filesystem/{system}/transfer/upload", r#"{"path":"{home}/big","fileSize":10}"#);
    assert_eq!(answer.json()["data"]["fields"][0]["name"], "transferDirectives");
    let answer = client.with_json(
        "POST",
        "/filesystem/{system}/transfer/download",
        r#"{"path":"{home}/nope","transferDirectives":{"transferMethod":"s3"}}"#,
    );
    assert_eq!(answer.status, 404);
    client.system = "cluster-account".into();
    let cp = r#"{"path":"{home}/x.tar","targetPath":"{home}/y"}"#;
    let answer = client.with_json("POST", "/filesystem/{system}/transfer/cp", cp);
    assert_eq!((answer.status, answer.message().as_str()), (400, "Account parameter is required on this system."));
}
