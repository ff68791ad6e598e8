//! The live program over its sockets: taking, refusing, coming up, going down, and being killed.

#![allow(clippy::unwrap_used)]

mod certificates;
mod crowd;
mod events;
mod forget;
mod hostile;
mod instance;
mod kill;
#[path = "../../../sinks/tests/proxy/mod.rs"]
mod proxy;
mod run;
mod settings;
mod shop;
mod sinks;
mod slow;
mod socket;
mod tls;
