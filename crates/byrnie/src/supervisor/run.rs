//! `byrnie run`: one more process of a Workload, with the addresses of what it calls.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use byrnie_api::kinds::ProxyMode;
use byrnie_api::{Object, Typed};
use byrnie_control::api::{ErrorBody, ListQuery};
use byrnie_control::client::Client;

use super::desired::Kind;
use super::environment::{Addresses, PortNames, add_port_names, variables};
use super::home::state_dir;
use super::{PROXY_NOT_READY, START, WORKLOAD, on_this_thread};
use crate::cli::failure::Failure;

/// How long a proxy that is just being started may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What `byrnie run` was asked for.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The data directory of the running mesh; absolute.
    pub data_dir: PathBuf,
    /// The Workload: `name` or `namespace/name`.
    pub workload: String,
    /// Its namespace; absent: the one namespace that has a Workload of this name.
    pub namespace: Option<String>,
    /// Program and arguments; at least one.
    pub command: Vec<OsString>,
}

/// Becomes the command: same process, working directory and standard streams, with the environment that `up` gives
/// to a Workload's own command. Returns only when that fails.
pub fn run_one(options: &RunOptions) -> Result<(), Failure> {
    let mut environment = Vec::new();
    on_this_thread(async {
        environment = prepare(options).await?;
        Ok(())
    })?;
    let Some((program, arguments)) = options.command.split_first() else {
        return Err(Failure::argument("no command", "byrnie run --workload NAME -- COMMAND"));
    };
    let error = std::process::Command::new(program).args(arguments).envs(environment).exec();
    Err(Failure::new(START, format!("cannot start {}: {error}", program.display())))
}

async fn prepare(options: &RunOptions) -> Result<Vec<(String, String)>, Failure> {
    let client = Client::new(&options.data_dir);
    let object = find(&client, options).await?;
    let Typed::Workload(workload) = object.typed() else { return Err(Failure::system("not a Workload")) };
    let namespace = &object.metadata().namespace;
    let name = &object.metadata().name;
    let mut environment = Vec::new();
    if workload.spec.proxy != ProxyMode::None {
        wait_for_proxy(&client, namespace, name).await?;
        let state_dir = state_dir(&options.data_dir, Kind::Sidecar, namespace, name);
        let addresses = Addresses::read(&state_dir).map_err(|why| Failure::new(PROXY_NOT_READY, why))?;
        let mut names = PortNames::new();
        for value in list(&client, "services", None).await? {
            add_port_names(&value, &mut names);
        }
        environment.extend(variables(&addresses, &names, namespace, workload.spec.http_proxy));
    }
    environment
        .extend(workload.spec.env.iter().map(|variable| (variable.name.clone(), variable.value.clone())));
    Ok(environment)
}

async fn list(client: &Client, kind: &str, name: Option<&str>) -> Result<Vec<Object>, Failure> {
    let query = ListQuery { name: name.map(str::to_owned), ..ListQuery::default() };
    let list = client.list(kind, &query).await?;
    list.items.into_iter().map(|value| Object::from_value(value).map_err(Failure::system)).collect()
}

/// The one Workload that is meant.
async fn find(client: &Client, options: &RunOptions) -> Result<Object, Failure> {
    let (namespace, name) = match options.workload.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (options.namespace.as_deref(), options.workload.as_str()),
    };
    let mut found = list(client, "workloads", Some(name)).await?;
    found.retain(|object| namespace.is_none_or(|namespace| object.metadata().namespace == namespace));
    let place = namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::new(WORKLOAD, format!("there is no Workload {name}{place}"))
            .help("`byrnie get workloads -A` lists them; apply the Workload first, without a command")),
        _ => {
            let namespaces: Vec<&str> =
                found.iter().map(|object| object.metadata().namespace.as_str()).collect();
            Err(Failure::new(
                WORKLOAD,
                format!("Workload {name} is in the namespaces {}", namespaces.join(", ")),
            )
            .help("say which with -n"))
        }
    }
}

/// Returns once the Workload's proxy is connected, and so has written where it listens.
async fn wait_for_proxy(client: &Client, namespace: &str, name: &str) -> Result<(), Failure> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let proxies = client.proxies().await.map_err(|body: ErrorBody| Failure::from(body))?;
        let is_it = |proxy: &byrnie_control::api::ProxyItem| {
            proxy.namespace == namespace
                && proxy.workload == name
                && proxy.role == "sidecar"
                && proxy.connected
        };
        if proxies.items.iter().any(is_it) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let message =
        format!("the proxy of Workload {namespace}/{name} is not ready after {} s", PATIENCE.as_secs());
    Err(Failure::new(PROXY_NOT_READY, message)
        .help("see what `byrnie up` says about it, and `byrnie proxy-status`"))
}
