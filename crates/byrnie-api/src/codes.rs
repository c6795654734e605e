//! Every stable code of a finding: one static list, from which the reference page is written.
//!
//! Ranges: BYR00xx reading and validation, BYR01xx references and compilation (`byrnie-mesh`), BYR02xx requests in
//! the proxy, BYR03xx identity and wire, BYR04xx command line, supervisor and store. A code is never given another
//! meaning.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A stable code, displayed as `BYR0010`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub u16);

/// One row of [`CODES`].
#[derive(Debug)]
pub struct CodeInfo {
    /// The code.
    pub code: Code,
    /// A few words.
    pub title: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

impl Code {
    /// Reads `BYR0010`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("BYR").filter(|digits| digits.len() == 4)?;
        digits.parse().ok().map(Code)
    }

    /// The code's row; `None` for a code of a newer version.
    pub fn info(self) -> Option<&'static CodeInfo> {
        CODES.iter().find(|row| row.code == self)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BYR{:04}", self.0)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text} is no code")))
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal, $title:literal, $meaning:literal, $remedy:literal;)*) => {
        $(#[doc = concat!($title, ": ", $meaning)] pub const $name: Code = Code($number);)*

        /// Every code, ascending.
        pub static CODES: &[CodeInfo] = &[
            $(CodeInfo { code: Code($number), title: $title, meaning: $meaning, remedy: $remedy },)*
        ];
    };
}

// Name = number, title, meaning, remedy.
codes! {
    MALFORMED = 1, "not YAML", "The text is neither YAML nor JSON.",
        "correct the syntax at the place named";
    TOO_LARGE = 2, "too large", "A file is larger than 64 MiB, or one object larger than 1 MiB.",
        "split the file, or move large texts elsewhere";
    TOO_MANY = 3, "too many documents", "A file holds more than 10,000 objects.",
        "split the file";
    TOO_DEEP = 4, "nested too deeply", "A document is nested more than 64 levels deep.",
        "no kind needs such nesting: correct the document";
    ALIAS_LIMIT = 5, "too many aliases", "The document's anchors and aliases expand to too much.",
        "write the repeated parts out, or use fewer aliases";
    NOT_AN_OBJECT = 6, "not an object", "A document is a list or a single value, not a mapping.",
        "begin the document with apiVersion and kind";
    NO_TYPE = 7, "no apiVersion or kind", "A document does not say what it is.",
        "add apiVersion and kind";
    UNKNOWN_KIND = 8, "unknown kind", "The mesh does not know this kind.",
        "correct apiVersion and kind, or leave the object out";
    UNKNOWN_VERSION = 9, "unknown version", "The kind is known, but not in this version or group.",
        "use the apiVersion named";
    UNKNOWN_FIELD = 10, "unknown field", "The kind's published schema has no such field.",
        "remove the field, or correct its name";
    NOT_ACTED_ON = 11, "field not acted on", "A published field that the mesh keeps but does not act on (yet).",
        "remove the field if you count on it";
    WRONG_TYPE = 12, "wrong type", "A value has another type than the schema says.",
        "write a value of the type named; quote texts that look like numbers";
    MISSING = 13, "missing field", "A required field is not there.",
        "add the field";
    NOT_ALLOWED = 14, "value not allowed", "The value is not one of the allowed ones.",
        "use one of the values named";
    BAD_FORMAT = 15, "malformed value", "The text does not have the form that the schema asks for.",
        "write the value in the form named";
    OUT_OF_RANGE = 16, "out of range", "The number is too small or too large.",
        "use a number within the range named";
    BAD_LENGTH = 17, "too short or too long", "A text or list has too few or too many parts.",
        "stay within the limits named";
    BAD_NAME = 18, "malformed name", "A name is not a DNS label or subdomain.",
        "use lower-case letters, digits and hyphens, at most 63 characters (253 with dots where allowed)";
    BAD_NAMESPACE = 19, "namespace not fitting", "The namespace is malformed, or the kind has none.",
        "correct metadata.namespace, or remove it from a cluster-scoped object";
    BAD_LABEL = 20, "malformed label or annotation", "A key or value is not one that Kubernetes accepts.",
        "keys are [prefix/]name, values at most 63 letters, digits, '-', '_' and '.'";
    DUPLICATE_OBJECT = 21, "object given twice", "The same object stands twice in the input; the later one counts.",
        "remove one of them";
    NO_OBJECTS = 22, "nothing in it", "The input holds no object.",
        "check the file's name";
    DUPLICATE_ENTRY = 23, "entry given twice", "Two entries of a list have the same key.",
        "remove one of them, or give it another name";
    FILTER_MISMATCH = 30, "filter without its field", "A filter's type and the field that is set do not fit.",
        "set exactly the field that belongs to the type";
    FILTER_REPEATED = 31, "filter repeated", "A filter of this type may stand only once in a list.",
        "join the filters";
    FILTER_CONFLICT = 32, "filters exclude each other", "A redirect cannot be combined with a rewrite or with backends.",
        "keep one of them";
    PREFIX_REWRITE = 33, "prefix rewrite without prefix match",
        "A rewrite or redirect of the prefix needs exactly one match, of type PathPrefix.",
        "give the rule one PathPrefix match, or use ReplaceFullPath";
    BAD_PATH = 34, "malformed path", "The path of a match is not in normal form.",
        "begin with '/', without '//', '/./', '/../', '%2f', '%2F' and '#', not ending in '/.' or '/..'";
    NO_PORT = 35, "backend without port", "A reference to a Service needs the port.",
        "add the port";
    TIMEOUT_ORDER = 36, "timeouts out of order", "backendRequest is longer than request.",
        "make backendRequest at most as long as request";
    PARENT_REFS = 37, "ambiguous parents", "Two parentRefs name the same parent without telling its parts apart.",
        "remove one, or give each its own sectionName";
    BAD_REGEX = 38, "malformed regular expression", "The expression cannot be compiled, or needs too much memory.",
        "use RE2 syntax: no look-around, no back-references";
    EMPTY_MATCH = 39, "match without content", "A gRPC method match names neither service nor method.",
        "give service or method";
    TOO_MANY_MATCHES = 40, "too many matches", "The rules of one route have more than 128 matches together.",
        "split the route";
    LISTENER_CONFLICT = 41, "listeners in conflict", "Two listeners have the same name, or the same port, protocol and hostname.",
        "give each its own name, and its own port or hostname";
    LISTENER_TLS = 42, "listener and TLS do not fit", "TLS settings are missing, or given where the protocol has none.",
        "HTTPS and TLS listeners need tls; HTTP, TCP and UDP listeners must not have it";
    LISTENER_HOSTNAME = 43, "hostname not possible", "TCP and UDP listeners have no hostname.",
        "remove the hostname";
    BAD_ADDRESS = 44, "malformed address", "The address is not an IP address that can be dialed or listened on.",
        "write an IPv4 or IPv6 address";
    PORT_CONFLICT = 45, "ports in conflict", "Two ports have the same name, or the same number and protocol.",
        "give each its own name and number";
    PORT_NAMES = 46, "port without name", "With several ports each needs a name.",
        "add a name to each port";
    BAD_TARGET = 50, "target not possible", "This policy cannot be attached to this kind.",
        "use one of the kinds named";
    HASH_KEY = 51, "hash key not fitting", "A hash key belongs to ringHash and maglev, and its name to all but sourceAddress.",
        "remove hashKey, or choose ringHash or maglev";
    BACKOFF_ORDER = 52, "limits out of order", "The first value is larger than the largest one.",
        "make the first at most as large as the last";
    BAD_TEXT_MATCH = 53, "malformed pattern", "A '*' may stand only alone, at the beginning or at the end.",
        "write abc, abc*, *abc or *";
    BAD_IDENTITY = 54, "malformed identity", "Neither a SPIFFE ID nor namespace/serviceaccount.",
        "write spiffe://<trust-domain>/ns/<namespace>/sa/<account>, or <namespace>/<account>";
    MESH_NAME = 55, "Mesh with another name", "Only the Mesh named default counts.",
        "name it default";
    BAD_DURATION = 56, "duration out of range", "The duration is too short or too long.",
        "stay within the range named";
    EXPERIMENTAL_FIELD = 60, "experimental field",
        "The Gateway API has this field, value or kind in its experimental channel only.",
        "remove it: the mesh reads the standard channel";
    CORS_WILDCARD = 61, "'*' beside others", "In a list of a CORS filter '*' stands for all and must stand alone.",
        "write '*' alone, or name each";
    BAD_HOSTNAME = 62, "malformed hostname", "A TLSRoute's hostname is a DNS name, or one with '*.' before it; no IP address.",
        "write a.example.com or *.example.com";
    TLS_VALIDATION = 63, "TLS validation not fitting", "A BackendTLSPolicy's fields exclude each other, or one that is needed is missing.",
        "give either caCertificateRefs or wellKnownCACertificates, and to each name the field of its type";
    IMMUTABLE_FIELD = 64, "field cannot be changed", "This field is fixed when the object is created.",
        "delete the object and create it anew";
    BACKEND_MISSING = 101, "backend missing", "A backendRef names a Service or port that does not exist; its share gets 500.",
        "apply the Service, or correct name and port";
    BACKEND_NOT_PERMITTED = 102, "reference not permitted", "A Gateway's route refers to another namespace without a ReferenceGrant.",
        "apply a ReferenceGrant in the Service's namespace, or use a Service of the route's own";
    BACKEND_KIND = 103, "kind is no backend", "A backendRef names a kind that cannot take requests.",
        "refer to a Service";
    PARENT_MISSING = 104, "parent missing", "A parentRef names a Gateway or Service that does not exist.",
        "apply the parent, or correct the parentRef";
    ROUTE_NOT_ATTACHED = 105, "route not attached", "No listener or port of the parent takes the route.",
        "compare port, sectionName, hostname and allowedRoutes of route and parent";
    ROUTE_OVERRULED = 106, "route overruled", "Another route holds in this one's place.",
        "attach one kind of route to each port, and one TCPRoute to each listener";
    RULE_REFUSED = 107, "rule not served", "A rule of the route cannot be understood; the others are served.",
        "correct the rule";
    FILTER_UNSUPPORTED = 108, "filter not supported", "The requests of the filter's rule get 500: nothing is served as if it were not there.",
        "remove the filter";
    WEIGHTS_ZERO = 109, "weights sum to zero", "All backends of a rule have weight 0; its requests get 500.",
        "give at least one backend a weight";
    TABLE_FULL = 110, "too many matches on one port", "A route would bring a port above 65,536 matches and is not served.",
        "remove routes, hostnames or matches, or use another port";
    SERVICE_WITHOUT_WORKLOADS = 120, "Service without workloads", "No Workload stands behind the Service; callers get 503.",
        "give the Workloads the labels of the Service's selector";
    TARGET_PORT_UNKNOWN = 121, "target port unknown", "Workloads behind the Service do not declare the port it leads to.",
        "declare the port in the Workload's spec.ports, or correct targetPort";
    SERVICE_PORT_TWICE = 122, "port given twice", "Two entries of a Service have the same port; the first one counts.",
        "give each entry another port";
    PORT_NOT_PROXIED = 123, "port not proxied", "Only TCP ports are proxied.",
        "leave the port to the cluster, or use TCP";
    APP_PROTOCOL_UNKNOWN = 124, "appProtocol unknown", "The protocol is not known and treated as TCP.",
        "write http, http2, grpc, tcp or tls";
    PROTOCOLS_DIFFER = 125, "Services disagree on a protocol", "Two Services lead to one port and name different protocols.",
        "set appProtocol on the Workload's port";
    UPSTREAM_UNKNOWN = 126, "upstream unknown", "A Workload calls a Service or port that does not exist.",
        "apply the Service, or correct spec.upstreams";
    TOO_MANY_UPSTREAMS = 127, "too many upstreams", "The namespace has more Services than a Workload gets addresses for.",
        "name in spec.upstreams what the Workload calls";
    NAME_TAKEN = 128, "name taken", "A Workload and a Gateway of one namespace have the same name; the younger one gets no proxy.",
        "rename one of them";
    LISTENER_UNSUPPORTED = 130, "listener not supported", "The listener asks for something that is not there yet; nothing is served in its place.",
        "use HTTP or TCP";
    LISTENERS_CONFLICT = 131, "listeners conflict", "Two listeners exclude each other; none of one Gateway or ListenerSet is served, and of a set none that the Gateway or an older set excludes.",
        "give them other ports or hostnames";
    GATEWAY_PORT_TAKEN = 132, "port taken by another Gateway", "Two Gateways listen on one address and port; the older one holds.",
        "use another port, or other spec.addresses";
    GATEWAY_ADDRESS = 133, "address not usable", "A Gateway can listen on IP addresses only.",
        "write an address of type IPAddress";
    ROUTE_KIND_NOT_ALLOWED = 134, "kind not possible on the listener", "allowedRoutes names a kind that the listener cannot serve.",
        "HTTP listeners take HTTPRoute and GRPCRoute, TCP listeners TCPRoute";
    POLICY_WITHOUT_TARGET = 140, "policy attached to nothing", "A target does not exist, or nothing has the labels.",
        "apply the target, or correct targetRefs and selector";
    POLICY_OVERRULED = 141, "policy overruled", "An older policy holds for the same target.",
        "merge the policies, or delete one";
    POLICY_NOT_UNDERSTOOD = 142, "policy not understood", "What the policy selects refuses everything until it is corrected.",
        "correct the policy";
    MESH_IGNORED = 143, "Mesh without effect", "Only the Mesh named default counts.",
        "name it default";
    POLICY_FIELD_POINTLESS = 150, "setting without effect", "A policy has a setting that means nothing at its target.",
        "attach the setting to one of the kinds named";
    LIMIT_UNIT = 151, "unit not fitting", "A limit counts either requests or connections, and a connection has neither paths nor headers.",
        "give exactly one of requests and connections, and match and key connections by caller or address only";
    FAULT_EMPTY = 152, "fault unclear", "A fault does nothing, or a delay or abort is given in no way or in several.",
        "give delay or abort, and in each exactly one of its ways";
    BAD_SHARE = 153, "share not possible", "A share is not within 0 to 100 percent in steps of 0.01.",
        "round the share";
    BAD_EXPIRY = 154, "expiry not possible", "The end of an experiment is neither a duration nor a time.",
        "write a duration after the creation (30m) or a time (2026-01-31T18:00:00Z)";
    EXPIRY_CUT = 155, "experiment shortened", "An experiment may last seven days; it ends then, earlier than the policy says.",
        "apply it anew when it is still needed";
    FAULT_EXPIRED = 156, "experiment over", "The policy has expired and does nothing any more.",
        "delete the policy, or give it a later end";
    POLICY_NOT_USED = 157, "policy not usable", "The policy cannot be understood and holds nowhere.",
        "correct the policy";

    SESSION_PERSISTENCE = 160, "session persistence not possible", "The fields of sessionPersistence do not fit together.",
        "see the message: a permanent cookie needs absoluteTimeout, cookieConfig needs type Cookie";
    HEALTH_CHECK = 161, "health check not possible", "The fields of the health check do not fit together.",
        "see the message: path and host belong to http, service to grpc, and there must be a port";
    GATEWAY_UNSUPPORTED = 165, "Gateway not served",
        "The Gateway as a whole asks for something that is not there yet; nothing is served in its place.",
        "remove the field that is named";
    LISTENER_SET_REFUSED = 166, "ListenerSet not attached", "The Gateway does not let the ListenerSet in, or does not exist.",
        "compare spec.parentRef with the Gateway's spec.allowedListeners (by default nobody is let in)";
    UDP_UNSUPPORTED = 167, "UDPRoute not served", "No UDP is proxied yet.",
        "leave UDP to be dialed directly";
    BACKEND_TLS_UNSUPPORTED = 168, "BackendTLSPolicy not served",
        "TLS from a Gateway to a backend is not there yet; requests to the policy's Services get 500, none goes unencrypted.",
        "remove the policy: within the mesh all is encrypted already";

    SUBSET_EMPTY = 169, "subset without workloads",
        "No workload of the Service has the subset's labels, or there is no such Service; its share gets 503 or 500.",
        "compare spec.labels with the Workloads' labels, and spec.service with the Service's name";

    // Requests in the proxy (`byrnie-proxy`).
    PROFILE_CLASSES = 180, "response classes are for retries only",
        "A ServiceProfile calls other statuses failures than 500 to 599: these are retried as it says, and success rates \
         count 500 to 599 as failures all the same.",
        "nothing, unless you compare success rates with Linkerd's";
    RULE_SHADOWED = 181, "never reached", "Another rule with the same or a wider match comes before this one, so it does nothing.",
        "remove it, make its match narrower, or move it before the other one";
    HOSTS_OVERLAP = 182, "hosts overlap", "Two routes share hosts: their rules are one table, in which the narrower match wins.",
        "nothing, if that is meant; else give each route hosts of its own";
    RETRIES_UNBOUNDED = 183, "retries without timeout",
        "A slow service is asked again and again while the first request still waits: retries add load where there is \
         too much already.",
        "set timeouts.request, or a time for each try";
    RETRIES_WITHOUT_TIME = 184, "no time for a second try", "The first try may use up the whole time, so retries never help.",
        "make the time of one try shorter than that of the request";
    RETRIES_MULTIPLY = 185, "retries multiply along a chain",
        "Each service of the chain repeats what the one behind it repeats: a failure at the end brings many times the load.",
        "retry at one place of the chain only, the one nearest to the failure";
    ROUTE_PROTOCOL = 186, "route and port do not fit", "A route for requests leads to a port that cannot answer them.",
        "correct appProtocol of the Service's port, or use another kind of route";
    LISTENER_UNUSED = 187, "listener serves nothing", "A port is open and every request to it fails.",
        "attach a route, or remove the listener";
    IDENTITY_UNKNOWN = 188, "identity that nobody has", "The rule names a caller that does not exist, so it matches nothing.",
        "correct the identity: spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT";

    BAD_REQUEST = 200, "malformed request", "The request is malformed or ambiguous.",
        "send it as RFC 9110 and RFC 9112 say";
    NO_ROUTE = 201, "no route", "No route matches the request.",
        "see `byrnie describe` of the route for its hosts and matches";
    INVALID_BACKEND = 202, "backend does not resolve", "The route's backend cannot be used.",
        "see the route's ResolvedRefs condition";
    NO_ENDPOINT = 203, "no endpoint", "The service has no endpoint.",
        "see whether its selector matches a ready workload";
    CONNECT_FAILED = 204, "connection failed", "No connection to the endpoint could be made.",
        "see whether the application listens on its port";
    TLS_FAILED = 205, "mTLS failed", "No TLS connection with the endpoint's proxy could be made.",
        "see the certificates of both sides";
    UPSTREAM_RESET = 206, "connection reset", "The application closed the connection before its answer was complete.",
        "see the application's log";
    UPSTREAM_PROTOCOL = 207, "answer not valid", "The application's answer is not valid for the protocol.",
        "see the port's appProtocol";
    TIMEOUT = 208, "timeout", "The request took longer than its timeout.",
        "see the application, or raise the timeout of the route or TrafficPolicy";
    OVERLOAD = 209, "limit reached", "A limit of the proxy was reached.",
        "raise the limit that is named, or add endpoints";
    DENIED = 210, "denied", "An authorization policy refuses this caller.",
        "see the policy that is named, and `byrnie why`";
    WRONG_DESTINATION = 211, "wrong destination", "The workload does not serve the service and port of the request.",
        "see `byrnie proxy-status`: the caller's configuration may be stale";
    BAD_HOP = 212, "malformed hop", "The header between two proxies is missing or malformed.",
        "see that both proxies are of this mesh and of compatible versions";
    CLIENT_GONE = 213, "caller gone", "The caller broke off before its request was complete.",
        "see the caller";
    UPGRADE_REFUSED = 214, "upgrade refused", "This upgrade is not offered here.",
        "see the port's appProtocol";
    NOT_READY = 215, "not configured yet", "The configuration for this destination has not arrived.",
        "see `byrnie proxy-status`";
    INTERNAL = 216, "defect", "The proxy has a defect.",
        "report it with the proxy's log";
    PORT_IN_USE = 217, "port not available", "A Gateway's proxy cannot bind a listener's port; it tries again.",
        "end the process that holds the port, or choose another port for the listener";
    ADDRESS_NOT_USABLE = 218, "address not of this machine", "A Gateway names an address that this machine does not have.",
        "give the machine the address, or correct Gateway.spec.addresses";
    REQUESTS_LIMIT = 240, "too many requests in flight", "A proxy has as many requests in flight as it may have.",
        "see where they wait; raise Mesh.spec.proxy.maxRequests if the machine has room";
    OVERLOADED = 241, "proxy out of memory or descriptors",
        "A proxy is near the limit of its memory or descriptors and refuses what is new until it has room.",
        "give it more, or send it less; Mesh.spec.proxy.overload has the thresholds";
    CONCURRENCY_LIMIT = 242, "slower than usual", "Answers take longer than those of a quiet proxy: what is new is refused.",
        "see what is slow; Mesh.spec.proxy.adaptiveConcurrency turns this off";
    ADMIN_HOST = 243, "admin server by another name", "The admin server is asked by a Host that is not loopback.",
        "ask http://127.0.0.1:PORT; a page in a browser must not";
    ADMIN_TOKEN = 244, "admin token missing", "The admin server tells this to who has the token of the process only.",
        "use `byrnie proxy-config`, or send the content of admin.token in the header byrnie-admin-token";
    RATE_LIMITED = 250, "rate limited", "A RateLimitPolicy allows no more requests or connections for now.",
        "try again when Retry-After says; see the policy's limits, and byrnie_rate_limited_total for how many";
    FAULT_INJECTED = 251, "failure on purpose", "A FaultPolicy failed the request or connection.",
        "delete the policy, or let it expire, to end the experiment";
    FAULT_DELAYED = 252, "delayed on purpose", "A FaultPolicy made the request wait; a flag of the access log.",
        "delete the policy, or let it expire, to end the experiment";
    UNHEALTHY = 260, "application unhealthy", "A health check of a Workload was not answered well often enough; it is no endpoint until it is.",
        "see the application's log, and the Workload's Ready condition for the question that failed";
    PLAINTEXT = 270, "plaintext refused", "A connection came to a workload's own address without mTLS, and the mesh is strict.",
        "call through a proxy of the mesh or a Gateway, or set Mesh.spec.mtls to permissive for the time of moving in";
    EGRESS_DENIED = 271, "destination not of the mesh", "A workload called what is no service of the mesh, and the Mesh's egress is deny.",
        "make it a Service of the mesh, or set Mesh.spec.egress to allow";
    RULES_RESTORED = 272, "rules restored", "Somebody had changed or removed the rules that capture a workload's traffic; they are in force again.",
        "find out who changes nftables in the workload's network namespace";
    RULES_BROKEN = 273, "rules not in force", "The rules that capture a workload's traffic cannot be put in force; it is tried again.",
        "see the text; nft must be installed and allowed";
    TRACKER_FULL = 274, "connection tracker full", "The kernel's connection tracker has no room in a workload's network namespace; it drops new connections.",
        "find out who opens so many connections there, or raise net.netfilter.nf_conntrack_max on the host";

    // Identity (`byrnie-identity`, `byrnie-control`).
    DNS_LOOP = 280, "resolver asks itself", "A resolver that the host's resolv.conf names leads back to this proxy. It is not asked for a minute.",
        "name a resolver of the outside in the host's /etc/resolv.conf";
    DNS_START = 281, "resolver not started", "The resolver's thread or one of its sockets cannot be used.",
        "see the message; the limits of descriptors and threads may be reached";
    CA_STORAGE = 301, "authority unreadable", "A file of the certificate authority cannot be used.",
        "check that the data directory is ours and writable";
    CA_EXPOSED = 302, "signing key exposed", "Others could take the certificate authority's key.",
        "if nobody has, set the mode that is named; else delete it, and a new authority is made";
    CA_TRUST_DOMAIN = 303, "other trust domain", "The authority was made for another trust domain.",
        "set Mesh.spec.trustDomain back, or use another data directory for the new mesh";
    CA_DAMAGED = 304, "authority damaged", "The certificate authority's file does not hold what it should.",
        "restore it from a backup, or delete it";
    CA_EXPIRED = 305, "root expired", "The root certificate has expired.",
        "make a new authority";
    CSR_MALFORMED = 306, "malformed certificate request", "A proxy sent no PKCS#10 request of at most 16 KiB.",
        "see that it is a proxy of this version";
    CSR_KEY = 307, "key not signed", "Only ECDSA P-256 keys with SHA-256 are signed.",
        "see that it is a proxy of this version";
    CSR_SIGNATURE = 308, "request not signed by its key", "A certificate request's signature does not match its key.",
        "see that it is a proxy of this version";
    FOREIGN_IDENTITY = 309, "identity not certifiable", "The identity is no SPIFFE ID of this trust domain.",
        "correct names and trust domain";
    CERTIFICATE_LIFETIME = 310, "lifetime too short", "Certificates must be valid for at least one second.",
        "correct Mesh.spec.certificates.lifetime";
    CRYPTO = 311, "cryptographic library failed", "The cryptographic library refused an operation.",
        "see the text, and report it when it repeats";
    SVID_MALFORMED = 312, "own certificate unreadable", "The process's own certificate, or what holds it, is malformed.",
        "nothing: a new one is asked for";
    SVID_EXPIRED = 313, "own certificate expired", "The process's own certificate is over.",
        "see whether it reaches the control plane, and both clocks";
    SVID_IDENTITY = 314, "own certificate of somebody else", "The certificate at hand has another identity.",
        "nothing: a new one is asked for";
    TRUST_BUNDLE = 315, "trust bundle unusable", "The trust bundle holds no usable root.",
        "take a fresh trust-bundle.pem from the control plane's data directory";
    TLS_SETUP = 316, "TLS set-up failed", "The TLS library refuses our configuration.",
        "see the text, and report it";
    CREDENTIAL_UNKNOWN = 320, "credential not valid", "A process presented a credential that is not valid.",
        "ask for a new one; its supervisor does so by itself";
    CREDENTIAL_EXPIRED = 321, "credential expired", "A process presented its credential too late.",
        "ask for a new one; its supervisor does so by itself";
    CREDENTIAL_USED = 322, "credential presented twice", "A credential was presented a second time.",
        "if the process did not retry, somebody else has read it: see who can";
    CREDENTIALS_FULL = 323, "too many credentials", "10,000 credentials are outstanding.",
        "wait until some are used or expire";
    NO_PROOF = 324, "no proof of identity", "A certificate was asked for with neither credential nor certificate.",
        "start the proxy through its supervisor";
    SIGN_BUSY = 325, "too many certificate requests", "More certificates are asked for than can be signed at once.",
        "nothing: the proxy tries again";
    IDENTITY_GONE = 326, "identity not in the mesh", "No workload of the mesh has this identity any more.",
        "apply the Workload or Gateway again, or stop its proxy";
    TRUST_DOMAIN_FIXED = 327, "trust domain is fixed", "Certificates name the trust domain, so it cannot change.",
        "set it back, or begin a new mesh in another data directory";
    PEER_CHAIN = 330, "peer's chain too long", "A peer sent more than 4 certificates, or one above 16 KiB.",
        "shorten the issuer's chain";
    PEER_UNTRUSTED = 331, "peer not trusted", "None of our roots has signed a peer's certificate.",
        "compare the trust bundles of both sides";
    PEER_EXPIRED = 332, "peer's certificate expired", "A peer's certificate is over.",
        "see whether its proxy reaches the control plane, and both clocks";
    PEER_NOT_YET = 333, "peer's certificate not valid yet", "A peer's certificate begins later.",
        "compare the clocks of both sides";
    PEER_USAGE = 334, "peer's certificate for other use", "A peer's certificate does not allow this side of a connection.",
        "see who issued it";
    PEER_NOT_SVID = 335, "peer without SPIFFE identity", "A peer's certificate is no X.509-SVID.",
        "see who issued it";
    PEER_TRUST_DOMAIN = 336, "peer of another mesh", "A peer belongs to another trust domain.",
        "see who connects there";
    PEER_UNEXPECTED = 337, "peer is somebody else", "A peer proved another identity than the one expected.",
        "the address may have been taken over by another workload: see `byrnie why`";
    PEER_MISSING = 338, "peer without certificate", "A caller of a mesh port sent no certificate.",
        "only meshed workloads may connect there";
    NO_IDENTITY_FOR = 341, "no identity for this name", "There is no such Workload or Gateway to make a credential for.",
        "apply it first, or name another one";
    PROXY_HANDSHAKE = 342, "handshake failed", "A TLS handshake on the control plane's port for proxies failed.",
        "see who connects there, and the certificates of both sides";

    // Wire (`byrnie-wire`).
    WIRE_MALFORMED = 350, "malformed message", "A message is no valid protobuf.",
        "compare the versions of both sides";
    WIRE_MISSING = 351, "field missing", "A field of a resource is missing.",
        "compare the versions of both sides";
    WIRE_UNKNOWN_VALUE = 352, "value unknown", "A field of a resource has a value of another version.",
        "compare the versions of both sides";
    WIRE_OUT_OF_RANGE = 353, "value out of range", "A number of a resource is out of range.",
        "compare the versions of both sides";
    WIRE_INVALID = 354, "value not valid", "A field of a resource is not valid.",
        "compare the versions of both sides";
    WIRE_TOO_LONG = 355, "too long", "A field or list of a message is too long.",
        "see which object makes it so long";
    WIRE_NOT_CANONICAL = 356, "not canonical", "A resource is not written the one way it should be.",
        "compare the versions of both sides";
    WIRE_WRONG_KEY = 357, "wrong key", "A resource stands under another key than its own.",
        "report it";
    WIRE_NOT_ASCENDING = 358, "not in order", "A list of a resource is not in order, or holds something twice.",
        "report it";
    RESOURCE_TOO_LARGE = 360, "resource too large", "A compiled resource has more bytes than a proxy accepts.",
        "see which Service or route makes it so large, and split it";
    HELLO = 361, "hello missing or repeated", "A stream does not begin with exactly one hello.",
        "compare the versions of both sides";
    UNEXPECTED_ANSWER = 362, "answer not expected", "An acknowledgement or response does not belong to the stream's state.",
        "nothing: the proxy connects again; report it when it repeats";
    TOO_MANY_SUBSCRIPTIONS = 363, "too many subscriptions", "A proxy subscribes to more than one stream may hold.",
        "name the workload's upstreams in its spec";
    STREAM_REFUSED = 364, "stream refused", "The peer may not be who it says it is, or may not see what it asks for.",
        "see the text";
    STREAM_UNPROVEN = 365, "stream without certificate", "A discovery stream needs a certificate of this mesh.",
        "nothing: the proxy gets its certificate first";
    STREAM_REPLACED = 366, "stream closed", "The proxy's workload is gone, has another identity, or has another proxy.",
        "see `byrnie get workloads`";
    UNREACHABLE = 367, "control plane unreachable", "The proxy cannot connect to the control plane and goes on with what it has.",
        "see whether the control plane runs";
    STREAM_ENDED = 368, "stream ended", "The control plane ended the stream; the proxy connects again.",
        "see the control plane's log when it repeats";
    NO_ANSWER = 369, "control plane silent", "The control plane did not answer within 10 s.",
        "see the control plane's log";
    SNAPSHOT_IO = 370, "snapshot unreadable", "The proxy's snapshot cannot be read or written.",
        "check owner, permissions and free space of the state directory";
    SNAPSHOT_FOREIGN = 371, "no snapshot", "The file is not a snapshot of a proxy.",
        "remove the file";
    SNAPSHOT_FORMAT = 372, "snapshot of another version", "The snapshot was written by another version.",
        "nothing: it is written anew";
    SNAPSHOT_TRUNCATED = 373, "snapshot cut off", "The snapshot is shorter or longer than it says.",
        "nothing: it is written anew";
    SNAPSHOT_CHECKSUM = 374, "snapshot damaged", "The snapshot's checksum differs.",
        "check the disk when it repeats";
    SNAPSHOT_TOO_LARGE = 375, "snapshot too large", "The snapshot holds more than a proxy keeps.",
        "name the workload's upstreams in its spec";
    SNAPSHOT_CONTENT = 376, "snapshot not understood", "A resource in the snapshot cannot be read.",
        "nothing: it is asked for anew";

    // The API, the command line, the store, the supervisor.
    NO_MESH = 440, "no mesh running", "No mesh runs in this data directory.",
        "start one with `byrnie up -f FILE` or `byrnie demo`, or name another with --data-dir";
    CONNECTION_LOST = 441, "control plane does not answer", "The connection to the control plane broke.",
        "see its log in the terminal of `byrnie up`, and try again";
    NOT_UNDERSTOOD = 442, "answer not understood", "The control plane's answer cannot be read.",
        "compare `byrnie version` of both sides";
    NO_SUCH_KIND = 443, "no such kind", "There is no kind of this name.",
        "`byrnie get --help` lists the kinds";
    NOT_FOUND = 444, "no such object", "There is no object of this name.",
        "list them with `byrnie get KIND -A`";
    OTHER_USER = 445, "process of another user", "The API's socket serves only the user who runs the mesh.",
        "run the command as that user";
    CONFLICT = 446, "changed meanwhile", "Somebody else changed the object at the same moment.",
        "apply again";
    BAD_API_REQUEST = 447, "request not understood", "A request to the control plane's API cannot be read.",
        "compare `byrnie version` of both sides";
    BAD_SELECTOR = 448, "malformed selector", "The label selector cannot be read.",
        "write key=value, key!=value, key in (a,b), key notin (a,b), key or !key";
    REFUSED = 449, "objects refused", "Objects have errors; nothing of the batch was applied.",
        "correct what the findings name and apply again";
    TOO_MANY_AT_ONCE = 450, "too many at once", "The control plane serves no more of these at once.",
        "end one of them first";
    STORE_FAILED = 451, "store failed", "The store failed; nothing was confirmed.",
        "see the control plane's log";
    STOPPING = 452, "control plane stopping", "The control plane is going down.",
        "try again when it runs";
    NOT_IN_MESH = 453, "not in the mesh", "No proxy speaks for this name.",
        "name a Workload without `spec.proxy: none`, or a Gateway of class byrnie";
    NO_SERVICE_LEADS_THERE = 454, "no Service leads there", "No Service selects the Workload, so nobody can call it.",
        "apply a Service with its labels as selector and one of its ports as targetPort";
    NO_SUCH_PORT = 455, "no such port", "The Service does not have this port.",
        "see `byrnie describe service`";
    BAD_TABLE = 456, "compiled routes unusable", "The compiled routes cannot be used.",
        "see `byrnie proxy-status`, and report it";
    BEHIND = 457, "control plane behind", "The control plane has not caught up with its store within 10 s.",
        "nothing is lost; see the control plane's log";
    WATCH_GAP = 458, "watch fell behind", "A watch fell too far behind the store.",
        "list and watch again";
    CONTROL_PLANE_IO = 459, "data directory unusable", "The control plane cannot use its data directory or listeners.",
        "check owner, permissions and free space of the data directory";
    DATA_DIR = 461, "data directory unusable", "The data directory cannot be used.",
        "check owner and permissions, or name another with --data-dir";
    FILE = 462, "file unreadable", "A file cannot be read.",
        "check its name and permissions";
    ARGUMENT = 463, "argument makes no sense", "An argument of the command is not possible.",
        "see the command's --help";
    NOT_SYNCED = 465, "proxy not in step", "A proxy does not obey the change yet, or refused it.",
        "see `byrnie proxy-status`";
    SYSTEM = 467, "system failure", "A write, a thread or a runtime of this machine failed.",
        "see the text";
    LIST_SUSPICIOUS = 468, "list not believed", "After a lost watch the store's list lacks more than half of a Service's endpoints; they are kept for a minute.",
        "see whether they are gone indeed; what is deleted while the control plane listens is gone at once";
    STORE_LOCKED = 470, "store in use", "Another process has the store's file.",
        "stop the other mesh, or use another --data-dir";
    STORE_OPEN = 471, "store cannot be opened", "The store's file cannot be made or opened.",
        "check owner, permissions and free space of the data directory";
    STORE_IO = 472, "store unreadable", "The store's file cannot be read or written.",
        "check the disk for space and errors, then start the control plane again";
    STORE_DAMAGED = 473, "store damaged", "The store holds what was not written so.",
        "restore the file from a backup";
    STORE_NOT_FOUND = 474, "object not there", "The object does not exist in the store.",
        "list the objects";
    STORE_EXISTS = 475, "object there already", "There is an object of this name already.",
        "change it instead";
    STORE_CONFLICT = 476, "object changed meanwhile", "The object is at another version now.",
        "read it again and repeat the change";
    STATUS_OWNED = 477, "status of somebody else", "A part of the status belongs to another controller.",
        "see which two controllers claim the object";
    STORE_TOO_LARGE = 478, "too large for the store", "Something is larger than the store takes.",
        "make it smaller";
    STORE_MALFORMED = 479, "not storable", "The value is no object, or has no possible name.",
        "report it";
    FENCED = 480, "lease lost", "Another replica holds the lease now.",
        "nothing: this replica stops writing";
    STORE_CLOSED = 481, "store closed", "The store was closed.",
        "start the control plane again";
    STORE_FORMAT = 482, "store of another version", "The store's file was written by another version of the program.",
        "use the program that wrote it";
    ALONE_FILE = 483, "file of a proxy alone unusable",
        "The file of `byrnie proxy --config` has errors; a proxy that runs keeps the last good state.",
        "correct the errors that are named; the file is read again as soon as it changes";
    ALONE_GATEWAY = 484, "not one Gateway", "A proxy alone serves exactly one Gateway, the one that it began with.",
        "keep one Gateway of class byrnie in the file; a second proxy can serve another";
    ALONE_PORT = 485, "port cannot be bound", "A port of a proxy alone cannot be listened on.",
        "end what listens there, or choose another port (those below 1024 need a privilege)";
    PROXY_AWAY = 486, "proxy cannot be asked", "A proxy is not connected or does not answer a question about itself.",
        "see `byrnie proxy-status`";
    RESTART_FAILED = 487, "hot restart failed", "The new process of a proxy does not get ready; the old one goes on.",
        "see the proxy's last lines";
    CHILD_START = 490, "child cannot start", "A process of the mesh cannot be started or does not come up.",
        "see its last lines";
    SUPERVISOR_LOCKED = 491, "data directory in use", "Another supervisor holds the data directory.",
        "stop it, or use another --data-dir";
    RUN_WORKLOAD = 492, "no such Workload to run", "The Workload is not there, or in several namespaces.",
        "apply it first, or name the namespace";
    PROXY_NOT_READY = 493, "proxy not ready", "The Workload's proxy does not get ready.",
        "see `byrnie get proxies` and the proxy's last lines";
    ADDRESSES_EXHAUSTED = 494, "no virtual address left", "The range of virtual addresses has none left for a Service: it cannot be called by name in transparent mode. An address rests for an hour when its Service is deleted.",
        "set a larger spec.virtualAddresses.ipv4Range in the Mesh, or wait until an address is free again";
    NO_CAPTURE = 495, "capture not possible", "Transparent capture needs root on Linux, `ip` and `nft`.",
        "run it through sudo and install iproute2 and nftables, or leave --transparent out";
    NETWORK = 496, "network not set up", "The network of the mesh, or the namespace of a workload, cannot be set up.",
        "see the text; a network that is in use already is changed by Mesh.spec.capture.ipv4Range";
    UNKNOWN_USER = 497, "unknown user", "A Workload's spec.runAs, or a user of the Mesh's capture.excludeUsers, is not known on this host.",
        "name one of /etc/passwd, or a number";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_round_trip() {
        assert!(CODES.is_sorted_by(|a, b| a.code < b.code));
        for row in CODES {
            let text = serde_json::to_string(&row.code).unwrap();
            assert_eq!(serde_json::from_str::<Code>(&text).unwrap(), row.code);
            assert!(row.meaning.ends_with('.') && !row.remedy.ends_with('.'), "{text}");
        }
    }
}
