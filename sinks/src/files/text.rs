//! A view as CSV: a header of column names, then a line for each row.

use std::io::{self, Write};

use ionflux_schemas::avro::Schema;
use ionflux_schemas::view::Row;

/// Writes the rows in their order.
pub(super) fn write(schema: &Schema, rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(schema.columns.iter().map(|column| &column.name))?;
    for row in rows {
        csv.write_record(row.0.iter().map(ToString::to_string))?;
    }
    csv.flush()
}
