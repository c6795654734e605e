//! Strict readers of single fields, and the way an error learns where it stands.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use byrnie_plan::{ObjectName, WorkloadIdentity};

use crate::error::{DecodeError, Problem};
use crate::generated as pb;

/// Longest list in a resource, but endpoints.
pub(crate) const MAX_LIST: usize = 16_384;
/// Most endpoints behind one service port.
pub(crate) const MAX_ENDPOINTS: usize = 65_536;
/// Longest text in a resource, in bytes: above any name, path or regular expression that the API accepts.
pub(crate) const MAX_TEXT: usize = 16_384;

type Read<T> = Result<T, DecodeError>;

pub(crate) fn invalid(expected: &'static str) -> DecodeError {
    DecodeError::new(Problem::Invalid(expected))
}

/// Says which field a result belongs to.
pub(crate) fn at<T>(field: &str, result: Read<T>) -> Read<T> {
    result.map_err(|error| error.within(field))
}

/// A message that must be there.
pub(crate) fn required<P, T>(field: &str, part: Option<P>, read: impl FnOnce(P) -> Read<T>) -> Read<T> {
    at(field, part.ok_or(DecodeError::new(Problem::Missing)).and_then(read))
}

/// A message that may be missing.
pub(crate) fn maybe<P, T>(field: &str, part: Option<P>, read: impl FnOnce(P) -> Read<T>) -> Read<Option<T>> {
    part.map(|part| at(field, read(part))).transpose()
}

/// A number that must be there, also when it is 0.
pub(crate) fn number<T>(field: &str, value: Option<T>) -> Read<T> {
    required(field, value, Ok)
}

/// A list of at most `max` entries.
pub(crate) fn list<P, T>(
    field: &str,
    items: Vec<P>,
    max: usize,
    read: impl Fn(P) -> Read<T>,
) -> Read<Vec<T>> {
    if items.len() > max {
        return Err(DecodeError::new(Problem::TooLong { len: items.len(), max }).within(field));
    }
    let mut out = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        out.push(read(item).map_err(|error| error.within(&format!("[{index}]")).within(field))?);
    }
    Ok(out)
}

/// That each item's key is greater than the one before.
pub(crate) fn ascending<T, K: Ord>(field: &str, items: &[T], key: impl Fn(&T) -> K) -> Read<()> {
    match items.windows(2).position(|pair| matches!(pair, [a, b] if key(a) >= key(b))) {
        None => Ok(()),
        Some(index) => {
            Err(DecodeError::new(Problem::NotAscending).within(&format!("[{}]", index + 1)).within(field))
        }
    }
}

/// A text of at most `max` bytes.
pub(crate) fn text(text: String, max: usize) -> Read<String> {
    if text.len() > max {
        return Err(DecodeError::new(Problem::TooLong { len: text.len(), max }));
    }
    Ok(text)
}

/// A text of ordinary length.
pub(crate) fn short(value: String) -> Read<String> {
    text(value, MAX_TEXT)
}

/// A text of ordinary length that says something.
pub(crate) fn filled(value: String) -> Read<String> {
    if value.is_empty() {
        return Err(DecodeError::new(Problem::Missing));
    }
    short(value)
}

/// `namespace/name`.
pub(crate) fn name(text: &str) -> Read<ObjectName> {
    if text.len() > MAX_TEXT {
        return Err(DecodeError::new(Problem::TooLong { len: text.len(), max: MAX_TEXT }));
    }
    text.parse().map_err(|()| invalid("a name as namespace/name"))
}

/// A SPIFFE ID of a workload.
pub(crate) fn identity(text: &str) -> Read<WorkloadIdentity> {
    text.parse().map_err(|()| invalid("an identity as spiffe://<trust domain>/ns/<namespace>/sa/<account>"))
}

/// 1..=65535.
pub(crate) fn port(value: u32) -> Read<u16> {
    within(value, 1, u16::MAX)
}

/// `min..=max`.
pub(crate) fn within(value: u32, min: u16, max: u16) -> Read<u16> {
    match u16::try_from(value) {
        Ok(number) if number >= min && number <= max => Ok(number),
        _ => {
            let (min, max) = (min.into(), max.into());
            Err(DecodeError::new(Problem::OutOfRange { value: value.into(), min, max }))
        }
    }
}

pub(crate) fn ip(bytes: &[u8]) -> Read<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Ok(four.into());
    }
    <[u8; 16]>::try_from(bytes).map(IpAddr::from).map_err(|_| invalid("an IP address of 4 or 16 bytes"))
}

pub(crate) fn ip_bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

pub(crate) fn address(address: pb::Address) -> Read<SocketAddr> {
    Ok(SocketAddr::new(at("ip", ip(&address.ip))?, at("port", port(address.port))?))
}

/// A scope id or flow label of IPv6 has no meaning on another host and is left out.
pub(crate) fn address_to_proto(address: SocketAddr) -> pb::Address {
    pb::Address { ip: ip_bytes(address.ip()), port: address.port().into() }
}

/// Nanoseconds; longer than 584 years is the same as 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn maybe_nanos(duration: Option<Duration>) -> Option<u64> {
    duration.map(nanos)
}

pub(crate) fn duration(field: &str, value: Option<u64>) -> Read<Duration> {
    number(field, value).map(Duration::from_nanos)
}

pub(crate) fn maybe_duration(value: Option<u64>) -> Option<Duration> {
    value.map(Duration::from_nanos)
}

pub(crate) fn labels(field: &str, labels: Vec<pb::Label>) -> Read<Vec<(String, String)>> {
    list(field, labels, MAX_LIST, |label| {
        Ok((at("key", filled(label.key))?, at("value", short(label.value))?))
    })
}

pub(crate) fn labels_to_proto(labels: &[(String, String)]) -> Vec<pb::Label> {
    labels.iter().map(|(key, value)| pb::Label { key: key.clone(), value: value.clone() }).collect()
}

/// Both directions of an enum whose variants have the same names on the wire, checked for completeness.
macro_rules! same_names {
    ($to:ident, $from:ident, $plan:ty, $wire:ty, [$($variant:ident),+ $(,)?]) => {
        pub(crate) fn $to(value: $plan) -> i32 {
            (match value { $(<$plan>::$variant => <$wire>::$variant),+ }) as i32
        }

        pub(crate) fn $from(value: i32) -> Result<$plan, $crate::error::DecodeError> {
            match <$wire>::try_from(value) {
                $(Ok(<$wire>::$variant) => Ok(<$plan>::$variant),)+
                _ => Err($crate::error::DecodeError::new($crate::error::Problem::UnknownValue(value))),
            }
        }
    };
}
pub(crate) use same_names;
