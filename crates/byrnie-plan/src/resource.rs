//! What a proxy subscribes to: a key, and what stands under it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{
    Endpoints, GatewayRoutes, InboundPolicy, MeshSettings, NAME_SHARDS, Names, ObjectName, Routes, Service,
    TrustBundle, Upstreams,
};

/// The address of one compiled resource. Displayed and parsed as in design section 6,
/// for example `Routes/shop/web@store`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// `Service/<ns>/<name>`: ports, protocols, traffic settings.
    Service(ObjectName),
    /// `Endpoints/<ns>/<service>`.
    Endpoints(ObjectName),
    /// `Routes/<ns>/<service>` (producer) or `Routes/<ns>/<service>@<client-ns>` (consumer: where it exists, it
    /// replaces the producer's for clients of that namespace).
    Routes {
        /// The Service that the routes are attached to.
        service: ObjectName,
        /// The namespace of the clients, for a consumer's routes.
        client_namespace: Option<Arc<str>>,
    },
    /// `GatewayRoutes/<ns>/<gateway>`: listeners and what they serve.
    GatewayRoutes(ObjectName),
    /// `InboundPolicy/<ns>/<workload>`: what a workload (or gateway) accepts.
    InboundPolicy(ObjectName),
    /// `Upstreams/<ns>/<workload>`: what a workload calls through local addresses.
    Upstreams(ObjectName),
    /// `Names/<shard>`: names and virtual addresses of Services, for proxies that capture traffic.
    Names(u8),
    /// `TrustBundle`: the roots to verify peers with.
    TrustBundle,
    /// `MeshSettings`: telemetry and proxy defaults.
    MeshSettings,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "Service/{name}"),
            Self::Endpoints(name) => write!(f, "Endpoints/{name}"),
            Self::Routes { service, client_namespace: None } => write!(f, "Routes/{service}"),
            Self::Routes { service, client_namespace: Some(ns) } => write!(f, "Routes/{service}@{ns}"),
            Self::GatewayRoutes(name) => write!(f, "GatewayRoutes/{name}"),
            Self::InboundPolicy(name) => write!(f, "InboundPolicy/{name}"),
            Self::Upstreams(name) => write!(f, "Upstreams/{name}"),
            Self::Names(shard) => write!(f, "Names/{shard}"),
            Self::TrustBundle => f.write_str("TrustBundle"),
            Self::MeshSettings => f.write_str("MeshSettings"),
        }
    }
}

impl FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let Some((kind, rest)) = text.split_once('/') else {
            return match text {
                "TrustBundle" => Ok(Self::TrustBundle),
                "MeshSettings" => Ok(Self::MeshSettings),
                _ => Err(()),
            };
        };
        Ok(match kind {
            "Service" => Self::Service(rest.parse()?),
            "Endpoints" => Self::Endpoints(rest.parse()?),
            "Routes" => match rest.split_once('@') {
                None => Self::Routes { service: rest.parse()?, client_namespace: None },
                Some((service, ns)) if !ns.is_empty() => {
                    Self::Routes { service: service.parse()?, client_namespace: Some(ns.into()) }
                }
                Some(_) => return Err(()),
            },
            "GatewayRoutes" => Self::GatewayRoutes(rest.parse()?),
            "InboundPolicy" => Self::InboundPolicy(rest.parse()?),
            "Upstreams" => Self::Upstreams(rest.parse()?),
            "Names" => Self::Names(shard(rest)?),
            _ => return Err(()),
        })
    }
}

/// As it is written: no sign, no zero before.
fn shard(text: &str) -> Result<u8, ()> {
    let shard: u8 = text.parse().map_err(|_| ())?;
    if shard < NAME_SHARDS && shard.to_string() == text { Ok(shard) } else { Err(()) }
}

/// What one [`Key`] holds. The variant always matches the key's.
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// Under [`Key::Service`]. What is large is boxed: there are thousands of the small ones.
    Service(Box<Service>),
    /// Under [`Key::Endpoints`].
    Endpoints(Endpoints),
    /// Under [`Key::Routes`].
    Routes(Routes),
    /// Under [`Key::GatewayRoutes`].
    GatewayRoutes(GatewayRoutes),
    /// Under [`Key::InboundPolicy`].
    InboundPolicy(Box<InboundPolicy>),
    /// Under [`Key::Upstreams`].
    Upstreams(Upstreams),
    /// Under [`Key::Names`].
    Names(Names),
    /// Under [`Key::TrustBundle`].
    TrustBundle(TrustBundle),
    /// Under [`Key::MeshSettings`].
    MeshSettings(Box<MeshSettings>),
}

impl Resource {
    /// The key that this resource stands under.
    pub fn key(&self) -> Key {
        match self {
            Self::Service(r) => Key::Service(r.name.clone()),
            Self::Endpoints(r) => Key::Endpoints(r.service.clone()),
            Self::Routes(r) => {
                Key::Routes { service: r.service.clone(), client_namespace: r.client_namespace.clone() }
            }
            Self::GatewayRoutes(r) => Key::GatewayRoutes(r.gateway.clone()),
            Self::InboundPolicy(r) => Key::InboundPolicy(r.workload.clone()),
            Self::Upstreams(r) => Key::Upstreams(r.workload.clone()),
            Self::Names(r) => Key::Names(r.shard),
            Self::TrustBundle(_) => Key::TrustBundle,
            Self::MeshSettings(_) => Key::MeshSettings,
        }
    }

    /// The same, sharing the text of its name with `key`, which is its own.
    #[must_use]
    pub fn named(mut self, key: &Key) -> Self {
        match (&mut self, key) {
            (Self::Service(r), Key::Service(name)) => r.name = name.clone(),
            (Self::Endpoints(r), Key::Endpoints(name)) => r.service = name.clone(),
            (Self::Routes(r), Key::Routes { service, client_namespace }) => {
                r.service = service.clone();
                r.client_namespace.clone_from(client_namespace);
            }
            // Of these a proxy has one each.
            _ => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proxy keeps some twenty keys for each service that it calls, and three resources.
    #[test]
    fn keys_and_resources_are_small() {
        assert!(size_of::<Key>() <= 32, "{}", size_of::<Key>());
        assert!(size_of::<Resource>() <= 72, "{}", size_of::<Resource>());
    }

    #[test]
    fn a_resource_shares_the_text_of_its_key() {
        let name = |key: &Key| match key {
            Key::Endpoints(name) => std::ptr::from_ref(&**name),
            _ => panic!("{key}"),
        };
        let (key, same): (Key, Key) = ("Endpoints/a/b".parse().unwrap(), "Endpoints/a/b".parse().unwrap());
        let Key::Endpoints(service) = same else { panic!("{same}") };
        let resource = Resource::Endpoints(Endpoints { service, ports: Vec::new() });
        assert!(!std::ptr::eq(name(&resource.key()), name(&key)));
        let shared = resource.clone().named(&key);
        assert!(std::ptr::eq(name(&shared.key()), name(&key)));
        assert_eq!(shared, resource);
    }

    #[test]
    fn keys_round_trip() {
        for text in [
            "Service/shop/web",
            "Endpoints/shop/web",
            "Routes/shop/web",
            "Routes/shop/web@store",
            "GatewayRoutes/shop/front",
            "InboundPolicy/shop/web-1",
            "Upstreams/shop/web-1",
            "Names/63",
            "TrustBundle",
            "MeshSettings",
        ] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "Service/shop",
            "Service/shop/web/x",
            "Routes/shop/web@",
            "Nope/a/b",
            "Names/64",
            "Names/+1",
            "Names/01",
        ] {
            assert!(bad.parse::<Key>().is_err(), "{bad}");
        }
    }
}
