//! A batch as records, piece by piece.
//!
//! Invariant: all removals of a view go before the rows that come under a new key; one piece is
//! small, so that a batch of any size is never twice in memory.

use std::ops::Range;

use ionflux_schemas::snapshot::Change;
use ionflux_schemas::view::Row;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;

use super::config::Envelope;
use super::encode::{Encoder, Moment, Op, Pen, Told};
use super::moves::{Compared, Moves};
use super::outputs::Outputs;
use crate::error::SinkError;
use crate::sink::Outgoing;

/// A piece that holds this much is sent.
const CHUNK_BYTES: usize = 256 * 1024;

/// Some records, in the order they are sent in.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) records: Vec<Record>,
}

impl Chunk {
    /// Takes everything out and keeps the room for more.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }
}

/// A record: where its parts stand in the chunk.
pub(super) struct Record {
    /// The place of its topic: that of the view's encoder, or one more for the events of agents.
    pub(super) topic: usize,
    pub(super) key: Range<usize>,
    /// `None` for a tombstone.
    pub(super) value: Option<Range<usize>>,
    /// The row within the value.
    pub(super) row: Range<usize>,
}

/// What the thread of a session gets.
pub(super) enum Piece {
    Records(Chunk),
    /// All rows of a snapshot were sent: how they differ from what the topic of each view held.
    Compare(oneshot::Sender<Vec<Compared>>),
    /// The batch is whole.
    End,
}

/// Sends all of a batch; ends early where nobody takes it any more, who then says why.
pub(super) async fn pour(
    batch: &Outgoing,
    encoders: &[Encoder],
    outputs: Option<&Outputs>,
    channels: Channels,
) -> Result<(), SinkError> {
    let mut flow = Flow { chunk: Chunk::default(), channels };
    let moment = Moment { epoch: batch.to.epoch, as_of: batch.to.as_of };
    for (view, changes) in &batch.views {
        let found = encoders.iter().position(|encoder| encoder.view == *view);
        let topic = found.ok_or_else(|| {
            SinkError::permanent(format!("Kafka: the view {view:?} is not one of the sink's"))
        })?;
        let pen = encoders[topic].pen();
        let writer = Writer { topic, pen, moment };
        let mut arrivals = Vec::new();
        for change in changes {
            match batch.from {
                Some(_) => arrivals.extend(writer.stay_or_go(change, &mut flow.chunk)?),
                None => writer.read(change, &mut flow.chunk)?,
            }
            if !flow.on().await {
                return Ok(());
            }
        }
        for new in arrivals {
            writer.arrival(new, &mut flow.chunk)?;
            if !flow.on().await {
                return Ok(());
            }
        }
    }
    if let Some(outputs) = outputs {
        let compared = match batch.from {
            Some(_) => None,
            None => match flow.compared().await {
                Some(compared) => Some(compared),
                None => return Ok(()),
            },
        };
        outputs.put(&Moves::new(batch, compared), encoders, &mut flow.chunk)?;
    }
    flow.end().await;
    Ok(())
}

/// The way to the thread of a session.
pub(super) struct Channels {
    pub(super) pieces: Sender<Piece>,
    /// Chunks that it sent, to be filled again: large ones are costly to allocate.
    pub(super) empty: Receiver<Chunk>,
}

struct Flow {
    chunk: Chunk,
    channels: Channels,
}

impl Flow {
    /// Sends what is there if it is enough; false when nobody takes it.
    async fn on(&mut self) -> bool {
        if self.chunk.bytes.len() < CHUNK_BYTES {
            return true;
        }
        let empty = self.channels.empty.try_recv().unwrap_or_default();
        let full = std::mem::replace(&mut self.chunk, empty);
        self.chunk.bytes.reserve(CHUNK_BYTES + CHUNK_BYTES / 8);
        self.channels.pieces.send(Piece::Records(full)).await.is_ok()
    }

    /// How the rows that were sent differ from what was held; `None` when nobody takes them.
    async fn compared(&mut self) -> Option<Vec<Compared>> {
        let (answer, told) = oneshot::channel();
        let rest = std::mem::take(&mut self.chunk);
        self.channels.pieces.send(Piece::Records(rest)).await.ok()?;
        self.channels.pieces.send(Piece::Compare(answer)).await.ok()?;
        told.await.ok()
    }

    async fn end(self) {
        if self.channels.pieces.send(Piece::Records(self.chunk)).await.is_ok() {
            // Whoever is gone has told why.
            let _ = self.channels.pieces.send(Piece::End).await;
        }
    }
}

struct Writer<'a> {
    topic: usize,
    pen: Pen<'a>,
    moment: Moment,
}

impl Writer<'_> {
    /// The row of a change that stays under its key, or goes; gives the one that comes under
    /// another, for its key may be one that goes later.
    fn stay_or_go<'c>(
        &self,
        change: &'c Change,
        chunk: &mut Chunk,
    ) -> Result<Option<&'c Row>, SinkError> {
        let (new, moment) = (change.new.as_ref(), self.moment);
        let Some(old) = &change.old else { return Ok(new) };
        if let Some(new) = new.filter(|new| self.pen.encoder.same_key(old, new)) {
            let told = Told { before: Some(old), after: Some(new), op: Op::Update, moment };
            self.put(new, Some(&told), chunk)?;
            return Ok(None);
        }
        if self.pen.encoder.envelope == Envelope::Debezium {
            let told = Told { before: Some(old), after: None, op: Op::Delete, moment };
            self.put(old, Some(&told), chunk)?;
        }
        self.put(old, None, chunk)?;
        Ok(new)
    }

    /// A row that comes.
    fn arrival(&self, new: &Row, chunk: &mut Chunk) -> Result<(), SinkError> {
        let moment = self.moment;
        let told = Told { before: None, after: Some(new), op: Op::Create, moment };
        self.put(new, Some(&told), chunk)
    }

    /// A row of a snapshot.
    fn read(&self, change: &Change, chunk: &mut Chunk) -> Result<(), SinkError> {
        let (None, Some(new)) = (&change.old, &change.new) else {
            let view = self.pen.encoder.view.name;
            let what = format!("Kafka: the view {view}: a snapshot replaces a row");
            return Err(SinkError::permanent(what));
        };
        let told = Told { before: None, after: Some(new), op: Op::Read, moment: self.moment };
        self.put(new, Some(&told), chunk)
    }

    fn put(&self, row: &Row, told: Option<&Told<'_>>, chunk: &mut Chunk) -> Result<(), SinkError> {
        let key = self.pen.key(row, &mut chunk.bytes)?;
        let from = chunk.bytes.len();
        let (value, row) = match told {
            Some(told) => {
                let row = self.pen.value(told, &mut chunk.bytes)?;
                (Some(from..chunk.bytes.len()), row)
            }
            None => (None, from..from),
        };
        chunk.records.push(Record { topic: self.topic, key, value, row });
        Ok(())
    }
}
