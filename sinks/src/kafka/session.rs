//! A session with the cluster: a thread with a producer that nobody else may be.
//!
//! Invariant: a session that failed, or was given up in the middle, is dropped, which makes its
//! thread abort and end; whoever holds one knows what the target held when it began.

use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::Settings;
use super::chunk::{self, Channels};
use super::worker::{Job, Pens, Worker};
use crate::error::SinkError;
use crate::sink::{Mark, Outgoing, Step};

/// Pieces that wait for the thread.
const PIECES_MAX: usize = 4;

pub(super) struct Session {
    jobs: mpsc::Sender<Job>,
    pens: Arc<Pens>,
    held: Option<Mark>,
}

impl Session {
    /// Begins a session; whoever has one of the same name loses it.
    pub(super) async fn open(settings: &Arc<Settings>) -> Result<Self, SinkError> {
        let (jobs, todo) = mpsc::channel(1);
        let (answer, opened) = oneshot::channel();
        let settings = Arc::clone(settings);
        let run = move || match Worker::open(settings) {
            Ok(worker) => {
                if answer.send(Ok((worker.pens(), worker.found()))).is_ok() {
                    worker.serve(todo);
                }
            }
            // Whoever asked may be gone.
            Err(error) => drop(answer.send(Err(error))),
        };
        let spawned = thread::Builder::new().name("ionflux-kafka".to_owned()).spawn(run);
        spawned.map_err(|error| SinkError::transient("Kafka: no thread").caused_by(error))?;
        let (pens, held) = opened.await.map_err(|_| ended())??;
        Ok(Self { jobs, pens, held })
    }

    /// What the target held when the session began, or was last written.
    pub(super) fn held(&self) -> Option<Mark> {
        self.held
    }

    /// Makes a batch visible, if it begins where the target is.
    pub(super) async fn write(&mut self, batch: &Outgoing) -> Result<(), SinkError> {
        let step = batch.at(self.held).map_err(|error| error.within("Kafka"))?;
        if step == Step::Done {
            return Ok(());
        }
        let (pieces, taken) = mpsc::channel(PIECES_MAX);
        let (emptied, empty) = mpsc::channel(PIECES_MAX);
        let (answer, told) = oneshot::channel();
        let (whole, to) = (batch.from.is_none(), batch.to);
        let job = Job { whole, to, pieces: taken, emptied, answer };
        self.jobs.send(job).await.map_err(|_| ended())?;
        let Pens { encoders, outputs } = &*self.pens;
        chunk::pour(batch, encoders, outputs.as_ref(), Channels { pieces, empty }).await?;
        told.await.map_err(|_| ended())??;
        self.held = Some(batch.to);
        Ok(())
    }
}

fn ended() -> SinkError {
    SinkError::transient("Kafka: the session ended")
}
