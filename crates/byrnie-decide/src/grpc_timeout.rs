//! How long a gRPC caller waits: the header `grpc-timeout` (gRPC over HTTP/2, "Timeout").

use std::time::Duration;

/// Most digits that a value may have.
const DIGITS: usize = 8;
/// The first number that has more.
const TOO_MUCH: u128 = 100_000_000;

/// Reads `100m` and the like. `None`: it is malformed, and says nothing.
pub fn parse_grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Writes it in the smallest unit that has room, rounded down: whoever is told must not wait longer. At least 1 µs,
/// since 0 is no timeout that may be sent.
pub fn write_grpc_timeout(timeout: Duration) -> String {
    let units = [(timeout.as_micros(), 'u'), (timeout.as_millis(), 'm'), (timeout.as_secs().into(), 'S')];
    match units.into_iter().find(|(number, _)| *number < TOO_MUCH) {
        Some((number, unit)) => format!("{}{unit}", number.max(1)),
        None => format!("{}H", (timeout.as_secs() / 3600).min(99_999_999)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_nothing_else() {
        let table = [
            ("2H", 7_200_000_000_000),
            ("3M", 180_000_000_000),
            ("4S", 4_000_000_000),
            ("100m", 100_000_000),
            ("5u", 5_000),
            ("99999999n", 99_999_999),
            ("0S", 0),
        ];
        for (text, nanos) in table {
            assert_eq!(parse_grpc_timeout(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "S", "5", "5 S", "+5S", "-5S", "5s", "1.5S", "100000000n", "5µ", "５S"] {
            assert_eq!(parse_grpc_timeout(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_never_longer() {
        let table = [
            (Duration::ZERO, "1u"),
            (Duration::from_nanos(1500), "1u"),
            (Duration::from_millis(100), "100000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_secs(99_999_999), "99999999S"),
            (Duration::from_secs(100_000_000), "27777H"),
            (Duration::MAX, "99999999H"),
        ];
        for (timeout, text) in table {
            assert_eq!(write_grpc_timeout(timeout), text);
            assert!(parse_grpc_timeout(text).unwrap() <= timeout.max(Duration::from_micros(1)), "{text}");
        }
    }
}
