//! Settings of one entrance: the mesh's, and what policies say there. Settled here, so that a request reads one
//! pointer.

use std::sync::Arc;

use byrnie_plan::{InboundOverrides, MeshSettings};

/// `around` with what is said here; the same `Arc` as `around`, or as before, where that is what comes of it.
pub(super) fn settle(
    around: &Arc<MeshSettings>,
    here: &InboundOverrides,
    before: Option<&Arc<MeshSettings>>,
) -> Arc<MeshSettings> {
    if *here == InboundOverrides::default() {
        return Arc::clone(around);
    }
    let settled = with(around, here);
    match before {
        Some(before) if **before == settled => Arc::clone(before),
        _ => Arc::new(settled),
    }
}

fn with(around: &MeshSettings, here: &InboundOverrides) -> MeshSettings {
    // No `..`: who adds an override acts on it here.
    let InboundOverrides {
        forwarded_headers,
        trusted_hops,
        peer_identity_header,
        allow_connect,
        accept_proxy_protocol,
        send_proxy_protocol,
        max_header_bytes,
        max_headers,
        max_concurrent_streams,
        max_connections,
        header_timeout,
        client_idle_timeout,
        detect_timeout,
    } = here;
    MeshSettings {
        forwarded_headers: forwarded_headers.unwrap_or(around.forwarded_headers),
        trusted_hops: trusted_hops.unwrap_or(around.trusted_hops),
        peer_identity_header: peer_identity_header.unwrap_or(around.peer_identity_header),
        allow_connect: allow_connect.unwrap_or(around.allow_connect),
        accept_proxy_protocol: accept_proxy_protocol.unwrap_or(around.accept_proxy_protocol),
        send_proxy_protocol: send_proxy_protocol.unwrap_or(around.send_proxy_protocol),
        max_header_bytes: max_header_bytes.unwrap_or(around.max_header_bytes),
        max_headers: max_headers.unwrap_or(around.max_headers),
        max_concurrent_streams: max_concurrent_streams.unwrap_or(around.max_concurrent_streams),
        max_connections: max_connections.unwrap_or(around.max_connections),
        header_timeout: header_timeout.unwrap_or(around.header_timeout),
        client_idle_timeout: client_idle_timeout.unwrap_or(around.client_idle_timeout),
        detect_timeout: detect_timeout.unwrap_or(around.detect_timeout),
        ..around.clone()
    }
}
