//! What can be wrong with what the other side, or the disk, has given us: BYR0350–BYR0399.

use std::fmt;

/// Why something read cannot be used. Names the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Where, as `ports[2].endpoints[0].hop.identity`. Empty: the whole.
    pub path: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not protobuf of this type.
    Malformed(String),
    /// A part that must be there is not.
    Missing,
    /// An enum value that this version does not know.
    UnknownValue(i32),
    /// A number outside its range.
    OutOfRange {
        /// What was given.
        value: u64,
        /// Smallest accepted.
        min: u64,
        /// Largest accepted.
        max: u64,
    },
    /// Not the text that belongs here.
    Invalid(&'static str),
    /// A list or text longer than accepted.
    TooLong {
        /// What was given.
        len: usize,
        /// Most accepted.
        max: usize,
    },
    /// Written again, it is not the same: it holds fields that this version does not know, or is damaged.
    NotCanonical,
    /// The resource belongs under another key.
    WrongKey(String),
    /// Named twice, or not in ascending order.
    NotAscending,
}

impl Problem {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "BYR0350",
            Self::Missing => "BYR0351",
            Self::UnknownValue(_) => "BYR0352",
            Self::OutOfRange { .. } => "BYR0353",
            Self::Invalid(_) => "BYR0354",
            Self::TooLong { .. } => "BYR0355",
            Self::NotCanonical => "BYR0356",
            Self::WrongKey(_) => "BYR0357",
            Self::NotAscending => "BYR0358",
        }
    }
}

impl DecodeError {
    /// A problem with the value at hand; callers add where it stands with [`DecodeError::within`].
    pub fn new(problem: Problem) -> Self {
        Self { path: String::new(), problem }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.problem.code()
    }

    /// Prefixes the path with the field that holds the value.
    pub fn within(mut self, field: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{field}{separator}{}", self.path);
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        match &self.problem {
            Problem::Malformed(why) => write!(f, "not a message of the expected type: {why}"),
            Problem::Missing => f.write_str("must be there and is not"),
            Problem::UnknownValue(n) => {
                write!(f, "value {n} is unknown to this version of byrnie; upgrade the reader first")
            }
            Problem::OutOfRange { value, min, max } => write!(f, "{value} is not within {min}..={max}"),
            Problem::Invalid(expected) => write!(f, "not {expected}"),
            Problem::TooLong { len, max } => write!(f, "{len} long, at most {max} accepted"),
            Problem::NotCanonical => f.write_str(
                "holds fields unknown to this version of byrnie (upgrade the reader first), or is damaged",
            ),
            Problem::WrongKey(key) => write!(f, "belongs under {key}"),
            Problem::NotAscending => f.write_str("given twice, or not in ascending order"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// The peer broke the protocol; the stream ends. What was in force stays in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Something cannot be read.
    #[error("{code}: {0}", code = .0.code())]
    Decode(#[from] DecodeError),
    /// The first message holds no `hello`.
    #[error("BYR0361: the first message does not say who is speaking")]
    NoHello,
    /// `hello` twice.
    #[error("BYR0361: a second hello on one stream")]
    SecondHello,
    /// An outcome for a response that was not sent or is settled, or a response out of order.
    #[error("BYR0362: nonce {0} was not expected")]
    BadNonce(u64),
    /// An outcome rejects a key that its response did not hold, or a response holds a key twice.
    #[error("BYR0362: key {0} was not expected there")]
    UnexpectedKey(String),
    /// More subscriptions than one stream may have.
    #[error("BYR0363: more than {0} subscriptions on one stream")]
    TooManySubscriptions(usize),
    /// A newer process of the same proxy is connected.
    #[error("BYR0366: a newer process of this proxy is connected")]
    Superseded,
    /// The peer may not be the node that it says it is, or may not see what it asks for.
    #[error("BYR0364: {0}")]
    Refused(String),
}

impl ProtocolError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Decode(error) => error.code(),
            Self::NoHello | Self::SecondHello => "BYR0361",
            Self::BadNonce(_) | Self::UnexpectedKey(_) => "BYR0362",
            Self::TooManySubscriptions(_) => "BYR0363",
            Self::Superseded => "BYR0366",
            Self::Refused(_) => "BYR0364",
        }
    }
}
