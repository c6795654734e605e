//! The one table of commands and flags: parser, help, man pages, completions and docs/cli.md all come from it.

mod objects;
mod profile;
mod roles;
mod sight;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use objects::{
    AnalyzeArgs, ApplyArgs, CheckArgs, DeleteArgs, DescribeArgs, GetArgs, SelectArgs, Threshold,
};
pub use profile::{ProfileArgs, ProfileFormat};
pub use roles::{
    ControlPlaneArgs, DemoAppArgs, DemoArgs, LogStream, LoggedRequests, ProxyArgs, ProxyRole, RunArgs, UpArgs,
};
pub use sight::{
    ConfigFormat, EdgesArgs, ProxyConfigArgs, ProxySection, ProxyStatusArgs, RestartArgs, RoutesArgs,
    StatArgs, TapArgs, TapFilter, TopArgs, WhyArgs,
};

/// Byrnie, a service mesh in one binary.
///
/// Every workload gets a proxy; the proxies encrypt, authenticate, route, balance, retry and measure all traffic
/// between services. `byrnie demo` starts a whole mesh with a sample application; `byrnie up -f FILE` starts yours.
#[derive(Debug, Parser)]
#[command(name = "byrnie", version, propagate_version = false, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// Directory that holds the mesh's state; says which mesh is meant [default: ~/.local/share/byrnie]
    #[arg(long, env = "BYRNIE_DATA_DIR", hide_env_values = true, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What goes to the log on stderr: error, warn, info, debug, or module=level,…
    #[arg(long, env = "BYRNIE_LOG", hide_env_values = true, global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

/// Everything that `byrnie` does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a mesh with a sample application under load, and show it
    #[command(display_order = 1)]
    Demo(DemoArgs),
    /// Start a mesh from files, in the foreground; against a running mesh: apply them
    #[command(display_order = 2)]
    Up(UpArgs),
    /// Add one process to the running mesh
    #[command(display_order = 3)]
    Run(RunArgs),
    /// Create or change objects from files
    #[command(display_order = 10)]
    Apply(ApplyArgs),
    /// List objects, or proxies
    #[command(display_order = 11)]
    Get(GetArgs),
    /// Show one object in words: its fields, its conditions, its findings
    #[command(display_order = 12)]
    Describe(DescribeArgs),
    /// Delete objects
    #[command(display_order = 13)]
    Delete(DeleteArgs),
    /// Check this machine, and the running mesh
    #[command(display_order = 20)]
    Check(CheckArgs),
    /// Say what is wrong with files before they are applied, or with the objects of the running mesh
    #[command(display_order = 21)]
    Analyze(AnalyzeArgs),
    /// Write routes of a Service: from OpenAPI, from protobuf, or from requests as they happen
    #[command(display_order = 22)]
    Profile(ProfileArgs),
    /// Success rate, requests per second and latency of services or workloads
    #[command(display_order = 30)]
    Stat(StatArgs),
    /// Success rate, requests per second and latency of each route
    #[command(display_order = 31)]
    Routes(RoutesArgs),
    /// Who calls whom, and whether it is secured
    #[command(display_order = 32)]
    Edges(EdgesArgs),
    /// Show requests as they happen
    #[command(display_order = 33)]
    Tap(TapArgs),
    /// Show the busiest paths as they happen
    #[command(display_order = 34)]
    Top(TopArgs),
    /// Whether each proxy obeys the latest state
    #[command(display_order = 35)]
    ProxyStatus(ProxyStatusArgs),
    /// What a proxy has: listeners, routes, endpoints, pools, certificates, policy, connections, settings
    #[command(display_order = 35)]
    ProxyConfig(ProxyConfigArgs),
    /// Replace a proxy's process by a new one, without a failed request: proxy/NAME or gateway/NAME
    #[command(display_order = 14)]
    Restart(RestartArgs),
    /// What would happen to a request from SRC to DST, and which rule decides
    #[command(display_order = 36)]
    Why(WhyArgs),
    /// Version of this program and of the running control plane
    #[command(display_order = 40)]
    Version(VersionArgs),
    /// Print the completion script of a shell
    #[command(display_order = 41)]
    Completion(CompletionArgs),
    /// Print the manual page, or write one page per command
    #[command(display_order = 42)]
    Man(ManArgs),
    /// Role: the control plane of a mesh (started by `up`, or by systemd)
    #[command(display_order = 50)]
    ControlPlane(ControlPlaneArgs),
    /// A proxy: alone with --listen and --to or with --config; else of one workload or Gateway of a mesh (started by
    /// `up`, or by systemd)
    #[command(display_order = 51)]
    Proxy(ProxyArgs),
    /// Role: one service of the sample application
    #[command(display_order = 52)]
    DemoApp(DemoAppArgs),
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// More columns
    Wide,
    /// One JSON document
    Json,
    /// YAML documents
    Yaml,
    /// KIND/NAME, one a line
    Name,
}

/// `-o` where only a table or JSON makes sense.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    #[default]
    Table,
    /// For people, more of it
    Wide,
    /// For programs
    Json,
}

/// `byrnie version`.
#[derive(Args, Debug)]
pub struct VersionArgs {
    /// Do not ask the running control plane
    #[arg(long)]
    pub client: bool,
    /// Output: table or json
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub output: ReportFormat,
}

/// `byrnie completion`.
#[derive(Args, Debug)]
pub struct CompletionArgs {
    /// Which shell
    pub shell: clap_complete::Shell,
}

/// `byrnie man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Write byrnie.1, byrnie-apply.1, … into this directory instead
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Print the reference page in Markdown instead
    #[arg(long, hide = true, conflicts_with = "dir")]
    pub markdown: bool,
    /// Print the page of error codes in Markdown instead
    #[arg(long, hide = true, conflicts_with_all = ["dir", "markdown"])]
    pub errors: bool,
}
