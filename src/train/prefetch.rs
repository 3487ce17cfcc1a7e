//! Batches prepared in the background while a step runs.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::system::{Place, System};

/// The remaining micro-batches of one epoch, in order.
pub struct Prefetch<B> {
    receiver: Receiver<B>,
    /// Time spent waiting for data so far.
    pub waited: Duration,
}

impl<B: Send> Prefetch<B> {
    /// Starts a thread in `scope` that prepares the micro-batches of the epoch of `first`, from there on, at most `ahead` of
    /// them before they are taken. Dropping the receiver ends the thread.
    pub fn start<'scope, S: System<Batch = B>>(
        scope: &'scope Scope<'scope, '_>,
        system: &'scope S,
        first: Place,
        ahead: usize,
    ) -> Self
    where
        B: 'scope,
    {
        let (sender, receiver) = sync_channel(ahead.max(1));
        scope.spawn(move || {
            let order = system.order(first.epoch);
            for index in first.index..system.batches() {
                if sender.send(system.batch(&order, Place { index, ..first })).is_err() {
                    break;
                }
            }
        });
        Self { receiver, waited: Duration::ZERO }
    }
}

impl<B> Iterator for Prefetch<B> {
    type Item = B;

    fn next(&mut self) -> Option<B> {
        let start = Instant::now();
        let batch = self.receiver.recv().ok();
        self.waited += start.elapsed();
        batch
    }
}
