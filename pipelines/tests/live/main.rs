//! The live program over its sockets: taking, refusing, coming up, going down, and being killed.

#![allow(clippy::unwrap_used)]

mod events;
mod forget;
mod instance;
mod kill;
mod run;
