//! The trace of a run, as a collector is sent it; only with the feature `otel`. That a collector
//! understands it is shown by `tests/otel/run.sh`.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{prelaunch::Prelaunch, running::WORDS, sqlite::Sqlite};

/// Somebody who takes traces, and what it was sent.
struct Collector {
    address: String,
    requests: Receiver<Request>,
}

struct Request {
    /// The first line and the headers, in lower case.
    head: Vec<String>,
    body: Value,
}

impl Collector {
    /// One that answers every request with this, or, with nothing, never.
    fn that_answers(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tell, requests) = channel();
        thread::spawn(move || {
            // What is not answered must stay open.
            let mut open = Vec::new();
            for stream in listener.incoming() {
                open.push(take(stream.unwrap(), answer, &tell));
            }
        });
        Self { address, requests }
    }

    fn start(&self, database: &Sqlite) -> Prelaunch {
        Prelaunch::on(database)
            .migrations_from("demo")
            .env("AUTO_MIGRATION", "true")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", self.address))
            .stand(self.address.clone(), "COLLECTOR")
    }

    #[track_caller]
    fn request(&self) -> Request {
        self.requests.recv_timeout(WORDS).expect("a request")
    }

    fn was_asked(&self) -> bool {
        self.requests.try_recv().is_ok()
    }
}

fn take(stream: TcpStream, answer: &str, tell: &Sender<Request>) -> TcpStream {
    let mut reader = BufReader::new(&stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_lowercase()),
        }
    }
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    // Nobody has to wait for it.
    let _ = tell.send(Request { head, body: serde_json::from_slice(&body).unwrap() });
    if !answer.is_empty() {
        let more = "content-length: 2\r\ncontent-type: application/json\r\nconnection: close";
        write!(&stream, "HTTP/1.1 {answer}\r\n{more}\r\n\r\n{{}}").unwrap();
    }
    stream
}

impl Request {
    fn spans(&self) -> Vec<&Value> {
        let scope = &self.body["resourceSpans"][0]["scopeSpans"][0];
        assert_eq!(scope["scope"]["name"], "prelaunch");
        scope["spans"].as_array().unwrap().iter().collect()
    }

    /// Each span with its parent, and what it says of this name.
    fn tree(&self, attribute: &str) -> Vec<String> {
        let spans = self.spans();
        let name_of = |id: &Value| {
            let found = spans.iter().find(|span| span["spanId"] == *id);
            found.map_or("", |span| span["name"].as_str().unwrap())
        };
        let lines = spans.iter().map(|span| {
            let time = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
            assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"), "{span}");
            let said = value(&span["attributes"], attribute);
            let parts = [name_of(&span["parentSpanId"]), span["name"].as_str().unwrap(), &said];
            parts.join(" / ").trim_matches([' ', '/']).to_owned()
        });
        lines.collect()
    }
}

/// What an attribute says, or nothing.
fn value(attributes: &Value, name: &str) -> String {
    let all = attributes.as_array().unwrap();
    let Some(found) = all.iter().find(|one| one["key"] == name) else { return String::new() };
    let (_, value) = found["value"].as_object().unwrap().iter().next().unwrap();
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn a_run_is_one_trace_which_is_sent_before_the_server_begins() {
    let (database, collector) = (Sqlite::create(), Collector::that_answers("200 OK"));
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let outcome = collector
        .start(&database)
        .env("MIGRATION_TARGET", "1.8")
        .env("AFTER_MIGRATE", "true")
        // It does not depend on what is logged.
        .env("LOG_LEVEL", "error")
        .env("TRACEPARENT", caller)
        .env("OTEL_SERVICE_NAME", "shop")
        .env("OTEL_RESOURCE_ATTRIBUTES", "team=till")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=s3cret%21")
        .secret("s3cret")
        .server(&["sh", "-c", "echo $OTEL_SERVICE_NAME $OTEL_EXPORTER_OTLP_HEADERS $TRACEPARENT"])
        .run();
    outcome.assert_status(0).assert_stderr("");
    outcome.assert_stdout(&format!("shop x-key=s3cret%21 {caller}"));

    let request = collector.request();
    assert_eq!(request.head[0], "post /v1/traces http/1.1");
    for line in ["content-type: application/json", "x-key: s3cret!"] {
        assert!(request.head.iter().any(|known| known == line), "{:?}", request.head);
    }
    let resource = &request.body["resourceSpans"][0]["resource"]["attributes"];
    assert_eq!(value(resource, "service.name"), "shop");
    assert_eq!(value(resource, "team"), "till");
    let root = request.spans()[0];
    assert_eq!(root["parentSpanId"], "b7ad6b7169203331");
    assert_eq!(value(&root["attributes"], "process.exit.code"), "0");
    assert_eq!(root["status"], Value::Null);
    for span in request.spans() {
        assert_eq!(span["traceId"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span["spanId"].as_str().unwrap().len(), 16);
    }
    let tree = request.tree("prelaunch.revision");
    let revisions =
        tree.iter().filter(|line| line.starts_with("apply / apply revision / ")).count();
    assert_eq!(revisions, database_revisions(&database));
    let others: Vec<&str> =
        tree.iter().filter(|line| !line.contains("revision")).map(String::as_str).collect();
    assert_eq!(
        others,
        [
            "prelaunch run",
            "prelaunch run / configure",
            "prelaunch run / wait",
            "wait / wait for dependency",
            "prelaunch run / look",
            "prelaunch run / lock",
            "lock / wait for lock",
            "prelaunch run / apply",
            "apply / run command",
        ],
    );
    assert!(!collector.was_asked(), "one request is all");
}

fn database_revisions(database: &Sqlite) -> usize {
    use crate::database::Database as _;
    let count = database.ledger().len();
    assert!(count > 0);
    count
}

#[test]
fn a_run_that_fails_says_where_and_why() {
    let (database, collector) = (Sqlite::create(), Collector::that_answers("200 OK"));
    let start = collector.start(&database).revision("d01", "1e629a913727", "select nothing;");
    let outcome = start.run();
    outcome.assert_status(14);
    let words = outcome.last_words();
    let request = collector.request();
    let failed: Vec<&Value> =
        request.spans().into_iter().filter(|span| span["status"]["code"] == 2).collect();
    let names: Vec<&str> = failed.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["prelaunch run", "apply", "apply revision"]);
    for span in &failed {
        let why = span["status"]["message"].as_str().unwrap();
        assert_eq!(words, format!("prelaunch: exit 14 in apply: {why}"));
    }
    assert_eq!(value(&failed[0]["attributes"], "process.exit.code"), "14");
    assert_eq!(value(&failed[2]["attributes"], "prelaunch.revision"), "d01");

    // Before there is a configuration, too.
    start.env("WAIT_TIMEOUT", "soon").run().assert_status(10);
    let request = collector.request();
    assert_eq!(value(&request.spans()[0]["attributes"], "process.exit.code"), "10");
    assert_eq!(request.tree("none"), ["prelaunch run", "prelaunch run / configure"]);
}

#[test]
fn a_supervised_server_does_not_belong_to_the_trace() {
    let (database, collector) = (Sqlite::create(), Collector::that_answers("200 OK"));
    let start = collector.start(&database).env("SUPERVISE", "true");
    let running = start.server(&["sh", "-c", "echo runs; exec sleep 60"]).spawn();
    running.wait_for_stdout("runs");
    let request = collector.request();
    assert_eq!(value(&request.spans()[0]["attributes"], "process.exit.code"), "0");
    running.signal(Signal::SIGTERM);
    running.wait().assert_status(143);
    assert!(!collector.was_asked());
}

#[test]
fn a_collector_that_does_not_take_it_is_a_warning() {
    let refuses = Collector::that_answers("500 Internal Server Error");
    let elsewhere =
        Collector::that_answers("307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/");
    let hangs = Collector::that_answers("");
    let absent = Collector { address: "127.0.0.1:1".to_owned(), requests: channel().1 };
    for (collector, why) in [
        (refuses, "\"http status: 500\""),
        (elsewhere, "\"http status: 307\""),
        (hangs, "\"no answer within 1s\""),
        (absent, "\"io: Connection refused (os error 111)\""),
    ] {
        let began = Instant::now();
        let database = Sqlite::create();
        let outcome = collector.start(&database).server(&["echo", "the server runs"]).run();
        // Those of one second and of a busy machine.
        assert!(began.elapsed() < Duration::from_secs(10));
        outcome.assert_status(0).assert_stdout("the server runs");
        outcome.assert_said(&format!(
            "WARN configure: cannot send the trace; goes on without \
             what=OTEL_EXPORTER_OTLP_ENDPOINT why={why}"
        ));
        let failed = collector.start(&database).env("DATABASE_URL", "sqlite:///none/a.db").run();
        failed.assert_said("cannot send the trace").assert_status(12);
        // The last words stay the last.
        assert!(failed.last_words().starts_with("prelaunch: exit 12"), "{}", failed.transcript());
    }
}

#[test]
fn a_timeout_of_less_is_taken() {
    let (database, hangs) = (Sqlite::create(), Collector::that_answers(""));
    let start = hangs.start(&database).env("OTEL_EXPORTER_OTLP_TIMEOUT", "50");
    start.run().assert_status(0).assert_said("why=\"no answer within 50ms\"");
    for no_less in ["60000", "0"] {
        let start = start.clone().env("OTEL_EXPORTER_OTLP_TIMEOUT", no_less);
        start.run().assert_status(0).assert_said("why=\"no answer within 1s\"");
    }
}

#[test]
fn a_signal_while_a_collector_hangs_is_not_lost() {
    let (database, hangs) = (Sqlite::create(), Collector::that_answers(""));
    let running = hangs.start(&database).server(&["echo", "the server runs"]).spawn();
    hangs.request();
    running.signal(Signal::SIGTERM);
    let outcome = running.wait();
    outcome.assert_status(143).assert_stdout("");
}

#[test]
fn what_cannot_be_meant_is_a_warning_without_its_value() {
    let (database, collector) = (Sqlite::create(), Collector::that_answers("200 OK"));
    let start = collector.start(&database).server(&["echo", "the server runs"]).secret("s3cret");
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:s3cret@127.0.0.1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
        // Sound to us, and not to HTTP.
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=s3cret%0A"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret key=1"),
    ] {
        let outcome = start.clone().env(name, value).run();
        outcome.assert_status(0).assert_stdout("the server runs");
        outcome.assert_said("WARN configure: cannot send the trace; goes on without");
    }
    assert!(!collector.was_asked());
}

#[test]
fn nobody_is_told_who_was_not_named() {
    let (database, collector) = (Sqlite::create(), Collector::that_answers("200 OK"));
    let start = collector.start(&database).env("LOG_LEVEL", "debug");
    start.clone().env_remove("OTEL_EXPORTER_OTLP_ENDPOINT").run().assert_status(0);
    start.clone().env("OTEL_SDK_DISABLED", "true").run().assert_never_said("trace");
    assert!(!collector.was_asked());
    start.run().assert_said("DEBUG configure: has sent its trace trace=");
}
