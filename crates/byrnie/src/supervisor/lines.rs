//! The output of commands, line by line, each with the name of the Workload before it.

use std::rc::Rc;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::task::JoinHandle;

use super::shared::Shared;
use crate::output::style;

/// Longer lines are cut into pieces of this many bytes.
const LONGEST_LINE: u64 = 8 << 10;

/// Colours that are read on dark and on light; one for each name, always the same.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 31];

/// `web-1 |`, in the name's colour where stderr is a terminal.
pub fn prefix(name: &str) -> String {
    if !style::on_stderr() {
        return format!("{name} |");
    }
    let sum: usize = name.bytes().map(usize::from).sum();
    format!("\x1b[{}m{name} |\x1b[0m", COLOURS[sum % COLOURS.len()])
}

/// Shows everything that comes from the pipe until it ends.
pub fn forward(shared: Rc<Shared>, from: impl AsyncRead + Unpin + 'static, prefix: String) -> JoinHandle<()> {
    tokio::task::spawn_local(async move {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while let Some(text) = next(&mut from, &mut line).await {
            shared.screen.line(&format!("{prefix} {text}"));
        }
    })
}

/// The next line, or a piece of it; None at the end.
async fn next(from: &mut (impl AsyncBufReadExt + Unpin), line: &mut Vec<u8>) -> Option<String> {
    line.clear();
    match from.take(LONGEST_LINE).read_until(b'\n', line).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(String::from_utf8_lossy(line.trim_ascii_end()).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut input: &[u8]) -> Vec<String> {
        let (mut line, mut lines) = (Vec::new(), Vec::new());
        while let Some(text) = next(&mut input, &mut line).await {
            lines.push(text);
        }
        lines
    }

    #[tokio::test]
    async fn lines_long_lines_and_no_text() {
        assert_eq!(all(b"a\r\nb\n\n c").await, ["a", "b", "", " c"]);
        assert_eq!(all(b"\xff\n").await, ["\u{fffd}"]);
        let long = vec![b'x'; 3 * 8192 + 1];
        assert_eq!(all(&long).await.len(), 4);
    }
}
