//! The decisions for one request, told step by step: what `byrnie why` prints.
//!
//! Asks the same [`Router`] and [`Authorizer`] that decide, never a second copy of the rules.

use byrnie_plan::{HttpTable, RouteName};

use crate::{
    AuthorizationStep, Authorizer, Found, HeaderLookup, HttpOperation, Miss, PeerView, RequestView, Router,
    Verdict,
};

/// One entry of the table that was passed over, or the one that won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteStep {
    /// Index into [`HttpTable::matches`].
    pub match_index: u32,
    /// The route and rule that the entry leads to.
    pub route: Option<RouteName>,
    /// On what it failed; `None`: it won.
    pub miss: Option<Miss>,
}

/// The route of a request: what won, and what came before it in precedence and failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation<'a> {
    /// What takes the request; `None`: 404.
    pub found: Option<Found>,
    /// In order of precedence, up to and including the winner.
    pub routes: Vec<RouteStep>,
    /// How each policy saw it, and the verdict; `None` when nobody authorizes here.
    pub authorization: Option<(Vec<AuthorizationStep>, Verdict<'a>)>,
}

/// Explains the route of a request and, when `server` is given, the authorization at the server: its policies, the
/// caller's identity, and the workload's port.
pub fn explain<'a, H: HeaderLookup + ?Sized>(
    request: &RequestView<'_, H>,
    table: &HttpTable,
    router: &Router,
    server: Option<(&'a Authorizer, Option<PeerView<'_>>, u16)>,
) -> Explanation<'a> {
    let found = router.find(request);
    let last = found.map_or(table.matches.len(), |found| found.match_index as usize + 1);
    let routes = (0u32..)
        .zip(table.matches.iter().take(last))
        .map(|(match_index, entry)| RouteStep {
            match_index,
            route: table.rules.get(entry.rule as usize).map(|rule| rule.name.clone()),
            miss: router.miss(match_index, request),
        })
        .collect();
    let authorization = server.map(|(authorizer, peer, port)| {
        let path = Some(request.path).filter(|path| !path.is_empty());
        let operation = Some(HttpOperation { method: Some(request.method), path });
        (authorizer.steps(peer, operation, port), authorizer.check(peer, operation, port))
    });
    Explanation { found, routes, authorization }
}

#[cfg(test)]
mod tests;
