//! Aligned columns without lines: easy to read, easy to cut with `awk`.

use comfy_table::{CellAlignment, ContentArrangement, presets};
use std::fmt;

#[derive(Debug)]
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// Columns whose head ends in a blank are aligned to the right.
    pub(crate) fn new(head: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        // Colours and widths are decided in one place, `out`, and not by the table.
        table.force_no_tty().set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(head.iter().map(|head| super::safe(head.trim_end()).into_owned()));
        for (column, head) in table.column_iter_mut().zip(head) {
            column.set_padding((0, 2));
            if head.ends_with(' ') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self(table)
    }

    pub(crate) fn row<T: fmt::Display>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.0.add_row(cells.into_iter().map(|cell| super::safe(&cell.to_string()).into_owned()));
    }
}

/// Each row on a line of its own, two blanks in, no blanks at the end.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.lines().try_for_each(|line| writeln!(f, "  {}", line.trim_end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn columns_align_and_everything_is_escaped() {
        let mut table = Table::new(&["host", "VMs ", "why\u{9b}"]);
        table.row(["lab01", "8", "carries 8 VMs"]);
        table.row(["lab\u{1b}[2J", "12", "x"]);
        expect![[r#"
            hosts
              host          VMs  why\u{9b}
              lab01           8  carries 8 VMs
              lab\u{1b}[2J   12  x
        "#]]
        .assert_eq(&format!("hosts\n{table}"));
    }
}
