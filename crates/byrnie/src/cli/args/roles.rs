//! Flags of what stays running: `demo`, `up`, `run`, and the roles that these start.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `byrnie demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {}

/// `byrnie up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// File of YAML or JSON documents, or directory of such files; may be repeated [default: what the store holds]
    #[arg(short, long = "filename", value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// Remove what an earlier `up` of the same path created and the file no longer names
    #[arg(long)]
    pub prune: bool,
}

/// `byrnie run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The Workload that the process is: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub workload: String,
    /// Namespace of the Workload [default: the one namespace that has it]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `byrnie control-plane`.
#[derive(Args, Debug)]
pub struct ControlPlaneArgs {
    /// Names the supervisor's run; mesh addresses that proxies reported in another run are void
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
}

/// `byrnie proxy`.
#[derive(Args, Debug)]
pub struct ProxyArgs {
    /// Whose proxy it is: NAMESPACE/NAME of a Workload, of a Gateway with --role gateway
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub workload: String,
    /// Stand beside a workload, or at the edge
    #[arg(long, value_enum, default_value_t)]
    pub role: ProxyRole,
    /// Where the control plane listens
    #[arg(long, value_name = "HOST:PORT")]
    pub control_plane: String,
    /// PEM file with the roots of the mesh
    #[arg(long, value_name = "FILE")]
    pub trust_bundle: PathBuf,
    /// Directory for the snapshot and the list of addresses
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
}

/// Where a proxy stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProxyRole {
    /// Beside one workload
    #[default]
    Sidecar,
    /// At the edge, with the listeners of a Gateway
    Gateway,
}

/// `byrnie demo-app`.
#[derive(Args, Debug)]
pub struct DemoAppArgs {
    /// Which service of the sample application
    #[arg(value_name = "SERVICE")]
    pub service: String,
    /// The service's own options
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub args: Vec<String>,
}
