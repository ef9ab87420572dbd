//! A process as the kernel shows it under `/proc`: seen from outside, so that the program that is
//! looked at, a `sleep`, changes nothing by looking at itself.

use std::{collections::BTreeMap, ffi::OsString, fs, os::unix::ffi::OsStringExt as _};

use nix::{
    sys::signal::Signal,
    unistd::{Pid, Uid},
};

use crate::database::eventually;

/// What starts a program as PID 1 of a PID namespace, with a `/proc` that shows it; it ends with us.
/// Who is not root is root in there.
pub(crate) fn as_init() -> Vec<&'static str> {
    let mut words = vec!["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if !Uid::effective().is_root() {
        words.push("--map-root-user");
    }
    words
}

/// A process, which need not be there any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) Pid);

/// What the kernel does with signals, as sets of their numbers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Dispositions {
    pub(crate) blocked: Vec<u32>,
    pub(crate) ignored: Vec<u32>,
    pub(crate) caught: Vec<u32>,
}

impl Dispositions {
    /// Those of a process that has these ignored and blocked, and no handlers.
    pub(crate) fn of(ignored: &[Signal], blocked: &[Signal]) -> Self {
        let numbers = |signals: &[Signal]| {
            let mut numbers: Vec<u32> = signals.iter().map(|one| *one as u32).collect();
            numbers.sort_unstable();
            numbers
        };
        Self { blocked: numbers(blocked), ignored: numbers(ignored), caught: Vec::new() }
    }
}

impl Process {
    /// The process once it runs the program of this name, as after `exec`, and waits in it.
    #[track_caller]
    pub(crate) fn once(pid: Pid, program: &str) -> Self {
        let process = Self(pid);
        eventually(&format!("process {pid} runs {program}"), || {
            process.runs(program).then_some(())
        });
        process
    }

    /// The child of a process that runs the program of this name and waits in it, once there is one.
    #[track_caller]
    pub(crate) fn child_of(parent: Pid, program: &str) -> Self {
        eventually(&format!("process {parent} has a child that runs {program}"), || {
            Self(parent).children().into_iter().find(|child| child.runs(program))
        })
    }

    /// Whether it runs the program and waits for something: before that, its loader may be at work,
    /// with files open and things not yet in place.
    fn runs(self, program: &str) -> bool {
        let is =
            |field, value: &str| self.try_status(field).is_some_and(|is| is.starts_with(value));
        is("State", "S") && is("Name", program)
    }

    /// Its children that have not been waited for, zombies too.
    pub(crate) fn children(self) -> Vec<Self> {
        let path = format!("/proc/{0}/task/{0}/children", self.0);
        let children = fs::read_to_string(path).unwrap_or_default();
        children.split_whitespace().map(|pid| Self(Pid::from_raw(pid.parse().unwrap()))).collect()
    }

    /// Whether it runs no more: there is no such process, or nobody has waited for it.
    pub(crate) fn has_ended(self) -> bool {
        self.try_status("State").is_none_or(|state| state.starts_with(['Z', 'X']))
    }

    /// A line of its `status`.
    #[track_caller]
    pub(crate) fn status(self, field: &str) -> String {
        self.try_status(field).unwrap_or_else(|| panic!("process {} has no `{field}`", self.0))
    }

    fn try_status(self, field: &str) -> Option<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        Some(line.trim().to_owned())
    }

    /// The numbers in a line of its `status`.
    #[track_caller]
    pub(crate) fn numbers(self, field: &str) -> Vec<u32> {
        self.status(field).split_whitespace().map(|number| number.parse().unwrap()).collect()
    }

    /// Its process group.
    pub(crate) fn group(self) -> Pid {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        // Behind the name, which may hold anything: state, parent, group.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        Pid::from_raw(fields.split_whitespace().nth(2).unwrap().parse().unwrap())
    }

    /// What it does with signals, less the two that the C library keeps for itself, and ignores in
    /// what it starts.
    pub(crate) fn dispositions(self) -> Dispositions {
        let set = |field| {
            let bits = u64::from_str_radix(&self.status(field), 16).unwrap();
            (1..=64)
                .filter(|signal| !matches!(signal, 32 | 33) && bits & (1 << (signal - 1)) != 0)
                .collect()
        };
        Dispositions { blocked: set("SigBlk"), ignored: set("SigIgn"), caught: set("SigCgt") }
    }

    /// The arguments that it was started with, the first of them too.
    pub(crate) fn arguments(self) -> Vec<OsString> {
        self.entries("cmdline")
    }

    /// The environment that it was started with, in its order.
    pub(crate) fn environment(self) -> Vec<OsString> {
        self.entries("environ")
    }

    /// Texts that each end in a zero byte.
    fn entries(self, file: &str) -> Vec<OsString> {
        let mut bytes = fs::read(format!("/proc/{}/{file}", self.0)).unwrap();
        assert_eq!(bytes.pop(), Some(0), "{file} of process {} is cut", self.0);
        bytes.split(|byte| *byte == 0).map(|entry| OsString::from_vec(entry.to_vec())).collect()
    }

    /// Its working directory.
    pub(crate) fn directory(self) -> String {
        self.link("cwd")
    }

    /// What its descriptors are open on.
    pub(crate) fn descriptors(self) -> BTreeMap<u32, String> {
        let directory = fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap();
        let numbers = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        numbers.map(|fd| (fd.parse().unwrap(), self.link(&format!("fd/{fd}")))).collect()
    }

    fn link(self, name: &str) -> String {
        fs::read_link(format!("/proc/{}/{name}", self.0)).unwrap().display().to_string()
    }
}
