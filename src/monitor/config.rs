//! Settings of what is written down while a training runs, and their rules.

use crate::config::rules::{Checked, check_count, check_minimum};
use crate::section;

section! {
    /// What is watched while a training runs, and shown after it.
    #[facts(Resumable, Unsearched, Idle)]
    pub struct MonitorConfig {
        /// Event files for TensorBoard are written beside `metrics.jsonl`.
        pub tensorboard: bool = true,
        /// Training figures are written every so many optimiser steps, from 1 on.
        pub log_every: usize = 10,
        /// Items in TensorBoard's projector; 0 leaves it out.
        pub projector_items: usize = 2000,
        /// Side of an item's picture in the projector's sprite, in pixels up to 256; 0 leaves pictures out.
        pub sprite_side: usize = 48,
        /// Users whose history and top ten are drawn as strips of pictures after the training; 0 draws none.
        pub strip_users: usize = 4,
    }
}

impl MonitorConfig {
    pub(crate) fn validate(&self) -> Checked {
        check_minimum("monitor.log_every", self.log_every, 1)?;
        check_count("monitor.sprite_side", self.sprite_side, 0..=256)
    }
}
