//! `up`, `demo`, `run` and the roles: from their arguments to what runs them.

use crate::cli::args::{ControlPlaneArgs, DemoAppArgs, Global, ProxyArgs, RunArgs, UpArgs};
use crate::cli::failure::Failure;
use crate::cli::mesh::MeshDir;
use crate::demo_app::{self, DemoAppOptions};
use crate::roles::{self, ControlPlaneRole};
use crate::supervisor::{self, DemoOptions, RunOptions, UpOptions};

/// `byrnie up`.
pub fn up(global: &Global, args: UpArgs) -> Result<(), Failure> {
    let data_dir = MeshDir::find(global)?.path;
    supervisor::up(&UpOptions {
        data_dir,
        files: args.files,
        prune: args.prune,
        transparent: args.transparent,
    })
}

/// `byrnie demo`: in a directory of its own unless one is named.
pub fn demo(global: &Global) -> Result<(), Failure> {
    let data_dir = MeshDir::of_demo(global)?.path;
    supervisor::demo(&DemoOptions { data_dir })
}

/// `byrnie run`.
pub fn run(global: &Global, args: RunArgs) -> Result<(), Failure> {
    supervisor::run_one(&RunOptions {
        data_dir: MeshDir::of_running(global)?.path,
        workload: args.workload,
        namespace: args.namespace,
        command: args.command,
    })
}

/// `byrnie control-plane`.
pub fn control_plane(global: &Global, args: ControlPlaneArgs) -> Result<(), Failure> {
    let data_dir = MeshDir::find(global)?.path;
    roles::control_plane(ControlPlaneRole { data_dir, run_id: args.run_id, transparent: args.transparent })
}

/// `byrnie proxy`.
pub fn proxy(args: ProxyArgs) -> Result<(), Failure> {
    roles::proxy(args)
}

/// `byrnie demo-app`.
pub fn demo_app(args: DemoAppArgs) -> Result<(), Failure> {
    demo_app::run(&DemoAppOptions { service: args.service, args: args.args })
}
