//! A table that is refreshed in place while lines of talk pass above it.
//!
//! On a terminal the table stays at the foot of the screen. Where stdout is no terminal only the lines are written
//! and tables are dropped: a log must not fill with the same table once a second.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossterm::cursor::MoveToPreviousLine;
use crossterm::terminal::{Clear, ClearType};
use crossterm::{queue, terminal};

/// The screen of a command that stays in the foreground. Shared by reference between tasks.
#[derive(Debug)]
pub struct Screen {
    terminal: bool,
    drawn: Mutex<Drawn>,
}

#[derive(Debug, Default)]
struct Drawn {
    table: String,
    lines: u16,
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

impl Screen {
    /// The screen of this process.
    pub fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), drawn: Mutex::default() }
    }

    /// Whether tables are shown at all.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes one line of talk to stderr, above the table.
    pub fn line(&self, line: &str) {
        let mut drawn = self.drawn();
        // Nobody reads a closed terminal; a supervisor must go on without it.
        let _ = erase(&mut drawn);
        let _ = writeln!(std::io::stderr(), "{line}");
        let _ = draw(&mut drawn);
    }

    /// Replaces the table.
    pub fn table(&self, table: String) {
        if !self.terminal {
            return;
        }
        let mut drawn = self.drawn();
        let _ = erase(&mut drawn);
        drawn.table = table;
        let _ = draw(&mut drawn);
    }

    /// Leaves the last table where it is; what follows is written below it.
    pub fn finish(&self) {
        let mut drawn = self.drawn();
        drawn.lines = 0;
        drawn.table.clear();
    }

    fn drawn(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn erase(drawn: &mut Drawn) -> std::io::Result<()> {
    if drawn.lines == 0 {
        return Ok(());
    }
    let mut stdout = std::io::stdout().lock();
    queue!(stdout, MoveToPreviousLine(drawn.lines), Clear(ClearType::FromCursorDown))?;
    drawn.lines = 0;
    stdout.flush()
}

fn draw(drawn: &mut Drawn) -> std::io::Result<()> {
    if drawn.table.is_empty() {
        return Ok(());
    }
    let (columns, rows) = terminal::size().unwrap_or((80, 24));
    let (text, lines) = fit(&drawn.table, columns, rows.saturating_sub(1).max(2));
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    drawn.lines = lines;
    Ok(())
}

/// Cuts lines to the width, and rows to the height with a last line that says how many are missing.
fn fit(table: &str, columns: u16, rows: u16) -> (String, u16) {
    let all: Vec<&str> = table.lines().collect();
    let rows = usize::from(rows);
    let shown = if all.len() > rows { rows - 1 } else { all.len() };
    let mut text = String::with_capacity(table.len());
    for line in &all[..shown] {
        text.extend(line.chars().take(usize::from(columns)));
        text.push('\n');
    }
    let hidden = all.len() - shown;
    if hidden > 0 {
        text.push_str(&format!("… {hidden} more\n"));
    }
    let lines = shown + usize::from(hidden > 0);
    (text, u16::try_from(lines).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn a_table_fits_the_screen() {
        assert_eq!(fit("abc\ndef\n", 2, 10), ("ab\nde\n".to_owned(), 2));
        assert_eq!(fit("a\nb\nc\nd\n", 80, 3), ("a\nb\n… 2 more\n".to_owned(), 3));
        assert_eq!(fit("", 80, 3), (String::new(), 0));
    }
}
