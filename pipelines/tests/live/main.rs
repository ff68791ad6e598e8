//! The live program over its sockets: taking, refusing, coming up, going down, and being killed.

#![allow(clippy::unwrap_used)]

<<<<<<< HEAD
mod events;
=======
mod forget;
>>>>>>> 5ac1d5f (Test forgetting end to end; note why people are names)
mod instance;
mod kill;
mod run;
