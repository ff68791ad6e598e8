//! Which rows moved: by a batch of changes, or by a snapshot over what the topics held.
//!
//! Invariant: a snapshot moves the rows that changes from what was held to it would move; a row
//! that stays as it was never moved.

use std::borrow::Cow;

use ionflux_schemas::snapshot::Change;
use ionflux_schemas::view::Row;

use super::encode::Encoder;
use crate::sink::Outgoing;

/// What became of the row of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// There was none.
    Came,
    /// There was another.
    Changed,
    /// There is none any more.
    Went,
}

/// A row that moved.
pub(super) struct Moved<'a> {
    pub(super) way: Way,
    /// Of one that went by a snapshot only the texts of its key are known.
    pub(super) row: Cow<'a, Row>,
}

/// A snapshot beside what the topic of one view held; empty where that was not looked at.
#[derive(Default)]
pub(super) struct Compared {
    /// What became of each row of the snapshot, in its order; nothing where it stood there already.
    pub(super) ways: Vec<Option<Way>>,
    /// The keys of the rows that it does not have.
    pub(super) gone: Vec<Box<[u8]>>,
}

/// The rows that a batch moves.
pub(super) struct Moves<'a> {
    batch: &'a Outgoing,
    /// By the place of the encoder; `None` for changes, which know for themselves.
    compared: Option<Vec<Compared>>,
}

impl<'a> Moves<'a> {
    pub(super) fn new(batch: &'a Outgoing, compared: Option<Vec<Compared>>) -> Self {
        Self { batch, compared }
    }

    pub(super) fn batch(&self) -> &'a Outgoing {
        self.batch
    }

    /// Those of the view of an encoder, which has a place among all.
    pub(super) fn of<'m>(
        &'m self,
        place: usize,
        encoder: &'m Encoder,
    ) -> Box<dyn Iterator<Item = Moved<'m>> + 'm> {
        let found = self.batch.views.iter().find(|(view, _)| encoder.view == *view);
        let changes = found.map_or(&[][..], |(_, changes)| changes);
        match &self.compared {
            None => Box::new(changes.iter().flat_map(|change| by_change(encoder, change))),
            Some(all) => match all.get(place) {
                Some(compared) => Box::new(by_snapshot(encoder, changes, compared)),
                None => Box::new(std::iter::empty()),
            },
        }
    }
}

/// One that takes the place of a row of another key is two.
fn by_change<'a>(
    encoder: &Encoder,
    change: &'a Change,
) -> impl Iterator<Item = Moved<'a>> + use<'a> {
    let Change { old, new } = change;
    let kept = match (old, new) {
        (Some(old), Some(new)) => encoder.same_key(old, new),
        _ => false,
    };
    let moved = |way: Way, row: &'a Row| Moved { way, row: Cow::Borrowed(row) };
    let went = old.as_ref().filter(|_| !kept).map(|row| moved(Way::Went, row));
    let way = if kept { Way::Changed } else { Way::Came };
    let stands = new.as_ref().filter(|_| old != new).map(|row| moved(way, row));
    went.into_iter().chain(stands)
}

fn by_snapshot<'a>(
    encoder: &'a Encoder,
    rows: &'a [Change],
    compared: &'a Compared,
) -> impl Iterator<Item = Moved<'a>> {
    let stand = rows.iter().zip(&compared.ways).filter_map(|(change, way)| {
        Some(Moved { way: (*way)?, row: Cow::Borrowed(change.new.as_ref()?) })
    });
    // A key that is none of the view's was never told of.
    let went = compared.gone.iter().filter_map(|key| encoder.row_of_key(key));
    stand.chain(went.map(|row| Moved { way: Way::Went, row: Cow::Owned(row) }))
}
