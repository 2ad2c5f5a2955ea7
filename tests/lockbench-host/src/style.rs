//! The look of tables.

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

const RULE: LineStyle = LineStyle::none().fill('─').junction('─');
const STYLE: TableStyle = TableStyle::new()
    .top_border(RULE)
    .header_separator(RULE)
    .bottom_border(RULE);

/// An empty table; all columns but the first hold numbers if `numbers`.
pub fn table(headings: &[&str], numbers: bool) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(headings);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers && index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
