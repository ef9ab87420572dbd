//! Faults of the PostgreSQL server: restart, crash, its clock, its disk, and a standby that takes over.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex, OnceLock},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    Fault, Setting,
    database::Database as _,
    postgres::{Postgres, Server},
    postgres_faults::{Scene, When, before, request},
    proxy::Effect,
    random::Random,
    servers::Own,
    trial::{Hit, Notes, Trial},
};

thread_local! {
    /// The server of this thread, which lives through its trials.
    static OWN: RefCell<Option<Arc<Own>>> = const { RefCell::new(None) };
}

fn with_own<T>(work: impl FnOnce(&Arc<Own>) -> T) -> T {
    let own = OWN.with_borrow_mut(Option::take).unwrap_or_else(|| Arc::new(Own::started("")));
    // After a panic it is dropped, and the next trial has a new one.
    let done = work(&own);
    OWN.with_borrow_mut(|slot| *slot = Some(own));
    done
}

/// What goes on beside the trial, and must be over before it is judged.
type Aside = Arc<Mutex<Option<JoinHandle<()>>>>;

fn aside(slot: &Aside, work: impl FnOnce() + Send + 'static) -> Effect {
    let slot = Arc::clone(slot);
    Effect::Call(Box::new(move || *slot.lock().unwrap() = Some(thread::spawn(work))))
}

fn join(slot: &Aside) {
    if let Some(thread) = slot.lock().unwrap().take() {
        assert!(thread.join().is_ok(), "what was done to the server failed");
    }
}

/// Restart, crash, its clock, its disk.
pub(crate) fn on_own(
    fault: Fault,
    setting: &Setting,
    random: &mut Random,
    notes: &Notes,
) -> Option<Hit> {
    with_own(|own| broken(fault, own, setting, random, notes))
}

fn broken(
    fault: Fault,
    own: &Arc<Own>,
    setting: &Setting,
    random: &mut Random,
    notes: &Notes,
) -> Option<Hit> {
    own.levers.back();
    own.revive();
    let database = Postgres::create_on(own.server.clone());
    let (proxy, address, passed) = before(&database.url(), setting.measured.direct);
    let scene = Scene {
        trial: Trial::of(&database, notes),
        proxy,
        address,
        reference: &setting.measured.reference,
        notes,
    };
    let slot = Aside::default();
    let (ours, pause) = (Arc::clone(own), Duration::from_millis(random.pick(&[0, 0, 100, 1000])));
    let effect = match fault {
        Fault::Restart | Fault::Crash => {
            let mode = if fault == Fault::Crash { "immediate" } else { "fast" };
            aside(&slot, move || {
                ours.stop(mode);
                thread::sleep(pause);
                ours.start();
            })
        }
        Fault::Clock => {
            let seconds =
                random.pick(&[-400_000_000, -86_400, -3_600, -7, 7, 3_600, 86_400, 400_000_000]);
            notes.add(&format!("the server's clock jumps by {seconds} s"));
            Effect::Call(Box::new(move || ours.levers.clock(seconds)))
        }
        _ => {
            let part = random.pick(&["/base/", "/base/", "/pg_wal/"]);
            notes.add(&format!("the disk of {part} is full"));
            let lasts = Duration::from_millis(random.pick(&[20, 300, 2500]));
            aside(&slot, move || {
                ours.levers.full(part);
                thread::sleep(lasts);
                ours.levers.back();
                // A server whose journal cannot be written may have given up.
                ours.revive();
            })
        }
    };
    let pid = Arc::new(OnceLock::new());
    let when = When::At(request(random, passed));
    let hit = scene.play_with(fault, when, effect, &pid, random, || join(&slot));
    own.levers.back();
    hit
}

/// A synchronous standby takes over while a script runs.
pub(crate) fn failover(setting: &Setting, random: &mut Random, notes: &Notes) -> Option<Hit> {
    let primary = Arc::new(Own::stopped("-c synchronous_standby_names=*"));
    let standby = Arc::new(primary.standby());
    primary.start();
    standby.start();
    primary.until("select sync_state from pg_stat_replication", "sync");
    let database = Postgres::create_on(primary.server.clone());
    let moved = database
        .moved_to(Server { port: standby.server.port, password: standby.server.password.clone() });
    let url = database.url();
    let (proxy, address, passed) = before(&url, setting.measured.direct);
    let servers = format!(
        "{},127.0.0.1:{}/{}?target_session_attrs=read-write",
        url.rsplit_once('/').unwrap().0,
        standby.server.port,
        database.name()
    );
    let slot = Aside::default();
    let (switch, at, was) = (proxy.switch(), standby.server.port, Arc::clone(&primary));
    let (next, mode) = (Arc::clone(&standby), random.pick(&["immediate", "fast"]));
    let effect = aside(&slot, move || {
        was.stop(mode);
        next.promote();
        switch(at);
    });
    let mut trial = Trial::asking(&moved, &servers, notes);
    trial.start = trial.start.knows(&database);
    let reference = &setting.measured.reference;
    let scene = Scene { trial, proxy, address, reference, notes };
    let pid = Arc::new(OnceLock::new());
    let when = When::At(request(random, passed));
    scene.play_with(Fault::Failover, when, effect, &pid, random, || join(&slot))
}
