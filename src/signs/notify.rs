//! systemd's protocol: lines of `NAME=value` as one datagram to the socket that `NOTIFY_SOCKET` names
//! (`sd_notify(3)`).
//!
//! A unit with `Type=notify` is killed if it is not ready in time, so whoever works asks for more of
//! it. `READY=1` is for units without a server; a server says that itself.

use std::{
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use super::state::State;
use crate::stage::Stage;

/// How long what matters may wait for a place in the queue.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is at work, and that it will take at least a little longer.
pub(super) fn working(socket: &str, state: &State, beat: Duration) {
    // Three beats: one may be late.
    let longer = beat.as_micros() * 3;
    send(socket, None, &format!("STATUS={}\nEXTEND_TIMEOUT_USEC={longer}\n", state.line()));
}

/// That the schema is ready, and with it all that there is to do.
pub(super) fn ready(socket: &str) {
    send(socket, Some(PATIENCE), "READY=1\nSTATUS=the schema is ready\n");
}

/// Sends it, and waits so long if the queue is full. Nobody listens to our complaints where nobody
/// listens to this.
fn send(socket: &str, patience: Option<Duration>, text: &str) {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    };
    let sent = address.and_then(|address| {
        let datagram = UnixDatagram::unbound()?;
        datagram.set_nonblocking(patience.is_none())?;
        datagram.set_write_timeout(patience)?;
        datagram.send_to_addr(text.as_bytes(), &address)
    });
    if let Err(error) = sent {
        tracing::debug!(
            stage = %Stage::Configure,
            event = "no_sign",
            what = "NOTIFY_SOCKET",
            why = error.to_string(),
            "cannot tell systemd"
        );
    }
}
