//! `apply --wait`: when does everybody obey what is compiled now?

use std::sync::Arc;
use std::time::Duration;

use byrnie_plan::{Key, ObjectName};
use tokio::time::Instant;

use crate::api::{ErrorBody, WaitRequest, WaitResponse, WaitingProxy};
use crate::error;
use crate::nodes::{Node, Nodes};
use crate::table::Table;

/// Time to wait when the request names none, and the longest.
const TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// How long a proxy whose stream has just ended is waited for.
const COMEBACK: Duration = Duration::from_secs(5);

/// When a wait ends, and the proxies that it waits for.
pub struct Terms {
    started: Instant,
    deadline: Instant,
    proxies: Vec<ObjectName>,
}

impl Terms {
    /// Reads a request.
    pub fn read(request: &WaitRequest) -> Result<Self, ErrorBody> {
        let timeout = request.timeout_ms.map_or(TIMEOUT, Duration::from_millis).min(TIMEOUT_MAX);
        let proxies = request
            .proxies
            .iter()
            .map(|name| {
                name.parse().map_err(|()| error::bad_request(format!("`{name}` is not NAMESPACE/NAME")))
            })
            .collect::<Result<_, _>>()?;
        let started = Instant::now();
        Ok(Self { started, deadline: started + timeout, proxies })
    }
}

/// Waits until every connected proxy has answered what is published now. What was still to be compiled must be
/// published already.
pub async fn wait(terms: &Terms, nodes: &Nodes, table: &Table) -> WaitResponse {
    let mut response = WaitResponse::default();
    for name in &terms.proxies {
        if tokio::time::timeout_at(terms.deadline, nodes.arrival(name)).await.is_err() {
            response.pending.push(waiting(name, None, "its proxy is not connected"));
        }
    }
    // One whose stream has just ended comes back with what it had; it does not obey what it has not heard.
    for node in nodes.all().iter().filter(|node| node.left_within(COMEBACK)) {
        let until = terms.deadline.min(terms.started + COMEBACK);
        let _ = tokio::time::timeout_at(until, nodes.arrival(&node.info.workload)).await;
    }
    let upto = table.seq();
    // A proxy that obeys new routes may subscribe to what they lead to, so look again after all have answered. One look
    // decides: in the next one it may have subscribed to more.
    let look = loop {
        let look = look_at(nodes, table, upto);
        if look.iter().all(|(_, keys)| keys.is_empty()) || Instant::now() >= terms.deadline {
            break look;
        }
        // One after the other: all must have answered, so the last one decides in any order.
        for (node, keys) in look {
            // The deadline ends the loop above.
            let _ = tokio::time::timeout_at(terms.deadline, node.until_settled(&keys)).await;
        }
    };
    look.iter().for_each(|(node, keys)| tell(node, keys, &mut response));
    response.waited_ms = u64::try_from(terms.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    response
}

/// Keys, each with the number of its present state.
type Unsettled = Vec<(Key, u64)>;

/// The connected proxies, each with what it has not answered.
fn look_at(nodes: &Nodes, table: &Table, upto: u64) -> Vec<(Arc<Node>, Unsettled)> {
    let connected = nodes.all().into_iter().filter(|node| node.is_connected());
    let told = connected.map(|node| {
        let unsettled = node.unsettled(table, upto);
        (node, unsettled)
    });
    told.collect()
}

/// What became of one proxy.
fn tell(node: &Node, unsettled: &[(Key, u64)], response: &mut WaitResponse) {
    let name = &node.info.workload;
    if let Some((key, _)) = unsettled.first() {
        response.pending.push(waiting(name, Some(key), "no answer yet"));
        return;
    }
    let rejections = node.rejections();
    response.synced += usize::from(rejections.is_empty());
    for (key, why) in &rejections {
        response.rejected.push(waiting(name, Some(key), &format!("{} {}", why.code, why.reason)));
    }
}

fn waiting(name: &ObjectName, key: Option<&Key>, reason: &str) -> WaitingProxy {
    WaitingProxy {
        namespace: name.namespace.clone(),
        workload: name.name.clone(),
        resource: key.map(Key::to_string).unwrap_or_default(),
        reason: reason.to_owned(),
    }
}
