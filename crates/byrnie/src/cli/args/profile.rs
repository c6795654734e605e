//! Flags of `byrnie profile`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};

use crate::cli::value::duration;

/// `byrnie profile`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("source").required(true).args(["open_api", "proto", "tap"]))]
pub struct ProfileArgs {
    /// The Service that the routes are for: `web` or `svc/web` [default: what --tap names]
    #[arg(value_name = "SERVICE", required_unless_present = "tap")]
    pub service: Option<String>,
    /// Namespace of the Service
    #[arg(short, long, default_value = "default", value_name = "NAMESPACE")]
    pub namespace: String,
    /// A description in Swagger 2.0 or OpenAPI 3.x, YAML or JSON; - for stdin
    #[arg(long, value_name = "FILE")]
    pub open_api: Option<PathBuf>,
    /// A protobuf file with services; - for stdin
    #[arg(long, value_name = "FILE")]
    pub proto: Option<PathBuf>,
    /// Look at requests that arrive at this Service or Workload of the running mesh: `svc/web`, `web-1` [default: the
    /// Service]
    #[arg(long, value_name = "TARGET", num_args = 0..=1, default_missing_value = "")]
    pub tap: Option<String>,
    /// How long --tap looks
    #[arg(
        long,
        alias = "tap-duration",
        default_value = "10s",
        value_parser = duration,
        value_name = "DURATION"
    )]
    pub duration: Duration,
    /// How many operations --tap looks for at most
    #[arg(long, alias = "tap-route-limit", default_value_t = 20, value_name = "N")]
    pub route_limit: usize,
    /// What is written [default: grpc-route where every operation is a gRPC call, else http-route]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<ProfileFormat>,
    /// Port of the Service that the routes lead to; of no meaning to a service-profile
    #[arg(long, default_value_t = 80, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
}

/// What `byrnie profile` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileFormat {
    /// HTTPRoutes of the Gateway API
    HttpRoute,
    /// GRPCRoutes of the Gateway API
    GrpcRoute,
    /// A ServiceProfile as Linkerd writes it
    ServiceProfile,
}
