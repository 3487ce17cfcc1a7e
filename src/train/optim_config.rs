//! Settings of the optimiser, and their rules.

use crate::config::rules::{Checked, check_range, invalid, non_negative, positive};
use crate::{choice, section};

section! {
    /// AdamW with PyTorch's semantics (decoupled decay), clipping and schedule. The defaults are those of ODMT.
    #[facts(Benched)]
    pub struct OptimConfig {
        /// Learning rate after the warm-up, above 0.
        pub lr: f64 = 1e-4,
        /// Decay rate of the running mean of gradients, from 0 to below 1.
        pub beta1: f64 = 0.9,
        /// Decay rate of the running mean of squared gradients, from 0 to below 1.
        pub beta2: f64 = 0.999,
        /// Added to the root of the second moment, above 0.
        pub eps: f64 = 1e-8,
        /// Weight decay per unit of learning rate, from 0 on.
        pub weight_decay: f64 = 0.1,
        /// Which parameters decay.
        pub decay: Decay = Decay::All,
        /// Which rows of the ID table an update reaches.
        pub id_table: IdTable = IdTable::Dense,
        /// Largest global L2 norm of all gradients: they are scaled down to it. 0 switches clipping off.
        pub clip_norm: f64 = 5.0,
        /// How the learning rate falls after the warm-up until the last step of all epochs.
        pub schedule: Schedule = Schedule::Constant,
        /// Optimiser steps in which the learning rate rises linearly to `lr`; 0 begins with it.
        pub warmup_steps: usize = 0,
        /// Share of `lr` that is left at the end of a cosine or linear schedule, from 0 to 1.
        pub final_lr_share: f64 = 0.0,
        /// Parameters with a rate or decay of their own. The first group that matches a parameter has it.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub groups: Vec<GroupConfig> = Vec::new(),
    }
}

section! {
    /// Parameters with a rate or decay of their own.
    pub struct GroupConfig {
        /// Pattern of their names, e.g. `branches.text.encoder.*`; `*` stands for any characters.
        pub parameters: String,
        /// Learning rate in place of `optim.lr`, above 0; it has the same warm-up and schedule. In a stage with a rate of
        /// its own it is changed in the same proportion as `optim.lr`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub lr: Option<f64> = None,
        /// Weight decay in place of `optim.weight_decay`, from 0 on, for all of them whatever `optim.decay` says.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub weight_decay: Option<f64> = None,
    }
}

choice! {
    /// Which parameters decay.
    pub enum Decay {
        /// Every parameter, biases, norms and tables too, as in ODMT.
        All = "all",
        /// Only matrices of linear, recurrent and convolution layers.
        Matrices = "matrices",
    }
}

choice! {
    /// Which rows of the ID table an update reaches.
    pub enum IdTable {
        /// All: a row that no batch holds still decays and moves with its momentum, as in ODMT.
        Dense = "dense",
        /// Those that the step's batches read, as PyTorch's SparseAdam does, with AdamW's decay: the other rows and
        /// their moments stay as they are. A row that comes back finds its moments as it left them; they have not
        /// faded in the meantime, and the correction of their bias counts all updates of the table, not the row's
        /// own. Where every row is in every step it is the dense update. The cost of a step does not grow with the
        /// catalogue.
        RowSparse = "row_sparse",
    }
}

choice! {
    /// How the learning rate falls after the warm-up.
    pub enum Schedule {
        /// Not at all.
        Constant = "constant",
        /// Along half a cosine.
        Cosine = "cosine",
        /// In a straight line.
        Linear = "linear",
    }
}

impl OptimConfig {
    pub(crate) fn validate(&self) -> Checked {
        positive("optim.lr", self.lr)?;
        for (key, beta) in [("optim.beta1", self.beta1), ("optim.beta2", self.beta2)] {
            check_range(key, beta, 0.0..=1.0)?;
            if beta >= 1.0 {
                return Err(
                    invalid(key, "= 1 never forgets").with_hint("usual values: beta1 0.9, beta2 0.999")
                );
            }
        }
        positive("optim.eps", self.eps)?;
        non_negative("optim.weight_decay", self.weight_decay)?;
        non_negative("optim.clip_norm", self.clip_norm)?;
        check_range("optim.final_lr_share", self.final_lr_share, 0.0..=1.0)?;
        self.groups.iter().enumerate().try_for_each(|(n, group)| group.validate(n))
    }
}

impl GroupConfig {
    fn validate(&self, n: usize) -> Checked {
        let key = |key: &str| format!("optim.groups.{n}.{key}");
        if self.lr.is_none() && self.weight_decay.is_none() {
            return Err(invalid(&format!("optim.groups.{n}"), "changes nothing")
                .with_hint("give it lr or weight_decay, or remove it"));
        }
        self.lr.map_or(Ok(()), |lr| positive(&key("lr"), lr))?;
        self.weight_decay.map_or(Ok(()), |decay| non_negative(&key("weight_decay"), decay))
    }
}
