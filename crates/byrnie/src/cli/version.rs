//! `byrnie version`: this program, and the control plane that runs.

use byrnie_control::api::VersionInfo;
use serde::Serialize;

use crate::cli::Context;
use crate::cli::args::{ReportFormat, VersionArgs};
use crate::cli::failure::{Failure, NOT_RUNNING};
use crate::output;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    server: Option<VersionInfo>,
}

/// Prints both versions; no running mesh is no failure.
pub async fn run(context: &Context, args: &VersionArgs) -> Result<(), Failure> {
    let server = if args.client {
        None
    } else {
        match context.client.version().await {
            Ok(info) => Some(info),
            Err(body) if body.code == NOT_RUNNING => None,
            Err(body) => return Err(context.refused(body)),
        }
    };
    if args.output == ReportFormat::Json {
        return output::json(&Versions { client: VERSION, server });
    }
    let mut text = format!("Client version: {VERSION}\n");
    match &server {
        Some(info) => {
            text.push_str(&format!("Server version: {}\n", info.version));
            if args.output == ReportFormat::Wide {
                text.push_str(&format!("Server pid: {}\n", info.pid));
                text.push_str(&format!(
                    "Trust domain: {}\nData directory: {}\n",
                    info.trust_domain, info.data_dir
                ));
            }
        }
        None if args.client => {}
        None => text.push_str("Server version: unavailable (no mesh is running here)\n"),
    }
    output::data(&text)
}
