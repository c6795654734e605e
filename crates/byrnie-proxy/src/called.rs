//! Services that are called by their virtual address: known from the first call on.
//!
//! The workers ask, the control thread subscribes and says when there is an answer. What was called before is one
//! lookup. Who asks for what does not come is told so after a while; how many may ask at once is bounded.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use byrnie_plan::{ObjectName, ServicePortRef};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::config::Destination;
use crate::error::{Kind, ProxyError};
use crate::worker::Worker;

/// How long a connection waits for what the control plane says about its service. Source: the connection is refused
/// then, and programs try again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections that may ask at once; beyond, they are refused.
const WAITING: usize = 1_024;

/// A worker's question.
pub struct Call {
    /// What is called.
    pub service: ObjectName,
    /// Answered when the configuration has it, or when there is no such service.
    pub answer: oneshot::Sender<()>,
}

/// The way of questions from the workers to the control thread.
pub struct Calls {
    sender: mpsc::Sender<Call>,
    receiver: Mutex<Option<mpsc::Receiver<Call>>>,
}

impl Default for Calls {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Calls {
    /// The end of whoever answers; there is one.
    pub fn receiver(&self) -> Option<mpsc::Receiver<Call>> {
        self.receiver.lock().take()
    }
}

/// The destination of a service port, wherever it was called from. At the first call of a service, waits for what the
/// control plane knows of it.
pub async fn destination(worker: &Worker, name: &ServicePortRef) -> Result<Arc<Destination>, ProxyError> {
    if let Some(found) = find(worker, name) {
        return Ok(found);
    }
    let (answer, answered) = oneshot::channel();
    let call = Call { service: name.service.clone(), answer };
    if worker.process.calls.sender.try_send(call).is_err() {
        let what = format!("{WAITING} connections wait for services that were not called before");
        return Err(ProxyError::unprocessed(Kind::Overload, what));
    }
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(())) => find(worker, name).ok_or_else(|| {
            let what = format!("Service {} has no port {}", name.service, name.port);
            ProxyError::unprocessed(Kind::NoRoute, what)
        }),
        _ => {
            let what = format!("nothing is known of Service {} yet; is the control plane up?", name.service);
            Err(ProxyError::unprocessed(Kind::NotReady, what))
        }
    }
}

fn find(worker: &Worker, name: &ServicePortRef) -> Option<Arc<Destination>> {
    let config = worker.config();
    let found = Arc::clone(config.destinations.get(name)?);
    if let Some(entry) = config.names.named(&name.service.namespace, &name.service.name) {
        entry.used.store(worker.time(Instant::now()).as_micros().max(1), Relaxed);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use byrnie_plan::{AppProtocol, TrafficSettings};

    use super::*;
    use crate::tcp::tests::mesh::{Mesh, call, run, web};

    #[test]
    fn the_first_call_asks_and_waits_and_later_ones_look_it_up() {
        run(async {
            let worker = Mesh::new().proxy("bot");
            let mut asked = worker.process.calls.receiver().unwrap();
            assert!(worker.process.calls.receiver().is_none(), "one answers");
            let (worker_of_control, answering) = (std::rc::Rc::clone(&worker), async move {
                let question = asked.recv().await.unwrap();
                (question, asked)
            });
            let name = web();
            let first = destination(&worker, &name);
            let control = async {
                let (question, asked) = answering.await;
                assert_eq!(question.service, web().service);
                call(&worker_of_control, AppProtocol::Tcp, TrafficSettings::default(), Vec::new());
                question.answer.send(()).unwrap();
                asked
            };
            let (found, mut asked) = futures_util::future::join(first, control).await;
            assert_eq!(found.map(|found| (*found.name).clone()).map_err(|error| error.kind), Ok(web()));
            assert!(destination(&worker, &name).await.is_ok());
            assert!(asked.try_recv().is_err(), "asked once only");
        });
    }

    #[test]
    fn what_is_not_there_and_who_does_not_answer_are_told_apart() {
        run(async {
            let worker = Mesh::new().proxy("bot");
            let mut asked = worker.process.calls.receiver().unwrap();
            let control = async {
                let none = asked.recv().await.unwrap();
                none.answer.send(()).unwrap();
                drop(asked.recv().await.unwrap());
            };
            let calls = async {
                let none = destination(&worker, &web()).await.err().map(|error| error.kind);
                let silent = destination(&worker, &web()).await.err().map(|error| error.kind);
                (none, silent)
            };
            let (kinds, ()) = futures_util::future::join(calls, control).await;
            assert_eq!(kinds, (Some(Kind::NoRoute), Some(Kind::NotReady)));
            for _ in 0..WAITING {
                let (answer, _) = oneshot::channel();
                let call = Call { service: web().service, answer };
                assert!(worker.process.calls.sender.try_send(call).is_ok());
            }
            let full = destination(&worker, &web()).await.err().map(|error| error.kind);
            assert_eq!(full, Some(Kind::Overload));
        });
    }
}
