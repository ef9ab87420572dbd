//! The small server of the demonstration: what prelaunch becomes once the schema is ready.
//!
//! It listens on `PORT` (8000 if unset) and answers each request for `/` with one line that names
//! its process and its age. That is all one needs to see that the process that waited, locked and
//! migrated is the one that serves: the pid is the same.
//!
//! `server check` asks the one that runs, and ends with 0 if it answers: a health check for an image
//! that has no `curl`.
//!
//! It installs no handler, so that SIGTERM ends it as it ends any process. Surprising: as PID 1 of
//! a container it would not, since the kernel gives PID 1 no default actions; then
//! `SUPERVISE=true` helps, as it does every server of that kind.
#![expect(clippy::disallowed_methods, reason = "a program of its own, with its own environment")]

use std::{
    env,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process,
    time::{Duration, Instant},
};

/// How long a client may take to say what it wants: there is one thread for all of them.
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> io::Result<()> {
    let started = Instant::now();
    let port = env::var("PORT").unwrap_or_else(|_| "8000".to_owned());
    let port = port.parse().map_err(|_| io::Error::other(format!("PORT is `{port}`, no port")))?;
    if env::args().nth(1).is_some_and(|word| word == "check") {
        return check(port);
    }
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    println!("serving on http://{} with pid {}", listener.local_addr()?, process::id());
    for client in listener.incoming() {
        // A client that breaks off is its own loss.
        if let Err(error) = client.and_then(|client| answer(client, started)) {
            eprintln!("a client is gone: {error}");
        }
    }
    Ok(())
}

/// Asks the server on this port, and fails if it does not say that all is well.
fn check(port: u16) -> io::Result<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    server.set_read_timeout(Some(PATIENCE))?;
    write!(server, "GET / HTTP/1.1\r\n\r\n")?;
    let mut status = String::new();
    BufReader::new(server).read_line(&mut status)?;
    if status.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(io::Error::other(format!("the server says `{}`", status.trim_end())))
}

/// Reads one request, of which only the first line counts, and answers it.
fn answer(mut client: TcpStream, started: Instant) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(&client).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // To close a connection with something unread on it would take the answer back.
    while lines.next().transpose()?.is_some_and(|header| !header.is_empty()) {}

    let (status, body) = if request.starts_with("GET / ") {
        let (pid, seconds) = (process::id(), started.elapsed().as_secs());
        ("200 OK", format!("pid {pid}, up for {seconds} s\n"))
    } else {
        ("404 Not Found", "there is only GET /\n".to_owned())
    };
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}
