//! `byrnie profile`: routes of a service, from what describes it or from what is seen of it.

mod openapi;
mod proto;
mod render;
mod tap;

use std::io::Read as _;
use std::path::Path;

use byrnie_api::FILE_LIMIT;

use crate::cli::Context;
use crate::cli::args::{Global, ProfileArgs, ProfileFormat};
use crate::cli::failure::{FILE, Failure};
use crate::cli::value::bare_name;
use crate::output;

/// One call that a service answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// How it is called.
    pub call: Call,
    /// Whether it may be repeated.
    pub retryable: bool,
    /// How long it may take, as the source writes it.
    pub timeout: Option<String>,
    /// The statuses that the source names, ascending.
    pub statuses: Vec<u16>,
}

/// How an operation is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// A request; `{name}` stands for one segment of the path.
    Http { method: String, path: String },
    /// A gRPC call; the service with its package.
    Grpc { service: String, method: String },
}

impl Operation {
    fn new(call: Call) -> Self {
        Self { call, retryable: false, timeout: None, statuses: Vec::new() }
    }
}

/// Whose routes are written.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub namespace: &'a str,
    pub service: &'a str,
    pub port: u16,
}

/// Prints the routes. Only `--tap` needs a running mesh.
pub async fn run(global: &Global, args: &ProfileArgs) -> Result<(), Failure> {
    let tapped = args.tap.as_deref().filter(|target| !target.is_empty());
    let Some(service) = args.service.as_deref().or(tapped) else {
        return Err(Failure::argument("which Service?", "byrnie profile --tap SERVICE"));
    };
    let tapped = tapped.unwrap_or(service);
    let service = bare_name(service);
    for name in [service, args.namespace.as_str()] {
        if !byrnie_api::names::is_dns_label(name) {
            return Err(Failure::argument(
                format!("`{name}` is no name of a Service or namespace"),
                "use lower-case letters, digits and hyphens",
            ));
        }
    }
    let target = Target { namespace: &args.namespace, service, port: args.port };
    let operations = match (&args.open_api, &args.proto, &args.tap) {
        (Some(file), _, _) => read(file, openapi::operations)?,
        (_, Some(file), _) => read(file, proto::operations)?,
        (_, _, Some(_)) => tap::operations(&Context::new(global)?, args, tapped).await?,
        (None, None, None) => Vec::new(),
    };
    if operations.is_empty() {
        output::say("no operation was found: there is nothing to make routes of");
    }
    let format = args.format.unwrap_or_else(|| render::fitting(&operations));
    if format == ProfileFormat::GrpcRoute && operations.iter().any(|o| matches!(o.call, Call::Http { .. })) {
        return Err(Failure::argument(
            "not every operation is a gRPC call",
            "leave --format out, or write --format http-route",
        ));
    }
    render::remarks(&operations, format).iter().for_each(|remark| output::say(remark));
    output::data(&render::render(&operations, target, format))
}

/// Makes operations of a text; the second part is the file's name.
type Understand = fn(&str, &str) -> Result<Vec<Operation>, String>;

/// Reads a file (`-`: stdin) and understands it.
fn read(file: &Path, understand: Understand) -> Result<Vec<Operation>, Failure> {
    let name = file.display().to_string();
    let failed = |why: String| Failure::new(FILE, format!("cannot read {name}: {why}"));
    let limit = FILE_LIMIT as u64 + 1;
    let mut bytes = Vec::new();
    let result = if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    result.map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8 text".to_owned()))?;
    understand(&text, &name).map_err(failed)
}
