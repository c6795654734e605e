//! `byrnie`, a service mesh in one binary: control plane, proxy, gateway and the operator's commands.
//!
//! Reads the command line, starts the log and hands over to the command or role. Knows how nothing works inside.

mod cli;
mod demo_app;
mod output;
mod program;
mod roles;
mod supervisor;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use clap::Parser;

use cli::args::{Cli, Command};
use cli::failure::Failure;

#[global_allocator]
static ALLOCATOR: byrnie_net::profile::heap::Allocator = byrnie_net::profile::heap::Allocator;

fn main() -> ExitCode {
    // A keeper stands beside each command: it begins before anything is read or allocated, to stay small.
    let result = match roles::keeper_command(std::env::args_os()) {
        Some(command) => roles::keeper(&command),
        None => {
            let cli = Cli::parse();
            start_log(&cli);
            cli::run(cli)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Quiet(code)) => ExitCode::from(code),
        Err(Failure::Told(report)) => {
            output::tell(&report, "error");
            ExitCode::FAILURE
        }
    }
}

/// Roles log what they do; a command speaks for itself and logs only what goes wrong underneath.
fn start_log(cli: &Cli) {
    let role = matches!(
        cli.command,
        Command::ControlPlane(_)
            | Command::Proxy(_)
            | Command::DemoApp(_)
            | Command::Up(_)
            | Command::Demo(_)
    );
    let filter = cli.global.log.as_deref().filter(|text| !text.is_empty());
    let filter = filter.unwrap_or(if role { "info" } else { "error" });
    let text = filter.to_owned();
    let filter = tracing_subscriber::EnvFilter::builder().parse_lossy(filter);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(output::style::on_stderr())
        .with_target(false)
        .with_writer(std::io::stderr)
        .with_filter_reloading();
    let handle = builder.reload_handle();
    builder.init();
    let set = move |text: &str| {
        let filter =
            tracing_subscriber::EnvFilter::builder().parse(text).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    };
    let _ = LOG.set((Mutex::new(text), Box::new(set)));
}

type SetFilter = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The log's filter as it is, and how to set it.
static LOG: OnceLock<(Mutex<String>, SetFilter)> = OnceLock::new();

/// For roles that let an operator change it while they run.
fn log_filter() -> byrnie_proxy::LogFilter {
    let get = || LOG.get().map(|(text, _)| text.lock().unwrap_or_else(PoisonError::into_inner).clone());
    let set = |new: &str| {
        let Some((text, set)) = LOG.get() else { return Err("there is no log".to_owned()) };
        set(new)?;
        new.clone_into(&mut text.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    };
    byrnie_proxy::LogFilter { get: Arc::new(move || get().unwrap_or_default()), set: Arc::new(set) }
}
