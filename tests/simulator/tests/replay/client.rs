//! A small HTTP/1.1 client that hides nothing: one connection, kept alive until the server ends it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use firecrest_simulator::Simulator;
use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    pub elapsed: Duration,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// A client of one simulator.
pub struct Client {
    address: String,
    pub token: Option<String>,
    pub system: String,
    home: String,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub fn new(simulator: &Simulator) -> Self {
        Self {
            address: simulator.url().trim_start_matches("http://").to_owned(),
            token: Some(simulator.token(simulator.username(), Duration::from_secs(600))),
            system: simulator.system(),
            home: simulator.home().to_owned(),
            connection: None,
        }
    }

    /// The server's base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Fills in `{home}`, `{homes}` and `{system}`.
    pub fn fill(&self, text: &str) -> String {
        let homes = self.home.rsplit_once('/').map_or("", |(homes, _)| homes);
        text.replace("{homes}", homes).replace("{home}", &self.home).replace("{system}", &self.system)
    }

    /// Sends on the present connection, or a new one where there is none. No second try.
    pub fn try_send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let start = Instant::now();
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(&self.address)?;
                stream.set_read_timeout(Some(Duration::from_secs(30)))?;
                stream.set_nodelay(true)?;
                BufReader::new(stream)
            }
        };
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        if let Some(token) = &self.token {
            head.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let stream = connection.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut line = String::new();
        if connection.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            connection.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        connection.read_exact(&mut body)?;
        self.connection = Some(connection);
        Ok(Answer { status, headers, body, elapsed: start.elapsed() })
    }

    /// Sends, on a new connection where the server has ended the present one.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let path = self.fill(path);
        match self.try_send(method, &path, headers, body) {
            Ok(answer) => answer,
            Err(_) => {
                self.try_send(method, &path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
            }
        }
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub fn with_json(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let body = self.fill(body);
        self.send(method, path, &[("content-type", "application/json")], body.as_bytes())
    }

    /// A file operation on a path.
    pub fn op(&mut self, method: &str, operation: &str, path: &str, more: &str) -> Answer {
        let path = encode(&self.fill(path));
        self.send(method, &format!("/filesystem/{{system}}/ops/{operation}?path={path}{more}"), &[], b"")
    }

    /// Uploads a file into a folder.
    pub fn upload(&mut self, folder: &str, name: &str, content: &[u8]) -> Answer {
        let folder = encode(&self.fill(folder));
        let mut body = format!(
            "--frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n--frontier--\r\n");
        self.send(
            "POST",
            &format!("/filesystem/{{system}}/ops/upload?path={folder}"),
            &[("content-type", "multipart/form-data; boundary=frontier")],
            &body,
        )
    }

    /// Leaves the present connection.
    pub fn hang_up(&mut self) {
        self.connection = None;
    }
}

/// Sends one request to a whole URL, on a connection of its own. A body that breaks off is kept as far as it came.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
    let start = Instant::now();
    let (address, path) = url.trim_start_matches("http://").split_once('/').expect("a path");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut head = format!("{method} /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes())?;
    // A server that refuses need not read all of it.
    let _ = stream.write_all(body);
    let mut all = Vec::new();
    let end = stream.read_to_end(&mut all);
    let split = all.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(split) = split else {
        end?;
        return Err(io::ErrorKind::ConnectionReset.into());
    };
    let head = String::from_utf8_lossy(&all[..split]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    Ok(Answer {
        status: status.ok_or(io::ErrorKind::InvalidData)?,
        headers: lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect(),
        body: all.split_off(split + 4),
        elapsed: start.elapsed(),
    })
}

/// Percent-encodes a query value.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// Checks that two values have the same keys and types; `recorded` is a sample.
pub fn same_shape(name: &str, answered: &Value, recorded: &Value) {
    match (answered, recorded) {
        (Value::Object(answered), Value::Object(recorded)) => {
            let keys = |map: &serde_json::Map<String, Value>| {
                let mut keys: Vec<String> = map.keys().cloned().collect();
                keys.sort();
                keys
            };
            assert_eq!(keys(answered), keys(recorded), "{name}");
            for (key, value) in recorded {
                same_shape(&format!("{name}.{key}"), &answered[key], value);
            }
        }
        (Value::Array(answered), Value::Array(recorded)) => {
            if let Some(sample) = recorded.first() {
                assert!(!answered.is_empty(), "{name} is empty");
                for value in answered {
                    same_shape(&format!("{name}[]"), value, sample);
                }
            } else {
                assert!(answered.is_empty(), "{name} is not empty: {answered:?}");
            }
        }
        _ => {
            let kind = |value: &Value| match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            assert_eq!(kind(answered), kind(recorded), "{name}: {answered} against {recorded}");
        }
    }
}
