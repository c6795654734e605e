//! Which pages of other origins may call: the Fetch standard's CORS protocol, as the Gateway API's filter words it.
//! Decides what is said; the caller writes the headers.

use byrnie_plan::Cors;

/// A CORS filter, compiled.
#[derive(Debug)]
pub struct CorsRules {
    /// `None`: every origin.
    origins: Option<Box<[Origin]>>,
    methods: Allowed,
    headers: Allowed,
    expose: Option<String>,
    credentials: bool,
    max_age: String,
}

/// What may come, as one header value.
#[derive(Debug)]
enum Allowed {
    /// Nothing was said.
    Unsaid,
    Every,
    These(String),
}

/// `scheme://host:port`.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    is_https: bool,
    host: Host,
    port: u16,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    Any,
    Exact(String),
    /// Of `*.example.com`: `.example.com`.
    Below(String),
}

/// What a response says to a page of an allowed origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared<'a> {
    /// `access-control-allow-origin`.
    pub allow_origin: &'a str,
    /// `access-control-allow-credentials: true`.
    pub allow_credentials: bool,
    /// `access-control-expose-headers`; not on preflight responses.
    pub expose_headers: Option<&'a str>,
}

/// What the answer to a preflight request says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preflight<'a> {
    /// `access-control-allow-methods`.
    pub allow_methods: Option<&'a str>,
    /// `access-control-allow-headers`.
    pub allow_headers: Option<&'a str>,
    /// `access-control-max-age`, in seconds.
    pub max_age: &'a str,
}

impl CorsRules {
    /// Compiles. An origin that is none (the schema refuses it) allows nobody.
    pub fn new(plan: &Cors) -> Self {
        let allowed = |list: &[String]| match list {
            [] => Allowed::Unsaid,
            list if list.iter().any(|one| one == "*") => Allowed::Every,
            list => Allowed::These(list.join(", ")),
        };
        let every_origin = plan.allow_origins.iter().any(|origin| origin == "*");
        let expose = match allowed(&plan.expose_headers) {
            Allowed::These(names) => Some(names),
            // With credentials a star would be the name of a header.
            Allowed::Every if !plan.allow_credentials => Some("*".to_owned()),
            Allowed::Every | Allowed::Unsaid => None,
        };
        Self {
            origins: (!every_origin)
                .then(|| plan.allow_origins.iter().filter_map(|text| Origin::pattern(text)).collect()),
            methods: allowed(&plan.allow_methods),
            headers: allowed(&plan.allow_headers),
            expose,
            credentials: plan.allow_credentials,
            max_age: plan.max_age.to_string(),
        }
    }

    /// Whether what is said depends on the origin: caches must know.
    pub fn varies(&self) -> bool {
        self.origins.is_some() || self.credentials
    }

    /// What a page of this origin is told; `None`: nothing, which forbids it.
    pub fn shared<'a>(&'a self, origin: &'a str) -> Option<Shared<'a>> {
        let allow_origin = match &self.origins {
            None if !self.credentials => "*",
            None => origin,
            Some(patterns) => {
                let asked = Origin::exact(origin)?;
                patterns.iter().any(|pattern| pattern.takes(&asked)).then_some(origin)?
            }
        };
        Some(Shared {
            allow_origin,
            allow_credentials: self.credentials,
            expose_headers: self.expose.as_deref(),
        })
    }

    /// What the answer to a preflight request says more to an allowed origin.
    pub fn preflight<'a>(&'a self, method: &'a str, headers: Option<&'a str>) -> Preflight<'a> {
        let say = |allowed: &'a Allowed, asked: &'a str| match allowed {
            Allowed::Unsaid => None,
            Allowed::Every if self.credentials => Some(asked),
            Allowed::Every => Some("*"),
            Allowed::These(names) => Some(names.as_str()),
        };
        Preflight {
            allow_methods: say(&self.methods, method),
            allow_headers: headers.and_then(|asked| say(&self.headers, asked)),
            max_age: &self.max_age,
        }
    }
}

impl Origin {
    fn pattern(text: &str) -> Option<Self> {
        let (is_https, host, port) = split(text)?;
        let host = match host.strip_prefix('*') {
            Some("") => Host::Any,
            Some(rest) => Host::Below(rest.to_ascii_lowercase()),
            None => Host::Exact(host.to_ascii_lowercase()),
        };
        Some(Self { is_https, host, port })
    }

    /// What a browser sends. `null` is nobody's origin.
    fn exact(text: &str) -> Option<Self> {
        let (is_https, host, port) = split(text)?;
        Some(Self { is_https, host: Host::Exact(host.to_ascii_lowercase()), port })
    }

    fn takes(&self, asked: &Self) -> bool {
        let Host::Exact(host) = &asked.host else { return false };
        let host_fits = match &self.host {
            Host::Any => true,
            Host::Exact(own) => own == host,
            Host::Below(end) => host.len() > end.len() && host.ends_with(end.as_str()),
        };
        host_fits && self.is_https == asked.is_https && self.port == asked.port
    }
}

/// Whether it is https, host, and port, which is the scheme's own where none is written.
fn split(text: &str) -> Option<(bool, &str, u16)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_https = scheme.eq_ignore_ascii_case("https");
    if (!is_https && !scheme.eq_ignore_ascii_case("http")) || rest.contains(['/', '@', '?', '#', ' ']) {
        return None;
    }
    // The colons of an IPv6 address are inside of brackets.
    let (host, port) = match rest.rfind(':').filter(|colon| !rest[*colon..].contains(']')) {
        Some(colon) => (&rest[..colon], rest[colon + 1..].parse().ok()?),
        None => (rest, if is_https { 443 } else { 80 }),
    };
    (!host.is_empty()).then_some((is_https, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(list: &[&str], credentials: bool) -> CorsRules {
        CorsRules::new(&Cors {
            allow_origins: list.iter().map(|one| (*one).to_owned()).collect(),
            allow_credentials: credentials,
            ..Cors::default()
        })
    }

    #[test]
    fn origins_are_compared_by_scheme_host_and_port() {
        for (pattern, origin, allowed) in [
            ("https://a.com", "https://a.com", true),
            ("https://a.com", "https://A.com", true),
            ("https://a.com", "https://a.com:443", true),
            ("https://a.com:443", "https://a.com", true),
            ("http://a.com:80", "http://a.com", true),
            ("https://a.com", "http://a.com", false),
            ("https://a.com", "https://a.com:8443", false),
            ("https://a.com", "https://xa.com", false),
            ("https://a.com", "https://a.com.evil.com", false),
            ("https://*.a.com", "https://x.a.com", true),
            ("https://*.a.com", "https://y.x.a.com", true),
            ("https://*.a.com", "https://a.com", false),
            ("https://*.a.com", "https://xa.com", false),
            ("https://*.a.com", "https://.a.com", false),
            ("http://*.a.com:81", "http://x.a.com:81", true),
            ("http://*.a.com:81", "http://x.a.com", false),
            ("https://*", "https://any.where", true),
            ("https://*", "http://any.where", false),
            ("https://*:8443", "https://any.where:8443", true),
            ("https://a.com", "null", false),
            ("https://*", "null", false),
            ("https://*", "https://a.com/path", false),
            ("https://*", "https://user@a.com", false),
            ("https://*", "", false),
        ] {
            assert_eq!(origins(&[pattern], false).shared(origin).is_some(), allowed, "{pattern} {origin}");
        }
        assert!(origins(&[], false).shared("https://a.com").is_none());
        assert!(origins(&["https://b.com", "https://a.com"], false).shared("https://a.com").is_some());
    }

    #[test]
    fn a_star_is_echoed_where_credentials_come_along() {
        let say = |credentials| {
            let rules = origins(&["*"], credentials);
            let shared = rules.shared("https://a.com").unwrap();
            (shared.allow_origin.to_owned(), shared.allow_credentials, rules.varies())
        };
        assert_eq!(say(false), ("*".to_owned(), false, false));
        assert_eq!(say(true), ("https://a.com".to_owned(), true, true));
        let star = || vec!["*".to_owned()];
        let rules = |allow_credentials| {
            CorsRules::new(&Cors {
                allow_origins: star(),
                allow_methods: star(),
                allow_headers: star(),
                expose_headers: star(),
                allow_credentials,
                max_age: 7,
            })
        };
        let (plain, with) = (rules(false), rules(true));
        assert_eq!(plain.shared("https://a.com").unwrap().expose_headers, Some("*"));
        assert_eq!(with.shared("https://a.com").unwrap().expose_headers, None);
        let wanted = Preflight { allow_methods: Some("*"), allow_headers: Some("*"), max_age: "7" };
        assert_eq!(plain.preflight("PUT", Some("x-a")), wanted);
        let wanted = Preflight { allow_methods: Some("PUT"), allow_headers: Some("x-a"), max_age: "7" };
        assert_eq!(with.preflight("PUT", Some("x-a")), wanted);
    }

    #[test]
    fn what_was_not_asked_or_not_said_is_left_out() {
        let rules = CorsRules::new(&Cors {
            allow_origins: vec!["https://a.com".to_owned()],
            allow_methods: vec!["GET".to_owned(), "PUT".to_owned()],
            allow_headers: vec!["x-a".to_owned(), "x-b".to_owned()],
            expose_headers: vec!["x-c".to_owned()],
            allow_credentials: false,
            max_age: 5,
        });
        let asked = rules.preflight("PUT", Some("x-a"));
        assert_eq!((asked.allow_methods, asked.allow_headers), (Some("GET, PUT"), Some("x-a, x-b")));
        assert_eq!(rules.preflight("PUT", None).allow_headers, None);
        assert_eq!(rules.shared("https://a.com").unwrap().expose_headers, Some("x-c"));
        let silent = origins(&["*"], false);
        assert_eq!(silent.preflight("PUT", Some("x-a")).allow_methods, None);
        assert_eq!(silent.preflight("PUT", Some("x-a")).allow_headers, None);
    }
}
