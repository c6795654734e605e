//! Durations as the Gateway API writes them (GEP-2257): `10s`, `500ms`, `1h30m`.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The pattern that the Gateway API's CRDs publish.
pub const DURATION_PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// A span of time with millisecond steps, parsed once. Written as one to four pairs of a number of at most five
/// digits and a unit of `h`, `m`, `s`, `ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// From whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// From whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(std::time::Duration::from_secs(secs))
    }

    /// The standard library's type.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// Whether this is `0s`, which the Gateway API reads as "no limit" in timeouts.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<Duration> for std::time::Duration {
    fn from(value: Duration) -> Self {
        value.0
    }
}

impl From<std::time::Duration> for Duration {
    /// Parts below a millisecond are cut off.
    fn from(value: std::time::Duration) -> Self {
        Self::from_millis(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a duration: write one to four numbers with a unit of h, m, s or ms, such as 10s, 500ms or 1h30m"
)]
pub struct DurationError;

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let mut rest = text;
        let mut millis: u64 = 0;
        let mut pairs = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 || digits > 5 || pairs == 4 {
                return Err(DurationError);
            }
            let number: u64 = rest[..digits].parse().map_err(|_| DurationError)?;
            rest = &rest[digits..];
            let (unit, factor) = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
                .into_iter()
                .find(|(unit, _)| rest.starts_with(unit))
                .ok_or(DurationError)?;
            rest = &rest[unit.len()..];
            millis += number * factor;
            pairs += 1;
        }
        if pairs == 0 { Err(DurationError) } else { Ok(Self::from_millis(millis)) }
    }
}

impl fmt::Display for Duration {
    /// The shortest form that reads back as the same value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            let count = millis / factor;
            if count > 0 {
                write!(f, "{count}{unit}")?;
                millis %= factor;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": DURATION_PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_gep_2257() {
        for (text, millis, shown) in [
            ("10s", 10_000, "10s"),
            ("500ms", 500, "500ms"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90m", 5_400_000, "1h30m"),
            ("0s", 0, "0s"),
            ("0ms", 0, "0s"),
            ("1h1m1s1ms", 3_661_001, "1h1m1s1ms"),
            ("99999h", 359_996_400_000, "99999h"),
        ] {
            let read: Duration = text.parse().unwrap();
            assert_eq!(read, Duration::from_millis(millis), "{text}");
            assert_eq!(read.to_string(), shown);
            assert_eq!(shown.parse::<Duration>().unwrap(), read);
        }
        for bad in ["", "10", "s", "1.5s", "-1s", "1d", "100000s", "1s 2s", "1s1s1s1s1s", "1us", "١s", " 1s"]
        {
            assert!(bad.parse::<Duration>().is_err(), "{bad}");
        }
    }
}
