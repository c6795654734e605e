//! Status of ServiceSubsets. What routes make of them stands in `routes::backends`.

use byrnie_plan::ObjectName;

use crate::findings::{self, finding};
use crate::outputs::Product;
use crate::status::{Verdict, conditions};
use crate::view::View;

/// `Node::SubsetStatus`.
pub(crate) fn status(name: &ObjectName, view: &View<'_>) -> Option<Product> {
    let subset = view.subset(name)?;
    let service = view.service(&subset.service);
    let mut found = Vec::new();
    let resolved = match service {
        None => {
            let message = format!("there is no Service {}", subset.service);
            found.push(finding(findings::SUBSET_EMPTY, &subset.meta, "spec.service", message.clone()));
            Verdict::no("TargetNotFound", message)
        }
        Some(service) => {
            let mut labels = service.selector.clone();
            // A label that the selector has with another value leaves nobody.
            let differs =
                subset.labels.iter().any(|(key, value)| labels.get(key).is_some_and(|v| v != value));
            labels.extend(subset.labels.clone());
            if differs
                || service.selector.is_empty()
                || view.workloads_with(&name.namespace, &labels).is_empty()
            {
                let message = format!("no Workload of Service {} has the subset's labels", subset.service);
                found.push(finding(findings::SUBSET_EMPTY, &subset.meta, "spec.labels", message));
            }
            Verdict::yes("ResolvedRefs")
        }
    };
    let status =
        conditions(&subset.meta, &[("Accepted", Verdict::yes("Accepted")), ("ResolvedRefs", resolved)]);
    Some(Product { status: Some(status), findings: found, ..Product::default() })
}
