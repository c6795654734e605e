//! Compiled routes, kept as long as neither their resource nor a cluster they lead to is another one.

use std::sync::Arc;

use byrnie_plan::{BackendTarget, HostPattern, HttpTable, InvalidBackend, Key, TcpRule};
use foldhash::HashMap;

use super::clusters::Round;
use crate::config::{Carries, Cluster, HttpRoutes, RouteError, TcpRoute, TcpRoutes};

/// What was compiled, by resource and port.
#[derive(Default)]
pub(super) struct Cache(HashMap<(Key, u16), Entry>);

#[derive(Clone)]
struct Entry {
    revision: u64,
    /// Every backend, and what it led to.
    led_to: Vec<(BackendTarget, Carries, Resolved)>,
    http: Option<Arc<HttpRoutes>>,
    tcp: TcpRoutes,
}

type Resolved = Result<Arc<Cluster>, InvalidBackend>;

/// What is to be compiled.
pub(super) struct Source<'a> {
    /// The resource's key, and the port in it.
    pub(super) place: (Key, u16),
    /// The resource's revision.
    pub(super) revision: u64,
    pub(super) http: Option<&'a HttpTable>,
    pub(super) tcp: Vec<(&'a HostPattern, &'a TcpRule)>,
}

/// Routes for requests, and for connections by SNI pattern.
pub(super) struct Compiled {
    pub(super) http: Option<Arc<HttpRoutes>>,
    pub(super) tcp: TcpRoutes,
}

impl Cache {
    /// Takes over from `before`, or compiles. `None`: it cannot be compiled; that was tried before it was accepted,
    /// so whoever asks serves nothing there.
    pub(super) fn compile(
        &mut self,
        before: &Self,
        source: Source<'_>,
        round: &mut Round<'_>,
    ) -> Option<Compiled> {
        let entry = match before.0.get(&source.place) {
            Some(entry) if entry.revision == source.revision && entry.is_current(round) => Ok(entry.clone()),
            _ => Entry::compile(&source, round),
        };
        match entry {
            Ok(entry) => {
                let compiled = Compiled { http: entry.http.clone(), tcp: entry.tcp.clone() };
                self.0.insert(source.place, entry);
                Some(compiled)
            }
            Err(error) => {
                tracing::error!(key = %source.place.0, port = source.place.1, %error, "accepted routes do not compile");
                None
            }
        }
    }
}

impl Entry {
    fn compile(source: &Source<'_>, round: &mut Round<'_>) -> Result<Self, RouteError> {
        let mut led_to = Vec::new();
        let known = round.known;
        let mut resolve = |target: &BackendTarget, carries: Carries| {
            let resolved = round.resolve(target, carries);
            led_to.push((target.clone(), carries, resolved.clone()));
            resolved
        };
        let http = match source.http {
            Some(table) => Some(Arc::new(HttpRoutes::compile(table, &mut resolve, known)?)),
            None => None,
        };
        let mut tcp = Vec::with_capacity(source.tcp.len());
        for (host, rule) in &source.tcp {
            tcp.push(((*host).clone(), Arc::new(TcpRoute::compile(rule, &mut resolve, known)?)));
        }
        Ok(Self { revision: source.revision, led_to, http, tcp })
    }

    fn is_current(&self, round: &mut Round<'_>) -> bool {
        self.led_to.iter().all(|(target, carries, before)| match (round.resolve(target, *carries), before) {
            (Ok(now), Ok(before)) => Arc::ptr_eq(&now, before),
            (Err(now), Err(before)) => now == *before,
            _ => false,
        })
    }
}
