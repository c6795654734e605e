//! What should run, read from the objects, and what to do about what runs. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use byrnie_api::kinds::{ProxyMode, Workload};
use byrnie_api::{Object, Typed};

/// The class of the Gateways that we run.
const GATEWAY_CLASS: &str = "byrnie";

/// Where a Workload's command runs: the directory of the file that declared it, set when the file is applied.
pub const DIRECTORY_ANNOTATION: &str = "byrnie.dev/directory";

/// What kind of process a unit is. In order of starting: a command waits for its proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The proxy of a Gateway.
    Gateway,
    /// The proxy of a Workload.
    Sidecar,
    /// A Workload's command.
    Command,
}

/// Names a unit: one process that is kept running.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitKey {
    /// What it is.
    pub kind: Kind,
    /// Namespace of the Workload or Gateway.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for UnitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name, .. } = self;
        match self.kind {
            Kind::Gateway => write!(f, "gateway {namespace}/{name}"),
            Kind::Sidecar => write!(f, "proxy of {namespace}/{name}"),
            Kind::Command => write!(f, "{namespace}/{name}"),
        }
    }
}

/// How a unit is to run. A unit whose way differs from that it was started with is started anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A proxy; all else it learns from the control plane.
    Proxy {
        /// How it captures the traffic of its workload, if it does.
        captured: Option<CapturedWay>,
    },
    /// A command.
    Command(CommandWay),
}

/// How a workload's traffic is captured, as far as the Workload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapturedWay {
    /// Whether the application sees its client's address; absent: what the Mesh says.
    pub original_source: Option<bool>,
}

/// How a Workload's command is to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandWay {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Its own variables.
    pub environment: Vec<(String, String)>,
    /// Where it runs; absent: where the supervisor was started.
    pub directory: Option<PathBuf>,
    /// Whether `HTTP_PROXY` is set.
    pub http_proxy: bool,
    /// Whether it has a proxy, and so waits for it and gets the addresses of what it calls.
    pub meshed: bool,
    /// Whether somebody may call it: it has ports.
    pub serves: bool,
    /// Whether its traffic is captured: it runs in a network namespace of its own.
    pub captured: bool,
    /// Who it runs as then; absent: who called this program.
    pub run_as: Option<String>,
}

/// The units that an object asks for. Objects of other kinds ask for none. `transparent`: the traffic of meshed
/// Workloads with a command is captured.
pub fn units(object: &Object, transparent: bool) -> Vec<(UnitKey, Way)> {
    let key = |kind| UnitKey {
        kind,
        namespace: object.metadata().namespace.clone(),
        name: object.metadata().name.clone(),
    };
    match object.typed() {
        Typed::Gateway(gateway) if gateway.spec.gateway_class_name == GATEWAY_CLASS => {
            vec![(key(Kind::Gateway), Way::Proxy { captured: None })]
        }
        Typed::Workload(workload) => {
            let mut units = Vec::new();
            let meshed = workload.spec.proxy != ProxyMode::None;
            let captured = transparent && meshed && !workload.spec.command.is_empty();
            if meshed {
                let original_source = workload.spec.original_source;
                let captured = captured.then_some(CapturedWay { original_source });
                units.push((key(Kind::Sidecar), Way::Proxy { captured }));
            }
            if !workload.spec.command.is_empty() {
                units.push((key(Kind::Command), Way::Command(command(workload, captured))));
            }
            units
        }
        _ => Vec::new(),
    }
}

fn command(workload: &Workload, captured: bool) -> CommandWay {
    let variable = |variable: &byrnie_api::kinds::EnvVar| (variable.name.clone(), variable.value.clone());
    CommandWay {
        command: workload.spec.command.clone(),
        environment: workload.spec.env.iter().map(variable).collect(),
        directory: workload.metadata.annotations.get(DIRECTORY_ANNOTATION).map(PathBuf::from),
        http_proxy: workload.spec.http_proxy,
        meshed: workload.spec.proxy != ProxyMode::None,
        serves: !workload.spec.ports.is_empty(),
        captured,
        run_as: workload.spec.run_as.clone().filter(|_| captured),
    }
}

/// One step from what runs to what should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nobody wants it any more.
    Stop(UnitKey),
    /// Not there yet, or to run in another way.
    Start(UnitKey, Way),
}

/// The steps from what runs to what should run: stops first. A `Start` of what runs replaces it.
pub fn steps(running: &BTreeMap<UnitKey, Way>, desired: &BTreeMap<UnitKey, Way>) -> Vec<Step> {
    let gone = running.keys().filter(|key| !desired.contains_key(key));
    let stops = gone.map(|key| Step::Stop(key.clone()));
    let differs = |(key, way): &(&UnitKey, &Way)| running.get(key) != Some(way);
    let starts = desired.iter().filter(differs);
    let starts = starts.map(|(key, way)| Step::Start(key.clone(), way.clone()));
    stops.chain(starts).collect()
}

#[cfg(test)]
mod tests;
