//! Objects: apply, list, watch, delete; waiting; credentials.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ErrorBody, FindingItem};

/// Objects to create or configure. All or nothing: one refused object refuses the batch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyRequest {
    /// Whole objects as read from YAML or JSON; `metadata.namespace` already filled in by the CLI where `-n` says so.
    pub objects: Vec<Value>,
    /// Where the objects come from (an absolute path). What `prune` compares with.
    #[serde(default)]
    pub source: Option<String>,
    /// Remove what an earlier apply of the same `source` created and this one no longer names.
    #[serde(default)]
    pub prune: bool,
    /// Say what would happen, change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What an apply did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyResponse {
    /// In the order of the request, then what was pruned.
    pub results: Vec<ApplyResult>,
    /// Warnings about the objects of the request; errors come as [`ErrorBody`] instead.
    #[serde(default)]
    pub findings: Vec<FindingItem>,
}

/// What happened to one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyResult {
    /// The object's kind.
    pub kind: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// What happened.
    pub action: ApplyAction,
}

/// What an apply does to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApplyAction {
    /// It was not there.
    Created,
    /// It was there and differs now.
    Configured,
    /// It was there like this.
    Unchanged,
    /// It is gone, because its source no longer names it.
    Pruned,
    /// It could not be accepted (and so nothing of the batch was).
    Refused,
}

/// The query of `GET /v1/objects/{kind}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery {
    /// Only this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Only this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As kubectl's `-l`: `a=b,c!=d,e,!f,g in (x,y),h notin (z)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
    /// First what is there (as ADDED), a BOOKMARK, then every change as it happens.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watch: bool,
}

/// Objects of one kind, ordered by namespace and name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ObjectList {
    /// Whole objects with metadata and status.
    pub items: Vec<Value>,
}

/// One line of a watch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WatchEvent {
    /// What happened.
    #[serde(rename = "type")]
    pub event: WatchEventType,
    /// The object; of a BOOKMARK only its kind. Of an ERROR an [`ErrorBody`].
    pub object: Value,
}

/// What happened to a watched object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum WatchEventType {
    /// It was there when the watch began, or is new.
    Added,
    /// It changed (or its status did).
    Modified,
    /// It is gone, or no longer matches; the object is its last state.
    Deleted,
    /// All that was there at the beginning has been sent.
    Bookmark,
    /// The watch ends here.
    Error,
}

/// What a deletion removed. Deleting a Namespace removes what is in it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteResponse {
    /// The object itself first.
    pub deleted: Vec<ApplyResult>,
}

/// The body of `POST /v1/wait`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitRequest {
    /// How long to wait, in milliseconds. Default 30,000; at most 600,000.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Also wait until each of these proxies (`namespace/workload`) is connected.
    #[serde(default)]
    pub proxies: Vec<String>,
}

/// What the wait ended with. It succeeded when `rejected` and `pending` are empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitResponse {
    /// Proxies that obey all that was compiled when the call came.
    pub synced: usize,
    /// Proxies that refused a resource, and why.
    pub rejected: Vec<WaitingProxy>,
    /// Proxies that have not answered in time.
    pub pending: Vec<WaitingProxy>,
    /// How long it took, in milliseconds.
    pub waited_ms: u64,
}

/// A proxy that does not obey the latest state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingProxy {
    /// Namespace of the workload.
    pub namespace: String,
    /// The workload, or the Gateway.
    pub workload: String,
    /// The resource that is missing or refused; empty when the proxy is not connected.
    pub resource: String,
    /// The proxy's own words when it refused.
    pub reason: String,
}

/// Asks for a one-time credential. Only who may open the API's socket can.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialRequest {
    /// Namespace of the Workload or Gateway.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `sidecar` (a Workload) or `gateway` (a Gateway).
    pub role: String,
}

/// A secret that can be redeemed once for one identity.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialResponse {
    /// The secret. Hand it over by descriptor, never by argument or environment.
    pub token: String,
    /// The SPIFFE ID that it is good for.
    pub identity: String,
    /// When it expires, RFC 3339.
    pub expires: String,
}

impl std::fmt::Debug for CredentialResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialResponse").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Who answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// Of the running control plane.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// The supervisor's run.
    pub run_id: String,
    /// The mesh's trust domain.
    pub trust_domain: String,
    /// Where proxies connect, `127.0.0.1:port`.
    pub xds: String,
    /// Where its state lives.
    pub data_dir: String,
}

impl WatchEvent {
    /// The last line of a watch that cannot go on.
    pub fn error(body: &ErrorBody) -> Self {
        let object = serde_json::to_value(body).unwrap_or(Value::Null);
        Self { event: WatchEventType::Error, object }
    }
}
