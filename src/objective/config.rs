//! Settings of the objective, and their rules: ranges, and settings that would do nothing.

use super::distill_config::DistillConfig;
use crate::config::rules::{
    Checked, check_count, check_minimum, check_range, invalid, non_negative, positive,
};
use crate::{choice, section};

/// Most negatives of one draw: far beyond use, and small enough that a batch's draws can be counted in u32.
const MAX_NEGATIVES: usize = 1 << 20;

section! {
    /// What every branch is trained on, and what branches teach each other. A key that the chosen `kind` never reads
    /// must have its default.
    #[facts(Benched)]
    pub struct ObjectiveConfig {
        /// What the right item is told apart from.
        #[facts(Workload)]
        pub kind: ObjectiveKind = ObjectiveKind::InBatch,
        /// `in_batch`: training counts are raised to this power, from 0 on, before they become the probability p of
        /// the log-popularity correction; 1 is the sampling bias of in-batch negatives, 0 gives every item the same p.
        pub log_popularity_power: f64 = 1.0,
        /// `sampled` and `gbce`: how negatives are drawn.
        pub negatives: NegativesConfig = NegativesConfig::default(),
        /// `gbce`: t, how far the over-confidence of sampled negatives is taken back, from 0 (plain binary
        /// cross-entropy) to 1 (fully).
        pub calibration: f64 = 0.75,
        /// `full`: items whose scores exist at one time, from 1 on. No result depends on it beyond rounding.
        pub chunk_items: usize = 1024,
        /// What branches teach each other.
        pub distill: DistillConfig = DistillConfig::default(),
        /// Further terms of the loss.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub terms: Vec<TermConfig> = Vec::new(),
    }
}

section! {
    /// A further term of the loss, out of those that the program has registered.
    pub struct TermConfig {
        /// Its name in the registry of terms.
        pub kind: String,
        /// What it counts in the sum of all terms, above 0.
        pub weight: f64 = 1.0,
        /// Settings of the term, which are its own.
        #[serde(skip_serializing_if = "toml::Table::is_empty")]
        pub settings: toml::Table = toml::Table::new(),
    }
}

choice! {
    /// What the right item is told apart from.
    pub enum ObjectiveKind {
        /// Softmax over all items of the batch with ln p subtracted from every score (p: popularity), the user's own
        /// items left out, as in ODMT.
        InBatch = "in_batch",
        /// Softmax over drawn negatives.
        Sampled = "sampled",
        /// Softmax over the whole catalogue, a chunk at a time, distillation included. For branches that read the ID
        /// view without a tower: anything else would encode the catalogue in every step.
        Full = "full",
        /// Generalised binary cross-entropy over drawn negatives (gSASRec, Petrov and Macdonald, RecSys 2023). It has
        /// no distillation.
        Gbce = "gbce",
    }
}

section! {
    /// How negatives are drawn. Draws are independent, a function of seed, epoch and batch; an item drawn twice counts
    /// twice, one that is the right answer does not count.
    pub struct NegativesConfig {
        /// K: negatives per draw, from 1 to 1048576.
        pub count: usize = 256,
        /// Which items are likely to be drawn.
        pub draw: Draw = Draw::Uniform,
        /// Who sees the same draw.
        pub shared: Shared = Shared::User,
        /// `popularity` and `mixed`: the probability of an item is its training count to this power, from 0 on,
        /// normalised.
        pub power: f64 = 1.0,
        /// `mixed`: share of the draws that are uniform, from 0 to 1.
        pub uniform_share: f64 = 0.5,
        /// `sampled`: a negative of probability q counts 1/(K q) times, so that the sum over negatives estimates the
        /// sum over the catalogue without bias. Off: every negative counts once.
        pub log_q: bool = false,
    }
}

choice! {
    /// Which items are likely to be drawn.
    pub enum Draw {
        /// All alike.
        Uniform = "uniform",
        /// By training count. Items that occur in no training window are never drawn.
        Popularity = "popularity",
        /// Some uniform, the others by training count.
        Mixed = "mixed",
    }
}

choice! {
    /// Who sees the same negatives.
    pub enum Shared {
        /// The whole batch: many negatives are cheap, but few items are pushed away in a step.
        Batch = "batch",
        /// The positions of one window.
        User = "user",
    }
}

impl ObjectiveConfig {
    /// Rules of the objective alone; pairs and kinds that a model can't have are known to the configuration only.
    pub(crate) fn validate(&self) -> Checked {
        non_negative("objective.log_popularity_power", self.log_popularity_power)?;
        check_range("objective.calibration", self.calibration, 0.0..=1.0)?;
        check_minimum("objective.chunk_items", self.chunk_items, 1)?;
        self.negatives.validate()?;
        self.check_nothing_is_idle()?;
        for (n, term) in self.terms.iter().enumerate() {
            positive(&format!("objective.terms.{n}.weight"), term.weight)?;
        }
        self.distill.validate()
    }

    /// A setting that the chosen kind never reads is an error, not a wish.
    fn check_nothing_is_idle(&self) -> Checked {
        use ObjectiveKind::{Full, Gbce, InBatch, Sampled};
        let default = Self::default();
        let rules = [
            ("negatives", self.negatives != default.negatives, &[Sampled, Gbce][..], "sampled or gbce"),
            ("negatives.log_q", self.negatives.log_q, &[Sampled], "sampled"),
            ("calibration", self.calibration != default.calibration, &[Gbce], "gbce"),
            ("chunk_items", self.chunk_items != default.chunk_items, &[Full], "full"),
            (
                "log_popularity_power",
                self.log_popularity_power != default.log_popularity_power,
                &[InBatch],
                "in_batch",
            ),
        ];
        match rules.into_iter().find(|(_, is_set, kinds, _)| *is_set && !kinds.contains(&self.kind)) {
            None => Ok(()),
            Some((key, _, _, readers)) => {
                Err(invalid(&format!("objective.{key}"), format!("is read only with kind = {readers}"))
                    .with_hint("change objective.kind, or remove the setting"))
            }
        }
    }
}

impl NegativesConfig {
    fn validate(&self) -> Checked {
        let key = |field: &str| format!("objective.negatives.{field}");
        check_count(&key("count"), self.count, 1..=MAX_NEGATIVES)?;
        non_negative(&key("power"), self.power)?;
        check_range(&key("uniform_share"), self.uniform_share, 0.0..=1.0)?;
        let default = Self::default();
        if self.draw == Draw::Uniform && self.power != default.power {
            return Err(invalid(&key("power"), "is read only where items are drawn by popularity")
                .with_hint("set objective.negatives.draw to popularity or mixed, or remove the power"));
        }
        if self.draw != Draw::Mixed && self.uniform_share != default.uniform_share {
            return Err(invalid(&key("uniform_share"), "is read only with draw = \"mixed\"")
                .with_hint("set objective.negatives.draw to mixed, or remove the share"));
        }
        Ok(())
    }
}
