//! A view as Parquet, compressed with Zstandard.

use std::io::{self, Write};

use arrow::datatypes::SchemaRef;
use ionflux_schemas::avro::Schema;
use ionflux_schemas::columns::{arrow_schema, record_batch};
use ionflux_schemas::view::Row;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

/// Rows of one Arrow batch on the way, so that a large view is never twice in memory.
pub(crate) const BATCH_ROWS: usize = 65_536;

/// Zstandard at its usual level.
pub(crate) fn zstd() -> Compression {
    Compression::ZSTD(ZstdLevel::default())
}

/// A writer of batches; the same batches give the same bytes.
pub(crate) fn writer<W: Write + Send>(
    schema: SchemaRef,
    compression: Compression,
    out: W,
) -> Result<ArrowWriter<W>, ParquetError> {
    let properties = WriterProperties::builder().set_compression(compression).build();
    ArrowWriter::try_new(out, schema, Some(properties))
}

/// Writes the rows in their order.
pub(super) fn write(
    schema: &Schema,
    rows: &[Row],
    out: &mut (impl Write + Send),
) -> io::Result<()> {
    let mut parquet = writer(arrow_schema(schema), zstd(), out)?;
    for rows in rows.chunks(BATCH_ROWS) {
        parquet.write(&record_batch(schema, rows).map_err(io::Error::other)?)?;
    }
    parquet.close()?;
    Ok(())
}
