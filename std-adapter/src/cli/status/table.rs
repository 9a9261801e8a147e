//! Draws tables of text: columns as wide as their cells, numbers to the right.

/// A table with a line of headings.
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
    right: [bool; N],
}

impl<const N: usize> Table<N> {
    /// Creates a table. A heading that ends with `>` makes its column flush right.
    pub(super) fn new(headings: [&str; N]) -> Self {
        let right = headings.map(|heading| heading.ends_with('>'));
        Self { rows: vec![headings.map(|heading| heading.trim_end_matches('>').to_owned())], right }
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| clean(&cell)));
    }

    /// Returns the lines; none without a row.
    pub(super) fn lines(&self) -> Vec<String> {
        if self.rows.len() < 2 {
            return Vec::new();
        }
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let lines = self.rows.iter().map(|row| {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(widths).zip(self.right) {
                line.push_str("  ");
                let padded = if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
                line.push_str(&padded);
            }
            line.trim_end().to_owned()
        });
        lines.collect()
    }
}

/// Returns a text as one line without control characters, which could move a terminal's cursor, and without those that
/// reverse a line's direction (Unicode Standard Annex 9): others have chosen parts of it.
pub(super) fn clean(text: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let mut table = Table::new(["name", "open>"]);
        assert!(table.lines().is_empty());
        table.row(["feed\u{1b}[2J".to_owned(), "12".to_owned()]);
        table.row(["b\u{202e}".to_owned(), "7".to_owned()]);
        assert_eq!(table.lines(), ["  name      open", "  feed\u{fffd}[2J    12", "  b\u{fffd}           7"]);
    }
}
