//! Places for connections: so many at once, and no address with all of them.
//!
//! Invariant: connections never take the file handles that the journal and the ledger need, and a
//! place that was given comes back.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use ionflux_sources::doors::budget::Peer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;

/// The bits of an IPv6 address that name a network: one caller has all that follow.
const NETWORK_BITS: u32 = 64;

/// Places. Clones are the same.
#[derive(Clone)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
    of_one_address: usize,
}

/// A place for somebody who is not known yet.
pub(super) struct Free {
    permit: OwnedSemaphorePermit,
}

/// A place, until it is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: Option<IpAddr>,
}

impl Places {
    /// So many as the limits say.
    pub fn new(limits: &Limits) -> Self {
        let all = Arc::new(Semaphore::new(limits.connections));
        Self { all, held: Arc::default(), of_one_address: limits.of_one_address }
    }

    /// Waits for a place.
    pub async fn free(&self) -> Option<Free> {
        // Only a closed semaphore has no place to give, and nobody closes this one.
        let permit = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Free { permit })
    }

    /// Gives a place to an address, unless it has its share.
    pub fn give(&self, free: Free, address: IpAddr) -> Option<Place> {
        let address = whose(address);
        if let Some(address) = address {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let count = held.entry(address).or_default();
            if *count >= self.of_one_address {
                return None;
            }
            *count += 1;
        }
        Some(Place { _permit: free.permit, held: Arc::clone(&self.held), address })
    }
}

impl Place {
    /// Who it is counted as.
    pub fn peer(&self) -> Option<Peer> {
        self.address.map(Peer)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&address);
            }
        }
    }
}

/// Who an address is counted as; none for this machine, where a proxy speaks for all its callers.
fn whose(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V6(address) => {
            let network = u128::from(address) >> (128 - NETWORK_BITS) << (128 - NETWORK_BITS);
            Some(IpAddr::V6(Ipv6Addr::from(network)))
        }
        address => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_has_its_share_and_gives_it_back() {
        let limits = Limits { connections: 8, of_one_address: 2, ..Limits::default() };
        let places = Places::new(&limits);
        let take = |text: &str| {
            let permit = Arc::clone(&places.all).try_acquire_owned().unwrap();
            places.give(Free { permit }, address(text))
        };
        let (one, two) = (take("192.0.2.1").unwrap(), take("::ffff:192.0.2.1").unwrap());
        assert!(take("192.0.2.1").is_none(), "a third of the same address");
        let other = take("192.0.2.2");
        assert!(other.is_some());
        drop(one);
        let again = take("192.0.2.1");
        assert!(again.is_some());
        let network = [take("2001:db8::1"), take("2001:db8::2"), take("2001:db8::3")];
        assert_eq!(network.map(|place| place.is_some()), [true, true, false]);
        drop((two, other, again));
        assert!(places.held.lock().unwrap().is_empty());
        let here: Vec<_> = (0..8).map(|_| take("127.0.0.1").unwrap()).collect();
        assert_eq!((here.len(), places.all.available_permits()), (8, 0));
        drop(here);
        assert_eq!(places.all.available_permits(), 8);
    }
}
