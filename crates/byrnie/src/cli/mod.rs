//! The command line: grammar, and one module per command.
//!
//! A command reads its arguments, asks the control plane's API and prints. Nothing here decides anything about
//! traffic, objects or identities.

pub mod args;
pub mod failure;
pub mod mesh;
pub mod value;

mod analyze;
pub mod apply;
mod check;
mod columns;
mod delete;
mod describe;
mod edges;
pub mod files;
mod get;
mod manual;
mod objects;
mod profile;
mod proxy_status;
mod routes;
mod start;
pub mod stat;
mod tap;
mod top;
mod version;
mod why;

use std::future::Future;

use byrnie_control::api::ErrorBody;
use byrnie_control::client::Client;

use args::{Cli, Command};
use failure::{Failure, NOT_RUNNING, SYSTEM};
use mesh::MeshDir;

/// What the commands of the operator share: the mesh that is meant, and its API.
#[derive(Clone, Debug)]
pub struct Context {
    /// The data directory.
    pub mesh: MeshDir,
    /// Speaks to its control plane.
    pub client: Client,
}

impl Context {
    fn new(global: &args::Global) -> Result<Self, Failure> {
        let mesh = MeshDir::of_running(global)?;
        let client = Client::new(mesh.path.clone());
        Ok(Self { mesh, client })
    }

    /// A refusal of the API as a failure of the command.
    pub fn refused(&self, body: ErrorBody) -> Failure {
        if body.code == NOT_RUNNING { self.mesh.not_running() } else { Failure::from(body) }
    }

    /// Says on stderr which mesh a command is about to change.
    pub fn say_which(&self) {
        crate::output::say(&format!("mesh: {}", self.mesh.path.display()));
    }
}

/// Runs a command to its end.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let global = &cli.global;
    match cli.command {
        Command::Completion(args) => manual::completion(&args),
        Command::Man(args) => manual::man(&args),
        Command::Apply(args) => block_on(apply::run(&Context::new(global)?, &args)),
        Command::Get(args) => block_on(get::run(&Context::new(global)?, &args)),
        Command::Describe(args) => block_on(describe::run(&Context::new(global)?, &args)),
        Command::Delete(args) => block_on(delete::run(&Context::new(global)?, &args)),
        Command::Check(args) => block_on(check::run(&Context::new(global)?, &args)),
        Command::Stat(args) => block_on(stat::run(&Context::new(global)?, &args)),
        Command::Routes(args) => block_on(routes::run(&Context::new(global)?, &args)),
        Command::Edges(args) => block_on(edges::run(&Context::new(global)?, &args)),
        Command::Tap(args) => block_on(tap::run(&Context::new(global)?, &args)),
        Command::Top(args) => block_on(top::run(&Context::new(global)?, &args)),
        Command::ProxyStatus(args) => block_on(proxy_status::run(&Context::new(global)?, &args)),
        Command::Profile(args) => block_on(profile::run(global, &args)),
        Command::Why(args) => block_on(why::run(global, &args)),
        Command::Version(args) => block_on(version::run(&Context::new(global)?, &args)),
        Command::Analyze(args) => block_on(analyze::run(global, &args)),
        Command::Demo(_) => start::demo(global),
        Command::Up(args) => start::up(global, args),
        Command::Run(args) => start::run(global, args),
        Command::ControlPlane(args) => start::control_plane(global, args),
        Command::DemoApp(args) => start::demo_app(args),
        Command::Proxy(args) => start::proxy(args),
    }
}

/// The operator's commands do one thing at a time: one thread is enough.
fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(SYSTEM, format!("starting the runtime: {error}")))?;
    let result = runtime.block_on(work);
    // A thread that still connects to a stopped control plane must not hold up the exit.
    runtime.shutdown_background();
    result
}
