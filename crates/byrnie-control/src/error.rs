//! Every refusal of the API, in one place: its HTTP status, stable code, words and remedy.

use std::fmt::Display;
use std::path::Path;

use crate::api::{ErrorBody, FindingItem};

fn body(code: &str, message: String, remedy: impl Into<String>) -> ErrorBody {
    ErrorBody { code: code.to_owned(), message, remedy: remedy.into(), findings: Vec::new() }
}

/// The HTTP status that goes with a code.
pub fn status(error: &ErrorBody) -> u16 {
    match error.code.as_str() {
        "BYR0443" | "BYR0444" | "BYR0341" | "BYR0453" | "BYR0454" | "BYR0455" => 404,
        "BYR0446" => 409,
        "BYR0449" | "BYR0327" => 422,
        "BYR0450" => 429,
        "BYR0451" | "BYR0456" => 500,
        "BYR0452" | "BYR0457" | "BYR0486" => 503,
        "BYR0323" => 429,
        _ => 400,
    }
}

/// Nobody listens in this data directory.
pub fn no_mesh(data_dir: &Path) -> ErrorBody {
    body(
        "BYR0440",
        format!("no mesh is running in {}", data_dir.display()),
        "start one with `byrnie up -f FILE` or `byrnie demo`, or name another with --data-dir",
    )
}

/// The connection to the control plane broke.
pub fn connection_lost(data_dir: &Path, cause: impl Display) -> ErrorBody {
    body(
        "BYR0441",
        format!("the control plane in {} does not answer: {cause}", data_dir.display()),
        "see its log in the terminal of `byrnie up`; it is restarted when it died, so try again",
    )
}

/// The control plane's answer could not be read.
pub fn not_understood(cause: impl Display) -> ErrorBody {
    body(
        "BYR0442",
        format!("the control plane's answer is not understood: {cause}"),
        "the running mesh is of another version than this command: compare with `byrnie version`",
    )
}

/// No such kind.
pub fn unknown_kind(kind: &str) -> ErrorBody {
    body("BYR0443", format!("there is no kind `{kind}`"), "`byrnie get --help` lists the kinds")
}

/// No such object.
pub fn not_found(kind: &str, namespace: &str, name: &str) -> ErrorBody {
    let place = if namespace.is_empty() { String::new() } else { format!(" in namespace {namespace}") };
    body(
        "BYR0444",
        format!("there is no {kind} {name}{place}"),
        format!("list them with `byrnie get {kind} -A`"),
    )
}

/// Somebody else changed the object at the same moment.
pub fn conflict(what: impl Display) -> ErrorBody {
    body("BYR0446", format!("{what} was changed by somebody else at the same moment"), "apply again")
}

/// A query parameter or body that cannot be read.
pub fn bad_request(cause: impl Display) -> ErrorBody {
    body("BYR0447", format!("the request cannot be read: {cause}"), "compare `byrnie version` of both sides")
}

/// A request that is larger than the API takes.
pub fn too_large(bytes: usize, most: usize) -> ErrorBody {
    let message = format!("the request has {bytes} bytes, and the control plane reads {most} at most");
    body("BYR0447", message, "apply fewer objects at once")
}

/// A label selector that cannot be read.
pub fn bad_selector(cause: impl Display) -> ErrorBody {
    body("BYR0448", format!("the label selector cannot be read: {cause}"), "")
}

/// Objects that cannot be accepted; nothing of the batch was applied.
pub fn refused(findings: Vec<FindingItem>) -> ErrorBody {
    let errors = findings.iter().filter(|f| f.severity == "error").count();
    let mut body = body(
        "BYR0449",
        format!("{errors} error(s) in the objects: nothing was applied"),
        "correct what the findings name and apply again",
    );
    body.findings = findings;
    body
}

/// Too many at once.
pub fn too_many(what: &str, limit: usize) -> ErrorBody {
    body("BYR0450", format!("already {limit} {what} at once"), "end one of them first")
}

/// A proxy cannot be asked.
pub fn proxy_away(proxy: &byrnie_plan::ObjectName, why: &str) -> ErrorBody {
    body(
        "BYR0486",
        format!("the proxy of {proxy} cannot be asked: {why}"),
        "`byrnie proxy-status` says how it is",
    )
}

/// The store failed.
pub fn store_failed(cause: impl Display) -> ErrorBody {
    body(
        "BYR0451",
        format!("the store failed: {cause}"),
        "nothing was confirmed; see the control plane's log",
    )
}

/// The control plane is going down.
pub fn stopping() -> ErrorBody {
    body("BYR0452", "the control plane is stopping".to_owned(), "try again when it runs")
}

/// A credential for something that does not exist.
pub fn unknown_workload(kind: &str, namespace: &str, name: &str) -> ErrorBody {
    body(
        "BYR0341",
        format!("no identity for {namespace}/{name}: there is no {kind} of this name"),
        format!("apply the {kind} first, or name another one of `byrnie get {kind} -A`"),
    )
}

/// `why` from something that no proxy speaks for.
pub fn not_in_mesh(namespace: &str, name: &str) -> ErrorBody {
    body(
        "BYR0453",
        format!("{namespace}/{name} is no meshed Workload and no Gateway of class byrnie"),
        "name a Workload without `spec.proxy: none`, or a Gateway: `byrnie get workloads,gateways -A`",
    )
}

/// `why` to a Workload that no Service selects.
pub fn no_service_leads_to(namespace: &str, name: &str) -> ErrorBody {
    body(
        "BYR0454",
        format!(
            "no Service port leads to Workload {namespace}/{name}, so nobody can call it through the mesh"
        ),
        "apply a Service whose selector has its labels and whose targetPort is one of its ports",
    )
}

/// `why` to a port that the Service does not have.
pub fn no_such_port(namespace: &str, name: &str, port: Option<u16>) -> ErrorBody {
    let port = port.map_or_else(|| "any port".to_owned(), |port| format!("port {port}"));
    body(
        "BYR0455",
        format!("Service {namespace}/{name} does not have {port}"),
        "see `byrnie describe service`",
    )
}

/// A compiled table that cannot be used; the compiler should have refused it.
pub fn bad_table(cause: impl Display) -> ErrorBody {
    body(
        "BYR0456",
        format!("the compiled routes cannot be used: {cause}"),
        "see `byrnie proxy-status`; this is a bug",
    )
}

/// The compiler has not caught up with the store.
pub fn behind() -> ErrorBody {
    body(
        "BYR0457",
        "the control plane has not caught up with its store within 10 s".to_owned(),
        "the change is stored and will be compiled; see the control plane's log",
    )
}

/// No credential can be issued.
pub fn no_credential(code: &str, cause: impl Display) -> ErrorBody {
    body(code, cause.to_string(), "")
}

/// A store's refusal, with the store's own code.
pub fn from_store(cause: byrnie_store::StoreError) -> ErrorBody {
    match cause {
        byrnie_store::StoreError::Conflict { key, .. } => conflict(key),
        byrnie_store::StoreError::AlreadyExists(key) | byrnie_store::StoreError::NotFound(key) => {
            conflict(key)
        }
        cause @ (byrnie_store::StoreError::TooLarge { .. } | byrnie_store::StoreError::Malformed(_)) => {
            body(cause.code(), cause.to_string(), "")
        }
        cause => store_failed(cause),
    }
}

/// A watch that fell behind.
pub fn watch_gap() -> ErrorBody {
    body("BYR0458", "the watch fell too far behind the store".to_owned(), "list and watch again")
}

/// The trust domain cannot change any more.
pub fn trust_domain(present: &str, wanted: &str) -> ErrorBody {
    body(
        "BYR0327",
        format!(
            "Mesh default: spec.trustDomain cannot change from {present} to {wanted}: certificates name it"
        ),
        "set it back, or begin a new mesh in another --data-dir; it can be chosen until the first Workload or Gateway",
    )
}
