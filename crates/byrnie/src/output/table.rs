//! Tables as operators know them: UPPER_CASE headers, three blanks between columns, numbers to the right.

/// On which side a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Names and words.
    Left,
    /// Numbers.
    Right,
}

/// A table in the making.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
    widths: Vec<usize>,
}

const GUTTER: usize = 3;

impl Table {
    /// Columns by header; a header that begins with `>` is a column of numbers.
    pub fn new(headers: &[&str]) -> Self {
        let column = |header: &&str| match header.strip_prefix('>') {
            Some(header) => (header.to_owned(), Align::Right),
            None => ((*header).to_owned(), Align::Left),
        };
        let columns: Vec<(String, Align)> = headers.iter().map(column).collect();
        let widths = columns.iter().map(|(header, _)| header.chars().count()).collect();
        Self { columns, rows: Vec::new(), widths }
    }

    /// Adds a row; an empty cell is shown as `-`, missing cells too.
    pub fn row<I, S>(&mut self, cells: I)
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        row.resize(self.columns.len(), String::new());
        for cell in &mut row {
            if cell.is_empty() {
                "-".clone_into(cell);
            }
        }
        self.rows.push(row);
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, each line ended.
    pub fn render(&mut self) -> String {
        let headers: Vec<String> = self.columns.iter().map(|(header, _)| header.clone()).collect();
        self.rows.insert(0, headers);
        self.render_rows()
    }

    /// The rows alone, which are then forgotten; columns only ever grow, so that a watch stays aligned.
    pub fn render_rows(&mut self) -> String {
        let rows = std::mem::take(&mut self.rows);
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for row in &rows {
            self.line(&mut text, row);
        }
        text
    }

    fn line(&self, text: &mut String, row: &[String]) {
        let start = text.len();
        for (index, cell) in row.iter().enumerate() {
            if index > 0 {
                text.extend(std::iter::repeat_n(' ', GUTTER));
            }
            let blanks = std::iter::repeat_n(' ', self.widths[index].saturating_sub(cell.chars().count()));
            match self.columns[index].1 {
                Align::Left => {
                    text.push_str(cell);
                    text.extend(blanks);
                }
                Align::Right => {
                    text.extend(blanks);
                    text.push_str(cell);
                }
            }
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_as_linkerd_prints_it() {
        let mut table = Table::new(&["NAME", ">MESHED", ">SUCCESS", ">RPS", "SECURED"]);
        table.row(["emoji", "1/2", "100.00%", "2.0rps", "√"]);
        table.row(["a-long-name", "1/1", "", "", ""]);
        let expected = "\
NAME          MESHED   SUCCESS      RPS   SECURED
emoji            1/2   100.00%   2.0rps   √
a-long-name      1/1         -        -   -
";
        assert_eq!(table.render(), expected);
    }
}
