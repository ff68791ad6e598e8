//! The live program over its sockets: taking, refusing, coming up, going down, and being killed.

#![allow(clippy::unwrap_used)]

mod certificates;
#[cfg(feature = "kafka")]
#[path = "../../../sources/tests/confluent/mod.rs"]
mod confluent;
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
