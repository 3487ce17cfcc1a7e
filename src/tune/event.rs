//! What a search tells its caller while it runs.

use super::study::Trial;
use crate::config::SynthConfig;

/// What happens in a search.
pub enum Event<'a> {
    /// The data set of the trials is about to be generated.
    Generating(&'a SynthConfig),
    /// What a user should know and may have to act on, e.g. items that no window reads.
    Warning(String),
    /// What a user may want to know, e.g. that a figure was there already.
    Note(String),
    /// A trial reached its rung, or failed ([`Trial::failed`]).
    Trained {
        trial: &'a Trial,
        /// Epochs of the rung.
        until: usize,
    },
}

/// Is told of events, on the thread of the search, which waits for it. It must not fail.
pub type OnEvent<'a> = dyn FnMut(Event<'_>) + 'a;
