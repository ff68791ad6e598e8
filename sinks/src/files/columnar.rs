//! A view as Parquet, compressed with Zstandard.

use std::io::{self, Write};

use ionflux_schemas::avro::Schema;
use ionflux_schemas::columns::{arrow_schema, record_batch};
use ionflux_schemas::view::Row;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// Rows of one Arrow batch on the way, so that a large view is never twice in memory.
const BATCH_ROWS: usize = 65_536;

/// Writes the rows in their order.
pub(super) fn write(
    schema: &Schema,
    rows: &[Row],
    out: &mut (impl Write + Send),
) -> io::Result<()> {
    let compression = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut parquet = ArrowWriter::try_new(out, arrow_schema(schema), Some(properties))?;
    for rows in rows.chunks(BATCH_ROWS) {
        parquet.write(&record_batch(schema, rows).map_err(io::Error::other)?)?;
    }
    parquet.close()?;
    Ok(())
}
