//! Which requests and connections a limit or a fault is for.

use std::net::IpAddr;

use byrnie_plan::TrafficMatch;

use crate::authorize::TextSet;
use crate::router::Entry;
use crate::{HeaderLookup, RequestView, RouterError};

/// One request or connection as limits and faults see it.
#[derive(Debug)]
pub struct Arrival<'a, H: ?Sized> {
    /// `None`: a connection of bytes.
    pub request: Option<RequestView<'a, H>>,
    /// The caller's whole SPIFFE ID, if it has proven one.
    pub identity: Option<&'a str>,
    /// The address at the connection's other end.
    pub address: IpAddr,
}

/// A list of [`TrafficMatch`], compiled.
#[derive(Debug)]
pub struct TrafficMatcher(Box<[Way]>);

#[derive(Debug)]
struct Way {
    request: Option<Entry>,
    identities: TextSet,
}

impl TrafficMatcher {
    /// Compiles. Fails where a regular expression cannot be used.
    pub fn compile(matches: &[TrafficMatch]) -> Result<Self, RouterError> {
        let ways = matches.iter().enumerate().map(|(index, way)| {
            let request =
                way.request.as_ref().map(|request| Entry::compile(index, 0, request)).transpose()?;
            Ok(Way { request, identities: TextSet::new(&way.identities) })
        });
        Ok(Self(ways.collect::<Result<_, _>>()?))
    }

    /// Whether any of them asks who calls.
    pub fn asks_identity(&self) -> bool {
        self.0.iter().any(|way| !way.identities.is_empty())
    }

    /// Whether one of them matches; none at all match everything.
    pub fn matches<H: HeaderLookup + ?Sized>(&self, arrival: &Arrival<'_, H>) -> bool {
        self.0.is_empty() || self.0.iter().any(|way| way.matches(arrival))
    }
}

impl Way {
    fn matches<H: HeaderLookup + ?Sized>(&self, arrival: &Arrival<'_, H>) -> bool {
        let request = match (&self.request, &arrival.request) {
            (None, _) => true,
            (Some(wanted), Some(request)) => wanted.miss(request).is_none(),
            (Some(_), None) => false,
        };
        request && self.identities.admits_known(arrival.identity)
    }
}
