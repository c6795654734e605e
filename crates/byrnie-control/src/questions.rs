//! Questions of operators about a proxy itself: they go over the stream that the proxy holds, nobody dials a proxy.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use byrnie_mesh::{Compiler, Entry};
use byrnie_plan::ObjectName;
use byrnie_wire::MAX_ANSWER;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::api::ErrorBody;
use crate::error;
use crate::nodes::Nodes;
use crate::table::ProxyOrder;
use crate::why::of_mesh;

/// What a proxy can be asked.
pub const WHAT: [&str; 9] =
    ["listeners", "routes", "endpoints", "pools", "certificates", "policy", "connections", "settings", "all"];
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Questions at once.
const LIMIT: usize = 256;

/// Questions that wait for their answers.
#[derive(Debug, Default)]
pub struct Questions {
    next_id: AtomicU64,
    waiting: Mutex<HashMap<u64, Question>>,
}

#[derive(Debug)]
struct Question {
    /// Whose answer counts.
    proxy: ObjectName,
    parts: Vec<u8>,
    done: oneshot::Sender<Vec<u8>>,
}

/// Forgets a question, whatever became of it.
struct Asked<'a> {
    questions: &'a Questions,
    id: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.questions.waiting.lock().remove(&self.id);
    }
}

impl Questions {
    /// Asks the proxy of a workload or Gateway. Its answer is its own word, a JSON document.
    pub async fn ask(&self, nodes: &Nodes, proxy: &ObjectName, what: &str) -> Result<Value, ErrorBody> {
        if !WHAT.contains(&what) {
            return Err(error::bad_request(format!(
                "a proxy tells about {}, not about {what:?}",
                WHAT.join(", ")
            )));
        }
        let node = nodes.get(proxy).filter(|node| node.is_connected());
        let node = node.ok_or_else(|| error::proxy_away(proxy, "it is not connected"))?;
        let (done, answer) = oneshot::channel();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        {
            let mut waiting = self.waiting.lock();
            if waiting.len() >= LIMIT {
                return Err(error::too_many("questions to proxies", LIMIT));
            }
            waiting.insert(id, Question { proxy: proxy.clone(), parts: Vec::new(), done });
        }
        let _asked = Asked { questions: self, id };
        node.mailbox.order(ProxyOrder::Ask(id, what.to_owned()));
        let bytes = match tokio::time::timeout(TIMEOUT, answer).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(_)) => return Err(error::proxy_away(proxy, "its answer is too long")),
            Err(_) => return Err(error::proxy_away(proxy, "it does not answer within 5 s")),
        };
        serde_json::from_slice(&bytes).map_err(|_| error::proxy_away(proxy, "its answer is no JSON document"))
    }

    /// A proxy answers. What nobody asked it is dropped.
    pub fn answered(&self, proxy: &ObjectName, id: u64, part: &[u8], last: bool) {
        let mut waiting = self.waiting.lock();
        let Some(question) = waiting.get_mut(&id).filter(|question| question.proxy == *proxy) else { return };
        if question.parts.len() + part.len() > MAX_ANSWER {
            waiting.remove(&id);
            return;
        }
        question.parts.extend_from_slice(part);
        if last && let Some(question) = waiting.remove(&id) {
            // Who asked may have left.
            let _ = question.done.send(question.parts);
        }
    }
}

/// Asks one proxy, or all that are connected, and joins the items of their answers: each says whose it is.
pub async fn items(
    control: &Arc<crate::state::Control>,
    proxy: Option<&ObjectName>,
    what: &str,
) -> Result<Vec<Value>, ErrorBody> {
    let all = || control.nodes.all().into_iter().filter(|node| node.is_connected());
    let proxies: Vec<ObjectName> = match proxy {
        Some(proxy) => vec![proxy.clone()],
        None => all().map(|node| node.info.workload.clone()).collect(),
    };
    let mut joined = Vec::new();
    for name in proxies {
        let answer = match control.questions.ask(&control.nodes, &name, what).await {
            Ok(answer) => answer,
            // One that goes while all are asked is no reason to hear nothing of the others.
            Err(_) if proxy.is_none() => continue,
            Err(error) => return Err(error),
        };
        let Value::Object(mut answer) = answer else { continue };
        let list = match answer.remove("items") {
            Some(Value::Array(list)) => list,
            _ => vec![Value::Object(answer)],
        };
        for mut item in list {
            if what == "settings" {
                item["origin"] = origin(&control.compiler.lock(), &name, &item).into();
            }
            if let Some(item) = item.as_object_mut() {
                item.insert("proxyNamespace".to_owned(), name.namespace.clone().into());
                item.insert("proxy".to_owned(), name.name.clone().into());
            }
            joined.push(item);
        }
    }
    Ok(joined)
}

/// Whose word a setting is that a proxy has in force: a policy's, the Mesh's, nobody's.
fn origin(compiler: &Compiler, proxy: &ObjectName, item: &Value) -> String {
    let text = |field: &str| item[field].as_str().unwrap_or_default();
    let port = item["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    let entry = match (port, text("service").parse::<ObjectName>()) {
        (Some(port), _) => Entry::Port(port),
        (None, Ok(service)) => Entry::Service(service),
        (None, Err(())) => Entry::Proxy,
    };
    let field = text("field");
    if let Some(origin) = compiler.inbound_origins(proxy, &entry).get(field) {
        return origin.clone();
    }
    of_mesh(field, text("value")).unwrap_or_else(|| "default".to_owned())
}
