//! Durations as Go writes them: `300ms`, `1.5h`, `2h45m`. Linkerd's resources have them.

use std::time::Duration;

/// Reads one; `None`: it is none, or negative.
pub fn parse_go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (whole, behind) = digits(rest);
        let (fraction, behind) = behind.strip_prefix('.').map_or(("", behind), digits);
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > 18 || fraction.len() > 18 {
            return None;
        }
        let (unit, behind) = unit(behind)?;
        let number = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
        nanos += number(whole)? * unit;
        nanos += number(fraction)? * unit / 10u128.pow(u32::try_from(fraction.len()).ok()?);
        rest = behind;
    }
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// The unit's nanoseconds, and what stands behind it.
fn unit(text: &str) -> Option<(u128, &str)> {
    const UNITS: [(&str, u128); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("\u{b5}s", 1_000),
        ("\u{3bc}s", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    UNITS.iter().find_map(|(unit, nanos)| Some((*nanos, text.strip_prefix(unit)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_reads_them() {
        for (text, nanos) in [
            ("0", 0),
            ("300ms", 300_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1h2m3s", 3_723_000_000_000),
            ("+10us", 10_000),
            ("5µs", 5_000),
            ("1ns", 1),
        ] {
            assert_eq!(parse_go_duration(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for bad in ["", "1", "-1s", "s", ".s", "1d", "1 s", "99999999999999999999s", "9999999999h"] {
            assert_eq!(parse_go_duration(bad), None, "{bad}");
        }
    }
}
