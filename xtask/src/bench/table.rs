//! A Markdown table whose columns line up, so that it reads the same in a terminal and on a page.

/// Heads and cells as text; the first column to the left, the others to the right. Nothing where there are no rows.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([heads[column].chars().count(), 3]).max().unwrap_or(3)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: &[String]| {
        let mut text = String::from("|");
        for (index, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
            text += &if index == 0 { format!(" {cell:<width$} |") } else { format!(" {cell:>width$} |") };
        }
        text + "\n"
    };
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let rule = |(index, &width): (usize, &usize)| {
        if index == 0 { "-".repeat(width) } else { format!("{}:", "-".repeat(width - 1)) }
    };
    let rules: Vec<String> = widths.iter().enumerate().map(rule).collect();
    let mut text = line(&heads) + &line(&rules);
    for row in rows {
        text += &line(row);
    }
    text
}

/// A number with as many digits as make sense, or a dash.
pub fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value >= 1000.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let text = table(&["a", "number"], &[vec!["one".to_owned(), "1".to_owned()]]);
        assert_eq!(text, "| a   | number |\n| --- | -----: |\n| one |      1 |\n");
        assert_eq!(
            [number(None), number(Some(1.234)), number(Some(12.34)), number(Some(12345.6))],
            ["–", "1.23", "12.3", "12346"]
        );
    }
}
