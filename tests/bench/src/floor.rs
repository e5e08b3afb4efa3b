//! The floor: a plain keep-alive client that knows what it will find and sends the least that does the work. It checks nothing, repeats
//! nothing, and leaves its temporary archives behind: no client of use can be much faster. Large bytes go through `curl`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::http::Http;
use crate::ours::CREW;
use crate::task::{Outcome, Task};

/// What goes directly, up and down (the server as shipped).
const DIRECT_UP: u64 = 5 << 20;
const DIRECT_DOWN: u64 = 3_932_157;
/// Between two looks at a job or an object.
const LOOK: Duration = Duration::from_millis(100);
const BOUNDARY: &str = "firecrest-bench";

pub(crate) struct Floor {
    http: Http,
    config: Value,
    token: String,
}

impl Floor {
    pub(crate) fn new() -> Self {
        Self { http: Http::new(), config: Value::Null, token: String::new() }
    }

    pub(crate) async fn run(&mut self, task: &Task) -> Outcome {
        let start = Instant::now();
        let result = self.act(task).await;
        Outcome::of(start.elapsed().as_secs_f64(), result)
    }

    async fn act(&mut self, task: &Task) -> Result<Value> {
        match task {
            Task::Configure { config } => {
                self.config = config.clone();
                self.token = self.new_token(&self.http).await?;
                Ok(Value::Null)
            }
            Task::Open { path } => {
                let http = Http::new();
                let floor = Self { token: self.new_token(&http).await?, http, config: self.config.clone() };
                floor.size(path).await.map(|size| json!({ "size": size }))
            }
            Task::Stat { path } => self.size(path).await.map(|size| json!({ "size": size })),
            Task::Exists { paths, at_once } => self.exists(paths, *at_once).await,
            Task::Mkdir { path } => self.ops("POST", "mkdir", "", Some(json!({ "path": path, "parent": false }))).await,
            Task::List { path } => Ok(json!({ "count": self.list(path).await?.len() })),
            Task::ListAttributes { path } => {
                let entries = self.list(path).await?;
                let size: u64 = entries.iter().filter_map(|entry| entry["size"].as_str()?.parse::<u64>().ok()).sum();
                Ok(json!({ "count": entries.len(), "size": size }))
            }
            Task::Glob { pattern } => {
                let (folder, name) = pattern.rsplit_once('/').context("a pattern")?;
                let (start, end) = name.split_once('*').context("a pattern")?;
                let entries = self.list(folder).await?;
                let fits = |name: &str| name.starts_with(start) && name.ends_with(end);
                let count = entries.iter().filter(|entry| entry["name"].as_str().is_some_and(fits)).count();
                Ok(json!({ "count": count }))
            }
            Task::Put { local, remote, verify } => self.put(local, remote, *verify).await,
            Task::Get { remote, local, verify } => self.get(remote, local, *verify).await,
            Task::PutTree { local, remote, .. } => self.put_tree(local, remote).await,
            Task::GetTree { remote, local, .. } => self.get_tree(remote, local).await,
            Task::Copy { path, target } => self.transfer("cp", path, target).await,
            Task::Rename { path, target } => self.transfer("mv", path, target).await,
            Task::RemoveTree { path } => self.ops("DELETE", "rm", &format!("path={}", encoded(path)), None).await,
            Task::Submit { folder, script } => Ok(json!({ "id": self.submit(folder, script).await? })),
            Task::Jobs { ids } => self.jobs(ids).await,
            Task::Cancel { id } => {
                self.api("DELETE", &self.compute(&format!("/{id}")), None).await?;
                Ok(json!({ "done": true }))
            }
            Task::Watch { folder, script, count } => self.watch(folder, script, *count).await,
        }
    }

    fn text(&self, name: &str) -> &str {
        self.config[name].as_str().unwrap_or_default()
    }

    async fn new_token(&self, http: &Http) -> Result<String> {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            encoded(self.text("client_id")),
            encoded(self.text("client_secret"))
        );
        let form_type = [("content-type", "application/x-www-form-urlencoded")];
        let answer = http.ask("POST", self.text("token_uri"), &form_type, form.into()).await?;
        let answer: Value = serde_json::from_slice(&answer.body)?;
        Ok(answer["access_token"].as_str().context("no token")?.to_owned())
    }

    async fn send(&self, method: &str, path: &str, kind: &str, body: bytes::Bytes) -> Result<(u16, bytes::Bytes)> {
        let bearer = format!("Bearer {}", self.token);
        let url = format!("{}{path}", self.text("url"));
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        let answer = self.http.ask(method, &url, &headers, body).await?;
        Ok((answer.status, answer.body))
    }

    async fn api(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let (status, body) = self.send(method, path, "application/json", body.into()).await?;
        ensure!(status < 300, "{method} {path}: {status} {}", String::from_utf8_lossy(&body));
        if body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&body)?) }
    }

    fn file_system(&self, area: &str, call: &str, query: &str) -> String {
        format!("/filesystem/{}/{area}/{call}?{query}", self.text("compute_resource"))
    }

    fn compute(&self, rest: &str) -> String {
        format!("/compute/{}/jobs{rest}", self.text("compute_resource"))
    }

    async fn ops(&self, method: &str, call: &str, query: &str, body: Option<Value>) -> Result<Value> {
        self.api(method, &self.file_system("ops", call, query), body).await
    }

    async fn size(&self, path: &str) -> Result<u64> {
        let answer = self.ops("GET", "stat", &format!("path={}", encoded(path)), None).await?;
        answer["output"]["size"].as_u64().context("no size")
    }

    async fn exists(&self, paths: &[String], at_once: bool) -> Result<Value> {
        let crew = if at_once { CREW } else { 1 };
        let members = (0..crew).map(|number| async move {
            let mut count = 0;
            for path in paths.iter().skip(number).step_by(crew) {
                count += usize::from(self.size(path).await.is_ok());
            }
            Ok::<usize, anyhow::Error>(count)
        });
        Ok(json!({ "count": try_join_all(members).await?.iter().sum::<usize>() }))
    }

    async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let query = format!("path={}&showHidden=true", encoded(path));
        let mut answer = self.ops("GET", "ls", &query, None).await?;
        Ok(answer["output"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    async fn upload(&self, content: &[u8], remote: &str) -> Result<()> {
        let (folder, name) = remote.rsplit_once('/').context("a remote path")?;
        let head = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\ncontent-type: application/octet-stream\r\n\r\n"
        );
        let mut body = head.into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let path = self.file_system("ops", "upload", &format!("path={}", encoded(folder)));
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let (status, body) = self.send("POST", &path, &kind, body.into()).await?;
        ensure!(status < 300, "upload: {status} {}", String::from_utf8_lossy(&body));
        Ok(())
    }

    async fn download(&self, remote: &str) -> Result<bytes::Bytes> {
        let path = self.file_system("ops", "download", &format!("path={}", encoded(remote)));
        let (status, body) = self.send("GET", &path, "application/json", bytes::Bytes::new()).await?;
        ensure!(status < 300, "download: {status}");
        Ok(body)
    }

    async fn put(&self, local: &Path, remote: &str, verify: Option<bool>) -> Result<Value> {
        let size = std::fs::metadata(local)?.len();
        if size <= DIRECT_UP {
            self.upload(&std::fs::read(local)?, remote).await?;
            return Ok(Value::Null);
        }
        let order = json!({
            "path": remote, "account": self.text("billing_account"),
            "transferDirectives": { "transferMethod": "s3", "fileSize": size },
        });
        let started = Instant::now();
        let told = self.api("POST", &self.file_system("transfer", "upload", ""), Some(order)).await?;
        let directives = &told["transferDirectives"];
        let [part] = directives["partsUploadUrls"].as_array().map(Vec::as_slice).unwrap_or_default() else {
            anyhow::bail!("one part was expected");
        };
        let arguments = ["-T", text(local)?, "-D", "-", "-o", "/dev/null", part.as_str().context("a URL")?];
        let send = curl(&arguments);
        let (head, ()) = if verify == Some(true) { tokio::try_join!(send, hashed(local))? } else { (send.await?, ()) };
        let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).context("no etag")?.trim().to_owned();
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        );
        let url = directives["completeUploadUrl"].as_str().context("a URL")?;
        let answer = self.http.ask("POST", url, &[], list.into()).await?;
        ensure!(answer.status < 300, "complete: {}", answer.status);
        let id = told["transferJob"]["jobId"].as_str().context("a job")?;
        // The job that started before the object was there sleeps a minute.
        if started.elapsed().as_secs_f64() >= crate::server::QUEUE_WAIT_S {
            self.wake(id).await?;
        }
        self.ended(id).await
    }

    async fn wake(&self, id: &str) -> Result<()> {
        let command = r#"for p in /proc/[0-9]*; do if [ "$(cat "$p/comm" 2>/dev/null)" = sleep ] && e=$(tr "\0" "\n" < "$p/environ" 2>/dev/null) && grep -qx "SLURM_JOB_ID=$SLURM_JOB_ID" <<< "$e" && grep -qx "SLURM_CLUSTER_NAME=$SLURM_CLUSTER_NAME" <<< "$e"; then kill "${p#/proc/}"; fi; done"#;
        self.api(
            "PUT",
            &self.compute(&format!("/{id}/attach")),
            Some(json!({ "command": format!("bash -c '{command}'") })),
        )
        .await
        .map(drop)
    }

    async fn get(&self, remote: &str, local: &Path, verify: Option<bool>) -> Result<Value> {
        if std::fs::metadata(remote)?.len() <= DIRECT_DOWN {
            std::fs::write(local, self.download(remote).await?)?;
            return Ok(Value::Null);
        }
        let order = json!({
            "path": remote, "account": self.text("billing_account"), "transferDirectives": { "transferMethod": "s3" },
        });
        let told = self.api("POST", &self.file_system("transfer", "download", ""), Some(order)).await?;
        let url = told["transferDirectives"]["downloadUrl"].as_str().context("a URL")?;
        let id = told["transferJob"]["jobId"].as_str().context("a job")?;
        self.ended(id).await?;
        if verify == Some(true) {
            let script = "curl -sSf \"$0\" | tee \"$1\" | sha256sum >/dev/null";
            run(Command::new("bash").args(["-o", "pipefail", "-c", script, url]).arg(local)).await?;
        } else {
            curl(&["-f", "-o", text(local)?, url]).await?;
        }
        Ok(Value::Null)
    }

    async fn put_tree(&self, local: &Path, remote: &str) -> Result<Value> {
        let (parent, name) = (local.parent().context("a parent")?, local.file_name().context("a name")?);
        let packed = run(Command::new("tar").arg("-C").arg(parent).arg("-czf").arg("-").arg(name)).await?;
        let (folder, _) = remote.rsplit_once('/').context("a remote path")?;
        let archive = format!("{remote}.tgz");
        self.upload(&packed, &archive).await?;
        let order = json!({ "path": archive, "targetPath": folder, "compression": "gzip" });
        self.ops("POST", "extract", "", Some(order)).await
    }

    async fn get_tree(&self, remote: &str, local: &Path) -> Result<Value> {
        let archive = format!("{remote}.tgz");
        let order = json!({ "path": remote, "targetPath": archive, "compression": "gzip" });
        self.ops("POST", "compress", "", Some(order)).await?;
        let packed = self.download(&archive).await?;
        std::fs::create_dir(local)?;
        let aside = local.with_extension("tgz");
        std::fs::write(&aside, packed)?;
        run(Command::new("tar").arg("-xzf").arg(&aside).arg("-C").arg(local).arg("--strip-components=1")).await?;
        Ok(Value::Null)
    }

    async fn transfer(&self, call: &str, path: &str, target: &str) -> Result<Value> {
        let order = json!({ "path": path, "targetPath": target, "account": self.text("billing_account") });
        let told = self.api("POST", &self.file_system("transfer", call, ""), Some(order)).await?;
        let id = told["transferJob"]["jobId"].as_str().context("a job")?.to_owned();
        tokio::time::sleep(Duration::from_secs_f64(crate::server::QUEUE_WAIT_S)).await;
        self.ended(&id).await
    }

    async fn ended(&self, id: &str) -> Result<Value> {
        loop {
            let state = match self.api("GET", &self.compute(&format!("/{id}")), None).await {
                Ok(answer) => answer["jobs"][0]["status"]["state"].as_str().unwrap_or_default().to_owned(),
                // A short job is unknown for a moment after its end.
                Err(_) => String::new(),
            };
            match state.as_str() {
                "COMPLETED" => return Ok(Value::Null),
                "FAILED" | "TIMEOUT" => anyhow::bail!("the job is {state}"),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    async fn submit(&self, folder: &str, script: &str) -> Result<String> {
        let order = json!({ "job": { "workingDirectory": folder, "scriptPath": format!("{folder}/{script}") } });
        let answer = self.api("POST", &self.compute(""), Some(order)).await?;
        let id = &answer["jobId"];
        Ok(id.as_str().map_or_else(|| id.to_string(), str::to_owned))
    }

    async fn all_jobs(&self) -> Result<Vec<Value>> {
        let mut answer = self.api("GET", &self.compute(""), None).await?;
        Ok(answer["jobs"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    async fn jobs(&self, ids: &[String]) -> Result<Value> {
        if let [id] = ids {
            let found = self.api("GET", &self.compute(&format!("/{id}")), None).await.is_ok();
            return Ok(json!({ "count": usize::from(found) }));
        }
        let wanted: std::collections::HashSet<&str> = ids.iter().map(String::as_str).collect();
        let known = |job: &&Value| {
            job["jobId"]
                .as_str()
                .map_or_else(|| wanted.contains(job["jobId"].to_string().as_str()), |id| wanted.contains(id))
        };
        Ok(json!({ "count": self.all_jobs().await?.iter().filter(known).count() }))
    }

    async fn watch(&self, folder: &str, script: &str, count: usize) -> Result<Value> {
        let members = (0..CREW).map(|number| async move {
            for _ in (number..count).step_by(CREW) {
                self.submit(folder, script).await?;
            }
            Ok::<(), anyhow::Error>(())
        });
        try_join_all(members).await?;
        loop {
            let jobs = self.all_jobs().await?;
            let ended = |job: &&Value| matches!(job["status"]["state"].as_str(), Some("COMPLETED" | "FAILED"));
            if jobs.iter().filter(ended).count() >= count {
                return Ok(json!({ "count": count }));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

/// Its standard output.
async fn curl(arguments: &[&str]) -> Result<String> {
    let output = run(Command::new("curl").arg("-sS").args(arguments)).await?;
    Ok(String::from_utf8_lossy(&output).to_lowercase())
}

async fn hashed(local: &Path) -> Result<()> {
    run(Command::new("sha256sum").arg(PathBuf::from(local))).await.map(drop)
}

async fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output().await?;
    ensure!(output.status.success(), "{:?}: {}", command.as_std(), String::from_utf8_lossy(&output.stderr).trim());
    Ok(output.stdout)
}
