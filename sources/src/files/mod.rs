//! Files as sources.
