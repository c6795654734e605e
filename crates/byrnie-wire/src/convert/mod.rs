//! Plan → protobuf → plan. Writing is total and deterministic, reading is strict.
//!
//! Reading ends with writing again: only when that gives the same bytes is a resource accepted. So a field
//! that a newer control plane has added refuses the resource (the last good one stays in force) instead of
//! being overlooked.

mod authorization;
mod controls;
mod endpoints;
pub(crate) mod field;
mod health;
mod names;
mod overrides;
mod route;
mod route_parts;
mod service;
mod settings;
#[cfg(test)]
mod tests;

use byrnie_plan::{Key, Resource};
use bytes::Bytes;
use prost::Message;

use crate::error::{DecodeError, Problem};
use crate::generated as pb;
use crate::version::Version;

pub(crate) use route_parts::{route_kind_from_proto, route_kind_to_proto};
pub(crate) use settings::bundle_from_proto;

/// Largest encoding of one resource, in bytes: with its envelope it fits the 4 MiB that a reader accepts.
pub const MAX_RESOURCE_BYTES: usize = 4 * 1024 * 1024 - 64 * 1024;

/// A resource as it travels: made once, shared by all subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The hash of `bytes`.
    pub version: Version,
    /// The encoding.
    pub bytes: Bytes,
}

/// Encodes a resource. Equal resources give equal bytes, in every process and release of one wire format.
pub fn encode(resource: &Resource) -> Encoded {
    let bytes = Bytes::from(to_proto(resource).encode_to_vec());
    Encoded { version: Version::of(&bytes), bytes }
}

/// Reads a resource that stands under `key` with `version`.
///
/// # Errors
/// Any deviation: see [`Problem`]. The path names the field.
pub fn decode(key: &Key, version: Version, bytes: &[u8]) -> Result<Resource, DecodeError> {
    if bytes.len() > MAX_RESOURCE_BYTES {
        return Err(DecodeError::new(Problem::TooLong { len: bytes.len(), max: MAX_RESOURCE_BYTES }));
    }
    let message = pb::Resource::decode(bytes)
        .map_err(|error| DecodeError::new(Problem::Malformed(error.to_string())))?;
    let resource = from_proto(message)?;
    let again = encode(&resource);
    if again.version != version || again.bytes != bytes {
        return Err(DecodeError::new(Problem::NotCanonical));
    }
    match resource.key() {
        own if own == *key => Ok(resource.named(key)),
        own => Err(DecodeError::new(Problem::WrongKey(own.to_string()))),
    }
}

fn to_proto(resource: &Resource) -> pb::Resource {
    use pb::resource::Kind;
    let kind = match resource {
        Resource::Service(r) => Kind::Service(service::to_proto(r)),
        Resource::Endpoints(r) => Kind::Endpoints(endpoints::to_proto(r)),
        Resource::Routes(r) => Kind::Routes(route::to_proto(r)),
        Resource::GatewayRoutes(r) => Kind::GatewayRoutes(route::gateway_to_proto(r)),
        Resource::InboundPolicy(r) => Kind::InboundPolicy(authorization::inbound_to_proto(r)),
        Resource::Upstreams(r) => Kind::Upstreams(settings::upstreams_to_proto(r)),
        Resource::Names(r) => Kind::Names(names::to_proto(r)),
        Resource::TrustBundle(r) => Kind::TrustBundle(settings::bundle_to_proto(r)),
        Resource::MeshSettings(r) => Kind::MeshSettings(settings::mesh_to_proto(r)),
    };
    pb::Resource { kind: Some(kind) }
}

fn from_proto(resource: pb::Resource) -> Result<Resource, DecodeError> {
    use pb::resource::Kind;
    let kind = resource.kind.ok_or_else(|| DecodeError::new(Problem::Missing).within("kind"))?;
    Ok(match kind {
        Kind::Service(r) => Resource::Service(Box::new(service::from_proto(r)?)),
        Kind::Endpoints(r) => Resource::Endpoints(endpoints::from_proto(r)?),
        Kind::Routes(r) => Resource::Routes(route::from_proto(r)?),
        Kind::GatewayRoutes(r) => Resource::GatewayRoutes(route::gateway_from_proto(r)?),
        Kind::InboundPolicy(r) => Resource::InboundPolicy(Box::new(authorization::inbound_from_proto(r)?)),
        Kind::Upstreams(r) => Resource::Upstreams(settings::upstreams_from_proto(r)?),
        Kind::Names(r) => Resource::Names(names::from_proto(r)?),
        Kind::TrustBundle(r) => Resource::TrustBundle(settings::bundle_from_proto(r)?),
        Kind::MeshSettings(r) => Resource::MeshSettings(Box::new(settings::mesh_from_proto(r)?)),
    })
}
