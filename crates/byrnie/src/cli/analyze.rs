//! `byrnie analyze`: what is wrong with files before they are applied, or with the objects of the running mesh.

use byrnie_api::Object;
use byrnie_control::api::{FindingItem, Items};
use byrnie_mesh::{Change, Compiler, Options};

use crate::cli::Context;
use crate::cli::args::{AnalyzeArgs, ReportFormat};
use crate::cli::failure::{Failure, Report};
use crate::cli::files::{self, Reading};
use crate::output;
use crate::output::style::{Tone, stdout};

/// A finding, and where it stands.
struct Said {
    item: FindingItem,
    report: Report,
}

/// Prints the findings. Errors make the exit code 1, warnings do not.
pub async fn run(context: &Context, args: &AnalyzeArgs) -> Result<(), Failure> {
    let (mut said, about) = if args.files.is_empty() {
        (live(context).await?, "the running mesh")
    } else {
        (in_files(&files::look(&args.files, args.namespace.as_deref())?)?, "the files")
    };
    if let (Some(namespace), true) = (&args.namespace, args.files.is_empty()) {
        said.retain(|said| said.item.namespace == *namespace);
    }
    if args.output == ReportFormat::Json {
        output::json(&Items { items: said.iter().map(|said| &said.item).collect() })?;
    } else {
        output::data(&text(&said, about))?;
    }
    if said.iter().any(|said| said.item.severity == "error") { Err(Failure::Quiet(1)) } else { Ok(()) }
}

async fn live(context: &Context) -> Result<Vec<Said>, Failure> {
    let list = context.client.findings().await.map_err(|body| context.refused(body))?;
    Ok(list.items.into_iter().map(|item| Said { report: Report::finding(&item, None), item }).collect())
}

/// What the reader says, then what the compiler says when these objects are all there is.
fn in_files(reading: &Reading) -> Result<Vec<Said>, Failure> {
    let mut compiler = Compiler::new(Options::default());
    let mut changes = Vec::new();
    for document in &reading.documents {
        let object = Object::from_value(document.object.clone()).map_err(Failure::system)?;
        changes.push(Change::Applied(object));
    }
    compiler.apply(&changes);
    let read =
        reading.findings.iter().map(|finding| Said { item: item(finding), report: files::report(finding) });
    let compiled = compiler.findings().map(|finding| {
        let item = item(finding);
        Said { report: Report::finding(&item, files::place(&reading.documents, &item)), item }
    });
    Ok(read.chain(compiled).collect())
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
