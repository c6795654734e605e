//! Every limit of the protocol.

/// Subscriptions of one proxy. A proxy knows at most 1,000 services (design section 6), each with four keys.
pub const MAX_SUBSCRIPTIONS: usize = 10_000;
/// Largest message from a proxy, in bytes. Smaller than what a proxy accepts: a thousand proxies talk to one
/// control plane.
pub const MAX_CLIENT_MESSAGE: usize = 1024 * 1024;
/// Largest message that a proxy accepts, in bytes.
pub const MAX_SERVER_MESSAGE: usize = 4 * 1024 * 1024;
/// How large a message of several resources gets, in bytes; a larger resource travels alone.
pub const SERVER_BATCH: usize = 128 * 1024;
/// Keys in one message, either way.
pub const MAX_KEYS_PER_MESSAGE: usize = 1_000;
/// Responses of one stream that are not settled; then the server waits, and sends the latest state
/// afterwards.
pub const MAX_IN_FLIGHT: usize = 32;
/// Taps of one stream.
pub const MAX_TAPS: usize = 64;
/// Longest key on the wire, in bytes; names of Kubernetes make at most some 400.
pub const MAX_KEY: usize = 512;
/// Longest code or reason of a rejection, in bytes: a thousand of them fit one message.
pub const MAX_REASON: usize = 256;

/// Largest answer to a query, in bytes.
pub const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// At most `max` bytes of a text, ended at a character's border.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
