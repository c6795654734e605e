//! `InboundOverrides`: nothing is sent where nothing is said.

use byrnie_plan::InboundOverrides;

use super::field::{maybe, maybe_duration, maybe_nanos};
use super::settings::{forwarded_from_proto, forwarded_to_proto, header_from_proto, header_to_proto};
use crate::error::DecodeError;
use crate::generated as pb;

pub(super) fn to_proto(overrides: &InboundOverrides) -> Option<pb::InboundOverrides> {
    if *overrides == InboundOverrides::default() {
        return None;
    }
    Some(pb::InboundOverrides {
        forwarded_headers: overrides.forwarded_headers.map(forwarded_to_proto),
        trusted_hops: overrides.trusted_hops,
        peer_identity_header: overrides.peer_identity_header,
        allow_connect: overrides.allow_connect,
        accept_proxy_protocol: overrides.accept_proxy_protocol,
        send_proxy_protocol: overrides.send_proxy_protocol.map(header_to_proto),
        max_header_bytes: overrides.max_header_bytes,
        max_headers: overrides.max_headers,
        max_concurrent_streams: overrides.max_concurrent_streams,
        max_connections: overrides.max_connections,
        header_timeout_ns: maybe_nanos(overrides.header_timeout),
        client_idle_timeout_ns: maybe_nanos(overrides.client_idle_timeout),
        detect_timeout_ns: maybe_nanos(overrides.detect_timeout),
    })
}

pub(super) fn from_proto(wire: Option<pb::InboundOverrides>) -> Result<InboundOverrides, DecodeError> {
    let Some(wire) = wire else { return Ok(InboundOverrides::default()) };
    Ok(InboundOverrides {
        forwarded_headers: maybe("forwarded_headers", wire.forwarded_headers, forwarded_from_proto)?,
        trusted_hops: wire.trusted_hops,
        peer_identity_header: wire.peer_identity_header,
        allow_connect: wire.allow_connect,
        accept_proxy_protocol: wire.accept_proxy_protocol,
        send_proxy_protocol: maybe("send_proxy_protocol", wire.send_proxy_protocol, header_from_proto)?,
        max_header_bytes: wire.max_header_bytes,
        max_headers: wire.max_headers,
        max_concurrent_streams: wire.max_concurrent_streams,
        max_connections: wire.max_connections,
        header_timeout: maybe_duration(wire.header_timeout_ns),
        client_idle_timeout: maybe_duration(wire.client_idle_timeout_ns),
        detect_timeout: maybe_duration(wire.detect_timeout_ns),
    })
}
