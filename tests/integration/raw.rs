//! A server that says what a test wants it to say, byte for byte: for everything that is no FirecREST.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers every connection's first request with the same bytes, then closes.
pub(crate) struct Raw {
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Raw {
    pub(crate) async fn start(answer: impl Into<Vec<u8>>) -> Raw {
        let answer: Arc<[u8]> = answer.into().into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|count| count > 0) {
                        head.push(byte[0]);
                    }
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.shutdown().await;
                    // A close with unread bytes would be a reset.
                    let _ = stream.read_to_end(&mut head).await;
                });
            }
        });
        Raw { url, asked, task }
    }

    /// With this status, content type, further headers and body.
    pub(crate) async fn http(status: &str, kind: &str, headers: &str, body: &str) -> Raw {
        let length = body.len();
        Raw::start(format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n{headers}connection: close\r\n\r\n{body}"
        ))
        .await
    }

    /// How many connections came.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}
