//! What was heard of a run, as a tree of spans: the run, its stages, and in them each revision, each
//! command and each wait. What else was heard becomes an event of the span that it belongs to.

use serde_json::Value;

use crate::stage::Stage;

/// An event of the log, and when it was: in nanoseconds since 1970.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub(super) at: u64,
    pub(super) stage: Option<Stage>,
    pub(super) event: String,
    /// With the message, as `message`.
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// How the run ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) at: u64,
    pub(super) code: u8,
    pub(super) failure: Option<(Stage, String)>,
}

/// A span, or on its way to one.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) name: &'static str,
    /// Where its parent is in the list; none for the first, which is the run.
    pub(super) parent: Option<usize>,
    pub(super) from: u64,
    /// None while it is open.
    pub(super) until: Option<u64>,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) events: Vec<Heard>,
    /// Why it failed, if it did.
    pub(super) failure: Option<String>,
}

/// What has a span of its own inside of a stage.
struct Kind {
    name: &'static str,
    opened_by: &'static [&'static str],
    closed_by: &'static [&'static str],
    /// The field by which several are told apart.
    key: &'static str,
    /// It is waited for since the stage began, and may end without having been heard of before.
    is_wait: bool,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "wait for dependency",
        opened_by: &["not_ready"],
        closed_by: &["ready"],
        key: "what",
        is_wait: true,
    },
    Kind {
        name: "wait for lock",
        opened_by: &["waiting"],
        closed_by: &["locked", "unneeded"],
        key: "",
        is_wait: true,
    },
    Kind {
        name: "wait for another runner",
        opened_by: &["awaiting"],
        closed_by: &["migrated"],
        key: "",
        is_wait: true,
    },
    Kind {
        name: "apply revision",
        opened_by: &["applying"],
        closed_by: &["applied"],
        key: "revision",
        is_wait: false,
    },
    Kind {
        name: "revert revision",
        opened_by: &["reverting"],
        closed_by: &["reverted"],
        key: "revision",
        is_wait: false,
    },
    Kind {
        name: "run command",
        opened_by: &["running"],
        closed_by: &["ran"],
        key: "what",
        is_wait: false,
    },
];

/// All spans of a run, each behind its parent.
pub(super) fn spans(from: u64, heard: &[Heard], ended: &Ended) -> Vec<Span> {
    let mut tree = Tree { spans: Vec::new(), stage: Stage::Configure, at: 1 };
    tree.open("prelaunch run", None, from);
    tree.open(Stage::Configure.name(), Some(0), from);
    for heard in heard {
        tree.hear(heard);
    }
    if let Some((stage, words)) = &ended.failure {
        // A refusal is decided between two events.
        tree.enter(*stage, ended.at);
        tree.spans[0].attributes.push(("prelaunch.stage", stage.name().into()));
        for span in tree.spans.iter_mut().filter(|span| span.until.is_none()) {
            span.failure = Some(words.clone());
        }
    }
    tree.spans[0].attributes.push(("process.exit.code", ended.code.into()));
    tree.close_from(0, ended.at);
    tree.spans
}

struct Tree {
    spans: Vec<Span>,
    stage: Stage,
    /// The span of the stage.
    at: usize,
}

impl Tree {
    fn open(&mut self, name: &'static str, parent: Option<usize>, from: u64) -> usize {
        self.spans.push(Span {
            name,
            parent,
            from,
            until: None,
            attributes: Vec::new(),
            events: Vec::new(),
            failure: None,
        });
        self.spans.len() - 1
    }

    fn close_from(&mut self, first: usize, at: u64) {
        for span in self.spans.iter_mut().skip(first) {
            span.until.get_or_insert(at);
        }
    }

    /// Begins a stage. A note about the configuration may come at any time, and is no way back.
    fn enter(&mut self, stage: Stage, at: u64) {
        if stage > self.stage {
            self.close_from(self.at, at);
            self.stage = stage;
            self.at = self.open(stage.name(), Some(0), at);
        }
    }

    fn hear(&mut self, heard: &Heard) {
        if let Some(stage) = heard.stage {
            self.enter(stage, heard.at);
        }
        let event = heard.event.as_str();
        let is_of = |list: &[&str]| list.contains(&event);
        let Some(kind) = KINDS.iter().find(|kind| is_of(kind.opened_by) || is_of(kind.closed_by))
        else {
            if event != "begins" {
                let innermost = self.innermost();
                self.spans[innermost].events.push(heard.clone());
            }
            return;
        };
        let closes = is_of(kind.closed_by);
        let known = self.find(kind, heard);
        let span = match known {
            Some(known) => known,
            None if closes && !kind.is_wait => return,
            None => {
                let from = if kind.is_wait { self.spans[self.at].from } else { heard.at };
                // One piece of work at a time: what is still open was given up.
                if !kind.is_wait {
                    self.close_from(self.at + 1, heard.at);
                }
                self.open(kind.name, Some(self.at), from)
            }
        };
        let span = &mut self.spans[span];
        if kind.is_wait && !closes {
            // Each says why, and the next one may say something else.
            span.events.push(heard.clone());
        }
        for (name, value) in &heard.fields {
            let says = closes || !kind.is_wait || *name == kind.key;
            if says && *name != "message" {
                span.attributes.retain(|(known, _)| known != name);
                span.attributes.push((*name, value.clone()));
            }
        }
        if closes {
            span.until = Some(heard.at);
        }
    }

    /// The open span of this kind that an event is about.
    fn find(&self, kind: &Kind, heard: &Heard) -> Option<usize> {
        let key = |fields: &[(&str, Value)]| {
            fields.iter().find(|(name, _)| *name == kind.key).map(|(_, value)| value.clone())
        };
        let wanted = key(&heard.fields);
        let mut inside = self.spans.iter().enumerate().skip(self.at + 1);
        inside
            .find(|(_, span)| {
                span.name == kind.name && span.until.is_none() && key(&span.attributes) == wanted
            })
            .map(|(at, _)| at)
    }

    /// What is at work: the newest span that is open in this stage, or the stage.
    fn innermost(&self) -> usize {
        let last =
            self.spans.iter().enumerate().skip(self.at).rfind(|(_, span)| span.until.is_none());
        last.map_or(self.at, |(at, _)| at)
    }
}
