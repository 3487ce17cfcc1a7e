//! Batches prepared in the background while a step runs.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::batch::{Batch, Sampler};

/// The remaining micro-batches of one epoch, in order.
pub struct Prefetch {
    receiver: Receiver<Batch>,
    /// Time spent waiting for data so far.
    pub waited: Duration,
}

impl Prefetch {
    /// Starts a thread in `scope` that prepares micro-batches `from..` of `epoch`, at most `ahead` of them
    /// before they are taken. Dropping the receiver ends the thread.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        sampler: &'scope Sampler,
        epoch: usize,
        from: usize,
        ahead: usize,
    ) -> Self {
        let (sender, receiver) = sync_channel(ahead.max(1));
        scope.spawn(move || {
            let order = sampler.order(epoch);
            for index in from..sampler.batches() {
                if sender.send(sampler.batch(&order, epoch, index)).is_err() {
                    break;
                }
            }
        });
        Self { receiver, waited: Duration::ZERO }
    }
}

impl Iterator for Prefetch {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let start = Instant::now();
        let batch = self.receiver.recv().ok();
        self.waited += start.elapsed();
        batch
    }
}
