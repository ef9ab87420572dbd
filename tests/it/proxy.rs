//! A TCP proxy in front of PostgreSQL that reads what clients say, and may break off where it
//! hurts: while a connection is being set up, or around a COMMIT.
//!
//! It understands as much of the protocol as that takes: the start-up packet, and messages with a
//! type and a length. TLS would hide them, so that URLs need `sslmode=disable`.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// What a client says.
#[derive(Debug)]
pub(crate) struct Said<'s> {
    /// On which connection, counted from 1.
    pub(crate) connection: usize,
    /// `start` for the start-up packet; the text of a simple query; else nothing.
    pub(crate) text: &'s str,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It reaches the server, and the answer the client.
    Pass,
    /// The connection breaks before the server gets it.
    Lost,
    /// The connection breaks for the client; the server gets it, answers, and sees nothing amiss
    /// until then.
    Unanswered,
}

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    over: Arc<AtomicBool>,
}

impl Proxy {
    /// Forwards to a port of this machine, and asks about everything that clients say.
    pub(crate) fn to(
        server: u16,
        decide: impl Fn(&Said<'_>) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let over = Arc::new(AtomicBool::new(false));
        let (ended, decide) = (Arc::clone(&over), Arc::new(decide));
        thread::spawn(move || {
            for (connection, client) in (1..).zip(listener.incoming()) {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (client, decide) = (client.unwrap(), Arc::clone(&decide));
                // A connection that breaks is what this is about.
                thread::spawn(move || forward(client, server, connection, &*decide));
            }
        });
        Self { port, over }
    }

    /// A URL of the server, with the proxy in its place.
    pub(crate) fn url(&self, url: &str, server: u16) -> String {
        let url = url.replace(&format!(":{server}/"), &format!(":{}/", self.port));
        format!("{url}?sslmode=disable")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // So that it notices.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn forward(
    mut client: TcpStream,
    server: u16,
    connection: usize,
    decide: &(impl Fn(&Said<'_>) -> Fate + ?Sized),
) -> io::Result<()> {
    let mut packet = start_up(&mut client)?;
    let mut said = "start".to_owned();
    let mut server: Option<TcpStream> = match decide(&Said { connection, text: &said }) {
        Fate::Pass => Some(TcpStream::connect(("127.0.0.1", server))?),
        Fate::Lost | Fate::Unanswered => None,
    };
    let Some(server) = &mut server else { return client.shutdown(Shutdown::Both) };
    let (mut answers, mut back) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        // Either side may have gone; then nobody misses the rest.
        let _ = io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    loop {
        let fate =
            if said == "start" { Fate::Pass } else { decide(&Said { connection, text: &said }) };
        match fate {
            Fate::Pass => server.write_all(&packet)?,
            Fate::Lost => {
                client.shutdown(Shutdown::Both)?;
                return server.shutdown(Shutdown::Both);
            }
            Fate::Unanswered => {
                client.shutdown(Shutdown::Both)?;
                // The answer comes to nobody; the server's side is closed behind it.
                server.write_all(&packet)?;
                return server.write_all(b"X\0\0\0\x04");
            }
        }
        match message(&mut client) {
            Ok((read, text)) => (packet, said) = (read, text),
            Err(_) => return server.shutdown(Shutdown::Both),
        }
    }
}

/// The start-up packet: its length, which counts itself, and the rest.
fn start_up(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    client.read_exact(&mut packet)?;
    read_rest(client, packet)
}

/// A message whole, and its text if it is a simple query.
fn message(client: &mut TcpStream) -> io::Result<(Vec<u8>, String)> {
    let mut kind = [0];
    client.read_exact(&mut kind)?;
    let mut length = vec![0; 4];
    client.read_exact(&mut length)?;
    let rest = read_rest(client, length)?;
    let text = match kind {
        [b'Q'] => String::from_utf8_lossy(&rest[4..]).trim_end_matches('\0').to_owned(),
        _ => String::new(),
    };
    Ok(([&kind[..], &rest].concat(), text))
}

fn read_rest(client: &mut TcpStream, mut packet: Vec<u8>) -> io::Result<Vec<u8>> {
    let length = u32::from_be_bytes([packet[0], packet[1], packet[2], packet[3]]);
    packet.resize(length.try_into().unwrap(), 0);
    client.read_exact(&mut packet[4..])?;
    Ok(packet)
}
