//! Files on disk as a source: opening and decompressing them, and reading order lines from CSV.
//!
//! Delivery: a file is its own journal; reading it again says the same again. Invariant: readers
//! stream, so that memory is bounded by [`records::RECORD_BYTES_MAX`], not by the file.

pub mod input;
pub mod records;

pub mod columns;
pub mod mapped_csv;
pub mod mapping;
