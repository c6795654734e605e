//! Routing tables, compiled: the router says which rule, the rule says what happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use byrnie_decide::{CorsRules, Router, RouterError, WeightedChoice};
use byrnie_plan::{
    Filter, HostPattern, HttpTable, InvalidBackend, PathMatch, Redirect, Retry, Rewrite, RouteName, Timeouts,
};
use http::header::{HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::{Cluster, Controls, KnownLimits};
use crate::hop::header::hop_part;

/// Routes for requests.
pub struct HttpRoutes {
    /// Which match takes a request.
    pub router: Router,
    /// By `Found::rule`.
    pub rules: Vec<Arc<Rule>>,
    /// By `Found::match_index`: what a prefix rewrite needs.
    pub paths: Vec<PathMatch>,
}

/// What happens with the requests of one rule.
pub struct Rule {
    /// The label in metrics and logs.
    pub name: RouteName,
    /// Applied to every request of the rule.
    pub filters: RuleFilters,
    /// Which backend, by weight.
    pub choice: Turns,
    /// By index of the choice.
    pub backends: Vec<Backend>,
    /// Limits of this rule.
    pub timeouts: Timeouts,
    /// Retries of this rule; `None`: the service's.
    pub retry: Option<Arc<Retry>>,
    /// What hop headers say of it.
    pub hop_part: String,
    /// Rate limits and faults of this rule; what is missing is the service's.
    pub controls: Option<Arc<Controls>>,
    /// Whether clients of any of several backends stay where they began.
    pub has_sessions: bool,
}

/// Where a share of a rule's requests goes.
pub struct Backend {
    /// `Err`: its share is answered with 500.
    pub cluster: Result<Arc<Cluster>, InvalidBackend>,
    /// Applied when this backend was chosen.
    pub filters: RuleFilters,
}

/// Filters, parsed into what the hot path needs.
#[derive(Default)]
pub struct RuleFilters {
    /// Answer at once.
    pub redirect: Option<Redirect>,
    /// Change host or path.
    pub rewrite: Option<Rewrite>,
    /// On the way to the backend.
    pub request: HeaderEdits,
    /// On the way back.
    pub response: HeaderEdits,
    /// Copies.
    pub mirrors: Vec<MirrorTo>,
    /// What pages of other origins are told.
    pub cors: Option<Arc<CorsRules>>,
}

/// Changes of headers, in order.
#[derive(Default)]
pub struct HeaderEdits {
    /// Replace.
    pub set: SmallVec<[(HeaderName, HeaderValue); 1]>,
    /// Append.
    pub add: SmallVec<[(HeaderName, HeaderValue); 1]>,
    /// Remove.
    pub remove: SmallVec<[HeaderName; 1]>,
}

/// Where copies go.
pub struct MirrorTo {
    /// `Err`: no copy is sent.
    pub cluster: Result<Arc<Cluster>, InvalidBackend>,
    /// Share of requests.
    pub numerator: u32,
    /// Never 0.
    pub denominator: u32,
}

/// Routes for connections.
pub struct TcpRoute {
    /// `None`: the Service itself.
    pub name: Option<RouteName>,
    /// Which backend, by weight.
    pub choice: Turns,
    /// By index of the choice.
    pub backends: Vec<Result<Arc<Cluster>, InvalidBackend>>,
    /// Rate limits and faults of this rule; what is missing is the service's.
    pub controls: Option<Arc<Controls>>,
}

/// Routes for connections, by SNI pattern.
pub type TcpRoutes = Vec<(HostPattern, Arc<TcpRoute>)>;

/// A choice by weight in turns: as even as can be over any stretch of requests, whichever workers they come to. By
/// chance a share of one half would be off by more than a point in one of twenty runs of 10,000 requests.
pub struct Turns {
    choice: WeightedChoice,
    /// Requests so far, from a random number on: proxies that start together must not choose alike.
    next: AtomicU64,
}

impl Turns {
    /// Compiles weights.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        Self { choice: WeightedChoice::new(weights), next: AtomicU64::new(rand::random()) }
    }

    /// The index of this request's backend; `None` when none has a weight.
    pub fn take(&self) -> Option<usize> {
        match self.choice.only() {
            Some(only) => Some(only),
            None => self.choice.nth(self.next.fetch_add(1, Relaxed)),
        }
    }
}

/// Why a resource cannot be put in force: the text of a nack.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A regular expression.
    #[error(transparent)]
    Router(#[from] RouterError),
    /// A header that no message can carry.
    #[error("the header {0:?} of a filter cannot be sent")]
    Header(String),
}

/// How a backend reference becomes a cluster.
pub type Resolve<'a> =
    dyn FnMut(&byrnie_plan::BackendTarget, Carries) -> Result<Arc<Cluster>, InvalidBackend> + 'a;

/// What goes to a cluster. Copies have connections, limits and a view of the endpoints of their own, so that they take
/// nothing from requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carries {
    /// Requests and connections.
    Requests,
    /// Mirrored copies.
    Copies,
}

impl HttpRoutes {
    /// Compiles a table.
    pub fn compile(
        table: &HttpTable,
        resolve: &mut Resolve<'_>,
        known: &KnownLimits,
    ) -> Result<Self, RouteError> {
        let router = Router::compile(table)?;
        let paths = table.matches.iter().map(|m| m.path.clone()).collect();
        let mut rules = Vec::with_capacity(table.rules.len());
        for rule in &table.rules {
            let mut backends = Vec::with_capacity(rule.backends.len());
            for backend in &rule.backends {
                let cluster = resolve(&backend.target, Carries::Requests);
                backends.push(Backend { cluster, filters: RuleFilters::compile(&backend.filters, resolve)? });
            }
            let has_session = |backend: &Backend| {
                backend.cluster.as_ref().is_ok_and(|cluster| cluster.settings.session.is_some())
            };
            rules.push(Arc::new(Rule {
                has_sessions: backends.len() > 1 && backends.iter().any(has_session),
                name: rule.name.clone(),
                hop_part: hop_part(&rule.name),
                filters: RuleFilters::compile(&rule.filters, resolve)?,
                choice: Turns::new(rule.backends.iter().map(|b| b.weight)),
                backends,
                timeouts: rule.timeouts,
                retry: rule.retry.clone().map(Arc::new),
                controls: known.compile(rule.controls.as_deref())?,
            }));
        }
        Ok(Self { router, rules, paths })
    }
}

impl TcpRoute {
    /// Compiles a rule.
    pub fn compile(
        rule: &byrnie_plan::TcpRule,
        resolve: &mut Resolve<'_>,
        known: &KnownLimits,
    ) -> Result<Self, RouteError> {
        Ok(Self {
            name: rule.name.clone(),
            choice: Turns::new(rule.backends.iter().map(|b| b.weight)),
            backends: rule.backends.iter().map(|b| resolve(&b.target, Carries::Requests)).collect(),
            controls: known.compile(rule.controls.as_deref())?,
        })
    }

    /// The clusters of its backends.
    pub fn clusters(&self) -> impl Iterator<Item = Arc<Cluster>> {
        self.backends.iter().filter_map(|backend| backend.clone().ok())
    }
}

impl RuleFilters {
    fn compile(filters: &[Filter], resolve: &mut Resolve<'_>) -> Result<Self, RouteError> {
        let mut out = Self::default();
        for filter in filters {
            match filter {
                Filter::RequestHeaders(edits) => out.request.extend(edits)?,
                Filter::ResponseHeaders(edits) => out.response.extend(edits)?,
                Filter::Redirect(redirect) => out.redirect = Some(redirect.clone()),
                Filter::Rewrite(rewrite) => out.rewrite = Some(rewrite.clone()),
                Filter::Mirror(mirror) => out.mirrors.push(MirrorTo {
                    cluster: resolve(&mirror.target, Carries::Copies),
                    numerator: mirror.numerator,
                    denominator: mirror.denominator.max(1),
                }),
                Filter::Cors(cors) => out.cors = Some(Arc::new(CorsRules::new(cors))),
            }
        }
        Ok(out)
    }
}

impl HeaderEdits {
    fn extend(&mut self, edits: &byrnie_plan::HeaderModifier) -> Result<(), RouteError> {
        for (name, value) in &edits.set {
            self.set.push(header(name, value)?);
        }
        for (name, value) in &edits.add {
            self.add.push(header(name, value)?);
        }
        for name in &edits.remove {
            self.remove.push(header(name, "")?.0);
        }
        Ok(())
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// First `set`, then `add`, then `remove`.
    pub fn apply(&self, headers: &mut http::HeaderMap) {
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
        for name in &self.remove {
            headers.remove(name);
        }
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), RouteError> {
    let parsed = name.parse::<HeaderName>().ok().zip(HeaderValue::from_str(value).ok());
    parsed.ok_or_else(|| RouteError::Header(name.to_owned()))
}
