//! Numbers with their units glued on; `-` for none.

/// `99.25%` of a share between 0 and 1.
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(none, |share| format!("{:.2}%", share * 100.0))
}

/// `2.0rps`.
pub fn rps(rate: f64) -> String {
    format!("{rate:.1}rps")
}

/// `123ms`; below ten with one decimal, because local hops take less than one.
pub fn millis(millis: Option<f64>) -> String {
    match millis {
        None => none(),
        Some(millis) if millis >= 9.95 => format!("{millis:.0}ms"),
        Some(millis) => format!("{millis:.1}ms"),
    }
}

/// `1234µs`, `12ms`, `1.5s`: what one request took.
pub fn micros(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{micros}µs"),
        10_000..10_000_000 => format!("{}ms", micros / 1_000),
        _ => format!("{:.1}s", micros as f64 / 1e6),
    }
}

/// `√` or `×`, `-` where there is nothing to secure.
pub fn secured(secured: Option<bool>) -> String {
    match secured {
        Some(true) => "√".to_owned(),
        Some(false) => "×".to_owned(),
        None => none(),
    }
}

/// `59s`, `12m`, `3h`, `8d` between two moments: the largest unit that fits, as kubectl's AGE.
pub fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..120 => format!("{s}s"),
        s @ 120..7_200 => format!("{}m", s / 60),
        s @ 7_200..172_800 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

/// Seconds since (positive) or until (negative) an RFC 3339 moment.
pub fn seconds_since(time: &str) -> Option<i64> {
    let time: jiff::Timestamp = time.parse().ok()?;
    Some(jiff::Timestamp::now().as_second() - time.as_second())
}

/// `12m` since an RFC 3339 moment, or `-`.
pub fn age_of(time: &str) -> String {
    seconds_since(time).map_or_else(none, age)
}

fn none() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_glued() {
        assert_eq!(percent(Some(0.9925)), "99.25%");
        assert_eq!(percent(None), "-");
        assert_eq!(rps(2.04), "2.0rps");
        assert_eq!(millis(Some(123.4)), "123ms");
        assert_eq!(millis(Some(0.42)), "0.4ms");
        assert_eq!(millis(Some(9.97)), "10ms");
        assert_eq!(micros(1234), "1234µs");
        assert_eq!(micros(12_345), "12ms");
        assert_eq!(micros(12_345_678), "12.3s");
        assert_eq!(age(-5), "0s");
        assert_eq!(age(119), "119s");
        assert_eq!(age(7_199), "119m");
        assert_eq!(age(172_800), "2d");
    }
}
