//! `up`, `demo` and `run`: starts the control plane, the proxies, the gateways and the Workloads' commands, each as a
//! process of its own, keeps them running, and ends them in order.
//!
//! Everything runs on one thread, the main one: the kernel kills our children when the thread that started them ends.
//! Knows objects only as far as they ask for processes ([`desired`]); never looks at traffic.

mod applying;
mod backoff;
mod command;
mod demo;
mod desired;
mod environment;
mod ground;
mod home;
mod lines;
mod role;
mod run;
mod shared;
mod show;
mod stop;
mod units;
mod users;
mod watch;

use std::path::PathBuf;
use std::rc::Rc;

use applying::Batch;
use byrnie_net::NotifyServer;
use tokio::task::LocalSet;

use crate::cli::failure::Failure;
use home::{Home, Lock};
use shared::Shared;
use stop::Signals;
use units::Units;

pub use applying::annotate_directory;
pub use demo::{DemoOptions, demo};
pub use home::lock_alone;
pub use run::{RunOptions, run_one};
pub use shared::{RUN, WORKERS};

/// A child cannot be started or does not come up.
pub const START: &str = "BYR0490";
/// Another supervisor holds the data directory.
pub const LOCKED: &str = "BYR0491";
/// `run` names a Workload that is not there, or that is in several namespaces.
pub const WORKLOAD: &str = "BYR0492";
/// The Workload's proxy does not get ready.
pub const PROXY_NOT_READY: &str = "BYR0493";

/// What `byrnie up` was asked for.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// Where the mesh's state lives; absolute.
    pub data_dir: PathBuf,
    /// Files and directories to apply, in order; `-` is standard input. Empty: start what the store holds.
    pub files: Vec<PathBuf>,
    /// Remove what an earlier `up` of the same path created and the path no longer names.
    pub prune: bool,
    /// Capture the traffic of Workloads with a command, in network namespaces.
    pub transparent: bool,
}

/// Starts a mesh and keeps it running until a signal (SIGINT, SIGTERM) ends it; against a running mesh applies the
/// files and returns. Call it on the main thread, outside of any runtime.
pub fn up(options: &UpOptions) -> Result<(), Failure> {
    if options.transparent {
        ground::possible()?;
    }
    let batches = applying::read(&options.files)?;
    on_this_thread(async {
        match Home::open(&options.data_dir).await? {
            Lock::Ours(home) => {
                let extra = Extra { transparent: options.transparent, ..Extra::default() };
                serve(home, &batches, options.prune, extra).await
            }
            Lock::RunningMesh(client) => {
                if options.transparent {
                    crate::output::say(
                        "--transparent is for the start of a mesh; the one that runs stays as it is",
                    );
                }
                applying::into_running(&client, &batches, options.prune).await
            }
        }
    })
}

fn on_this_thread(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::system)?;
    let result = runtime.block_on(LocalSet::new().run_until(work));
    runtime.shutdown_background();
    result
}

/// What the demo wants beside what `up` does.
#[derive(Debug, Default)]
struct Extra {
    /// Said once everything is applied.
    greeting: Vec<String>,
    /// `BYRNIE_PROXY_WORKERS`, where the environment does not say it.
    proxy_workers: Option<u32>,
    /// Capture the traffic of Workloads with a command.
    transparent: bool,
    /// Kind, namespace and name of objects that are removed if they are there.
    forget: Vec<(&'static str, &'static str, &'static str)>,
}

/// Runs the mesh of this directory until a signal.
async fn serve(home: Home, batches: &[Batch], prune: bool, extra: Extra) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(Failure::system)?;
    byrnie_net::process::adopt_orphans().map_err(Failure::system)?;
    // A mesh on one machine is many small processes. Where the kernel has no such pages, there is nothing to forbid.
    let _ = byrnie_net::limits::large_pages(false);
    // We keep the sockets of every proxy.
    byrnie_net::limits::raise_descriptors().map_err(Failure::system)?;
    let notify = NotifyServer::bind(&home.notify_socket()).map_err(Failure::system)?;
    let shared = Rc::new(Shared::new(home, extra.proxy_workers, extra.transparent)?);
    let listening = tokio::task::spawn_local(shared::listen(Rc::clone(&shared), notify));
    let control_plane = role::start_control_plane(&shared);
    let units = Units::default();
    let running = async {
        if !control_plane.ready().await {
            return Err(Failure::new(START, "the control plane does not start")
                .help(format!("see {}", shared.home.control_plane_log().display())));
        }
        applying::apply_all(&shared.client, batches, prune).await?;
        for (kind, namespace, name) in extra.forget {
            // Mostly it is not there, and that is well.
            let _ = shared.client.delete(kind, namespace, name).await;
        }
        extra.greeting.iter().for_each(|line| shared.screen.line(line));
        tokio::task::spawn_local(home::keep_logs_short(shared.home.path.clone()));
        tokio::task::spawn_local(show::live_table(Rc::clone(&shared)));
        watch::reconcile(&shared, &units).await
    };
    let result = tokio::select! {
        result = running => result,
        () = signals.next() => Ok(()),
    };
    // Whoever presses Ctrl-C again does not want to wait: the kernel and the keepers end what is left.
    tokio::select! {
        () = stop::in_order(&shared, &units, control_plane) => {}
        () = signals.next() => shared.screen.line("stopped at once"),
    }
    listening.abort();
    result
}
