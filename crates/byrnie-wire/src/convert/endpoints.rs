//! `Endpoints`.

use std::sync::Arc;

use byrnie_plan::{Dialect, Endpoint, Endpoints, Hop, PortEndpoints};

use super::field::{
    MAX_ENDPOINTS, MAX_LIST, address, address_to_proto, ascending, at, identity, labels, labels_to_proto,
    list, name, port, required, same_names, short,
};
use crate::error::DecodeError;
use crate::generated as pb;

same_names!(dialect_to_proto, dialect_from_proto, Dialect, pb::Dialect, [Byrnie, Hbone]);

pub(super) fn to_proto(endpoints: &Endpoints) -> pb::Endpoints {
    pb::Endpoints {
        service: endpoints.service.to_string(),
        ports: endpoints.ports.iter().map(port_to_proto).collect(),
    }
}

pub(super) fn from_proto(wire: pb::Endpoints) -> Result<Endpoints, DecodeError> {
    let ports = list("ports", wire.ports, MAX_LIST, port_from_proto)?;
    ascending("ports", &ports, |port| port.port)?;
    Ok(Endpoints { service: at("service", name(&wire.service))?, ports })
}

fn port_to_proto(port: &PortEndpoints) -> pb::PortEndpoints {
    pb::PortEndpoints {
        port: port.port.into(),
        endpoints: port.endpoints.iter().map(|one| endpoint_to_proto(one)).collect(),
    }
}

fn port_from_proto(wire: pb::PortEndpoints) -> Result<PortEndpoints, DecodeError> {
    Ok(PortEndpoints {
        port: at("port", port(wire.port))?,
        endpoints: list("endpoints", wire.endpoints, MAX_ENDPOINTS, |one| {
            endpoint_from_proto(one).map(Arc::new)
        })?,
    })
}

fn endpoint_to_proto(endpoint: &Endpoint) -> pb::Endpoint {
    pb::Endpoint {
        workload: endpoint.workload.to_string(),
        address: Some(address_to_proto(endpoint.address)),
        app_port: endpoint.app_port.into(),
        hop: Some(hop_to_proto(&endpoint.hop)),
        weight: endpoint.weight,
        locality: endpoint.locality.clone(),
        labels: labels_to_proto(&endpoint.labels),
        uid: endpoint.uid.clone(),
    }
}

fn endpoint_from_proto(wire: pb::Endpoint) -> Result<Endpoint, DecodeError> {
    Ok(Endpoint {
        workload: at("workload", name(&wire.workload))?,
        address: required("address", wire.address, address)?,
        app_port: at("app_port", port(wire.app_port))?,
        hop: required("hop", wire.hop, hop_from_proto)?,
        weight: wire.weight,
        locality: at("locality", short(wire.locality))?,
        labels: labels("labels", wire.labels)?,
        uid: at("uid", short(wire.uid))?,
    })
}

fn hop_to_proto(hop: &Hop) -> pb::endpoint::Hop {
    match hop {
        Hop::Plaintext => pb::endpoint::Hop::Plaintext(pb::Flag {}),
        Hop::Mesh { identity, dialect } => pb::endpoint::Hop::Mesh(pb::MeshHop {
            identity: identity.to_string(),
            dialect: dialect_to_proto(*dialect),
        }),
    }
}

fn hop_from_proto(wire: pb::endpoint::Hop) -> Result<Hop, DecodeError> {
    match wire {
        pb::endpoint::Hop::Plaintext(_) => Ok(Hop::Plaintext),
        pb::endpoint::Hop::Mesh(mesh) => Ok(Hop::Mesh {
            identity: at("identity", identity(&mesh.identity))?,
            dialect: at("dialect", dialect_from_proto(mesh.dialect))?,
        }),
    }
}
