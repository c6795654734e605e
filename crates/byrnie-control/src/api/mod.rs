//! What the control plane's API speaks: request and response types, and the paths they travel on.
//!
//! Server, client and CLI share these types; field names in JSON are camelCase and, for the lists that scripts read
//! (`proxies`, `edges`, `routes`), a published contract: the documented keys come first and never change.

mod error;
mod objects;
mod sight;

pub use error::{ErrorBody, FindingItem};
pub use objects::{
    ApplyAction, ApplyRequest, ApplyResponse, ApplyResult, CredentialRequest, CredentialResponse,
    DeleteResponse, ListQuery, ObjectList, VersionInfo, WaitRequest, WaitResponse, WaitingProxy, WatchEvent,
    WatchEventType,
};
pub use sight::{
    EdgeItem, Items, PoolTotals, ProxyConfigQuery, ProxyItem, RouteItem, SightQuery, StatItem, SyncState,
    TapEvent, TapPhase, TapQuery, TopItem, WhyQuery, WhyResponse, WhyStep, WhyVerdict,
};

/// The API's Unix socket in the data directory: mode 0600, only the same user is served.
pub const SOCKET_NAME: &str = "api.sock";
/// `POST` [`ApplyRequest`] → [`ApplyResponse`].
pub const APPLY: &str = "/v1/apply";
/// `GET /v1/objects/{kind}` with [`ListQuery`] → [`ObjectList`], or lines of [`WatchEvent`] with `watch=true`;
/// `DELETE /v1/objects/{kind}/{namespace}/{name}` → [`DeleteResponse`].
pub const OBJECTS: &str = "/v1/objects";
/// Stands for "no namespace" in the path of a cluster-scoped object.
pub const NO_NAMESPACE: &str = "_";
/// `POST` [`WaitRequest`] → [`WaitResponse`].
pub const WAIT: &str = "/v1/wait";
/// `GET` → [`Items`] of [`ProxyItem`].
pub const PROXIES: &str = "/v1/proxies";
/// `GET /v1/proxy-config/{section}` with [`ProxyConfigQuery`] → [`Items`] of JSON objects: what proxies say about
/// themselves.
pub const PROXY_CONFIG: &str = "/v1/proxy-config";
/// `GET` with [`SightQuery`] → [`Items`] of [`EdgeItem`].
pub const EDGES: &str = "/v1/edges";
/// `GET` with [`SightQuery`] → [`Items`] of [`RouteItem`].
pub const ROUTES: &str = "/v1/routes";
/// `GET` with [`SightQuery`] → [`Items`] of [`StatItem`].
pub const STAT: &str = "/v1/stat";
/// `GET` with [`SightQuery`] → [`Items`] of [`TopItem`].
pub const TOP: &str = "/v1/top";
/// `GET` with [`TapQuery`] → lines of [`TapEvent`], until the client leaves.
pub const TAP: &str = "/v1/tap";
/// `GET` with [`WhyQuery`] → [`WhyResponse`].
pub const WHY: &str = "/v1/why";
/// `GET` → [`Items`] of [`FindingItem`]: what the compiler has to say about the objects in the store.
pub const FINDINGS: &str = "/v1/findings";
/// `POST` [`CredentialRequest`] → [`CredentialResponse`].
pub const CREDENTIALS: &str = "/v1/credentials";
/// `GET` → [`VersionInfo`].
pub const VERSION: &str = "/v1/version";
/// `GET` → the control plane's own metrics, Prometheus text format.
pub const METRICS: &str = "/v1/metrics";
