//! Sessions: a request says which endpoint it began with, a response tells the client what to say.
//!
//! What travels is `NAME`, or with time limits `NAME.ISSUED.USED.SEAL`: the endpoint's name (see `config::session`),
//! milliseconds since 1970 in hexadecimal, and a seal over all of it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use byrnie_plan::{SessionCarrier, SessionPersistence, TrafficSettings};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue, SET_COOKIE};

use super::cookie;
use crate::config::{Endpoint, EndpointSet, SessionId};

/// A session that is used gets a new time stamp when this part of its idle time-out has passed, one in so many.
const RENEW: u32 = 10;

/// What a request says about its session. Nothing of it is believed before it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    id: SessionId,
    times: Option<Times>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Times {
    issued_ms: u64,
    used_ms: u64,
    /// What the seal is over.
    sealed: String,
    seal: Vec<u8>,
}

/// The session of a request, where its service has sessions and the request says one.
pub fn claim(settings: &TrafficSettings, headers: &HeaderMap) -> Option<Claim> {
    let session = settings.session.as_ref()?;
    let value = match session.carrier {
        SessionCarrier::Cookie | SessionCarrier::PermanentCookie => cookie(headers, &session.name)?,
        SessionCarrier::Header => headers.get(session.name.as_str())?.as_bytes(),
    };
    Claim::parse(std::str::from_utf8(value).ok()?)
}

impl Claim {
    fn parse(text: &str) -> Option<Self> {
        let decode = |part: &str| BASE64.decode(part).ok();
        let mut parts = text.split('.');
        let id = decode(parts.next()?)?.try_into().ok()?;
        let times = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (None, ..) => None,
            (Some(issued), Some(used), Some(seal), None) => Some(Times {
                issued_ms: u64::from_str_radix(issued, 16).ok()?,
                used_ms: u64::from_str_radix(used, 16).ok()?,
                sealed: text.rsplit_once('.')?.0.to_owned(),
                seal: decode(seal)?,
            }),
            _ => return None,
        };
        Some(Self { id, times })
    }

    /// The endpoint that it names, if that is still there and the session has not ended.
    pub fn endpoint<'a>(
        &self,
        set: &'a EndpointSet,
        settings: &TrafficSettings,
        unix_ms: u64,
    ) -> Option<&'a Arc<Endpoint>> {
        let endpoint = set.endpoints.get(*set.sessions.get(&self.id)? as usize)?;
        self.is_of(endpoint, settings.session.as_ref()?, unix_ms).then_some(endpoint)
    }

    fn is_of(&self, endpoint: &Endpoint, session: &SessionPersistence, unix_ms: u64) -> bool {
        let Some(key) = endpoint.session().filter(|key| key.id == self.id) else { return false };
        if !has_limits(session) {
            return true;
        }
        let Some(times) = &self.times else { return false };
        let is_within = |since: u64, limit: Option<Duration>| {
            limit.is_none_or(|limit| unix_ms.saturating_sub(since) < millis(limit))
        };
        is_within(times.issued_ms, session.absolute_timeout)
            && is_within(times.used_ms, session.idle_timeout)
            && key.is_sealed(&times.sealed, &times.seal)
    }
}

/// Tells the client which session it is in from now on, where that is news. `claim`: what it said itself.
pub fn tell(
    settings: &TrafficSettings,
    endpoint: &Endpoint,
    claim: Option<&Claim>,
    unix_ms: u64,
    headers: &mut HeaderMap,
) {
    let Some(session) = &settings.session else { return };
    let held = claim.filter(|claim| claim.is_of(endpoint, session, unix_ms));
    let times = held.and_then(|claim| claim.times.as_ref());
    let is_stale = |times: &Times| {
        let renewal = session.idle_timeout.map(|idle| millis(idle / RENEW));
        renewal.is_some_and(|after| unix_ms.saturating_sub(times.used_ms) >= after)
    };
    if held.is_some() && !times.is_some_and(is_stale) {
        return;
    }
    let issued_ms = times.map_or(unix_ms, |times| times.issued_ms);
    let Some(value) = name_of(endpoint, session, issued_ms, unix_ms) else { return };
    match session.carrier {
        SessionCarrier::Header => {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(session.name.as_str()), HeaderValue::try_from(value))
            {
                headers.insert(name, value);
            }
        }
        SessionCarrier::Cookie | SessionCarrier::PermanentCookie => {
            let mut line = format!("{}={value}; Path=/; HttpOnly", session.name);
            if let (SessionCarrier::PermanentCookie, Some(life)) = (session.carrier, session.absolute_timeout)
            {
                let left = millis(life).saturating_sub(unix_ms.saturating_sub(issued_ms));
                line.push_str(&format!("; Max-Age={}", left.div_ceil(1000)));
            }
            if let Ok(line) = HeaderValue::try_from(line) {
                headers.append(SET_COOKIE, line);
            }
        }
    }
}

/// What names a session with this endpoint. `None`: it can have none.
fn name_of(
    endpoint: &Endpoint,
    session: &SessionPersistence,
    issued_ms: u64,
    used_ms: u64,
) -> Option<String> {
    let key = endpoint.session()?;
    let name = BASE64.encode(key.id);
    if !has_limits(session) {
        return Some(name);
    }
    let sealed = format!("{name}.{issued_ms:x}.{used_ms:x}");
    let seal = BASE64.encode(key.seal(&sealed));
    Some(format!("{sealed}.{seal}"))
}

fn has_limits(session: &SessionPersistence) -> bool {
    session.absolute_timeout.is_some() || session.idle_timeout.is_some()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
