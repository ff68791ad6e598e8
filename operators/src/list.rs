//! The list of agents: a line each.

use ionflux_schemas::view::View;

use crate::agent::Agent;
use crate::customers::Customers;
use crate::faults::Faults;
use crate::pulse::Pulse;
use crate::revenue::Revenue;

/// Every agent, in the order their views appear everywhere.
#[must_use]
pub fn agents() -> Vec<Box<dyn Agent>> {
    vec![Box::new(Revenue), Box::new(Customers), Box::new(Pulse), Box::new(Faults)]
}

/// The views of every agent, in that order.
#[must_use]
pub fn views() -> Vec<&'static View> {
    agents().iter().flat_map(|agent| agent.views()).collect()
}
