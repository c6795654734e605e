//! `byrnie proxy`: from the command line and from what the supervisor handed over to a running proxy.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{SystemTime, UNIX_EPOCH};

use byrnie_net::{Notifier, Spawn};
use byrnie_plan::ObjectName;
use byrnie_proxy::{ControlPlane, LogOutput, Orders, ProxyOptions, Role, Source, Successor, Supervision};

use super::{alone, coded, inherited};
use crate::cli::args::{LogStream, ProxyArgs, ProxyRole};
use crate::cli::failure::Failure;
use crate::program::Program;
use crate::supervisor::{GENERATION, RUN, WORKERS};

/// Runs a proxy until SIGTERM or SIGINT. Call it first thing, outside of any runtime.
pub fn proxy(args: ProxyArgs) -> Result<(), Failure> {
    let inherited = inherited()?;
    byrnie_net::limits::raise_descriptors().map_err(Failure::system)?;
    let notifier = Notifier::from_env().map_err(Failure::system)?;
    if let Some(admin) = args.admin.filter(|admin| !admin.ip().is_loopback()) {
        let help = "metrics and readiness are for this machine: write --admin 127.0.0.1:9901, for example";
        return Err(Failure::argument(format!("{admin} is no loopback address"), help));
    }
    let (workload, role, source) = match in_a_mesh(&args)? {
        Some(meshed) => meshed,
        None => alone::start(&args, inherited.names().next().is_some())?,
    };
    let options = ProxyOptions {
        workload,
        role,
        source,
        admin: args.admin,
        access_log: match args.access_log_to {
            LogStream::Stderr => LogOutput::Stderr,
            LogStream::Stdout => LogOutput::Stdout,
        },
        workers: workers()?,
        run: std::env::var(RUN).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        transparent: args.transparent,
        stop: tokio_util::sync::CancellationToken::new(),
        generation: generation(),
        successor: successor()?,
        orders: Orders::default(),
        log_filter: Some(crate::log_filter()),
        admin_token: args.admin_token,
    };
    byrnie_proxy::run(options, Supervision { inherited, notifier }).map_err(|error| coded(&error))
}

/// `None`: it is to be alone.
fn in_a_mesh(args: &ProxyArgs) -> Result<Option<(ObjectName, Role, Source)>, Failure> {
    let (Some(workload), Some(address), Some(trust_bundle), Some(state_dir)) =
        (&args.workload, &args.control_plane, &args.trust_bundle, &args.state_dir)
    else {
        return Ok(None);
    };
    let workload: ObjectName = workload.parse().map_err(|()| {
        Failure::argument(
            format!("{workload:?} is no NAMESPACE/NAME"),
            "write --workload shop/web-1, for example",
        )
    })?;
    let role = match args.role {
        ProxyRole::Sidecar => Role::Sidecar,
        ProxyRole::Gateway => Role::Gateway,
    };
    let control_plane = ControlPlane {
        address: address.as_str().into(),
        trust_bundle: trust_bundle.clone(),
        state_dir: state_dir.clone(),
    };
    Ok(Some((workload, role, Source::ControlPlane(control_plane))))
}

/// Given by whoever started this process, else the time: later processes of one proxy have a larger one.
fn generation() -> u64 {
    let given = std::env::var(GENERATION).ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Without our own supervisor this program starts its next process itself: the file that has its name then, with the
/// same arguments.
fn successor() -> Result<Option<Successor>, Failure> {
    if std::env::var(RUN).is_ok_and(|run| !run.is_empty()) {
        return Ok(None);
    }
    let program = Program::this().map_err(Failure::system)?;
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let notify = std::env::var_os("NOTIFY_SOCKET");
    let next = generation().saturating_add(1);
    Ok(Some(Successor(Arc::new(move |descriptors| {
        let mut what = Spawn::new(program.path(), &arguments).env(GENERATION, next.to_string());
        if let Some(notify) = &notify {
            what = what.env("NOTIFY_SOCKET", notify);
        }
        what.descriptors = descriptors;
        what.dies_with_us = false;
        let child = byrnie_net::spawn(what)?;
        child.id().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }))))
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
