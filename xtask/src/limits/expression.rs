//! The few expressions that limits are written as.

use anyhow::{Context, bail};

/// What one comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// Milliseconds.
    Time(u64),
}

impl Value {
    /// For people.
    pub fn text(self, is_bytes: bool) -> String {
        let divided =
            |number: u64, by: u64| (number >= by && number.is_multiple_of(by)).then_some(number / by);
        match self {
            Self::Number(number) if is_bytes => {
                let units = [(1 << 20, "MiB"), (1 << 10, "KiB")];
                let found =
                    units.iter().find_map(|(size, unit)| Some(format!("{} {unit}", divided(number, *size)?)));
                found.unwrap_or_else(|| format!("{} bytes", grouped(number)))
            }
            Self::Number(number) => grouped(number),
            Self::Time(ms) => {
                let units = [(3_600_000, "h"), (60_000, "min"), (1_000, "s")];
                // A minute is said as 60 s: so people compare it with other seconds.
                let fits = |(size, unit): &(u64, &'static str)| {
                    Some((divided(ms, *size)?, *unit)).filter(|it| *it != (1, "min"))
                };
                units
                    .iter()
                    .find_map(fits)
                    .map_or(format!("{ms} ms"), |(count, unit)| format!("{count} {unit}"))
            }
        }
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The value of a constant, or of the field of a default, in this source.
pub fn find(source: &str, name: &str) -> anyhow::Result<Value> {
    let is_constant = name.chars().next().is_some_and(char::is_uppercase);
    let start = if is_constant { format!("const {name}: ") } else { format!(" {name}: ") };
    for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let Some((_, rest)) = line.split_once(&start) else { continue };
        let text = match is_constant {
            true => rest.split_once(" = ").map_or("", |(_, text)| text).trim_end_matches(';'),
            false => rest.split(", ").next().unwrap_or_default().trim_end_matches([',', '}', ' ']),
        };
        if let Ok(value) = value(source, text) {
            return Ok(value);
        }
    }
    bail!("no such constant or default, or no number")
}

fn value(source: &str, text: &str) -> anyhow::Result<Value> {
    for (call, factor) in [("from_secs(", 1_000), ("from_millis(", 1)] {
        if let Some((_, inner)) = text.split_once(call) {
            return Ok(Value::Time(number(source, inner.trim_end_matches(')'))? * factor));
        }
    }
    number(source, text).map(Value::Number)
}

fn number(source: &str, text: &str) -> anyhow::Result<u64> {
    let both = |(left, right): (&str, &str)| Some((number(source, left).ok()?, number(source, right).ok()?));
    if let Some((left, right)) = text.split_once(" - ").and_then(both) {
        return Ok(left - right);
    }
    if let Some((left, right)) = text.split_once(" << ").and_then(both) {
        return Ok(left << right);
    }
    if let Some((left, right)) = text.rsplit_once(" * ").and_then(both) {
        return Ok(left * right);
    }
    let text = text.split(" as ").next().unwrap_or(text).trim();
    if text.chars().next().is_some_and(char::is_uppercase)
        && let Value::Number(number) = find(source, text)?
    {
        return Ok(number);
    }
    text.trim_end_matches(".0").replace('_', "").parse().with_context(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_and_defaults_are_read() {
        let source = "
/// const OLD: u32 = 1;
pub const STREAMS: u32 = 100;
const WINDOW: u32 = 256 * 1024;
const ALL: u32 = WINDOW * STREAMS;
const BODY: usize = 32 << 20;
const LESS: usize = 4 * 1024 * 1024 - 64 * 1024;
const RATE: f64 = 1_000.0;
const WAIT: Duration = Duration::from_secs(15 * 60);
    max: u32,
    Self { ttl: Duration::from_millis(50), max: 10_000 }
";
        let texts = |name: &str| find(source, name).unwrap().text(false);
        let bytes = |name: &str| find(source, name).unwrap().text(true);
        assert_eq!(
            ["STREAMS", "RATE", "WAIT", "ttl", "max"].map(texts),
            ["100", "1,000", "15 min", "50 ms", "10,000"]
        );
        let all = ["WINDOW", "ALL", "BODY", "LESS", "STREAMS"].map(bytes);
        assert_eq!(all, ["256 KiB", "25 MiB", "32 MiB", "4032 KiB", "100 bytes"]);
        find(source, "OLD").unwrap_err();
    }
}
