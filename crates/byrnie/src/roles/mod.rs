//! Start-up of the roles: what each gets from its command line and from whoever started it, and its runtime.
//!
//! Knows nothing of what a role does; see `byrnie-control` and `byrnie-proxy`.

mod alone;
mod proxy;

use std::ffi::OsString;
use std::path::PathBuf;

use byrnie_control::ControlPlaneOptions;
use byrnie_net::capture::confine::{Confinement, User};
use byrnie_net::{Inherited, keeper};

use crate::cli::failure::{Failure, SYSTEM};
use crate::supervisor::{START, lock_alone};

pub use proxy::proxy;

/// The data directory's lock, as a supervisor hands it to its control plane.
pub const LOCK: &str = "lock";

/// Threads of the control plane: one compiles while the other answers.
const CONTROL_PLANE_THREADS: usize = 2;

/// What `byrnie control-plane` was asked for.
#[derive(Clone, Debug)]
pub struct ControlPlaneRole {
    /// Where everything rests; absolute.
    pub data_dir: PathBuf,
    /// The supervisor's run; absent (a control plane by itself): a fresh one, so that older addresses are void.
    pub run_id: Option<String>,
    /// Whether proxies capture traffic.
    pub transparent: bool,
}

/// Runs a control plane until SIGTERM or SIGINT. Call it first thing, outside of any runtime.
pub fn control_plane(options: ControlPlaneRole) -> Result<(), Failure> {
    let mut inherited = inherited()?;
    byrnie_net::limits::raise_descriptors().map_err(Failure::system)?;
    let supervised = inherited.remove(LOCK);
    let _lock = match &supervised {
        Some(_) => None,
        None => Some(lock_alone(&options.data_dir)?),
    };
    let options = ControlPlaneOptions {
        data_dir: options.data_dir,
        run_id: options.run_id.unwrap_or_else(|| format!("{:016x}", rand::random::<u64>())),
        xds_listener: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        transparent: options.transparent,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_PLANE_THREADS)
        .thread_name("control-plane")
        .enable_all()
        .build()
        .map_err(Failure::system)?;
    runtime.block_on(byrnie_control::run(options)).map_err(|error| coded(&error))
}

/// The error with its own code, where its words begin with one.
fn coded(error: &dyn std::error::Error) -> Failure {
    let text = error.to_string();
    match text.split_once(": ") {
        Some((code, words)) if code.starts_with("BYR") && code.len() == 7 => Failure::new(code, words),
        _ => Failure::new(SYSTEM, text),
    }
}

/// What the supervisor handed over.
fn inherited() -> Result<Inherited, Failure> {
    Inherited::take()
        .map_err(|error| Failure::new(START, format!("what was handed over cannot be used: {error}")))
}

/// The first argument that makes this program a keeper. No command of the operator, so not in the flag table.
pub const KEEPER: &str = "keeper";

/// The command that this process is to keep, when it was started as `byrnie keeper PROGRAM ARGUMENTS…`.
pub fn keeper_command(arguments: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let mut arguments = arguments.skip(1);
    (arguments.next()? == KEEPER).then(|| arguments.collect())
}

/// Runs a command as its keeper: ends everything that it started when it ends or when the supervisor is gone. Ends
/// with the command's own exit code. The supervisor hands over the lifeline.
pub fn keeper(command: &[OsString]) -> Result<(), Failure> {
    let mut inherited = inherited()?;
    let confinement = confinement(&mut inherited)?;
    let lifeline = inherited.remove(keeper::LIFELINE);
    let (Some(lifeline), Some((program, arguments))) = (lifeline, command.split_first()) else {
        return Err(Failure::new(START, "a keeper is started by `byrnie up` only"));
    };
    match keeper::run(lifeline, program, arguments, confinement).map_err(Failure::system)? {
        0 => Ok(()),
        code => Err(Failure::Quiet(code)),
    }
}

/// The sealed memory that tells a keeper who its command runs as, and in a second line what takes the place of
/// `/etc/resolv.conf`.
pub const CONFINEMENT: &str = "confinement";

/// How the keeper's command is confined; absent: not at all.
fn confinement(inherited: &mut Inherited) -> Result<Option<Confinement>, Failure> {
    const LIMIT: usize = 64 * 1024;
    let Some(namespace) = inherited.remove(byrnie_proxy::NAMESPACE) else { return Ok(None) };
    // Without a user it would run as root: rather not at all.
    let unknown = || Failure::new(START, "a command in a network namespace has no user");
    let told = inherited.remove(CONFINEMENT).ok_or_else(unknown)?;
    let told = byrnie_net::memfd::read_sealed(told, LIMIT).map_err(Failure::system)?;
    let told = String::from_utf8_lossy(&told);
    let (user, resolver) = told.split_once('\n').ok_or_else(unknown)?;
    let user = User::parse(user).ok_or_else(unknown)?;
    let confinement = Confinement::new(namespace, &user, Some(std::path::Path::new(resolver)));
    confinement.map(Some).map_err(Failure::system)
}
