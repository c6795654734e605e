//! The loop: changes in, nodes that read what changed computed again, differences out.

use std::collections::BTreeSet;

use byrnie_api::ObjectKey;
use byrnie_plan::{Key, Resource, TrustBundle};

use crate::graph::{Fact, Node, Ref};
use crate::inputs::{Inputs, Model, Touched};
use crate::outputs::{Before, Outputs, Product};
use crate::reads::Reads;
use crate::view::{Context, View};
use crate::{
    Change, Finding, Options, Output, StatusUpdate, Update, authorization, endpoints, gateway, inbound, mesh,
    names, policy, read, refused, routes, service, subset, upstreams, workload,
};

/// Compiles objects to what proxies obey, incrementally. See the crate's page.
pub struct Compiler {
    context: Context,
    inputs: Inputs,
    outputs: Outputs,
    reads: Reads,
    trust_bundle: Option<Resource>,
    /// The latest time that was told.
    now: jiff::Timestamp,
    /// Nodes that the last batch computed.
    computed: usize,
}

impl Compiler {
    /// A compiler without objects. Its only resource is `MeshSettings` with the defaults.
    pub fn new(options: Options) -> Self {
        let mut compiler = Self {
            context: Context {
                run_id: options.run_id,
                transparent: options.transparent,
                defaults: mesh::Effective::default(),
            },
            inputs: Inputs::default(),
            outputs: Outputs::default(),
            reads: Reads::default(),
            trust_bundle: None,
            now: jiff::Timestamp::MIN,
            computed: 0,
        };
        compiler.settle(BTreeSet::from([Node::Mesh]));
        compiler
    }

    /// Takes changes in. The order of changes to different objects does not matter, nor how they are batched.
    pub fn apply(&mut self, changes: &[Change]) -> Output {
        let mut touched = Touched::default();
        let mut anew = BTreeSet::new();
        for change in changes {
            match change {
                Change::Applied(object) => self.applied(object, &mut touched, &mut anew),
                Change::Deleted(key) => {
                    if let Some(reference) = read::reference(key) {
                        anew.insert(reference.clone());
                        self.inputs.put(reference, None, &mut touched);
                    }
                }
            }
        }
        let mut output = self.settle_touched(touched);
        self.add_statuses(anew, &mut output);
        output
    }

    /// Time passes: what has come to its end by itself does. An earlier time than one that was told is none.
    pub fn advance(&mut self, now: jiff::Timestamp) -> Output {
        self.now = self.now.max(now);
        let mut touched = Touched::default();
        self.inputs.expire(self.now, &mut touched);
        self.settle_touched(touched)
    }

    /// When [`Compiler::advance`] will next have something to do, as far as is known now.
    pub fn next_expiry(&self) -> Option<jiff::Timestamp> {
        self.inputs.next_expiry()
    }

    fn settle_touched(&mut self, touched: Touched) -> Output {
        let mut dirty = touched.nodes;
        for fact in &touched.facts {
            dirty.extend(self.reads.readers(fact).cloned());
        }
        self.settle(dirty)
    }

    /// An object that was made anew has no status yet, also when the one before had the same.
    fn add_statuses(&self, anew: BTreeSet<Ref>, output: &mut Output) {
        let told: BTreeSet<ObjectKey> = output.statuses.iter().map(|status| status.key.clone()).collect();
        for node in anew.into_iter().filter_map(Ref::status_node) {
            if let Some(status) = self.outputs.status(&node)
                && !told.contains(&status.key)
            {
                output.statuses.push(status.clone());
            }
        }
    }

    fn applied(&mut self, object: &byrnie_api::Object, touched: &mut Touched, anew: &mut BTreeSet<Ref>) {
        let Some(reference) = read::reference(&object.key()) else {
            return;
        };
        let mut model = read::model(object, &self.context);
        if let Some(Model::Policy(policy)) = &mut model {
            policy.expired = policy.expires.is_some_and(|at| at <= self.now);
        }
        let uid = |model: Option<&Model>| model.and_then(|model| model.meta().uid.clone());
        if self.inputs.get(&reference).is_some_and(|old| uid(Some(old)) != uid(model.as_ref())) {
            anew.insert(reference.clone());
        }
        self.inputs.put(reference, model, touched);
    }

    /// Takes the roots that peers are verified with. They come from the identity side, not from an object.
    pub fn set_trust_bundle(&mut self, bundle: TrustBundle) -> Output {
        let new = Resource::TrustBundle(bundle);
        if self.trust_bundle.as_ref() == Some(&new) {
            return Output::default();
        }
        self.trust_bundle = Some(new.clone());
        let update = Update { key: Key::TrustBundle, resource: Some(new) };
        Output { updates: vec![update], statuses: Vec::new() }
    }

    /// What stands under a key now.
    pub fn resource(&self, key: &Key) -> Option<&Resource> {
        match key {
            Key::TrustBundle => self.trust_bundle.as_ref(),
            key => self.outputs.resource(key),
        }
    }

    /// Everything that is compiled now.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.outputs.resources().chain(self.trust_bundle.as_ref())
    }

    /// What the operator should know now, in a stable order.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.outputs.findings()
    }

    /// What a computation would see now.
    pub(crate) fn view(&self) -> View<'_> {
        View::new(&self.inputs, &self.outputs, &self.context)
    }

    /// One object as it was read.
    pub(crate) fn model(&self, reference: &Ref) -> Option<&Model> {
        self.inputs.get(reference)
    }

    /// Every object as it was read.
    pub(crate) fn models(&self) -> impl Iterator<Item = &Model> {
        self.inputs.all()
    }

    /// The status of one object, if it has one.
    pub fn status(&self, key: &ObjectKey) -> Option<&serde_json::Value> {
        let node = read::reference(key)?.status_node()?;
        self.outputs.status(&node).map(|update| &update.status)
    }

    /// The status of each object that has one.
    pub fn statuses(&self) -> impl Iterator<Item = &StatusUpdate> {
        self.outputs.statuses()
    }

    /// How many nodes the last batch computed: the measure of how incremental a change was.
    pub fn last_computed(&self) -> usize {
        self.computed
    }

    /// Number of nodes and of facts that are kept: for tests of what is forgotten.
    #[cfg(test)]
    pub(crate) fn size(&self) -> (usize, usize) {
        self.reads.len()
    }

    /// Computes dirty nodes, smallest first, until none is left.
    fn settle(&mut self, mut dirty: BTreeSet<Node>) -> Output {
        let mut before = Before::default();
        self.computed = 0;
        while let Some(node) = dirty.pop_first() {
            self.computed += 1;
            let view = View::new(&self.inputs, &self.outputs, &self.context);
            let product = compute(&node, &view);
            let reads = view.into_reads();
            match &product {
                Some(_) => self.reads.record(&node, reads),
                None => self.reads.forget(&node),
            }
            let effect = self.outputs.put(&node, product.unwrap_or_default(), &mut before);
            dirty.extend(effect.routes.into_iter().map(Node::RouteStatus));
            if effect.derived {
                dirty.extend(self.reads.readers(&Fact::Derived(node)).cloned());
            }
        }
        let (updates, statuses) = self.outputs.changes(before, |node| self.reads.knows(node));
        Output { updates, statuses }
    }
}

/// What a node produces; `None` when what it stands for does not exist.
fn compute(node: &Node, view: &View<'_>) -> Option<Product> {
    match node {
        Node::Mesh => Some(mesh::settings(view)),
        Node::Port(port) => gateway::port(*port, view),
        Node::Route(id) => routes::compile(id, view),
        Node::Policies(target) => policy::holders(target, view),
        Node::Service(name) => service::service(name, view),
        Node::Endpoints(name) => endpoints::endpoints(name, view),
        Node::ServiceRoutes(name) => routes::service_routes(name, view),
        Node::Gateway(name) => gateway::gateway(name, view),
        Node::WorkloadInbound(name) => inbound::workload(name, view),
        Node::ListenerSet(name) => gateway::listener_set(name, view),
        Node::SubsetStatus(name) => subset::status(name, view),
        Node::Refused(id) => refused::status(id, view),
        Node::GatewayInbound(name) => inbound::gateway(name, view),
        Node::Upstreams(name) => upstreams::upstreams(name, view),
        Node::Names(shard) => names::names(*shard, view),
        Node::WorkloadStatus(name) => workload::status(name, view),
        Node::MeshStatus(name) => mesh::status(name, view),
        Node::ClassStatus(name) => gateway::class_status(name, view),
        Node::RouteStatus(id) => routes::status(id, view),
        Node::PolicyStatus(id) => policy::status(id, view),
        Node::AuthorizationStatus(name) => authorization::status(name, view),
    }
}
