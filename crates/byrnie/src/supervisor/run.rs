//! `byrnie run`: one more process of a Workload, with the addresses of what it calls.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use byrnie_api::kinds::ProxyMode;
use byrnie_api::{Object, Typed};
use byrnie_control::api::{ErrorBody, ListQuery, ProxyItem};
use byrnie_control::client::Client;
use byrnie_net::Namespace;
use byrnie_net::capture::confine::Confinement;

use super::desired::Kind;
use super::environment::{Addresses, PortNames, add_port_names, variables};
use super::ground::{self, NO_CAPTURE};
use super::home::state_dir;
use super::{PROXY_NOT_READY, START, WORKLOAD, on_this_thread, users};
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
    let mut prepared = Prepared::default();
    on_this_thread(async {
        prepared = prepare(options).await?;
        Ok(())
    })?;
    let Some((program, arguments)) = options.command.split_first() else {
        return Err(Failure::argument("no command", "byrnie run --workload NAME -- COMMAND"));
    };
    let mut command = std::process::Command::new(program);
    command.args(arguments).envs(prepared.environment);
    if let Some(confinement) = prepared.confinement {
        confinement.apply(&mut command);
    }
    let error = command.exec();
    Err(Failure::new(START, format!("cannot start {}: {error}", program.display())))
}

/// What the command gets.
#[derive(Default)]
struct Prepared {
    environment: Vec<(String, String)>,
    /// Where the Workload's traffic is captured: the command is, too.
    confinement: Option<Confinement>,
}

async fn prepare(options: &RunOptions) -> Result<Prepared, Failure> {
    let client = Client::new(&options.data_dir);
    let object = find(&client, options).await?;
    let Typed::Workload(workload) = object.typed() else { return Err(Failure::system("not a Workload")) };
    let namespace = &object.metadata().namespace;
    let name = &object.metadata().name;
    let (mut environment, mut confinement) = (Vec::new(), None);
    if workload.spec.proxy != ProxyMode::None {
        let proxy = wait_for_proxy(&client, namespace, name).await?;
        let state_dir = state_dir(&options.data_dir, Kind::Sidecar, namespace, name);
        if proxy.address.is_some() {
            let (confined, variables) = confine(workload.spec.run_as.as_deref(), proxy.pid, &state_dir)?;
            confinement = Some(confined);
            environment.extend(variables);
        }
        let addresses = Addresses::read(&state_dir).map_err(|why| Failure::new(PROXY_NOT_READY, why))?;
        let mut names = PortNames::new();
        for value in list(&client, "services", None).await? {
            add_port_names(&value, &mut names);
        }
        environment.extend(variables(&addresses, &names, namespace, workload.spec.http_proxy));
    }
    environment
        .extend(workload.spec.env.iter().map(|variable| (variable.name.clone(), variable.value.clone())));
    Ok(Prepared { environment, confinement })
}

/// As `up` confines the Workload's own command.
fn confine(
    run_as: Option<&str>,
    proxy: u32,
    state_dir: &Path,
) -> Result<(Confinement, BTreeMap<String, String>), Failure> {
    let refused = |why: String| Failure::new(NO_CAPTURE, why);
    let known = users::of_command(run_as).map_err(refused)?;
    let place = Namespace::of_thread(proxy, WORKER).and_then(|namespace| namespace.descriptor());
    let confined = place.and_then(|namespace| {
        Confinement::new(namespace, &known.user, Some(&ground::resolver_file(state_dir)))
    });
    let confined = confined.map_err(|error| {
        refused(format!("the Workload's network namespace cannot be entered: {error}"))
            .help("run it through sudo")
    })?;
    Ok((confined, known.environment()))
}

/// The thread of a proxy that is in its workload's namespace.
const WORKER: &str = "worker-0";

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
async fn wait_for_proxy(client: &Client, namespace: &str, name: &str) -> Result<ProxyItem, Failure> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let proxies = client.proxies().await.map_err(|body: ErrorBody| Failure::from(body))?;
        let is_it = |proxy: &ProxyItem| {
            proxy.namespace == namespace
                && proxy.workload == name
                && proxy.role == "sidecar"
                && proxy.connected
        };
        if let Some(proxy) = proxies.items.into_iter().find(is_it) {
            return Ok(proxy);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let message =
        format!("the proxy of Workload {namespace}/{name} is not ready after {} s", PATIENCE.as_secs());
    Err(Failure::new(PROXY_NOT_READY, message)
        .help("see what `byrnie up` says about it, and `byrnie proxy-status`"))
}
