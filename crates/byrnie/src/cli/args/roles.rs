//! Flags of what stays running: `demo`, `up`, `run`, and the roles that these start.

use std::ffi::OsString;
use std::net::SocketAddr;
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
    /// Capture the traffic of Workloads with a command, in network namespaces: they dial names and ports as
    /// without a mesh (root on Linux)
    #[arg(long)]
    pub transparent: bool,
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
    /// Give Services virtual addresses, for proxies that capture traffic
    #[arg(long)]
    pub transparent: bool,
}

/// `byrnie proxy`.
#[derive(Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("from").required(true).args(["listen", "config", "workload"])))]
pub struct ProxyArgs {
    /// Alone, without a mesh: listen here; without a host on every address
    #[arg(long, value_name = "[HOST]:PORT", requires = "to")]
    pub listen: Option<String>,
    /// Where the requests go: [http://]HOST:PORT, h2c:// for HTTP/2, tcp:// for bytes; may be repeated, all of a kind
    #[arg(long, value_name = "URL", requires = "listen", conflicts_with_all = ["config", "workload"])]
    pub to: Vec<String>,
    /// Alone, without a mesh: obey this file (or directory) of one Gateway, its routes, Services and Workloads;
    /// changes are taken over while it runs
    #[arg(long, value_name = "FILE|DIR")]
    pub config: Option<PathBuf>,
    /// Which requests are logged, whatever the file says: off, failed or all
    #[arg(long, value_enum, value_name = "WHICH", conflicts_with = "workload")]
    pub access_log: Option<LoggedRequests>,
    /// Where these lines go: stderr or stdout
    #[arg(long, value_enum, value_name = "STREAM", default_value_t, hide_default_value = true)]
    pub access_log_to: LogStream,
    /// Where metrics and readiness are; loopback only [default: 127.0.0.1, a port of the kernel's choice]
    #[arg(long, value_name = "IP:PORT")]
    pub admin: Option<SocketAddr>,
    /// Where the token of the admin server is written, for all but metrics and readiness [default: admin.token in the
    /// state directory]
    #[arg(long, value_name = "FILE")]
    pub admin_token: Option<PathBuf>,
    /// Whose proxy it is: NAMESPACE/NAME of a Workload, of a Gateway with --role gateway
    #[arg(long, value_name = "NAMESPACE/NAME", requires_all = ["control_plane", "trust_bundle", "state_dir"])]
    pub workload: Option<String>,
    /// Stand beside a workload, or at the edge
    #[arg(long, value_enum, default_value_t)]
    pub role: ProxyRole,
    /// Where the control plane listens
    #[arg(long, value_name = "HOST:PORT", requires = "workload")]
    pub control_plane: Option<String>,
    /// PEM file with the roots of the mesh
    #[arg(long, value_name = "FILE", requires = "workload")]
    pub trust_bundle: Option<PathBuf>,
    /// Directory for the snapshot and the list of addresses
    #[arg(long, value_name = "DIR", requires = "workload")]
    pub state_dir: Option<PathBuf>,
    /// The workload's traffic is captured: know all names, answer for them
    #[arg(long, requires = "workload")]
    pub transparent: bool,
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoggedRequests {
    /// None
    Off,
    /// Failed and denied ones
    Failed,
    /// All
    All,
}

impl LoggedRequests {
    /// As the Mesh writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Failed => "failed",
            Self::All => "all",
        }
    }
}

/// Where lines about requests go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogStream {
    /// Beside the process's own log
    #[default]
    Stderr,
    /// For pipes
    Stdout,
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
