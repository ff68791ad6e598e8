//! The program `ionflux`.

fn main() {}
