//! The control thread's side of calls: subscribes to what was called, tells who waits, lets go of what nobody calls.

use std::sync::atomic::Ordering::Relaxed;

use byrnie_plan::ObjectName;
use tokio::sync::{mpsc, oneshot};

use super::Control;
use crate::called::Call;

/// Who waits, and for what.
pub(super) struct Waiters {
    pub(super) calls: Option<mpsc::Receiver<Call>>,
    waiting: Vec<(ObjectName, oneshot::Sender<()>)>,
}

impl Waiters {
    pub(super) fn new(calls: Option<mpsc::Receiver<Call>>) -> Self {
        Self { calls, waiting: Vec::new() }
    }

    /// The next question; never, where nobody asks.
    pub(super) async fn next(&mut self) -> Call {
        match &mut self.calls {
            Some(calls) => match calls.recv().await {
                Some(call) => call,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

impl Control {
    /// Takes all questions that wait.
    pub(super) fn on_call(&mut self, first: Call) {
        let mut next = Some(first);
        let mut is_new = false;
        while let Some(Call { service, answer }) = next {
            is_new |= self.assembler.call(service.clone());
            self.waiters.waiting.push((service, answer));
            next = self.waiters.calls.as_mut().and_then(|calls| calls.try_recv().ok());
        }
        if is_new {
            return self.apply();
        }
        self.answer_calls();
    }

    /// Tells those who wait for what is known now.
    pub(super) fn answer_calls(&mut self) {
        let assembler = &self.assembler;
        let known = self
            .waiters
            .waiting
            .extract_if(.., |(service, answer)| answer.is_closed() || assembler.knows_called(service));
        // Whoever asked may have given up.
        known.for_each(|(_, answer)| {
            let _ = answer.send(());
        });
    }

    /// Lets go of what was called longest ago, when it is too much. Never while nobody could give it back.
    pub(super) fn forget_calls(&mut self) {
        if !self.xds.connected {
            return;
        }
        let config = self.process.config.load();
        let used = |service: &ObjectName| {
            config.names.named(&service.namespace, &service.name).map_or(0, |entry| entry.used.load(Relaxed))
        };
        if self.assembler.forget_oldest_calls(used) {
            self.apply();
        }
    }
}
