//! The first failure of the file, for whoever has to draw consequences.

use tokio::sync::watch;

use crate::error::StoreError;

/// Told at most once.
#[derive(Clone, Debug)]
pub(super) struct Failure(watch::Sender<Option<StoreError>>);

impl Default for Failure {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Failure {
    /// Takes note of an error, if it is one of the file.
    pub(super) fn note(&self, error: &StoreError) {
        if let StoreError::Storage { .. } = error {
            self.0.send_if_modified(|first| {
                let is_first = first.is_none();
                first.get_or_insert_with(|| error.clone());
                is_first
            });
        }
    }

    /// Waits for it.
    pub(super) async fn happened(&self) -> StoreError {
        let mut told = self.0.subscribe();
        // An error means that the sender is gone, and we hold it.
        let first = told.wait_for(Option::is_some).await.ok().and_then(|first| first.clone());
        first.unwrap_or(StoreError::Closed)
    }
}
