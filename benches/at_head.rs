//! What a start costs when nothing is pending, beside `psql -c 'select 1'` on the same server.
//!
//! Run it inside the test bed, which starts the server (TCP on the loopback, SCRAM):
//!
//! ```text
//! ./test.sh --exec cargo bench --bench at_head
//! ```
//!
//! The two commands take turns, so that a machine that grows slower grows slower for both; the
//! figures are medians of whole processes, from `fork` to the end of the command that prelaunch has
//! become (`true`), and the median of the ratios pair by pair. `PRELAUNCH_BENCH_BINARY` names another
//! binary than the one cargo has just built, such as the static one.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a program for people: what is not there ends it with a word"
)]

use std::{
    env,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Counted pairs, and pairs before them that are not counted.
const PAIRS: usize = 200;
const WARM_UP: usize = 10;

fn main() {
    let server = env::var("PRELAUNCH_TEST_POSTGRES").expect("run it by `./test.sh --exec …`");
    let name = format!("bench_{}", std::process::id());
    psql(&server, &format!("create database {name}"));
    let url = url_of(&server, &name);

    let binary = env::var("PRELAUNCH_BENCH_BINARY")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_prelaunch").to_owned());
    let prelaunch = || {
        let mut command = Command::new(&binary);
        command.args(["run", "--", "/bin/true"]);
        command.env("DATABASE_URL", &url).env("AUTO_MIGRATION", "true");
        command
    };
    let peer = || {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-c", "select 1", &url]);
        command
    };
    time(prelaunch());

    let mut pairs = Vec::new();
    for round in 0..WARM_UP + PAIRS {
        let pair = (time(prelaunch()), time(peer()));
        if round >= WARM_UP {
            pairs.push(pair);
        }
    }
    psql(&server, &format!("drop database {name}"));

    let ours = median(pairs.iter().map(|(ours, _)| ours.as_secs_f64()));
    let theirs = median(pairs.iter().map(|(_, theirs)| theirs.as_secs_f64()));
    let ratio = median(pairs.iter().map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()));
    println!("nothing pending, {PAIRS} pairs, medians");
    println!("prelaunch run -- true   {:6.2} ms", ours * 1e3);
    println!("psql -c 'select 1'      {:6.2} ms", theirs * 1e3);
    println!("ratio                   {ratio:6.2}");
}

/// How long a command takes; it must succeed.
fn time(mut command: Command) -> Duration {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status().expect("the command cannot be run");
    let took = started.elapsed();
    assert!(status.success(), "{command:?} ended with {status}");
    took
}

fn psql(server: &str, sql: &str) {
    let status = Command::new("psql").args(["-X", "-q", "-c", sql, server]).status();
    assert!(status.is_ok_and(|status| status.success()), "psql failed: {sql}");
}

/// The same server, another database.
fn url_of(server: &str, name: &str) -> String {
    let (address, _) = server.rsplit_once('/').expect("the URL of the server names a database");
    format!("{address}/{name}")
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
