//! OpenTelemetry's own variables, as far as they mean something here.
//!
//! They belong to the server as well, which finds them as they are. A value that cannot be meant is no
//! fault of a run: there is no trace then, and a warning that says why. Values are never shown, since
//! headers are secrets and URLs may hold some.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

/// Where a trace goes, and what it says of itself.
#[derive(Debug)]
pub(super) struct Settings {
    /// The variable that says where.
    pub(super) what: &'static str,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    /// Resource attributes that were given, `service.name` among them.
    pub(super) resource: Vec<(String, String)>,
    /// The span that this run belongs to.
    pub(super) parent: Option<Parent>,
    pub(super) timeout: Option<Duration>,
}

/// A span of somebody else.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Parent {
    pub(super) trace: String,
    pub(super) span: String,
    /// What tracing systems hand on to each other, in their own words.
    pub(super) state: String,
}

/// Why there is no trace although one was asked for.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Fault {
    pub(super) what: &'static str,
    pub(super) why: String,
}

/// None unless somebody asks for a trace by naming a collector.
pub(super) fn read<'a>(named: impl Fn(&str) -> Option<&'a str>) -> Result<Option<Settings>, Fault> {
    // The names for traces go before those for everything.
    let first =
        |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, named(name)?)));
    let off = named("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
        || named("OTEL_TRACES_EXPORTER").is_some_and(|text| text == "none");
    let endpoint = first(["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]);
    let (Some((named_by, text)), false) = (endpoint, off) else { return Ok(None) };
    let parent = match named("TRACEPARENT").map(|text| read_parent(text, named("TRACESTATE"))) {
        // Whoever called decided that nobody follows this one.
        Some(Caller::Unsampled) => return Ok(None),
        Some(Caller::Sampled(parent)) => Some(parent),
        Some(Caller::Unknown) | None => None,
    };
    let protocol = first(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
    if let Some((what, "grpc")) = protocol {
        let why = "`grpc` is not spoken; name an endpoint for HTTP, and `http/json`".to_owned();
        return Err(Fault { what, why });
    }
    let url = read_url(text, named_by == "OTEL_EXPORTER_OTLP_ENDPOINT")
        .map_err(|why| Fault { what: named_by, why: why.to_owned() })?;
    let pairs = |given: Option<(&'static str, &str)>| match given {
        Some((what, text)) => read_pairs(text).ok_or_else(|| Fault {
            what,
            why: "it is not understood; accepted: `name=value`, with commas between them"
                .to_owned(),
        }),
        None => Ok(Vec::new()),
    };
    let headers = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
    let mut resource = pairs(first(["OTEL_RESOURCE_ATTRIBUTES"; 2]))?;
    if let Some(name) = named("OTEL_SERVICE_NAME") {
        resource.retain(|(known, _)| known != "service.name");
        resource.push(("service.name".to_owned(), name.to_owned()));
    }
    let timeout = first(["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]);
    // Zero is no limit to some, and means ours.
    let timeout = timeout.and_then(|(_, text)| text.parse().ok()).filter(|milli| *milli > 0);
    let timeout = timeout.map(Duration::from_millis);
    let headers = pairs(first(headers))?;
    Ok(Some(Settings { what: named_by, url, headers, resource, parent, timeout }))
}

/// The address of a request. That for all kinds of signals is a directory.
fn read_url(text: &str, is_base: bool) -> Result<String, &'static str> {
    let accepted = "it is not understood; accepted: `http://host:4318` or `https://host`";
    let mut url = Url::parse(text).map_err(|_| accepted)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(accepted);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it has a user or a password; give them in OTEL_EXPORTER_OTLP_HEADERS");
    }
    if is_base {
        let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Ok(url.into())
}

/// `name=value,name=value`, percent-encoded.
fn read_pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8().ok().map(String::from);
    let given = text.split(',').filter(|pair| !pair.trim().is_empty());
    given
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (decoded(name)?, decoded(value)?);
            (!name.is_empty()).then_some((name, value))
        })
        .collect()
}

/// What `TRACEPARENT` says.
enum Caller {
    Sampled(Parent),
    Unsampled,
    /// To be taken as if it were not there, says the standard.
    Unknown,
}

/// `00-<trace>-<span>-<flags>`, in lower-case hex. Later versions may have more behind it.
fn read_parent(text: &str, state: Option<&str>) -> Caller {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, span, flags, ref rest @ ..] = parts[..] else { return Caller::Unknown };
    let is_hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |text: &str, length| is_hex(text, length) && text.bytes().any(|b| b != b'0');
    let is_version = is_hex(version, 2) && version != "ff" && (version != "00" || rest.is_empty());
    let (true, true, true, true) =
        (is_version, is_id(trace, 32), is_id(span, 16), is_hex(flags, 2))
    else {
        return Caller::Unknown;
    };
    let flags = u8::from_str_radix(flags, 16).unwrap_or_default();
    if flags & 1 == 0 {
        return Caller::Unsampled;
    }
    let (trace, span) = (trace.to_owned(), span.to_owned());
    Caller::Sampled(Parent { trace, span, state: state.unwrap_or_default().to_owned() })
}
