//! Flags of the commands that read and write objects.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Format, ReportFormat};
use crate::cli::value::duration;

/// Which namespace a command means. Without either flag: all of them.
#[derive(Args, Clone, Debug, Default)]
pub struct Scope {
    /// Only this namespace [default: all]
    #[arg(short, long, value_name = "NAMESPACE", conflicts_with = "all_namespaces")]
    pub namespace: Option<String>,
    /// All namespaces; what happens without -n, too
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

/// Which objects a command means, as kubectl writes it.
#[derive(Args, Clone, Debug)]
pub struct ResourceArgs {
    /// KIND, KIND NAME… or KIND/NAME…: `workloads`, `svc web`, `httproute/front`
    #[arg(required = true, value_name = "KIND[/NAME]")]
    pub kind: String,
    /// Names; none means all
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// Narrowing of a list.
#[derive(Args, Clone, Debug, Default)]
pub struct SelectArgs {
    /// Namespace.
    #[command(flatten)]
    pub scope: Scope,
    /// Only objects with these labels: `app=web,version!=v2`, `tier in (a,b)`
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
}

/// `byrnie apply`.
#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// File of YAML or JSON documents, directory of such files, or - for stdin; may be repeated
    #[arg(short, long = "filename", required = true, value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// Namespace of objects that name none [default: default]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Return only when every subscribed proxy obeys the change
    #[arg(long)]
    pub wait: bool,
    /// How long --wait waits: 500ms, 30s, 2m
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "DURATION")]
    pub timeout: Duration,
    /// Say what would happen, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `byrnie get`.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// What to list.
    #[command(flatten)]
    pub resource: ResourceArgs,
    /// Which of them.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Output: table, wide, json, yaml or name
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub output: Format,
    /// After the list, print every change as it happens
    #[arg(short, long)]
    pub watch: bool,
}

/// `byrnie describe`.
#[derive(Args, Debug)]
pub struct DescribeArgs {
    /// What to describe.
    #[command(flatten)]
    pub resource: ResourceArgs,
    /// Which of them.
    #[command(flatten)]
    pub select: SelectArgs,
}

/// `byrnie delete`.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// KIND NAME… or KIND/NAME…
    #[arg(required_unless_present = "files", conflicts_with = "files", value_name = "KIND[/NAME]")]
    pub kind: Option<String>,
    /// Names
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Delete what these files name
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// Namespace of the objects [default: the one namespace that has them; in files: default]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// It is no error when the object is not there
    #[arg(long)]
    pub ignore_not_found: bool,
}

/// `byrnie check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Only what must hold before a mesh is started here
    #[arg(long)]
    pub pre: bool,
    /// Output: table or json
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub output: ReportFormat,
}

/// From where on findings are a failure of `byrnie analyze`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Threshold {
    /// What is refused or not in force
    #[default]
    Error,
    /// What works, but hardly as meant
    Warning,
    /// What is good to know
    Info,
}

/// `byrnie analyze`.
#[derive(Args, Debug)]
pub struct AnalyzeArgs {
    /// Files to analyze instead of the running mesh; may be repeated
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// Print the page of one code instead: what it means, what to do, an example
    #[arg(long, value_name = "CODE", conflicts_with_all = ["files", "namespace"])]
    pub explain: Option<String>,
    /// Findings that make the exit code 1: those of this severity and above
    #[arg(long, value_enum, default_value_t, value_name = "SEVERITY")]
    pub failure_threshold: Threshold,
    /// Only findings about objects of this namespace; with -f: of objects that name none, too
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Output: table or json
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub output: ReportFormat,
}
