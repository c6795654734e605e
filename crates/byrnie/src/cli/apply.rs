//! `byrnie apply`: create or change objects from files.

use byrnie_control::api::{
    ApplyAction, ApplyRequest, ApplyResponse, ErrorBody, WaitRequest, WaitResponse, WaitingProxy,
};

use crate::cli::Context;
use crate::cli::args::ApplyArgs;
use crate::cli::failure::{Failure, NOT_SYNCED, Report};
use crate::cli::files::{self, Document};
use crate::output;
use crate::output::progress::during;

/// Reads the files, applies them as one batch, and with `--wait` returns when every proxy obeys.
pub async fn run(context: &Context, args: &ApplyArgs) -> Result<(), Failure> {
    let mut documents = files::read(&args.files, args.namespace.as_deref())?;
    crate::supervisor::annotate_directory(&mut documents)?;
    context.say_which();
    let request = ApplyRequest {
        objects: documents.iter().map(|document| document.object.clone()).collect(),
        source: None,
        prune: false,
        dry_run: args.dry_run,
    };
    let response = match during("applying", context.client.apply(&request)).await {
        Ok(response) => response,
        Err(body) => return Err(refused(context, body, &documents)),
    };
    report(&response, &documents, args.dry_run)?;
    if !args.wait || args.dry_run {
        return Ok(());
    }
    let timeout_ms = u64::try_from(args.timeout.as_millis()).unwrap_or(u64::MAX);
    let request = WaitRequest { timeout_ms: Some(timeout_ms), proxies: Vec::new() };
    let waited = during("waiting for the proxies", context.client.wait(&request)).await;
    synced(&waited.map_err(|body| context.refused(body))?)
}

/// Prints what happened to each object, and the warnings about them.
pub fn report(response: &ApplyResponse, documents: &[Document], dry_run: bool) -> Result<(), Failure> {
    for finding in response.findings.iter().filter(|finding| !files::is_told(finding)) {
        output::tell(&Report::finding(finding, files::place(documents, finding)), &finding.severity);
    }
    let suffix = if dry_run { " (dry run)" } else { "" };
    let mut text = String::new();
    for result in &response.results {
        let name = files::lower_name(&result.kind, &result.namespace, &result.name);
        text.push_str(&format!("{name} {}{suffix}\n", word(result.action)));
    }
    output::data(&text)
}

/// Tells each finding of a refused batch with its file and line; then the batch's own failure is left to the caller.
pub fn refused(context: &Context, mut body: ErrorBody, documents: &[Document]) -> Failure {
    for finding in std::mem::take(&mut body.findings) {
        output::tell(&Report::finding(&finding, files::place(documents, &finding)), &finding.severity);
    }
    context.refused(body)
}

fn word(action: ApplyAction) -> &'static str {
    match action {
        ApplyAction::Created => "created",
        ApplyAction::Configured => "configured",
        ApplyAction::Unchanged => "unchanged",
        ApplyAction::Pruned => "pruned",
        ApplyAction::Refused => "refused",
    }
}

fn synced(response: &WaitResponse) -> Result<(), Failure> {
    if response.rejected.is_empty() && response.pending.is_empty() {
        output::say(&format!("{} proxies obey it after {} ms", response.synced, response.waited_ms));
        return Ok(());
    }
    let line = |proxy: &WaitingProxy, word: &str| {
        let resource = if proxy.resource.is_empty() { "is not connected" } else { &proxy.resource };
        let reason = if proxy.reason.is_empty() { String::new() } else { format!(": {}", proxy.reason) };
        format!("{}/{} {word} {resource}{reason}", proxy.namespace, proxy.workload)
    };
    let message = format!(
        "applied, but {} proxies refuse it and {} have not answered in {} ms",
        response.rejected.len(),
        response.pending.len(),
        response.waited_ms
    );
    let mut failure = Failure::new(NOT_SYNCED, message);
    for proxy in &response.rejected {
        failure = failure.at(line(proxy, "refused"));
    }
    for proxy in &response.pending {
        failure = failure.at(line(proxy, "has not answered:"));
    }
    Err(failure.help("`byrnie proxy-status` shows what each proxy holds; the last good state stays in force"))
}
