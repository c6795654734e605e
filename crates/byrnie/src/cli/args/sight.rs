//! Flags of the commands that show what is going on.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::ReportFormat;
use super::objects::Scope;
use crate::cli::value::{duration, header};

/// `byrnie stat`.
#[derive(Args, Debug)]
pub struct StatArgs {
    /// `services`, `workloads` or `gateways`, or one of them: `svc/web` [default: services and gateways]
    #[arg(value_name = "KIND[/NAME]")]
    pub kind: Option<String>,
    /// One name
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Namespace.
    #[command(flatten)]
    pub scope: Scope,
    /// How far to look back, 1s to 5m
    #[arg(short, long, default_value = "1m", value_parser = duration, value_name = "DURATION")]
    pub time_window: Duration,
    /// Output: table, wide (adds SECURED) or json
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub output: ReportFormat,
}

/// `byrnie routes`.
#[derive(Args, Debug)]
pub struct RoutesArgs {
    /// One Service: `web` or `svc/web` [default: all]
    #[arg(value_name = "SERVICE")]
    pub service: Option<String>,
    /// Namespace.
    #[command(flatten)]
    pub scope: Scope,
    /// How far to look back, 1s to 5m
    #[arg(short, long, default_value = "1m", value_parser = duration, value_name = "DURATION")]
    pub time_window: Duration,
    /// Output: table or json
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub output: ReportFormat,
}

/// `byrnie edges`.
#[derive(Args, Debug)]
pub struct EdgesArgs {
    /// One workload, as caller or called: `web-1` [default: all]
    #[arg(value_name = "WORKLOAD")]
    pub workload: Option<String>,
    /// Namespace.
    #[command(flatten)]
    pub scope: Scope,
    /// How far to look back, 1s to 5m
    #[arg(short, long, default_value = "1m", value_parser = duration, value_name = "DURATION")]
    pub time_window: Duration,
    /// Output: table, wide (adds CLIENT_ID and SERVER_ID) or json
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub output: ReportFormat,
}

/// Which requests `tap` and `top` look at.
#[derive(Args, Clone, Debug)]
pub struct TapFilter {
    /// Workload, Service or Gateway whose proxies to ask: `web-1`, `svc/web` [default: all]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Namespace.
    #[command(flatten)]
    pub scope: Scope,
    /// Only requests with this method
    #[arg(long, value_name = "METHOD")]
    pub method: Option<String>,
    /// Only requests whose path begins with this
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
}

/// `byrnie tap`.
#[derive(Args, Debug)]
pub struct TapArgs {
    /// Which requests.
    #[command(flatten)]
    pub filter: TapFilter,
    /// End after so many lines [default: until Ctrl-C]
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Output: table (lines of text), wide (adds the route) or json (one object a line)
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub output: ReportFormat,
}

/// `byrnie top`.
#[derive(Args, Debug)]
pub struct TopArgs {
    /// Which requests.
    #[command(flatten)]
    pub filter: TapFilter,
    /// Group by route instead of by method and path
    #[arg(long)]
    pub routes: bool,
    /// How long to look before the table is printed, when stdout is no terminal
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "DURATION")]
    pub duration: Duration,
}

/// `byrnie proxy-status`.
#[derive(Args, Debug)]
pub struct ProxyStatusArgs {
    /// One Workload or Gateway [default: all]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Namespace.
    #[command(flatten)]
    pub scope: Scope,
    /// Output: table, wide or json
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub output: ReportFormat,
}

/// `byrnie why`.
#[derive(Args, Debug)]
pub struct WhyArgs {
    /// The caller, a Workload or Gateway: `web-1`, `shop/web-1`
    #[arg(value_name = "SRC")]
    pub src: String,
    /// The called, a Service or Workload: `voting`, `shop/voting`, `shop/voting:8080`
    #[arg(value_name = "DST[:PORT]")]
    pub dst: String,
    /// Files to look at instead of the running mesh; may be repeated
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// Namespace of names that give none [default: the one namespace that has them, else default]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Method of the request
    #[arg(long, default_value = "GET", value_name = "METHOD")]
    pub method: String,
    /// Path of the request, with query: `/items?id=7`
    #[arg(long, default_value = "/", value_name = "PATH")]
    pub path: String,
    /// Host of the request [default: the service's name]
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Header of the request, `name: value`; may be repeated
    #[arg(short = 'H', long = "header", value_parser = header, value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Output: table or json
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub output: ReportFormat,
}

/// `byrnie proxy-config`.
#[derive(Args, Debug)]
pub struct ProxyConfigArgs {
    /// Which part
    #[arg(value_enum)]
    pub section: ProxySection,
    /// Whose proxy: the name of a Workload, or gateway/NAME [default: all that are connected]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Namespace of the Workload or Gateway [default: the one namespace that has it]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Output: table, json or yaml
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub output: ConfigFormat,
}

/// How a proxy's configuration is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
}

/// What a proxy tells about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProxySection {
    /// Where it listens
    Listeners,
    /// Which request goes where
    Routes,
    /// Where requests can go, and who is ejected
    Endpoints,
    /// Connections and requests, by endpoint
    Pools,
    /// Its certificate and the roots
    Certificates,
    /// Who may do what
    Policy,
    /// Client connections that are open
    Connections,
    /// What holds for what comes in, and whose word it is
    Settings,
}

/// `byrnie restart`.
#[derive(Args, Debug)]
pub struct RestartArgs {
    /// proxy/NAME of a Workload's proxy, or gateway/NAME; may be repeated
    #[arg(required = true, value_name = "proxy/NAME|gateway/NAME")]
    pub names: Vec<String>,
    /// Namespace of the Workload or Gateway [default: the one namespace that has it]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}
