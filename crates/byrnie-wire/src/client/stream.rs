//! One stream, as the client keeps it: what has been said on it, and which responses are not settled.

use std::collections::{BTreeMap, BTreeSet};

use byrnie_plan::Key;
use prost::Message;

use crate::convert::decode;
use crate::error::{DecodeError, Problem};
use crate::generated as pb;
use crate::limits::{MAX_KEY, MAX_KEYS_PER_MESSAGE, MAX_REASON, cut};
use crate::version::Version;
use pb::resource_update::State;

/// Outcomes fill a message up to this size, in bytes; one more may follow.
const OUTCOMES_BATCH: usize = 128 * 1024;
/// Longest code, in bytes.
const MAX_CODE: usize = 32;

/// What has been said and is to be said on the current stream.
pub(super) struct Stream {
    pub(super) hello_sent: bool,
    pub(super) status_sent: bool,
    pub(super) subscribe: BTreeSet<Key>,
    pub(super) unsubscribe: BTreeSet<Key>,
    pub(super) last_nonce: u64,
    pub(super) responses: BTreeMap<u64, Response>,
}

/// A response of which some resources are not settled.
#[derive(Default)]
pub(super) struct Response {
    pub(super) unsettled: BTreeSet<Key>,
    pub(super) rejected: Vec<pb::Rejection>,
}

impl Stream {
    pub(super) fn settle(&mut self, nonce: u64, key: &Key, rejected: Option<pb::Rejection>) {
        if let Some(response) = self.responses.get_mut(&nonce)
            && response.unsettled.remove(key)
        {
            response.rejected.extend(rejected);
        }
    }

    pub(super) fn reject(&mut self, nonce: u64, rejection: pb::Rejection) {
        if let Some(response) = self.responses.get_mut(&nonce) {
            response.rejected.push(rejection);
        }
    }

    /// Responses of which everything is settled, in order, as many as one message takes.
    pub(super) fn take_outcomes(&mut self) -> Vec<pb::Outcome> {
        let settled = self.responses.extract_if(.., |_, response| response.unsettled.is_empty());
        let (mut outcomes, mut size) = (Vec::new(), 0);
        for (nonce, response) in settled {
            let outcome = pb::Outcome { nonce, rejected: response.rejected };
            size += outcome.encoded_len();
            outcomes.push(outcome);
            if size > OUTCOMES_BATCH {
                break;
            }
        }
        outcomes
    }
}

pub(super) fn read(
    key: &Key,
    state: Option<State>,
) -> (Version, Result<Option<byrnie_plan::Resource>, DecodeError>) {
    match state {
        None => (Version::ABSENT, Err(DecodeError::new(Problem::Missing).within("state"))),
        Some(State::Absent(_)) => (Version::ABSENT, Ok(None)),
        Some(State::Unchanged(_)) => {
            let problem = Problem::Invalid("an answer to a subscription with a version");
            (Version::ABSENT, Err(DecodeError::new(problem).within("unchanged")))
        }
        Some(State::Content(content)) => match Version::from_bytes(&content.version) {
            Ok(version) => (version, decode(key, version, &content.resource).map(Some)),
            Err(error) => (Version::ABSENT, Err(error.within("version"))),
        },
    }
}

pub(super) fn rejection(key: String, code: &str, reason: &str) -> pb::Rejection {
    let key = if key.len() > MAX_KEY { cut(&key, MAX_KEY).to_owned() } else { key };
    pb::Rejection { key, code: cut(code, MAX_CODE).to_owned(), reason: cut(reason, MAX_REASON).to_owned() }
}

pub(super) fn take(keys: &mut BTreeSet<Key>) -> Vec<Key> {
    let mut out = Vec::new();
    while out.len() < MAX_KEYS_PER_MESSAGE
        && let Some(key) = keys.pop_first()
    {
        out.push(key);
    }
    out
}
