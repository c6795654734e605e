//! A request as the decisions see it: borrowed, already normalised.

/// How the decisions read headers, so that this crate need not know the `http` crate.
pub trait HeaderLookup {
    /// All values of the header with this lower-case name, in the order of arrival.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;
}

/// A request without headers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHeaders;

impl HeaderLookup for NoHeaders {
    fn values<'a>(&'a self, _name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        std::iter::empty()
    }
}

/// Pairs of lower-case name and value, as `byrnie why` and tests give them.
impl HeaderLookup for [(String, String)] {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_bytes())
    }
}

/// A request, borrowed. Normalise with [`crate::normalize_path`] and [`crate::normalize_authority`] first: route
/// and authorization must see the same text that the application will see.
#[derive(Debug)]
pub struct RequestView<'a, H: ?Sized> {
    /// The method, as sent.
    pub method: &'a str,
    /// The host: lower case, without port and trailing dot; empty when the request names none.
    pub host: &'a str,
    /// The normalised path without query; `*` for `OPTIONS *`, empty for a CONNECT.
    pub path: &'a str,
    /// What stands behind `?`.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a H,
}
