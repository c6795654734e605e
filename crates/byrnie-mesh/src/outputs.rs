//! What the nodes produced, and what of it changed in this batch.

use std::collections::BTreeMap;

use byrnie_plan::{Key, ObjectName, Resource};

use crate::findings::Code;
use crate::graph::{Node, RouteId};
use crate::status::Verdict;
use crate::{Finding, StatusUpdate, Update, gateway, mesh, policy, routes};

/// What one node produced.
#[derive(Default)]
pub(crate) struct Product {
    pub(crate) resources: Vec<Resource>,
    pub(crate) status: Option<StatusUpdate>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) derived: Option<Derived>,
    pub(crate) attachments: BTreeMap<RouteId, Vec<Attachment>>,
}

/// A value that other nodes read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Derived {
    Mesh(mesh::Effective),
    Port(gateway::PortHolders),
    /// What a Gateway found about its ListenerSets.
    Sets(BTreeMap<ObjectName, gateway::SetFound>),
    Route(Box<routes::Compiled>),
    Policies(policy::Holders),
}

/// What a parent says about one `parentRef` of a route.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attachment {
    /// Index into the route's `parentRefs`.
    pub(crate) index: usize,
    /// Whether the parent takes the route.
    pub(crate) verdict: Verdict,
    /// The code of the finding, when it does not.
    pub(crate) code: Option<Code>,
}

impl Attachment {
    pub(crate) fn taken(index: usize) -> Self {
        Self { index, verdict: Verdict::yes("Accepted"), code: None }
    }

    pub(crate) fn refused(
        index: usize,
        reason: &'static str,
        code: Code,
        message: impl Into<String>,
    ) -> Self {
        Self { index, verdict: Verdict::no(reason, message), code: Some(code) }
    }
}

/// All products by node.
#[derive(Default)]
pub(crate) struct Outputs {
    resources: BTreeMap<Key, (Node, Resource)>,
    keys: BTreeMap<Node, Vec<Key>>,
    statuses: BTreeMap<Node, StatusUpdate>,
    findings: BTreeMap<Node, Vec<Finding>>,
    derived: BTreeMap<Node, Derived>,
    attachments: BTreeMap<Node, BTreeMap<RouteId, Vec<Attachment>>>,
}

/// The state before the batch of everything that the batch touched.
#[derive(Default)]
pub(crate) struct Before {
    resources: BTreeMap<Key, Option<Resource>>,
    statuses: BTreeMap<Node, Option<StatusUpdate>>,
}

/// What a new product means for other nodes.
#[derive(Default)]
pub(crate) struct Effect {
    /// The derived value is another one.
    pub(crate) derived: bool,
    /// Routes to whom this parent now says something else.
    pub(crate) routes: Vec<RouteId>,
}

impl Outputs {
    pub(crate) fn derived(&self, node: &Node) -> Option<&Derived> {
        self.derived.get(node)
    }

    pub(crate) fn attachments(&self, node: &Node, route: &RouteId) -> &[Attachment] {
        self.attachments.get(node).and_then(|routes| routes.get(route)).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn resource(&self, key: &Key) -> Option<&Resource> {
        self.resources.get(key).map(|(_, resource)| resource)
    }

    pub(crate) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.resources.values().map(|(_, resource)| resource)
    }

    pub(crate) fn status(&self, node: &Node) -> Option<&StatusUpdate> {
        self.statuses.get(node)
    }

    pub(crate) fn statuses(&self) -> impl Iterator<Item = &StatusUpdate> {
        self.statuses.values()
    }

    pub(crate) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.values().flatten()
    }

    /// Replaces what a node produced.
    pub(crate) fn put(&mut self, node: &Node, product: Product, before: &mut Before) -> Effect {
        self.put_resources(node, product.resources, before);
        self.put_status(node, product.status, before);
        if product.findings.is_empty() {
            self.findings.remove(node);
        } else {
            self.findings.insert(node.clone(), product.findings);
        }
        let old = match product.derived.clone() {
            Some(derived) => self.derived.insert(node.clone(), derived),
            None => self.derived.remove(node),
        };
        Effect { derived: old != product.derived, routes: self.put_attachments(node, product.attachments) }
    }

    fn put_resources(&mut self, node: &Node, resources: Vec<Resource>, before: &mut Before) {
        let new: BTreeMap<Key, Resource> = resources.into_iter().map(|r| (r.key(), r)).collect();
        for key in self.keys.remove(node).unwrap_or_default() {
            // Another node may hold the key by now: a Workload gave its name to a Gateway.
            if !new.contains_key(&key) && self.resources.get(&key).is_some_and(|(owner, _)| owner == node) {
                let old = self.resources.remove(&key).map(|(_, resource)| resource);
                before.resources.entry(key).or_insert(old);
            }
        }
        if !new.is_empty() {
            self.keys.insert(node.clone(), new.keys().cloned().collect());
        }
        for (key, resource) in new {
            match self.resources.get_mut(&key) {
                Some((owner, old)) => {
                    owner.clone_from(node);
                    if *old != resource {
                        let old = std::mem::replace(old, resource);
                        before.resources.entry(key).or_insert(Some(old));
                    }
                }
                None => {
                    self.resources.insert(key.clone(), (node.clone(), resource));
                    before.resources.entry(key).or_insert(None);
                }
            }
        }
    }

    fn put_status(&mut self, node: &Node, status: Option<StatusUpdate>, before: &mut Before) {
        if self.statuses.get(node) == status.as_ref() {
            return;
        }
        let old = match status {
            Some(status) => self.statuses.insert(node.clone(), status),
            None => self.statuses.remove(node),
        };
        before.statuses.entry(node.clone()).or_insert(old);
    }

    fn put_attachments(&mut self, node: &Node, new: BTreeMap<RouteId, Vec<Attachment>>) -> Vec<RouteId> {
        let old = self.attachments.remove(node).unwrap_or_default();
        let gone = old.keys().filter(|route| !new.contains_key(route));
        let other = new.iter().filter(|(route, said)| old.get(route) != Some(said)).map(|(route, _)| route);
        let changed = gone.chain(other).cloned().collect();
        if !new.is_empty() {
            self.attachments.insert(node.clone(), new);
        }
        changed
    }

    /// What of all that was touched is now other than before the batch. `exists` knows the nodes whose
    /// objects are still there: one that we have nothing more to say about gets an empty status.
    pub(crate) fn changes(
        &self,
        before: Before,
        exists: impl Fn(&Node) -> bool,
    ) -> (Vec<Update>, Vec<StatusUpdate>) {
        let updates = before.resources.into_iter().filter_map(|(key, old)| {
            let resource = self.resource(&key).cloned();
            (old != resource).then_some(Update { key, resource })
        });
        let statuses =
            before.statuses.into_iter().filter_map(|(node, old)| match (old, self.statuses.get(&node)) {
                (Some(old), None) => {
                    exists(&node).then(|| crate::status::update(&old.key, serde_json::json!({})))
                }
                (old, new) if old.as_ref() == new => None,
                (_, new) => new.cloned(),
            });
        (updates.collect(), statuses.collect())
    }
}
