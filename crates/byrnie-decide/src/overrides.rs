//! Where one request may go instead of the Service that it was sent to.

use byrnie_plan::ServicePortRef;

/// What of the things offered a wish means: `name`, `name:port` or `namespace/name:port`; without namespace it is that
/// of the called Service. `None`: nothing of it.
pub fn wished<'a, T>(
    wish: &str,
    namespace: &str,
    offered: &'a [T],
    port_of: impl Fn(&T) -> &ServicePortRef,
) -> Option<&'a T> {
    let wish = wish.trim();
    let (name, port) = wish.split_once(':').map_or((wish, None), |(name, port)| (name, Some(port)));
    let (namespace, name) = name.split_once('/').unwrap_or((namespace, name));
    offered.iter().find(|one| {
        let own = port_of(one);
        own.service.namespace == namespace
            && own.service.name == name
            && port.is_none_or(|port| port.parse() == Ok(own.port))
    })
}

#[cfg(test)]
mod tests {
    use byrnie_plan::ObjectName;

    use super::*;

    #[test]
    fn a_wish_names_what_is_offered_or_nothing() {
        let offered = [("a", "s", 80), ("a", "s", 81), ("b", "s", 80)].map(|(namespace, name, port)| {
            ServicePortRef { service: ObjectName::new(namespace, name), port }
        });
        for (wish, found) in [
            ("s", Some(0)),
            (" s:81 ", Some(1)),
            ("b/s", Some(2)),
            ("b/s:80", Some(2)),
            ("b/s:81", None),
            ("c/s", None),
            ("s:", None),
            ("s:x", None),
            ("s:99999", None),
            ("", None),
            ("/", None),
        ] {
            let expected: Option<&ServicePortRef> = found.map(|index: usize| &offered[index]);
            assert_eq!(wished(wish, "a", &offered, |one| one), expected, "{wish:?}");
        }
    }
}
