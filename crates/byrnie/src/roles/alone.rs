//! `byrnie proxy` without a mesh: objects of a file, or of two flags, compiled in this process for its own data plane.
//!
//! A file is looked at four times a second (what editors, `mv`, symbolic links and network file systems do to it are
//! all seen that way) and taken over when it has not changed between two looks, so that nothing half-written is read;
//! one that is never quiet is taken as it is once a second. A file with errors changes nothing.

mod objects;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use byrnie_api::{Object, Severity};
use byrnie_mesh::{BUILT_IN_CLASS, Change, Compiler, Options};
use byrnie_plan::{GatewayRoutes, Key, ObjectName, Resource};
use byrnie_proxy::{LocalState, Role, Source};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::cli::args::{LoggedRequests, ProxyArgs};
use crate::cli::failure::Failure;
use crate::cli::files;
use crate::output;

/// The file has errors.
const FILE: &str = "BYR0483";
/// Not exactly one Gateway, or another one than at the start.
const GATEWAY: &str = "BYR0484";
/// A port is not free.
const PORT: &str = "BYR0485";

/// Between two looks at the file.
const LOOK: Duration = Duration::from_millis(250);

/// Looks that each see another file, before what is there is taken: who replaces it all the time would never be heard.
const RESTLESS: u32 = 4;

/// What a proxy alone is, and where its resources come from. `has_sockets`: a life before this one left them.
pub fn start(args: &ProxyArgs, has_sockets: bool) -> Result<(ObjectName, Role, Source), Failure> {
    // Before it is read: what changes from here on is seen as a change.
    let seen = args.config.as_deref().map(look);
    let (gateway, resources) = match (&args.config, &args.listen) {
        (Some(path), _) => read(path, args.access_log)?,
        (None, Some(listen)) => compile(objects::from_flags(listen, &args.to)?, args.access_log)?,
        (None, None) => {
            return Err(Failure::argument("nothing to do", "write --listen and --to, or --config"));
        }
    };
    if !has_sockets {
        try_ports(&gateway, &resources)?;
    }
    let (sender, receiver) =
        watch::channel(LocalState { resources: resources.into(), refused: String::new() });
    if let Some((path, seen)) = args.config.clone().zip(seen) {
        let (gateway, logged) = (gateway.clone(), args.access_log);
        // It has nothing to finish: it ends with the process.
        std::thread::Builder::new()
            .name("config-file".to_owned())
            .spawn(move || follow(&path, seen, &gateway, logged, &sender))
            .map_err(Failure::system)?;
    }
    Ok((gateway, Role::Gateway, Source::Local(receiver)))
}

type Compiled = (ObjectName, BTreeMap<Key, Resource>);

fn read(path: &Path, logged: Option<LoggedRequests>) -> Result<Compiled, Failure> {
    let reading = files::look(&[path.to_owned()], None)?;
    for finding in &reading.findings {
        output::tell(&files::report(finding), &finding.severity.to_string());
    }
    if reading.findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(Failure::new(FILE, format!("{} has errors", path.display())));
    }
    compile(reading.documents.into_iter().map(|document| document.object).collect(), logged)
}

/// Compiles objects as a control plane would, but that no Workload has a proxy of its own. One error refuses them all.
fn compile(mut objects: Vec<Value>, logged: Option<LoggedRequests>) -> Result<Compiled, Failure> {
    objects.iter_mut().for_each(outside_a_mesh);
    if let Some(logged) = logged {
        log_requests(&mut objects, logged);
    }
    let gateway = the_gateway(&objects)?;
    let mut changes = Vec::new();
    for object in objects {
        changes.push(Change::Applied(Object::from_value(object).map_err(Failure::system)?));
    }
    let mut compiler = Compiler::new(Options::default());
    compiler.apply(&changes);
    for finding in compiler.findings() {
        output::tell(&files::report(finding), &finding.severity.to_string());
    }
    if compiler.findings().any(|finding| finding.severity == Severity::Error) {
        return Err(Failure::new(FILE, "the objects do not fit together"));
    }
    Ok((gateway, compiler.resources().map(|resource| (resource.key(), resource.clone())).collect()))
}

/// Nothing stands beside the Workloads: they are plain endpoints, whatever they would be in a mesh.
fn outside_a_mesh(object: &mut Value) {
    if object["kind"] == "Workload"
        && let Some(object) = object.as_object_mut()
        && let Some(spec) = object.entry("spec").or_insert_with(|| json!({})).as_object_mut()
    {
        spec.insert("proxy".to_owned(), "none".into());
    }
}

fn log_requests(objects: &mut Vec<Value>, logged: LoggedRequests) {
    let is_mesh = |object: &&mut Value| object["kind"] == "Mesh" && object["metadata"]["name"] == "default";
    match objects.iter_mut().find(is_mesh) {
        Some(mesh) => {
            if !mesh["spec"]["telemetry"].is_object() {
                mesh["spec"]["telemetry"] = json!({});
            }
            mesh["spec"]["telemetry"]["accessLog"] = logged.as_str().into();
        }
        None => objects.push(objects::mesh(logged.as_str())),
    }
}

fn the_gateway(objects: &[Value]) -> Result<ObjectName, Failure> {
    let ours =
        |object: &&Value| object["kind"] == "Gateway" && object["spec"]["gatewayClassName"] == BUILT_IN_CLASS;
    let names: Vec<ObjectName> = objects.iter().filter(ours).map(name_of).collect();
    match names.as_slice() {
        [name] => Ok(name.clone()),
        names => {
            let message = format!("{} Gateways of class {BUILT_IN_CLASS} instead of one", names.len());
            Err(Failure::new(GATEWAY, message).help("a proxy alone serves exactly one Gateway"))
        }
    }
}

fn name_of(object: &Value) -> ObjectName {
    let metadata = &object["metadata"];
    let text = |field: &str| metadata[field].as_str().unwrap_or("default").to_owned();
    ObjectName::new(text("namespace"), text("name"))
}

/// Whoever starts a proxy by hand wants to hear at once that a port is taken.
fn try_ports(gateway: &ObjectName, resources: &BTreeMap<Key, Resource>) -> Result<(), Failure> {
    let Some(Resource::GatewayRoutes(GatewayRoutes { listeners, .. })) =
        resources.get(&Key::GatewayRoutes(gateway.clone()))
    else {
        return Err(Failure::new(GATEWAY, format!("Gateway {gateway} serves nothing")));
    };
    for listener in listeners {
        for ip in &listener.addresses {
            let address = SocketAddr::new(*ip, listener.port);
            byrnie_net::socket::listen(address, 1)
                .map(|listener: TcpListener| drop(listener))
                .map_err(|error| Failure::new(PORT, format!("{address} cannot be bound: {error}")))?;
        }
    }
    Ok(())
}

/// What a look at a file (or at each file of a directory) sees: path, time of change, length, number.
type Seen = Vec<(PathBuf, Option<SystemTime>, u64, u64)>;

fn look(path: &Path) -> Seen {
    use std::os::unix::fs::MetadataExt;
    let one = |path: PathBuf| {
        let file = std::fs::metadata(&path).ok();
        let (length, number) = file.as_ref().map_or((0, 0), |file| (file.len(), file.ino()));
        (path, file.and_then(|file| file.modified().ok()), length, number)
    };
    files::expand(path).unwrap_or_default().into_iter().map(one).collect()
}

fn follow(
    path: &Path,
    mut taken: Seen,
    gateway: &ObjectName,
    logged: Option<LoggedRequests>,
    sender: &watch::Sender<LocalState>,
) {
    let (mut before, mut changes) = (taken.clone(), 0);
    loop {
        std::thread::sleep(LOOK);
        let seen = look(path);
        changes = if seen == before { 0 } else { changes + 1 };
        let is_half_written = 0 < changes && changes < RESTLESS;
        before.clone_from(&seen);
        if is_half_written || seen == taken {
            continue;
        }
        (taken, changes) = (seen, 0);
        let read = read(path, logged).and_then(|(name, resources)| match name == *gateway {
            true => Ok(resources),
            false => {
                let message = format!("the Gateway is {name} now; this proxy serves {gateway}");
                Err(Failure::new(GATEWAY, message).help("start the proxy again to serve another"))
            }
        });
        match read {
            Ok(resources) => {
                tracing::info!("{} is in force", path.display());
                sender.send_replace(LocalState { resources: resources.into(), refused: String::new() });
            }
            Err(failure) => {
                let refused = format!("{}; the last good state stays in force", failure.line());
                sender.send_modify(|state| state.refused = refused);
            }
        }
    }
}

#[cfg(test)]
mod tests;
