//! What the workload accepts, compiled.

use std::sync::Arc;

use byrnie_decide::{Authorizer, RetryBudget, Time};
use byrnie_plan::{
    ConnectionLimits, Hop, InboundPolicy, MeshSettings, ObjectName, ProxyHeader, ServicePortRef,
    TrafficSettings,
};

use super::entrance;
use crate::config::{Cluster, Controls, Endpoint, Inbound, InboundPort, KnownLimits, RouteError};

/// Connections and requests that the proxy has open towards one port of its application. The callers' limits hold for
/// each of them; this one is the sum, and is as high as the connections that a proxy accepts by default.
const LIMIT: u32 = 10_000;

/// Compiles the policy. What is the same as before is taken over, at best all of it.
pub(super) fn assemble(
    policy: &InboundPolicy,
    before: Option<&Arc<Inbound>>,
    known: &KnownLimits,
    settings: &Arc<MeshSettings>,
) -> Arc<Inbound> {
    let is_same =
        |before: &&Arc<Inbound>| *before.policy == *policy && Arc::ptr_eq(&before.settings, settings);
    if let Some(before) = before.filter(is_same) {
        return Arc::clone(before);
    }
    let ports = policy.ports.iter().map(|plan| {
        let known = before.and_then(|before| before.ports.get(&plan.port));
        (plan.port, port(plan, &policy.workload, known, settings))
    });
    Arc::new(Inbound {
        authorizer: Authorizer::compile(&policy.authorization, policy.default_action),
        ports: ports.collect(),
        controls: controls(policy, known).unwrap_or_default(),
        policy: Arc::new(policy.clone()),
        settings: Arc::clone(settings),
    })
}

/// By the service that they are for; `None`: for all.
type InboundControls = Vec<(Option<ObjectName>, Arc<Controls>)>;

/// Whether it compiles was looked at before it was accepted.
pub(super) fn controls(policy: &InboundPolicy, known: &KnownLimits) -> Result<InboundControls, RouteError> {
    let mut all = Vec::new();
    for inbound in &policy.controls {
        let compiled = known.compile(Some(&inbound.controls))?;
        all.extend(compiled.map(|controls| (inbound.service.clone(), controls)));
    }
    Ok(all)
}

fn port(
    plan: &byrnie_plan::InboundPort,
    own: &ObjectName,
    before: Option<&Arc<InboundPort>>,
    settings: &Arc<MeshSettings>,
) -> Arc<InboundPort> {
    let settings = entrance::settle(settings, &plan.overrides, before.map(|before| &before.settings));
    let same = before.filter(|before| {
        before.address == plan.address
            && before.protocol == plan.protocol
            && before.services == plan.services
            && Arc::ptr_eq(&before.settings, &settings)
    });
    if let Some(before) = same {
        return Arc::clone(before);
    }
    let endpoint = byrnie_plan::Endpoint {
        workload: own.clone(),
        address: plan.address,
        app_port: plan.port,
        hop: Hop::Plaintext,
        weight: 1,
        locality: String::new(),
        uid: String::new(),
        labels: Vec::new(),
    };
    let known = before.filter(|before| before.application.is_same(&endpoint));
    let application = match known {
        Some(before) => Arc::clone(&before.application),
        // Nobody asks for the age of an application: there is no slow start towards it.
        None => Arc::new(Endpoint::new(endpoint, Time::ZERO)),
    };
    let begins_with = settings.send_proxy_protocol;
    let cluster = known.filter(|before| {
        before.cluster.protocol == plan.protocol && before.cluster.begins_with == begins_with
    });
    let cluster = cluster.map(|before| Arc::clone(&before.cluster));
    Arc::new(InboundPort {
        port: plan.port,
        address: plan.address,
        protocol: plan.protocol,
        services: plan.services.clone(),
        cluster: cluster.unwrap_or_else(|| cluster_of(plan, own, &application, begins_with)),
        application,
        settings,
    })
}

/// The application as a cluster of one. It stands for all services that lead to the port, and is named after the
/// workload.
fn cluster_of(
    plan: &byrnie_plan::InboundPort,
    own: &ObjectName,
    application: &Arc<Endpoint>,
    begins_with: ProxyHeader,
) -> Arc<Cluster> {
    let limits = ConnectionLimits { max_connections: LIMIT, max_pending: LIMIT, max_in_flight: LIMIT };
    let settings = TrafficSettings { limits, ..TrafficSettings::default() };
    let cluster = Cluster::new(
        ServicePortRef { service: own.clone(), port: plan.port },
        plan.protocol,
        Arc::new(settings),
        Arc::new(RetryBudget::new()),
        vec![Arc::clone(application)],
    );
    Arc::new(Cluster { begins_with, ..cluster })
}
