//! The `Mesh`: settings of every proxy, and what identities and policies default to.

use byrnie_plan::{DefaultAction, MeshSettings, Resource};

use crate::findings::{self, finding};
use crate::outputs::{Derived, Product};
use crate::status::{Verdict, conditions};
use crate::view::View;

/// The only Mesh that counts.
const NAME: &str = "default";

/// The settings that hold, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Effective {
    pub(crate) trust_domain: String,
    pub(crate) default_action: DefaultAction,
    /// How many upstreams a Workload gets that names none.
    pub(crate) upstream_limit: usize,
    pub(crate) settings: MeshSettings,
}

impl Default for Effective {
    fn default() -> Self {
        Self {
            trust_domain: "cluster.local".to_owned(),
            default_action: DefaultAction::AllowAll,
            upstream_limit: 64,
            settings: MeshSettings::default(),
        }
    }
}

/// `Key::MeshSettings`, and what other nodes need to know.
pub(crate) fn settings(view: &View<'_>) -> Product {
    let effective = view
        .mesh_object(&NAME.to_owned())
        .map_or_else(|| view.context.defaults.clone(), |mesh| mesh.effective.clone());
    Product {
        resources: vec![Resource::MeshSettings(Box::new(effective.settings.clone()))],
        derived: Some(Derived::Mesh(Box::new(effective))),
        ..Product::default()
    }
}

/// Status of one Mesh object.
pub(crate) fn status(name: &String, view: &View<'_>) -> Option<Product> {
    let mesh = view.mesh_object(name)?;
    if name == NAME {
        let status = conditions(&mesh.meta, &[("Accepted", Verdict::yes("Accepted"))]);
        return Some(Product { status: Some(status), ..Product::default() });
    }
    let message = format!("only the Mesh named {NAME:?} counts; this one has no effect");
    let accepted = Verdict::no("Conflicted", message.clone());
    Some(Product {
        status: Some(conditions(&mesh.meta, &[("Accepted", accepted)])),
        findings: vec![finding(findings::MESH_IGNORED, &mesh.meta, "metadata.name", message)],
        ..Product::default()
    })
}
