//! What bodies on their way in may take of the memory: so much in all, and of one sender a part.
//!
//! Invariant: nobody holds room by sending slowly, for only bytes that came are counted; and no
//! single sender, however much it sends, takes all of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a body has without being counted: more than most webhooks are. The number of connections
/// bounds how many there are.
pub const UNCOUNTED_BYTES: usize = 64 << 10;
/// Room is given in pieces of so much, so that a body in crumbs is not counted crumb by crumb.
const PIECE_BYTES: usize = 64 << 10;

/// The address a request comes from; where it is of this machine, a proxy speaks for many and
/// there is none. An extension of the request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Peer(pub IpAddr);

/// Who sends a body.
#[derive(Clone, Copy, Debug)]
pub enum Sender<'s> {
    /// A workspace whose token was checked.
    Known(&'s str),
    /// Somebody who says to be a workspace: what is signed is only known once it is there.
    Claimed {
        /// The workspace, whether there is one of that name or not.
        workspace: &'s str,
        /// The address.
        peer: Option<Peer>,
    },
}

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// In all.
    pub all: usize,
    /// For the bodies of one workspace.
    pub of_workspace: usize,
    /// For those of one address.
    pub of_peer: usize,
}

/// Room for bodies. Clones are the same.
#[derive(Clone)]
pub struct Budget {
    shares: Shares,
    held: Arc<Mutex<BTreeMap<Who, usize>>>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    All,
    Workspace(Box<str>),
    Peer(Peer),
}

/// The room of one body, until it is dropped.
pub struct Place {
    budget: Budget,
    whose: Vec<(Who, usize)>,
    bytes: usize,
}

/// There is no room now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl Budget {
    /// Room of which nothing is taken.
    #[must_use]
    pub fn new(shares: Shares) -> Self {
        Self { shares, held: Arc::default() }
    }

    /// A place of a sender, which holds nothing yet.
    #[must_use]
    pub fn place(&self, sender: Sender<'_>) -> Place {
        let (workspace, peer) = match sender {
            Sender::Known(workspace) => (workspace, None),
            Sender::Claimed { workspace, peer } => (workspace, peer),
        };
        let Shares { all, of_workspace, of_peer } = self.shares;
        let mut whose = vec![(Who::All, all), (Who::Workspace(workspace.into()), of_workspace)];
        whose.extend(peer.map(|peer| (Who::Peer(peer), of_peer)));
        Place { budget: self.clone(), whose, bytes: 0 }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Who, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Makes it large enough for a body of so many bytes.
    ///
    /// # Errors
    /// When there is no room; the place stays as it was.
    pub fn grow(&mut self, body_bytes: usize) -> Result<(), Full> {
        let wanted = body_bytes.saturating_sub(UNCOUNTED_BYTES).next_multiple_of(PIECE_BYTES);
        let more = wanted.saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        let mut held = self.budget.held();
        let has_room = |(who, share): &(Who, usize)| {
            held.get(who).copied().unwrap_or_default().saturating_add(more) <= *share
        };
        if !self.whose.iter().all(has_room) {
            return Err(Full);
        }
        for (who, _) in &self.whose {
            *held.entry(who.clone()).or_default() += more;
        }
        self.bytes = wanted;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut held = self.budget.held();
        for (who, _) in &self.whose {
            let rest = held.get(who).copied().unwrap_or_default().saturating_sub(self.bytes);
            match rest {
                0 => drop(held.remove(who)),
                rest => drop(held.insert(who.clone(), rest)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = PIECE_BYTES;

    fn peer(last: u8) -> Option<Peer> {
        Some(Peer(IpAddr::from([192, 0, 2, last])))
    }

    fn grown(budget: &Budget, sender: Sender<'_>, pieces: usize) -> Result<Place, Full> {
        let mut place = budget.place(sender);
        place.grow(UNCOUNTED_BYTES + pieces * PIECE).map(|()| place)
    }

    #[test]
    fn one_sender_has_a_share_and_gives_it_back() {
        let (all, of_workspace, of_peer) = (8 * PIECE, 4 * PIECE, 2 * PIECE);
        let budget = Budget::new(Shares { all, of_workspace, of_peer });
        let of = |workspace, peer| Sender::Claimed { workspace, peer };
        let first = grown(&budget, of("a", peer(1)), 2).unwrap();
        assert!(grown(&budget, of("b", peer(1)), 1).is_err(), "its address has no more");
        let second = grown(&budget, of("a", peer(2)), 2).unwrap();
        assert!(grown(&budget, of("a", peer(3)), 1).is_err(), "its workspace has no more");
        let others = [grown(&budget, of("b", None), 3), grown(&budget, Sender::Known("c"), 1)];
        assert!(others.iter().all(Result::is_ok));
        assert!(grown(&budget, of("d", peer(4)), 1).is_err(), "there is no more");
        assert!(grown(&budget, of("d", peer(4)), 0).is_ok(), "what is small needs none");
        drop(first);
        let again = grown(&budget, of("d", peer(1)), 2);
        assert!(again.is_ok());
        drop((second, others, again));
        assert!(budget.held().is_empty());
    }

    #[test]
    fn a_place_grows_by_what_came() {
        let (all, of_workspace, of_peer) = (3 * PIECE, 3 * PIECE, 3 * PIECE);
        let budget = Budget::new(Shares { all, of_workspace, of_peer });
        let mut place = budget.place(Sender::Known("a"));
        for (bytes, pieces) in [(1, 0), (UNCOUNTED_BYTES, 0), (UNCOUNTED_BYTES + 1, 1)] {
            assert_eq!((place.grow(bytes), place.bytes), (Ok(()), pieces * PIECE));
        }
        assert_eq!(place.grow(UNCOUNTED_BYTES + 3 * PIECE + 1), Err(Full));
        assert_eq!(place.bytes, PIECE, "what it had it has");
        assert_eq!(place.grow(UNCOUNTED_BYTES + 3 * PIECE), Ok(()));
        drop(place);
        assert!(budget.held().is_empty());
    }
}
