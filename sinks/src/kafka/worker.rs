//! The thread of a session: one transactional producer, and all that waits for brokers.
//!
//! Invariant: whoever begins fences those before, so that what they left undone never lands later;
//! a thread that met an error, or was left alone in the middle, aborts and ends.

use std::sync::Arc;

use rdkafka::message::{Header, OwnedHeaders};
use tokio::sync::{mpsc, oneshot};

use super::Settings;
use super::bounds::{Bounds, Known};
use super::chunk::{Chunk, Piece};
use super::encode::{Encoder, Moment};
use super::held::Held;
use super::outputs::{self, Outputs};
use super::producer::{Place, Transactional};
use super::reader::Reader;
use super::topics::{Admin, Cleanup, Wanted, missing};
use super::{mark, partition};
use crate::error::SinkError;
use crate::sink::Mark;

/// A batch that is on its way.
pub(super) struct Job {
    /// Whether it replaces everything.
    pub(super) whole: bool,
    pub(super) to: Mark,
    pub(super) pieces: mpsc::Receiver<Piece>,
    /// Where chunks go once they are sent.
    pub(super) emptied: mpsc::Sender<Chunk>,
    pub(super) answer: oneshot::Sender<Result<(), SinkError>>,
}

/// How views are written, once the registry was asked.
pub(super) struct Pens {
    pub(super) encoders: Vec<Encoder>,
    pub(super) outputs: Option<Outputs>,
}

pub(super) struct Worker {
    settings: Arc<Settings>,
    pens: Arc<Pens>,
    reader: Reader,
    producer: Transactional,
    /// How many partitions the topic of each view has, and that of the events.
    partitions: Vec<i32>,
    /// How the topics are written, as a hash.
    layout: String,
    /// Where the partitions of the views' topics begin and end.
    known: Option<Known>,
    /// The newest mark, if the topics are written as they were then.
    found: Option<Mark>,
}

impl Worker {
    /// Fences those before and looks at the topics.
    pub(super) fn open(settings: Arc<Settings>) -> Result<Self, SinkError> {
        let client = settings.client();
        let reader = Reader::new(&client, &settings.transactional_id())?;
        let wanted = settings.wanted();
        let present = reader.topics()?;
        let (there, absent): (Vec<&Wanted>, Vec<&Wanted>) =
            wanted.iter().partition(|topic| present.contains_key(&topic.name));
        if !absent.is_empty() && !settings.config.create_topics {
            return Err(missing(&absent));
        }
        let admin = Admin::new(&client)?;
        let marks = settings.marks();
        if present.get(&marks).is_some_and(|partitions| *partitions != 1) {
            let what = format!("Kafka: the topic {marks} has more than one partition");
            return Err(SinkError::permanent(format!("{what}: make it again with one")));
        }
        admin.check(&there)?;
        let (first, rest): (Vec<&Wanted>, Vec<&Wanted>) =
            absent.into_iter().partition(|topic| topic.marks);
        admin.make(&first, &reader)?;
        let producer = settings.producer(&client)?;
        let pens = Arc::new(settings.pens()?);
        let (partitions, layout, known) = (Vec::new(), String::new(), None);
        let mut worker =
            Self { settings, pens, reader, producer, partitions, layout, known, found: None };
        if rest.iter().any(|topic| topic.cleanup == Cleanup::Compact) {
            worker.forget()?;
        }
        admin.make(&rest, &worker.reader)?;
        worker.look()?;
        Ok(worker)
    }

    /// Counts partitions and reads the mark.
    fn look(&mut self) -> Result<(), SinkError> {
        let present = self.reader.topics()?;
        let events = self.pens.outputs.is_some().then_some(outputs::TOPIC);
        let topics = self.pens.encoders.iter().map(|encoder| encoder.topic.as_str()).chain(events);
        let count = |topic: &str| present.get(topic).copied().filter(|count| *count > 0);
        let counted = |topic| count(topic).ok_or_else(|| gone(topic));
        self.partitions = topics.map(counted).collect::<Result<_, _>>()?;
        let laid = |(encoder, partitions): (&Encoder, &i32)| mark::Laid {
            view: encoder.view,
            ids: encoder.ids(),
            partitions: *partitions,
        };
        let topics = self.pens.encoders.iter().zip(&self.partitions).map(laid);
        self.layout = mark::layout(&self.settings.config, topics);
        let (topic, name) = (self.settings.marks(), self.settings.name.as_bytes());
        let newest = self.reader.newest(&topic, name)?;
        let known = self.bounds()?;
        let read = |value: Vec<u8>| mark::read(&value, &self.layout, known.bounds());
        let found = newest.map(read).transpose()?;
        (self.found, self.known) = (found.flatten(), Some(known));
        Ok(())
    }

    /// Where the partitions of the views' topics begin and end now.
    fn bounds(&self) -> Result<Known, SinkError> {
        Known::now(&self.reader, &self.pens.encoders, &self.partitions)
    }

    /// Remembers much that was just written. What cannot be had now is looked at before the next.
    fn remember(&mut self) {
        match self.bounds() {
            Ok(now) => self.known = Some(now),
            Err(error) => {
                tracing::debug!(%error, "the ends of the topics are looked at later");
                self.known.iter_mut().for_each(Known::outdate);
            }
        }
    }

    pub(super) fn pens(&self) -> Arc<Pens> {
        Arc::clone(&self.pens)
    }

    pub(super) fn found(&self) -> Option<Mark> {
        self.found
    }

    /// Serves the session until it is gone, or something fails.
    pub(super) fn serve(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(mut job) = jobs.blocking_recv() {
            let written = self.write(&mut job);
            let failed = written.is_err();
            if job.answer.send(written).is_err() || failed {
                return;
            }
            self.found = Some(job.to);
            if job.whole {
                self.remember();
            }
        }
    }

    /// Takes the mark away, for there are topics that are about to be made.
    fn forget(&self) -> Result<(), SinkError> {
        let name = self.settings.name.as_bytes();
        let marks = self.settings.marks();
        if self.reader.newest(&marks, name)?.is_some() {
            self.producer.begin()?;
            self.producer.put(Place { topic: &marks, partition: 0 }, (name, None), None)?;
            self.producer.commit()?;
        }
        Ok(())
    }

    fn write(&mut self, job: &mut Job) -> Result<(), SinkError> {
        if self.known.as_ref().is_some_and(Known::due) {
            let now = self.bounds()?;
            self.known.as_mut().map_or(Ok(()), |known| known.renew(now))?;
        }
        let held = if job.whole { self.held()? } else { Vec::new() };
        self.producer.begin()?;
        let written = self.records(job, held);
        if written.is_err() {
            self.producer.abort();
            return written;
        }
        self.producer.commit()
    }

    /// What the topics of the views hold. Only beside a mark of their layout it says which rows a
    /// snapshot moves.
    fn held(&self) -> Result<Vec<Held>, SinkError> {
        let encoders = &self.pens.encoders;
        let mut held = Held::read(&self.reader, encoders, &self.partitions)?;
        if self.found.is_some() && self.pens.outputs.is_some() {
            let told = held.iter_mut().zip(encoders).filter(|(_, e)| outputs::tells(e.view));
            told.for_each(|(held, _)| held.watch());
        }
        Ok(held)
    }

    fn records(&self, job: &mut Job, mut held: Vec<Held>) -> Result<(), SinkError> {
        let headers = self.headers(job);
        loop {
            match job.pieces.blocking_recv() {
                Some(Piece::Records(mut chunk)) => {
                    self.chunk(&chunk, &headers, &mut held)?;
                    chunk.clear();
                    // One too many is let go.
                    let _ = job.emptied.try_send(chunk);
                }
                Some(Piece::Compare(answer)) => {
                    // Whoever is gone sends no end.
                    let _ = answer.send(held.iter_mut().map(Held::compared).collect());
                }
                Some(Piece::End) => break,
                None => return Err(SinkError::transient("Kafka: the batch was given up")),
            }
        }
        let moment = Moment { epoch: job.to.epoch, as_of: job.to.as_of };
        for (at, held) in held.iter().enumerate() {
            let encoder = &self.pens.encoders[at];
            let farewell = encoder.farewell(moment)?;
            for (partition, key) in held.left() {
                let place = Place { topic: &encoder.topic, partition };
                if let Some(value) = &farewell {
                    self.producer.put(place, (key, Some(value)), Some(&headers[at]))?;
                }
                self.producer.put(place, (key, None), Some(&headers[at]))?;
            }
        }
        let none = Bounds::new();
        let bounds = self.known.as_ref().map_or(&none, Known::bounds);
        let mark = mark::written(&job.to, &self.layout, bounds);
        let place = Place { topic: &self.settings.marks(), partition: 0 };
        self.producer.put(place, (self.settings.name.as_bytes(), Some(&mark)), None)
    }

    /// The headers of each topic's records.
    fn headers(&self, job: &Job) -> Vec<OwnedHeaders> {
        let (epoch, as_of) = (job.to.epoch.to_string(), job.to.as_of.to_string());
        let of = |version: Option<u32>| {
            let version = version.map(|version| version.to_string());
            let headers = OwnedHeaders::new_with_capacity(3);
            let headers = headers.insert(Header { key: "ionflux-epoch", value: Some(&epoch) });
            let headers = match &version {
                Some(v) => headers.insert(Header { key: "ionflux-view-version", value: Some(v) }),
                None => headers,
            };
            headers.insert(Header { key: "ionflux-as-of", value: Some(&as_of) })
        };
        let views = self.pens.encoders.iter().map(|encoder| of(Some(encoder.view.version)));
        views.chain([of(None)]).collect()
    }

    fn chunk(
        &self,
        chunk: &Chunk,
        headers: &[OwnedHeaders],
        held: &mut [Held],
    ) -> Result<(), SinkError> {
        for record in &chunk.records {
            let key = &chunk.bytes[record.key.clone()];
            let partition = partition::of(key, self.partitions[record.topic]);
            let row = &chunk.bytes[record.row.clone()];
            if held.get_mut(record.topic).is_some_and(|held| held.has(partition, key, row)) {
                continue;
            }
            let topic = self.pens.encoders.get(record.topic);
            let topic = topic.map_or(outputs::TOPIC, |encoder| encoder.topic.as_str());
            let value = record.value.clone().map(|value| &chunk.bytes[value]);
            self.producer.put(
                Place { topic, partition },
                (key, value),
                headers.get(record.topic),
            )?;
        }
        self.producer.serve();
        Ok(())
    }
}

fn gone(topic: &str) -> SinkError {
    SinkError::transient(format!("Kafka: the topic {topic} went away while the session began"))
}

impl Settings {
    pub(super) fn pens(&self) -> Result<Pens, SinkError> {
        let ids = self.access.schema_ids.as_deref();
        let encoders = self.views.iter().map(|view| Encoder::new(view, &self.config, ids));
        let encoders = encoders.collect::<Result<_, _>>()?;
        Ok(Pens { encoders, outputs: Outputs::new(&self.config, ids)? })
    }
}
