//! `byrnie analyze`: what is wrong with files before they are applied, or with the objects of the running mesh.

use byrnie_api::{Code, Object};
use byrnie_control::api::{FindingItem, Items};
use byrnie_mesh::{Change, Compiler, Options};
use serde::Serialize;

use crate::cli::args::{AnalyzeArgs, Global, ReportFormat, Threshold};
use crate::cli::failure::{Failure, Report};
use crate::cli::files::{self, Reading};
use crate::cli::{Context, objects};
use crate::output;
use crate::output::style::{Tone, stdout};

/// A finding, and where it stands.
struct Said {
    item: FindingItem,
    report: Report,
}

/// A finding as JSON has it: what it is about, what follows from it, what to do.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    item: &'a FindingItem,
    /// What it means for traffic.
    consequence: &'a str,
}

/// Prints the findings. Those of `--failure-threshold` and above make the exit code 1.
pub async fn run(global: &Global, args: &AnalyzeArgs) -> Result<(), Failure> {
    if let Some(code) = &args.explain {
        return explain(code);
    }
    let (mut said, about) = if args.files.is_empty() {
        (live(&Context::new(global)?).await?, "the running mesh")
    } else {
        (in_files(&files::look(&args.files, args.namespace.as_deref())?)?, "the files")
    };
    if let (Some(namespace), true) = (&args.namespace, args.files.is_empty()) {
        said.retain(|said| said.item.namespace == *namespace);
    }
    if args.output == ReportFormat::Json {
        output::json(&Items { items: said.iter().map(told).collect() })?;
    } else {
        output::data(&text(&said, about))?;
    }
    let fails = said.iter().any(|said| args.failure_threshold.includes(&said.item.severity));
    if fails { Err(Failure::Quiet(1)) } else { Ok(()) }
}

fn told(said: &Said) -> Told<'_> {
    Told { item: &said.item, consequence: consequence(&said.item.code) }
}

/// The reference page of one code.
fn explain(text: &str) -> Result<(), Failure> {
    let code = Code::parse(&text.to_ascii_uppercase());
    match code.and_then(byrnie_api::code_page) {
        Some(page) => output::data(&page),
        None => Err(Failure::argument(
            format!("there is no code `{text}`"),
            "codes look like BYR0181; docs/errors.md has all of them",
        )),
    }
}

/// What the control plane says, and what is odd about its objects as a whole.
async fn live(context: &Context) -> Result<Vec<Said>, Failure> {
    let list = context.client.findings().await.map_err(|body| context.refused(body))?;
    let analyzed = compiler(objects::live(context).await?).analyze();
    let items = list.items.into_iter().chain(analyzed.iter().map(item));
    Ok(items.map(|item| Said { report: report(&item, None), item }).collect())
}

/// What the reader says, then what the compiler says when these objects are all there is.
fn in_files(reading: &Reading) -> Result<Vec<Said>, Failure> {
    let compiler = compiler(objects::of(&reading.documents)?);
    let read = reading.findings.iter().map(|finding| {
        let item = item(finding);
        let notes = vec![consequence(&item.code).to_owned()];
        Said { report: Report { notes, ..files::report(finding) }, item }
    });
    let analyzed = compiler.analyze();
    let compiled = compiler.findings().chain(&analyzed).map(|finding| {
        let item = item(finding);
        Said { report: report(&item, files::place(&reading.documents, &item)), item }
    });
    Ok(read.chain(compiled).collect())
}

fn compiler(objects: Vec<Object>) -> Compiler {
    let mut compiler = Compiler::new(Options::default());
    let changes: Vec<Change> = objects.into_iter().map(Change::Applied).collect();
    compiler.apply(&changes);
    compiler
}

fn report(item: &FindingItem, place: Option<String>) -> Report {
    Report { notes: vec![consequence(&item.code).to_owned()], ..Report::finding(item, place) }
}

/// What the code means wherever it is said.
fn consequence(code: &str) -> &'static str {
    Code::parse(code).and_then(Code::info).map_or("", |info| info.meaning)
}

fn item(finding: &byrnie_api::Finding) -> FindingItem {
    let key = finding.object.as_ref();
    FindingItem {
        code: finding.code.to_string(),
        severity: finding.severity.to_string(),
        kind: key.map(|key| key.kind.name().to_owned()).unwrap_or_default(),
        namespace: key.map(|key| key.namespace.clone()).unwrap_or_default(),
        name: key.map(|key| key.name.clone()).unwrap_or_default(),
        path: finding.field.clone(),
        message: finding.message.clone(),
        remedy: finding.remedy.clone(),
        index: None,
    }
}

impl Threshold {
    fn includes(self, severity: &str) -> bool {
        match self {
            Self::Error => severity == "error",
            Self::Warning => severity != "info",
            Self::Info => true,
        }
    }
}

fn text(said: &[Said], about: &str) -> String {
    if said.is_empty() {
        return format!("{} nothing to say about {about}\n", stdout(Tone::Good, "√"));
    }
    let mut text: String = said.iter().map(|said| said.report.render(&said.item.severity, stdout)).collect();
    let count = |severity: &str| said.iter().filter(|said| said.item.severity == severity).count();
    let (errors, warnings) = (count("error"), count("warning"));
    text.push_str(&format!("\n{errors} errors, {warnings} warnings about {about}\n"));
    text
}
