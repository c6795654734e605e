//! Names of things and the identity that a workload proves.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

/// The namespace of the mesh's own identities (control plane, supervisor).
pub const SYSTEM_NAMESPACE: &str = "byrnie-system";

/// Namespace and name of an object. Displayed and parsed as `namespace/name`.
///
/// A pointer to a text that all clones share: a proxy keeps the name of a service that it knows in some thirty places.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(Arc<NameParts>);

/// What an [`ObjectName`] is made of.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameParts {
    /// The namespace; never empty.
    pub namespace: String,
    /// The name within the namespace; never empty.
    pub name: String,
}

impl ObjectName {
    /// Joins a namespace and a name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self(Arc::new(NameParts { namespace: namespace.into(), name: name.into() }))
    }
}

impl Deref for ObjectName {
    type Target = NameParts;

    fn deref(&self) -> &NameParts {
        &self.0
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ObjectName {
    type Err = ();

    /// Exactly two non-empty parts; anything else is refused.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self::new(namespace, name))
            }
            _ => Err(()),
        }
    }
}

/// What a workload proves about itself: `spiffe://<trust-domain>/ns/<namespace>/sa/<service-account>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadIdentity {
    /// Lower-case trust domain, no scheme.
    pub trust_domain: String,
    /// The namespace part.
    pub namespace: String,
    /// The service-account part.
    pub service_account: String,
}

impl fmt::Display for WorkloadIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }
}

impl FromStr for WorkloadIdentity {
    type Err = ();

    /// Strict: exact shape, no query, fragment, port, percent-encoding, empty or dot segments
    /// (SPIFFE-ID specification section 2), trust domain in lower case.
    fn from_str(text: &str) -> Result<Self, ()> {
        let rest = text.strip_prefix("spiffe://").ok_or(())?;
        let mut parts = rest.split('/');
        let (domain, ns, namespace, sa, account) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
        if parts.next().is_some() || ns != Some("ns") || sa != Some("sa") {
            return Err(());
        }
        let domain = domain.filter(|d| is_trust_domain(d)).ok_or(())?;
        let namespace = namespace.filter(|s| is_segment(s)).ok_or(())?;
        let account = account.filter(|s| is_segment(s)).ok_or(())?;
        Ok(Self {
            trust_domain: domain.to_owned(),
            namespace: namespace.to_owned(),
            service_account: account.to_owned(),
        })
    }
}

fn is_trust_domain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'))
}

fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && text != "."
        && text != ".."
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_round_trips_and_refuses_odd_forms() {
        let text = "spiffe://cluster.local/ns/shop/sa/web";
        assert_eq!(text.parse::<WorkloadIdentity>().unwrap().to_string(), text);
        for bad in [
            "spiffe://Cluster.local/ns/shop/sa/web",
            "spiffe://cluster.local/ns/shop/sa/web/",
            "spiffe://cluster.local/ns/shop/sa/web?x",
            "spiffe://cluster.local/ns/../sa/web",
            "spiffe://cluster.local:1/ns/shop/sa/web",
            "spiffe://cluster.local/ns//sa/web",
            "spiffe://cluster.local/ns/sh%6fp/sa/web",
            "http://cluster.local/ns/shop/sa/web",
        ] {
            assert!(bad.parse::<WorkloadIdentity>().is_err(), "{bad}");
        }
    }
}
