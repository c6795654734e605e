//! What applications hear about who is at the other end: `X-Forwarded-*` at a Gateway, the peer's identity at a
//! workload.

use std::net::IpAddr;

use byrnie_plan::{ForwardedHeaders, MeshSettings};
use http::header::{HOST, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::front::Front;
use crate::http::headers::begins_as;
use crate::process::Process;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
/// Who calls. Envoy's name, so that applications read it already.
pub const CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// At a Gateway: says where the client is, and what it asked for.
pub fn tell_client(front: &Front, settings: &MeshSettings, headers: &mut HeaderMap) {
    let keep_all = match settings.forwarded_headers {
        ForwardedHeaders::Off => return,
        ForwardedHeaders::Append => true,
        ForwardedHeaders::Replace => false,
    };
    let own = || front.address.get_or_init(|| address(front.remote.ip())).clone();
    let hops = settings.trusted_hops as usize;
    // Most come without any: one look over the names is cheaper than asking for each.
    let came_with_some = headers.keys().any(is_about_forwarding);
    if came_with_some {
        strip_aliases(headers);
    }
    let came = |headers: &HeaderMap, name: &HeaderName| came_with_some && headers.contains_key(name);
    match came(headers, &FOR) {
        false => drop(headers.insert(FOR, own())),
        true => {
            let list = list(headers, if keep_all { usize::MAX } else { hops }, front.remote.ip());
            headers.insert(FOR, HeaderValue::from_str(&list).unwrap_or_else(|_| own()));
        }
    }
    // RFC 7239's header says the same in another grammar: nobody here writes it, so it is nobody's word.
    if hops == 0 && came_with_some {
        headers.remove(FORWARDED);
    }
    if hops == 0 || !came(headers, &PROTO) {
        headers.insert(PROTO, HeaderValue::from_static("http"));
    }
    if (hops == 0 || !came(headers, &FORWARDED_HOST))
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(FORWARDED_HOST, host);
    }
}

fn is_about_forwarding(name: &HeaderName) -> bool {
    begins_as(name.as_str(), "x-forwarded-") || *name == FORWARDED
}

/// Removes what an application could take for ours, and no proxy writes: our names with underscores.
fn strip_aliases(headers: &mut HeaderMap) {
    let is_alias = |name: &&HeaderName| {
        let is_ours = |ours: HeaderName| {
            **name != ours
                && name.as_str().len() == ours.as_str().len()
                && begins_as(name.as_str(), ours.as_str())
        };
        [FOR, PROTO, FORWARDED_HOST].into_iter().any(is_ours)
    };
    let aliases: Vec<HeaderName> = headers.keys().filter(is_alias).cloned().collect();
    for name in aliases {
        headers.remove(name);
    }
}

/// At a workload: says who calls, where the mesh's settings want it.
pub fn tell_peer(process: &Process, front: &Front, settings: &MeshSettings, headers: &mut HeaderMap) {
    if !settings.peer_identity_header {
        return;
    }
    let (Some(peer), Some(own)) = (&front.peer, process.identity()) else { return };
    if let Ok(value) = HeaderValue::from_str(&format!("By={own};URI={}", peer.id)) {
        headers.insert(CLIENT_CERT, value);
    }
}

/// An address as a header says it.
pub fn address(remote: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&remote.to_canonical().to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

/// The last `keep` entries of the list that came, and the client's address behind them.
fn list(headers: &HeaderMap, keep: usize, remote: IpAddr) -> String {
    let came: Vec<&str> = headers
        .get_all(FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .collect();
    let kept = came.get(came.len().saturating_sub(keep)..).unwrap_or_default();
    let own = remote.to_canonical().to_string();
    kept.iter().copied().chain([own.as_str()]).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::{Entrance, Front};

    fn told(mode: ForwardedHeaders, hops: u32, came: &[(&'static str, &'static str)]) -> Vec<String> {
        let settings =
            MeshSettings { forwarded_headers: mode, trusted_hops: hops, ..MeshSettings::default() };
        let front = Front::new(Entrance::Gateway(80), None, "[::ffff:10.0.0.9]:1".parse().unwrap());
        let mut headers: HeaderMap = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("shop"));
        for (name, value) in came {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        tell_client(&front, &settings, &mut headers);
        let mut lines: Vec<_> = headers
            .iter()
            .filter(|(name, _)| *name != HOST)
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn the_list_grows_and_the_rest_is_believed_of_trusted_proxies_only() {
        use ForwardedHeaders::{Append, Off, Replace};
        let came: &[_] = &[
            ("x-forwarded-for", "6.6.6.6, 1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "outside"),
            ("forwarded", "for=6.6.6.6"),
        ];
        let ours = ["x-forwarded-for=10.0.0.9", "x-forwarded-host=shop", "x-forwarded-proto=http"];
        assert_eq!(told(Append, 0, &[]), ours);
        assert_eq!(told(Replace, 0, came), ours);
        assert_eq!(told(Append, 0, came)[0], "x-forwarded-for=6.6.6.6, 1.1.1.1, 2.2.2.2, 10.0.0.9");
        assert_eq!(told(Append, 0, came)[1..], ours[1..]);
        let believed = ["x-forwarded-host=outside", "x-forwarded-proto=https"];
        for (mode, list) in [(Append, "6.6.6.6, 1.1.1.1, 2.2.2.2, 10.0.0.9"), (Replace, "2.2.2.2, 10.0.0.9")]
        {
            let told = told(mode, 1, came);
            assert_eq!(told[0], "forwarded=for=6.6.6.6");
            assert_eq!(told[1], format!("x-forwarded-for={list}"));
            assert_eq!(told[2..], believed);
        }
        // Nobody's word, whoever stands in front.
        let aliases: &[_] = &[
            ("x_forwarded_for", "6.6.6.6"),
            ("x-forwarded_for", "6.6.6.6"),
            ("x_forwarded_proto", "https"),
            ("x_forwarded-host", "outside"),
            ("x_forwarded_port", "1"),
        ];
        for hops in [0, 1] {
            let told = told(Append, hops, aliases);
            assert_eq!(
                (&told[..3], &told[3..]),
                (&ours.map(str::to_owned)[..], &["x_forwarded_port=1".to_owned()][..])
            );
        }
        assert_eq!(told(Off, 0, &[]), Vec::<String>::new());
        assert_eq!(told(Off, 0, came).len(), 5);
    }
}
