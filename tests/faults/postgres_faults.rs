//! Faults around PostgreSQL: what lies between it and a run, and the run itself. Those of the server
//! are in `server_faults`.

use std::{
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant, SystemTime},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Fault, Setting, Way,
    bouncer::Bouncer,
    chain,
    database::Database as _,
    postgres::Postgres,
    proxy::{Break, Effect, Passed, Phase, Point, Proxy, Towards},
    random::Random,
    server_faults,
    trial::{Hit, Notes, Reference, Trial, stage_at, wait_until},
};

/// How soon a run has to end after SIGTERM: two seconds, and what a busy machine adds.
const STOPS: Duration = Duration::from_secs(5);

/// How an undisturbed run through a proxy went, which is what points are chosen from.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) reference: Reference,
    pub(crate) direct: Passed,
    pub(crate) pooled: Passed,
}

/// Runs it once each way.
pub(crate) fn measure(bouncer: &Bouncer) -> Measured {
    let notes = Notes::default();
    let through = |pooled: bool| {
        let database = Postgres::create();
        let url = if pooled { bouncer.url(&database) } else { database.url() };
        let proxy = Proxy::to(port(&url), None);
        let mut trial = Trial::of(&database, &notes);
        trial.start = trial.start.env("DATABASE_URL", proxy.url(&url));
        (trial.reference(), proxy.passed())
    };
    let ((reference, direct), (other, pooled)) = (through(false), through(true));
    assert_eq!(reference.snapshot, other.snapshot, "two undisturbed runs leave the same");
    Measured { reference, direct, pooled }
}

pub(crate) fn port(url: &str) -> u16 {
    let (_, rest) = url.split_once("@127.0.0.1:").unwrap();
    rest.split_once('/').unwrap().0.parse().unwrap()
}

/// When it happens.
pub(crate) enum When {
    At(Point),
    After(Duration),
}

/// Tries one fault. None if the run was over before it came to it.
pub(crate) fn attempt(
    fault: Fault,
    setting: &Setting,
    random: &mut Random,
    way: Way,
    notes: &Notes,
) -> Option<Hit> {
    match fault {
        Fault::Restart | Fault::Crash | Fault::Clock | Fault::Disk => {
            server_faults::on_own(fault, setting, random, notes)
        }
        Fault::Failover => server_faults::failover(setting, random, notes),
        _ => {
            let database = Postgres::create();
            let behind;
            let (proxy, address, passed) = match way {
                Way::Direct => before(&database.url(), setting.measured.direct),
                Way::Pooled => before(&setting.bouncer.url(&database), setting.measured.pooled),
                Way::Behind => {
                    let proxy = Proxy::to(database.server().port, None);
                    behind = Bouncer::before(proxy.port(), BEHIND);
                    (proxy, behind.url(&database), setting.measured.direct)
                }
            };
            let scene = Scene {
                trial: Trial::of(&database, notes),
                proxy,
                address,
                reference: &setting.measured.reference,
                notes,
            };
            let slow = random.once_in(match fault {
                Fault::KillAtRandom | Fault::TermAtRandom => 2,
                _ => 8,
            });
            if slow {
                notes.add("some statements are slow");
                database.administer(&format!("alter database {} {}", database.name(), chain::SLOW));
            }
            let pid = Arc::new(OnceLock::new());
            let took = scene.reference.took + if slow { chain::SLOWER } else { Duration::ZERO };
            let (when, effect) = planned(fault, random, passed, took, &pid);
            scene.play(fault, when, effect, &pid, random)
        }
    }
}

/// A PgBouncer that does not wait for long before it tries its server again.
const BEHIND: &str = "server_login_retry = 1\nserver_tls_sslmode = disable";

/// A proxy in front of what a URL leads to.
pub(crate) fn before(url: &str, passed: Passed) -> (Proxy, String, Passed) {
    let proxy = Proxy::to(port(url), None);
    let address = proxy.url(url);
    (proxy, address, passed)
}

/// What happens when, for faults that need no server of their own.
fn planned(
    fault: Fault,
    random: &mut Random,
    passed: Passed,
    took: Duration,
    pid: &Arc<OnceLock<Pid>>,
) -> (When, Effect) {
    let all = random.once_in(2);
    let away = Duration::from_millis(random.pick(&[0, 0, 50, 500, 2000]));
    match fault {
        Fault::Cut | Fault::Reset => {
            let what = Break::Off { reset: fault == Fault::Reset };
            (When::At(anywhere(random, passed)), Effect::Break { what, all, away })
        }
        Fault::Stall => {
            let time = Duration::from_millis(random.between(50, 1500));
            // A host that vanishes takes all of its connections with it.
            let gone = random.once_in(4);
            let what = if gone { Break::Gone(time) } else { Break::Silence(time) };
            let effect = Effect::Break { what, all: all || gone, away: Duration::ZERO };
            (When::At(anywhere(random, passed)), effect)
        }
        Fault::KillAtStatement | Fault::TermAtStatement => {
            let signal = signal_of(fault);
            (When::At(request(random, passed)), Effect::Call(sender(pid, signal)))
        }
        _ => {
            let longest = u64::try_from(took.as_micros()).unwrap();
            let after = Duration::from_micros(random.below(longest));
            (When::After(after), Effect::Call(sender(pid, signal_of(fault))))
        }
    }
}

fn signal_of(fault: Fault) -> Signal {
    match fault {
        Fault::TermAtStatement | Fault::TermAtRandom => Signal::SIGTERM,
        _ => Signal::SIGKILL,
    }
}

/// Sends a signal to the run, once it is known which it is.
fn sender(pid: &Arc<OnceLock<Pid>>, signal: Signal) -> Box<dyn FnOnce() + Send> {
    let pid = Arc::clone(pid);
    Box::new(move || {
        // It may have ended just now.
        let _ = kill(*pid.wait(), signal);
    })
}

fn anywhere(random: &mut Random, passed: Passed) -> Point {
    match random.below(4) {
        0 => Point::Byte(Towards::Server, near_the_ends(random, passed.to_server)),
        1 => Point::Byte(Towards::Client, near_the_ends(random, passed.to_client)),
        _ => request(random, passed),
    }
}

/// A number below the limit. Most of what passes belongs to applying: what comes before and after
/// is chosen more often than its share.
fn near_the_ends(random: &mut Random, limit: u64) -> u64 {
    match random.below(6) {
        0 => random.below(limit.div_ceil(16)),
        1 => limit - 1 - random.below(limit.div_ceil(16)),
        _ => random.below(limit),
    }
}

pub(crate) fn request(random: &mut Random, passed: Passed) -> Point {
    let phase = random.pick(&[Phase::Said, Phase::Heard, Phase::Answered, Phase::Known]);
    Point::Request(1 + near_the_ends(random, passed.requests), phase)
}

/// A database, and the way to it on which things happen.
pub(crate) struct Scene<'s> {
    pub(crate) trial: Trial<'s>,
    pub(crate) proxy: Proxy,
    /// The URL of the disturbed run.
    pub(crate) address: String,
    pub(crate) reference: &'s Reference,
    pub(crate) notes: &'s Notes,
}

impl Scene<'_> {
    fn play(
        &self,
        fault: Fault,
        when: When,
        effect: Effect,
        pid: &Arc<OnceLock<Pid>>,
        random: &mut Random,
    ) -> Option<Hit> {
        self.play_with(fault, when, effect, pid, random, || ())
    }

    /// The run and those beside it, the fault, the fresh run, the judgement. Before the fresh run
    /// what was done to the server has to be over.
    pub(crate) fn play_with(
        &self,
        fault: Fault,
        when: When,
        effect: Effect,
        pid: &Arc<OnceLock<Pid>>,
        random: &mut Random,
        settled: impl Fn(),
    ) -> Option<Hit> {
        let mut timed = None;
        match (when, effect) {
            (When::At(point), effect) => {
                let what = if let Effect::Break { what, all, away } = &effect {
                    format!(": {what:?}, all {all}, away {away:?}")
                } else {
                    String::new()
                };
                self.notes.add(&format!("at {point:?}{what}"));
                self.proxy.plan(point, effect);
            }
            (When::After(time), Effect::Call(call)) => {
                self.notes.add(&format!("after {time:?}"));
                timed = Some((time, call));
            }
            (When::After(_), Effect::Break { .. }) => unreachable!("connections break at a point"),
        }
        let start = self.trial.disturbed(&self.address);
        let started = Instant::now();
        let mut running = start.spawn();
        pid.set(running.pid()).unwrap();
        let beside = random.once_in(4).then(|| {
            let mode = random.pick(&["true", "wait", "check"]);
            start.clone().env("AUTO_MIGRATION", mode).spawn()
        });
        let fired: Option<SystemTime> = match timed {
            Some((time, call)) => {
                thread::sleep(time.saturating_sub(started.elapsed()));
                let ended = running.has_ended();
                let now = SystemTime::now();
                if !ended {
                    call();
                }
                (!ended).then_some(now)
            }
            None => None,
        };
        // Whoever is cut off for good is not waited for: the fresh run works beside it.
        let gone = || self.proxy.fired().is_some_and(|at| at.elapsed().is_ok_and(|e| e > GONE));
        let over = wait_until(&mut running, || fault == Fault::Stall && gone());
        let fired = fired.or_else(|| self.proxy.fired());
        if let (Some(at), Fault::TermAtStatement | Fault::TermAtRandom) = (fired, fault) {
            let took = at.elapsed().unwrap_or_default();
            assert!(took < STOPS, "after SIGTERM it took {took:?}");
        }
        // What has not come yet must not meet the fresh run.
        self.proxy.disarm();
        let fired = fired.or_else(|| self.proxy.fired());
        settled();
        if (fault, fired) == (Fault::Failover, None) {
            // Nobody has taken over, and the servers have no more to tell.
            return None;
        }
        self.trial.recover();
        if !over {
            wait_until(&mut running, || false);
        }
        let outcome = self.trial.ended("the run", running);
        if let Some(beside) = beside {
            let _ = self.trial.ended("beside it", beside);
        }
        self.trial.judge(self.reference);
        fired.map(|fired| Hit { stage: stage_at(&outcome.raw_stderr, fired) })
    }
}

/// How long after it was cut off a run is taken for lost.
const GONE: Duration = Duration::from_millis(1700);
