//! Named workloads of exact shapes, generated, run and measured (`codistill bench`).
//!
//! A workload is a directory that other programs read too, so that contenders work on the same numbers. It holds
//! `workload.json` (a [`Workload`]) and `workload.safetensors`:
//!
//! | kind | tensors |
//! | --- | --- |
//! | `odmt` | `sequences` int32 `[K·B, S+1]`, left-padded with 0: batch k is rows k·B..(k+1)·B; `log_popularity` float32 `[I+1]`; `text_length` int32 `[I+1]`; `text` float16 `[I+1, T, F]`; `image` float16 `[I+1, V, F]` |
//! | `sasrec` | `sequences` |
//! | `evaluate` | `users.N` float32 `[U, D]` and `items.N` float32 `[I+1, D]` of branch N; `history_offsets` int64 `[U+1]`, `history_items` int32, `targets` int32 `[U]` |
//! | `loss` | `users.N` float32 `[B, D]` and `items.N` float32 `[I+1, D]` of branch N; `labels` int32 `[B]` |
//! | `prepare` | none; `reviews.jsonl` has a review a line, in the layout of Amazon's reviews of 2018 |
//! | `checkpoint` | float32 parameters of a model, by their names |
//!
//! Row 0 of everything that is kept by item is padding and zero. Step i uses batch i % K; warm-up steps count from
//! 0 too. `features/text` and `features/image` hold the token features once more as the feature stores that
//! training maps into memory.
//!
//! Reading order: [`workload`] and [`named`] (what there is), [`generate`] (made), [`mod@write`] (written), [`disk`] (read),
//! [`training`], [`judging`], [`catalogue_loss`], [`preparing`] and [`saving`] (run), [`flops`] (the arithmetic of a
//! step), [`machine`] (what the machine can do), [`summary`].

pub mod catalogue_loss;
mod columns;
pub mod disk;
mod error;
pub mod flops;
pub mod generate;
pub mod judging;
pub mod machine;
pub mod named;
pub mod preparing;
pub mod saving;
pub mod summary;
pub mod training;
pub mod workload;
pub mod write;

pub use catalogue_loss::CatalogueLoss;
pub use disk::Loaded;
pub use error::BenchError;
pub use judging::Judging;
pub use machine::Machine;
pub use preparing::Preparing;
pub use saving::Saving;
pub use summary::Summary;
pub use training::Training;
pub use workload::{Kind, Profile, Workload};
pub use write::write;

/// How many steps are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Before the first timed step.
    pub warmup: usize,
    pub timed: usize,
}

impl Steps {
    /// Runs `step`, which is told its number and how many steps were run before it; `on_step` is told of every timed
    /// one. Warm-up steps count from 0 too.
    ///
    /// # Errors
    /// The first of either.
    pub(super) fn run<T>(
        self,
        mut step: impl FnMut(usize, usize) -> Result<T, BenchError>,
        on_step: &mut dyn FnMut(&T) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        for index in 0..self.warmup {
            step(index, index)?;
        }
        (0..self.timed).try_for_each(|index| on_step(&step(index, self.warmup + index)?))
    }
}
