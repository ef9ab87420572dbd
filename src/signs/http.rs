//! A listener for probes: `/livez`, `/readyz`, `/status`, one answer for each connection.
//!
//! Whoever asks is a kubelet or a person with `curl`. A request that is not whole within a moment, or
//! longer than one of theirs, is hung up on.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use super::state;

/// How long a request may take, and its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a request may be, in bytes.
const LONGEST: usize = 8192;

/// How many headers it may have.
const HEADERS: usize = 64;

/// How many are answered at once. Descriptors are for the database first.
const AT_ONCE: usize = 32;

/// Answers until it is dropped.
pub(super) async fn serve(listener: TcpListener) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without a place it is hung up on, and may come again.
                if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                    tokio::spawn(async move {
                        let _place = place;
                        timeout(PATIENCE, answer(stream)).await
                    });
                }
            }
            // Out of descriptors, for instance: it may pass.
            Err(_) => tokio::time::sleep(PATIENCE).await,
        }
    }
}

/// Reads a request and answers it. Who hangs up needs no answer.
async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut bare = false;
    let path = loop {
        let mut part = [0; 1024];
        let count = stream.read(&mut part).await?;
        request.extend_from_slice(&part[..count]);
        if count == 0 || request.len() > LONGEST {
            return Ok(());
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(&request) {
            Ok(httparse::Status::Partial) => {}
            Ok(httparse::Status::Complete(_)) => {
                bare = parsed.method == Some("HEAD");
                let is_read = matches!(parsed.method, Some("GET" | "HEAD"));
                break if is_read { parsed.path.map(str::to_owned) } else { None };
            }
            Err(_) => break None,
        }
    };
    let (status, kind, text) = match path.as_deref().map(|path| path.split('?').next()) {
        Some(Some("/livez")) => ("200 OK", "text/plain", "alive\n".to_owned()),
        Some(Some("/readyz")) => {
            ("503 Service Unavailable", "text/plain", format!("{}\n", state::now().line()))
        }
        Some(Some("/status")) => ("200 OK", "application/json", state::now().json()),
        Some(_) => ("404 Not Found", "text/plain", "ask /livez, /readyz or /status\n".to_owned()),
        None => ("400 Bad Request", "text/plain", "this is no GET\n".to_owned()),
    };
    // The length is that of the text which a GET would have had.
    let shown = if bare { "" } else { text.as_str() };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         connection: close\r\n\r\n{shown}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
