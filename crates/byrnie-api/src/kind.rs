//! The table of kinds: names, scope, and which fields the mesh acts on.

mod table;

use std::fmt;

pub use table::KINDS;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Our own API group.
pub const MESH_GROUP: &str = "mesh.byrnie.dev";
/// The Gateway API's group.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// Linkerd's API group, of which one kind is read.
pub const LINKERD_GROUP: &str = "linkerd.io";

/// A kind of object. Displayed as its name, for example `HTTPRoute`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is its own name; the table below says the rest")]
pub enum Kind {
    Namespace,
    Service,
    ServiceAccount,
    GatewayClass,
    Gateway,
    ListenerSet,
    HTTPRoute,
    GRPCRoute,
    TCPRoute,
    TLSRoute,
    UDPRoute,
    ReferenceGrant,
    BackendTLSPolicy,
    Mesh,
    Workload,
    TrafficPolicy,
    AuthorizationPolicy,
    ServiceProfile,
    ServiceSubset,
    RateLimitPolicy,
    FaultPolicy,
}

/// Whether a kind's objects live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// One for the whole mesh.
    Cluster,
}

/// One row of [`KINDS`].
#[derive(Debug)]
pub struct KindInfo {
    /// The kind.
    pub kind: Kind,
    /// As written in `kind:`.
    pub name: &'static str,
    /// Empty for the core group.
    pub group: &'static str,
    /// The version that is read and printed.
    pub version: &'static str,
    /// Other versions of the same shape, which are read, too.
    pub other_versions: &'static [&'static str],
    /// For example `httproutes`.
    pub plural: &'static str,
    /// For example `httproute`.
    pub singular: &'static str,
    /// For example `svc`.
    pub short_names: &'static [&'static str],
    /// Whether objects live in namespaces.
    pub scope: Scope,
    /// The fields that the mesh acts on, as dotted paths without list indices. A path stands for everything
    /// below it. A field of the schema that is not here is kept, and a finding says so.
    pub acted_on: &'static [&'static str],
    /// Exceptions below `acted_on`.
    pub not_acted_on: &'static [&'static str],
    /// Fields that only a cluster acts on; the finding about them is information, not a warning.
    pub cluster_only: &'static [&'static str],
}

impl Kind {
    /// The kind's row.
    pub fn info(self) -> &'static KindInfo {
        // The table has one row per variant, in order; a test checks it.
        &KINDS[self as usize]
    }

    /// As written in `kind:`.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// As written in `apiVersion:`.
    pub fn api_version(self) -> String {
        let info = self.info();
        if info.group.is_empty() {
            info.version.to_owned()
        } else {
            format!("{}/{}", info.group, info.version)
        }
    }

    /// Whether objects live in namespaces.
    pub fn is_namespaced(self) -> bool {
        self.info().scope == Scope::Namespaced
    }

    /// Finds a kind by `apiVersion` and `kind`. Any version that the table knows is accepted.
    pub fn from_type(api_version: &str, name: &str) -> Option<Self> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let row = KINDS.iter().find(|row| row.name == name && row.group == group)?;
        (row.version == version || row.other_versions.contains(&version)).then_some(row.kind)
    }

    /// Finds a kind by what people type: its name, plural, singular or short name in any case, or the plural or
    /// singular followed by the group (`httproutes.gateway.networking.k8s.io`).
    pub fn from_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let row = KINDS.iter().find(|row| {
            let with_group =
                |name: &str| word.strip_prefix(name).and_then(|w| w.strip_prefix('.')) == Some(row.group);
            word == row.plural
                || word == row.singular
                || row.short_names.contains(&word.as_str())
                || (!row.group.is_empty() && (with_group(row.plural) || with_group(row.singular)))
        });
        row.map(|row| row.kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let row = KINDS.iter().find(|row| row.name == name);
        row.map(|row| row.kind).ok_or_else(|| serde::de::Error::custom(format!("unknown kind {name}")))
    }
}

/// Which object: kind, namespace and name. Displayed as `HTTPRoute shop/front`, or `Mesh default`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectKey {
    /// The kind.
    pub kind: Kind,
    /// Empty for cluster-scoped kinds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// Joins the three parts; the namespace of a cluster-scoped kind is dropped.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        let namespace = if kind.is_namespaced() { namespace.into() } else { String::new() };
        Self { kind, namespace, name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (index, row) in KINDS.iter().enumerate() {
            assert_eq!(row.kind as usize, index);
            assert_eq!(row.name, format!("{:?}", row.kind));
            assert_eq!(Kind::from_type(&row.kind.api_version(), row.name), Some(row.kind));
            for word in [row.plural, row.singular, row.name].iter().chain(row.short_names) {
                assert_eq!(Kind::from_word(word), Some(row.kind), "{word}");
            }
        }
    }

    #[test]
    fn words_that_people_type() {
        assert_eq!(Kind::from_word("HTTPRoutes.gateway.networking.k8s.io"), Some(Kind::HTTPRoute));
        assert_eq!(Kind::from_word("svc"), Some(Kind::Service));
        assert_eq!(Kind::from_word("pod"), None);
        assert_eq!(Kind::from_word(""), None);
        assert_eq!(Kind::from_type("v1", "Workload"), None);
        assert_eq!(Kind::from_type("gateway.networking.k8s.io/v1beta1", "HTTPRoute"), Some(Kind::HTTPRoute));
    }
}
