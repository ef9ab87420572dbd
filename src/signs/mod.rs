//! Signs of life for those who watch from outside: `STATUS_ADDR`, `STATUS_FILE`, `METRICS_FILE`, and
//! systemd's `NOTIFY_SOCKET`.
//!
//! Nothing tells them apart from the log: whatever they say was an event first. A layer of the log
//! ([`state::Watcher`]) keeps what the events have said as one `State`, whatever
//! `LOG_LEVEL` says, and everybody here reads that.
//!
//! - `state` what the events have said so far
//! - `http` the listener
//! - `notify` systemd's protocol
//! - `metrics` the figures of a run for Prometheus' text files
//! - `otel` the run as a trace for OpenTelemetry, with the feature of that name
//!
//! It promises to be gone before the server starts, listener and all, so that the server can have
//! the port; and never to end a run: what cannot be bound or written is a warning.

mod http;
mod metrics;
mod notify;
#[cfg(feature = "otel")]
pub mod otel;
pub mod state;

use std::{fs, io, path::Path, process, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle};
use tracing::{info, warn};

use self::state::State;
use crate::{config::Config, error::Error, stage::Stage};

/// How often those are told who would give up on us otherwise.
const BEAT: Duration = Duration::from_secs(5);

/// How soon they may be told again.
const BREATH: Duration = Duration::from_millis(200);

/// What goes on beside the work. Dropping it ends all of it.
#[derive(Debug)]
pub struct Signs<'a> {
    config: &'a Config,
    tasks: Vec<JoinHandle<()>>,
}

impl<'a> Signs<'a> {
    /// Begins to show them, as far as they were asked for.
    pub async fn show(config: &'a Config) -> Self {
        let mut tasks = Vec::new();
        if let Some(address) = config.status_addr {
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    let address = listener.local_addr().unwrap_or(address).to_string();
                    info!(stage = %Stage::Configure, event = "listening", address, "answers at `/livez`, `/readyz` and `/status`");
                    tasks.push(tokio::spawn(http::serve(listener)));
                }
                Err(error) => warn!(
                    stage = %Stage::Configure, event = "no_sign", what = "STATUS_ADDR",
                    why = error.to_string(), "cannot listen; goes on without"
                ),
            }
        }
        if config.status_file.is_some() || config.notify_socket.is_some() {
            let (mut file, socket) = (config.status_file.clone(), config.notify_socket.clone());
            tasks.push(tokio::spawn(async move {
                let mut said = None;
                loop {
                    let state = state::now();
                    // What has not changed needs no file; systemd must hear it again.
                    if said.as_ref() != Some(&state.said()) {
                        said = Some(state.said());
                        // One warning is enough; the end tries once more.
                        file = file.filter(|file| write(file, "STATUS_FILE", &state.json()));
                    }
                    if let Some(socket) = &socket {
                        notify::working(socket, &state, BEAT);
                    }
                    // Small revisions come faster than anybody reads.
                    tokio::time::sleep(BREATH).await;
                    state::changed(BEAT).await;
                }
            }));
        }
        Self { config, tasks }
    }

    /// Says how it ended. `server` is whether one starts now, which then speaks for itself.
    pub fn end(self, failed: Option<&Error>, server: bool) {
        self.tasks.iter().for_each(JoinHandle::abort);
        let code = failed.map_or(0, Error::exit_code);
        let state = state::ended(code);
        if let Some(path) = &self.config.status_file {
            write(path, "STATUS_FILE", &state.json());
        }
        if let Some(path) = &self.config.metrics_file {
            write(path, "METRICS_FILE", &metrics::text(&state));
        }
        if let (Some(socket), None, false) = (&self.config.notify_socket, failed, server) {
            notify::ready(socket);
        }
    }
}

impl Drop for Signs<'_> {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Writes a file so that whoever reads it finds all of the old text or all of the new one; whether
/// it could.
fn write(path: &Path, what: &'static str, text: &str) -> bool {
    let replaced = replaced(path, text);
    if let Err(error) = &replaced {
        warn!(
            stage = %Stage::Configure, event = "no_sign", what, why = error.to_string(),
            "cannot write the file; goes on without"
        );
    }
    replaced.is_ok()
}

#[expect(clippy::disallowed_methods, reason = "a file for others, and no source of anything")]
fn replaced(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", process::id()));
    let beside = Path::new(&name);
    let written = fs::write(beside, text).and_then(|()| fs::rename(beside, path));
    // On a full disk there may be a part of it.
    written.inspect_err(|_| _ = fs::remove_file(beside))
}

/// What a run has come to, for `/status` and the file.
impl State {
    fn json(&self) -> String {
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}
