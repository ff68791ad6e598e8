//! The commands, one file each.

pub mod demo;
pub mod query;
pub mod replay;
pub mod run;

mod summary;
