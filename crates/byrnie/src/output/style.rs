//! Colour, which is never the only signal: marks and words say the same.

use std::io::IsTerminal;
use std::sync::OnceLock;

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Fine.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// Less important than the rest.
    Quiet,
}

/// `text` in colour when stdout is a terminal that wants it.
pub fn stdout(tone: Tone, text: &str) -> String {
    static WANTED: OnceLock<bool> = OnceLock::new();
    paint(*WANTED.get_or_init(|| wanted(std::io::stdout().is_terminal())), tone, text)
}

/// `text` in colour when stderr is a terminal that wants it.
pub fn stderr(tone: Tone, text: &str) -> String {
    paint(on_stderr(), tone, text)
}

/// Whether stderr is a terminal that wants colour.
pub fn on_stderr() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| wanted(std::io::stderr().is_terminal()))
}

/// <https://no-color.org>: any value but the empty one says no.
fn wanted(terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    terminal && !dumb && !set("NO_COLOR")
}

fn paint(wanted: bool, tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Good => 32,
        Tone::Warn => 33,
        Tone::Bad => 31,
        Tone::Quiet => 2,
    };
    if wanted { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}
