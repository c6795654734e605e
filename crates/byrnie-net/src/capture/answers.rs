//! The way back of an application's answers where the proxy shows it the client's address: what carries the
//! application's mark stays in the namespace, whomever it is addressed to. A routing rule and a table of one route.

use super::link::INTERFACE;
use super::rules::APPLICATION_MARK;
use super::tool::{self, ToolError};
use crate::netns::Namespace;

/// For one address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// Puts rule and route in force, for IPv6 where the namespace has an address of it. True: something was missing.
pub(super) fn apply(namespace: &Namespace) -> Result<bool, ToolError> {
    let mut missing = false;
    for family in families(namespace)? {
        let (has_rule, has_route) = in_force(namespace, family)?;
        let mut lines = String::new();
        if !has_rule {
            lines.push_str(&format!("rule add fwmark {APPLICATION_MARK} lookup {APPLICATION_MARK}\n"));
        }
        if !has_route {
            lines.push_str(&format!("route replace local default dev lo table {APPLICATION_MARK}\n"));
        }
        if !lines.is_empty() {
            missing = true;
            match family {
                Family::V4 => tool::ip(namespace, &lines)?,
                Family::V6 => tool::ip6(namespace, &lines)?,
            }
        }
    }
    Ok(missing)
}

/// Whether the rule is there, and whether the route is.
fn in_force(namespace: &Namespace, family: Family) -> Result<(bool, bool), ToolError> {
    let flag = if family == Family::V4 { "-4" } else { "-6" };
    let rules = tool::ip_says(namespace, &[flag, "rule", "show"])?;
    let rule = format!("from all fwmark {APPLICATION_MARK:#x} lookup {APPLICATION_MARK}");
    let table = APPLICATION_MARK.to_string();
    // A table that nothing was ever put into does not exist.
    let routes = match tool::ip_says(namespace, &[flag, "route", "show", "table", &table]) {
        Err(ToolError::Refused { why, .. }) if why.contains("does not exist") => String::new(),
        routes => routes?,
    };
    let has_rule =
        rules.lines().any(|line| line.split_once('\t').is_some_and(|(_, said)| said.trim() == rule));
    Ok((has_rule, routes.lines().any(|line| line.starts_with("local default dev lo"))))
}

fn families(namespace: &Namespace) -> Result<Vec<Family>, ToolError> {
    let addresses = namespace.run(|| match std::fs::read_to_string("/proc/thread-self/net/if_inet6") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        addresses => addresses,
    })?;
    // Address, index, prefix, scope, flags, interface: a scope of 0 is the world, not the link.
    let is_ours = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        fields.get(3) == Some(&"00") && fields.get(5) == Some(&INTERFACE)
    };
    let has_v6 = addresses.lines().any(is_ours);
    Ok([Family::V4, Family::V6].into_iter().filter(|family| *family == Family::V4 || has_v6).collect())
}
