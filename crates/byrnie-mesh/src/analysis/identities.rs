//! Policies that name identities which nobody has.

use std::collections::BTreeSet;

use byrnie_plan::Resource;

use super::about;
use crate::findings;
use crate::inputs::Model;
use crate::{Compiler, Finding};

pub(super) fn analyze(compiler: &Compiler) -> Vec<Finding> {
    let known: BTreeSet<String> = compiler
        .resources()
        .filter_map(|resource| match resource {
            Resource::InboundPolicy(policy) => Some(policy.identity.to_string()),
            _ => None,
        })
        .collect();
    let mut found = Vec::new();
    for model in compiler.models() {
        let Model::Authorization(policy) = model else { continue };
        for (r, rule) in policy.spec.rules.iter().enumerate() {
            for (f, source) in rule.from.iter().enumerate() {
                for (i, identity) in source.identities.iter().enumerate() {
                    if !identity.contains('*') && !known.contains(identity) {
                        let field = format!("spec.rules[{r}].from[{f}].identities[{i}]");
                        let message = format!("no Workload and no Gateway has the identity {identity}");
                        let key = policy.meta.key.clone();
                        found.push(about(findings::IDENTITY_UNKNOWN, key, field, message));
                    }
                }
            }
        }
    }
    found
}
