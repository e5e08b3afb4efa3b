//! Answers that are asked for seldom, or whose shape moves with the versions: read field by field from a tree, where what is
//! missing or of another type is none. (A derived reader of each would be three times the code; those of long answers are in `models.rs`.)

use serde_json::Value;

use super::models::Words;

/// A value of an answer.
#[derive(Clone, Copy)]
pub struct Field<'a>(&'a Value);

impl<'a> Field<'a> {
    /// The whole answer.
    pub fn new(answer: &'a Value) -> Self {
        Self(answer)
    }

    /// What is under a key; null where there is nothing.
    pub fn at(self, key: &str) -> Self {
        Self(self.0.get(key).unwrap_or(&Value::Null))
    }

    /// What is under the first of these keys that is there.
    pub fn either(self, keys: [&str; 2]) -> Self {
        let first = self.at(keys[0]);
        if first.0.is_null() { self.at(keys[1]) } else { first }
    }

    /// The elements of a list.
    pub fn list(self) -> impl Iterator<Item = Field<'a>> {
        self.0.as_array().map(Vec::as_slice).unwrap_or_default().iter().map(Field)
    }

    /// A text that is not empty, or a number as one.
    pub fn text(self) -> Option<String> {
        match self.0 {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A number, also in a text.
    pub fn number(self) -> Option<u64> {
        match self.0 {
            Value::Number(number) => {
                number.as_u64().or_else(|| number.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64))
            }
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A whole number, negative ones too.
    pub fn signed(self) -> Option<i64> {
        self.0.as_i64()
    }

    /// Is it true?
    pub fn flag(self) -> bool {
        self.0.as_bool().unwrap_or_default()
    }

    /// A word, a number, or a list of words: Slurm's versions do not agree on which.
    pub fn words(self) -> Option<Words> {
        match self.0 {
            Value::Array(list) => Some(Words(list.iter().filter_map(|word| Field(word).text()).collect())),
            _ => self.text().map(|word| Words(vec![word])),
        }
    }
}

/// One of `status/systems`.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct System {
    pub name: String,
    /// `slurm`, `pbs`, …
    pub scheduler: String,
    pub scheduler_version: String,
    pub services: Vec<ServiceHealth>,
    pub file_systems: Vec<FileSystem>,
    /// Bytes in one upload.
    pub max_ops_file_size: Option<u64>,
    /// Lines for the script of a transfer job; `{account}` stands for an account.
    pub directives: Vec<String>,
    /// `s3`, `streamer`, `wormhole`.
    pub transfer_method: Option<String>,
    /// The object store, as clients reach it.
    pub public_url: Option<String>,
    /// Bytes of one part of an upload.
    pub max_part_size: Option<u64>,
    /// As the server told it, for a session's state.
    pub raw: Value,
}

/// How a service of a system fares.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct ServiceHealth {
    pub kind: String,
    pub path: Option<String>,
    pub healthy: bool,
    pub message: Option<String>,
}

/// A file system of a system.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct FileSystem {
    pub path: String,
    pub kind: String,
    pub default_work_directory: bool,
}

impl System {
    /// Reads all of them; none where the answer has no list of systems.
    pub fn read_all(answer: &Value) -> Option<Vec<Self>> {
        answer.get("systems")?.as_array().map(|list| list.iter().map(Self::read).collect())
    }

    /// Reads one. The server writes most names in camel case, and those of data operations in snake case.
    pub fn read(system: &Value) -> Self {
        let raw = system.clone();
        let system = Field::new(system);
        let data = system.either(["dataOperation", "data_operation"]);
        let transfer = data.either(["data_transfer", "dataTransfer"]);
        let service = |field: Field<'_>| ServiceHealth {
            kind: field.at("serviceType").text().unwrap_or_default(),
            path: field.at("path").text(),
            healthy: field.at("healthy").flag(),
            message: field.at("message").text(),
        };
        let file_system = |field: Field<'_>| FileSystem {
            path: field.at("path").text().unwrap_or_default(),
            kind: field.at("dataType").text().unwrap_or_default(),
            default_work_directory: field.at("defaultWorkDir").flag(),
        };
        Self {
            name: system.at("name").text().unwrap_or_default(),
            scheduler: system.at("scheduler").at("type").text().unwrap_or_default(),
            scheduler_version: system.at("scheduler").at("version").text().unwrap_or_default(),
            services: system.at("servicesHealth").list().map(service).collect(),
            file_systems: system.at("fileSystems").list().map(file_system).collect(),
            max_ops_file_size: data.either(["max_ops_file_size", "maxOpsFileSize"]).number(),
            directives: data
                .either(["datatransfer_jobs_directives", "datatransferJobsDirectives"])
                .list()
                .filter_map(Field::text)
                .collect(),
            transfer_method: transfer.either(["serviceType", "service_type"]).text(),
            public_url: transfer.either(["publicUrl", "public_url"]).text(),
            max_part_size: transfer.at("multipart").either(["max_part_size", "maxPartSize"]).number(),
            raw,
        }
    }
}

/// `userinfo`. Its shape changes in 2.6.0, so nothing of it is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct UserInfo {
    pub name: String,
    pub id: Option<u64>,
    pub group: Option<String>,
    pub group_id: Option<u64>,
    pub groups: Vec<String>,
    pub accounts: Vec<String>,
    pub default_account: Option<String>,
}

impl UserInfo {
    /// Reads it.
    pub fn read(answer: &Value) -> Self {
        let answer = Field::new(answer);
        let name = |field: Field<'_>| field.at("name").text();
        let accounts = || answer.at("accounts").list();
        Self {
            name: name(answer.at("user")).unwrap_or_default(),
            id: answer.at("user").at("id").number(),
            group: name(answer.at("group")),
            group_id: answer.at("group").at("id").number(),
            groups: answer.at("groups").list().filter_map(name).collect(),
            accounts: accounts().filter_map(name).collect(),
            default_account: accounts().find(|account| account.at("default").flag()).and_then(name),
        }
    }
}

/// One of `partitions`; its state is under the key `partition`.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Partition {
    pub name: String,
    pub cpus: Option<u64>,
    pub total_nodes: Option<u64>,
    pub state: Option<Words>,
}

impl Partition {
    /// Reads all of them.
    pub fn read_all(answer: &Value) -> Vec<Self> {
        let read = |field: Field<'_>| Self {
            name: field.at("name").text().unwrap_or_default(),
            cpus: field.at("cpus").number(),
            total_nodes: field.at("totalNodes").number(),
            state: field.at("partition").words(),
        };
        Field::new(answer).at("partitions").list().map(read).collect()
    }
}

/// One of `nodes`.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Node {
    pub name: String,
    pub state: Option<Words>,
    pub cpus: Option<u64>,
    pub idle_cpus: Option<u64>,
    pub free_memory: Option<u64>,
    pub partitions: Option<Words>,
    pub features: Option<Words>,
}

impl Node {
    /// Reads all of them.
    pub fn read_all(answer: &Value) -> Vec<Self> {
        let read = |field: Field<'_>| Self {
            name: field.at("name").text().unwrap_or_default(),
            state: field.at("state").words(),
            cpus: field.at("cpus").number(),
            idle_cpus: field.at("idleCpus").number(),
            free_memory: field.at("freeMemory").number(),
            partitions: field.at("partitions").words(),
            features: field.at("features").words(),
        };
        Field::new(answer).at("nodes").list().map(read).collect()
    }
}

/// One of `reservations`. Times in Unix seconds.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Reservation {
    pub name: String,
    pub state: Option<Words>,
    pub nodes: Option<Words>,
    pub start_time: Option<u64>,
    pub end_time: Option<u64>,
    pub features: Option<Words>,
}

impl Reservation {
    /// Reads all of them.
    pub fn read_all(answer: &Value) -> Vec<Self> {
        let read = |field: Field<'_>| Self {
            name: field.at("name").text().unwrap_or_default(),
            state: field.at("state").words(),
            nodes: field.either(["nodes", "nodeList"]).words(),
            start_time: field.at("startTime").number(),
            end_time: field.at("endTime").number(),
            features: field.at("features").words(),
        };
        Field::new(answer).at("reservations").list().map(read).collect()
    }
}

/// What a job was submitted with, from `jobs/{id}/metadata`.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct JobMetadata {
    pub script: Option<String>,
    pub standard_input: Option<String>,
    pub standard_output: Option<String>,
    pub standard_error: Option<String>,
}

impl JobMetadata {
    /// Reads that of the first job.
    pub fn read(answer: &Value) -> Self {
        let Some(job) = Field::new(answer).at("jobs").list().next() else { return Self::default() };
        Self {
            script: job.at("script").text(),
            standard_input: job.at("standardInput").text(),
            standard_output: job.at("standardOutput").text(),
            standard_error: job.at("standardError").text(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Recorded: status/{system}/userinfo, partitions, nodes (FirecREST 2.5.7).
    #[test]
    fn recorded_answers() {
        let user = UserInfo::read(&json!({"user":{"id":"1001","name":"fireuser"},"group":{"id":"100","name":"users"},
            "groups":[{"id":"100","name":"users"}],
            "accounts":[{"name":"myproject","default":false},{"name":"users","default":false},{"name":"staff","default":true}]}));
        assert_eq!(
            (user.name.as_str(), user.id, user.group.as_deref(), user.group_id),
            ("fireuser", Some(1001), Some("users"), Some(100))
        );
        assert_eq!(
            (user.accounts.join(" ").as_str(), user.default_account.as_deref()),
            ("myproject users staff", Some("staff"))
        );

        let partitions =
            Partition::read_all(&json!({"partitions":[{"name":"part01","cpus":16,"totalNodes":1,"partition":"UP"}]}));
        assert_eq!((partitions[0].total_nodes, partitions[0].state.as_ref().unwrap().joined()), (Some(1), "UP".into()));

        let nodes = Node::read_all(
            &json!({"nodes":[{"sockets":16,"cpus":16,"cpuLoad":1.49,"freeMemory":20897,"features":"f7t",
            "name":"localhost","state":["IDLE"],"partitions":["part01","part02","xfer"],"idleCpus":16}]}),
        );
        assert_eq!((nodes[0].free_memory, nodes[0].partitions.as_ref().unwrap().0.len()), (Some(20897), 3));
        assert!(Reservation::read_all(&json!({"reservations":[]})).is_empty());
    }

    #[test]
    fn another_shape_is_no_error() {
        for answer in [json!(null), json!([]), json!({"user": "me", "accounts": 7, "groups": [null, 3]}), json!("text")]
        {
            let _ = (
                UserInfo::read(&answer),
                Node::read_all(&answer),
                Partition::read_all(&answer),
                JobMetadata::read(&answer),
            );
        }
    }
}
