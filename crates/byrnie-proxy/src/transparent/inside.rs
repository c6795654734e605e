//! A thread that stays in the workload's namespace, for what the control thread wants there: it lives in the host's,
//! and may not go anywhere.

use std::io;
use std::sync::mpsc;

use byrnie_net::Namespace;
use byrnie_net::capture::confine::{Powers, keep_only};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The thread, as others see it. It ends with this.
pub struct Inside {
    handle: Handle,
    _alive: oneshot::Sender<()>,
}

impl Inside {
    /// Starts the thread.
    pub fn start(namespace: &Namespace) -> io::Result<Self> {
        let (alive, ended) = oneshot::channel::<()>();
        let (told, heard) = mpsc::sync_channel(1);
        let namespace = namespace.clone();
        std::thread::Builder::new().name("inside".into()).spawn(move || {
            let runtime = namespace
                .enter()
                .and_then(|()| keep_only(Powers::default()))
                .and_then(|()| Builder::new_current_thread().enable_all().build());
            match runtime {
                Ok(runtime) => {
                    let _ = told.send(Ok(runtime.handle().clone()));
                    let _ = runtime.block_on(ended);
                }
                Err(error) => drop(told.send(Err(error))),
            }
        })?;
        let handle = heard.recv().unwrap_or_else(|_| Err(gone()))?;
        Ok(Self { handle, _alive: alive })
    }

    /// Tasks that are to run there.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Does something short there, and waits for it.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (told, heard) = mpsc::sync_channel(1);
        self.handle.spawn(async move { told.send(work()).is_ok() });
        heard.recv().unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread in the workload's network namespace is gone")
}
