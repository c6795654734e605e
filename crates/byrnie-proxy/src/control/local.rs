//! A proxy without control plane: its resources come from whoever runs the process.

use std::collections::BTreeSet;

use byrnie_plan::Key;
use tokio::sync::watch;

use super::Control;
use crate::run::LocalState;

/// Returns when there is a newer state; never, where there is none to expect.
pub(super) async fn changed(local: &mut Option<watch::Receiver<LocalState>>) {
    if let Some(state) = local
        && state.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

impl Control {
    /// Offers what is there now and differs from what is in force. A resource that cannot be compiled is refused by
    /// itself; the last good one stays.
    pub(super) fn take_local(&mut self) {
        let Some(local) = &mut self.local else { return };
        let state = local.borrow_and_update().clone();
        self.trouble.local = state.refused;
        (self.xds.connected, self.xds.synced, self.xds.fresh) = (true, true, true);
        self.xds.rejected.clear();
        // What is offered may need more.
        let mut seen = BTreeSet::new();
        loop {
            let new: Vec<Key> = self.assembler.needed_keys().difference(&seen).cloned().collect();
            if new.is_empty() {
                return;
            }
            for key in new {
                self.offer_local(&key, &state.resources);
                seen.insert(key);
            }
        }
    }

    fn offer_local(&mut self, key: &Key, all: &std::collections::BTreeMap<Key, byrnie_plan::Resource>) {
        let wanted = all.get(key);
        if self.assembler.resource(key) == wanted {
            return self.assembler.unchanged(key);
        }
        if let Err(refusal) = self.assembler.offer(key.clone(), wanted.cloned()) {
            tracing::warn!(%key, code = refusal.code, "refused: {}", refusal.reason);
            self.trouble.local = format!("{}: {key}: {}", refusal.code, refusal.reason);
            self.xds.rejected.insert(key.clone());
        }
    }
}
