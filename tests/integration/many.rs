//! Many sessions of one process, all at work at the same time: each gets its own answer, and costs little.

use std::net::SocketAddr;
use std::sync::Arc;

use aiida_firecrest_host::{Options, Policy, Session};
use aiida_firecrest_tests::{PATIENCE, plugin};
use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Barrier;

/// Beside all other tests a quarter of a thousand: an unoptimised host is much work for two cores. `SESSIONS=1000` is the whole.
const SESSIONS: usize = 250;

/// As many sessions as this system lets one process have: all of them, unless somebody has set a hard limit of descriptors. Client
/// and server are one process here, so a connection takes two; other tests need some, too.
fn allowed() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let sessions = std::env::var("SESSIONS").map_or(SESSIONS, |text| text.parse().expect("a number"));
    limit.maximum.map_or(sessions, |most| sessions.min(most as usize / 4))
}

/// A server that answers nobody's stat before everybody has asked: the size is the number in the path. (The simulator starts a
/// process for each, which from a process with this many sessions takes long.)
fn serve(sessions: usize) -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = socket.listen(4096).unwrap();
    let address = listener.local_addr().unwrap();
    let all = Arc::new(Barrier::new(sessions));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, all.clone()));
        }
    });
    address
}

async fn answer(stream: TcpStream, all: Arc<Barrier>) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while stream.read_line(&mut head).await.is_ok_and(|read| read > 0) {
        if !head.ends_with("\r\n\r\n") {
            continue;
        }
        let body = match head.split_once("file-").map(|(_, rest)| rest.split(['&', ' ']).next().unwrap_or_default()) {
            Some(number) => {
                all.wait().await;
                format!(
                    r#"{{"output":{{"mode":33188,"ino":1,"dev":1,"nlink":1,"uid":1,"gid":1,"size":{number},"atime":1,"ctime":1,"mtime":1}}}}"#
                )
            }
            None => r#"{"systems":[{"name":"cluster","scheduler":{"type":"slurm","version":"22.05.11"}}]}"#.to_owned(),
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nf7t-appversion: 2.5.7\r\ncontent-length: {length}\r\n\r\n{body}");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        head.clear();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sessions_work_at_once() {
    let count = allowed();
    let url = format!("http://{}", serve(count));
    let options: Options = [
        ("url", url.as_str()),
        ("access_token", "token"),
        ("compute_resource", "cluster"),
        // Nobody is answered before everybody has asked.
        ("request_timeout", "600"),
    ]
    .into_iter()
    .collect();
    let policy = Policy::default();
    let mut first = Session::open(plugin(), &options, &policy).await.unwrap();
    let state = first.state().await.unwrap();
    let mut sessions = vec![first];
    while sessions.len() < count {
        sessions.push(Session::open_with(plugin(), &options, &policy, Some(&state)).await.unwrap());
    }
    let linear: usize = sessions.iter().map(|session| session.memory().unwrap()).sum();
    assert!(linear < count * (2 << 20), "{linear} bytes of linear memory");

    let work = sessions.into_iter().enumerate().map(|(number, mut session)| {
        tokio::spawn(async move {
            let found = session.stat(&format!("/home/u/file-{number}")).await.unwrap();
            assert_eq!(found.size, number as u64);
            session
        })
    });
    // Longer than other tests wait: with those beside it, a thousand calls of an unoptimised host are work for two cores.
    let done = tokio::time::timeout(5 * PATIENCE, join_all(work.collect::<Vec<_>>())).await.expect("all answers");
    assert_eq!(done.into_iter().filter(Result::is_ok).count(), count);
}
