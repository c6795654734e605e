//! `byrnie proxy`: from the command line and from what the supervisor handed over to a running proxy.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use byrnie_net::Notifier;
use byrnie_plan::ObjectName;
use byrnie_proxy::{ProxyOptions, Role, Supervision};

use super::{coded, inherited};
use crate::cli::args::{ProxyArgs, ProxyRole};
use crate::cli::failure::Failure;
use crate::supervisor::{RUN, WORKERS};

/// Runs a proxy until SIGTERM or SIGINT. Call it first thing, outside of any runtime.
pub fn proxy(args: ProxyArgs) -> Result<(), Failure> {
    let inherited = inherited()?;
    byrnie_net::limits::raise_descriptors().map_err(Failure::system)?;
    let notifier = Notifier::from_env().map_err(Failure::system)?;
    let workload: ObjectName = args.workload.parse().map_err(|()| {
        Failure::argument(
            format!("{:?} is no NAMESPACE/NAME", args.workload),
            "write --workload shop/web-1, for example",
        )
    })?;
    let options = ProxyOptions {
        workload,
        role: match args.role {
            ProxyRole::Sidecar => Role::Sidecar,
            ProxyRole::Gateway => Role::Gateway,
        },
        control_plane: args.control_plane.into(),
        trust_bundle: args.trust_bundle,
        state_dir: args.state_dir,
        workers: workers()?,
        run: std::env::var(RUN).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        stop: tokio_util::sync::CancellationToken::new(),
    };
    byrnie_proxy::run(options, Supervision { inherited, notifier }).map_err(|error| coded(&error))
}

/// One data-plane thread per core that this process may use, unless the environment says otherwise.
fn workers() -> Result<usize, Failure> {
    match std::env::var(WORKERS).ok().filter(|text| !text.is_empty()) {
        Some(text) => text.parse().map(NonZeroUsize::get).map_err(|_| {
            Failure::argument(format!("{WORKERS}={text} is no number above 0"), "unset it for one per core")
        }),
        None => Ok(available_parallelism().map_or(1, NonZeroUsize::get)),
    }
}
