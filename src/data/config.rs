//! Settings of the data a model is trained on, and their rules.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::rules::{Checked, check_minimum, check_range, invalid};
use crate::synth::config::SynthConfig;
use crate::{choice, section};

section! {
    /// Which data set, and how sequences are cut from it.
    pub struct DataConfig {
        /// Data set directory made by `prepare` or `synth`, relative to the current directory. Absent: the one that
        /// `data.synth` describes is generated.
        #[facts(KeptOnResume, Idle)]
        pub path: Option<PathBuf> = None,
        /// Parameters of the generated data set, used when `data.path` is absent.
        pub synth: Option<SynthConfig> = None,
        /// Directories of feature stores by name. A store that is not listed is looked for in `features/NAME` of the
        /// data set.
        #[facts(Unlisted)]
        pub features: BTreeMap<String, PathBuf> = BTreeMap::new(),
        /// S: input positions per window, from 1 on. A window has S + 1 items, since each position predicts the next.
        pub max_seq_len: usize = 12,
        /// Which windows of a longer training sequence are used.
        pub windows: Windows = Windows::Last,
        /// Users with fewer training items than this are not trained on; from 2 on.
        pub min_train_len: usize = 2,
        /// Which interactions are trained on; `train --refit` sets it. Where it is more than `train`, nothing is validated
        /// and `train.patience` has to be 0.
        #[serde(skip_serializing_if = "TrainParts::is_ordinary")]
        pub train_parts: TrainParts = TrainParts::Train,
        /// Items that no training sees, for judging how new items fare. Absent: none.
        pub cold: Option<ColdConfig> = None,
    }
}

section! {
    /// Items held out of all training: no input, no target, no count. They stay test targets and candidates. Either a
    /// share or a file of ids says which.
    pub struct ColdConfig {
        /// Share of the catalogue that is drawn, above 0 and up to 0.5; 0 where `ids` names the items.
        pub share: f64 = 0.0,
        /// Seed of that draw.
        pub seed: u64 = 1,
        /// File with one item id per line, instead of a share.
        pub ids: PathBuf = PathBuf::new(),
        /// What stands in for their ID vectors in the final report.
        pub rule: ColdId = ColdId::Drop,
        /// Items with fewer training interactions are not fitted on by `rule = "ridge"`.
        pub min_events: u32 = 20,
    }
}

choice! {
    /// What stands in for the ID vector of an item that was not trained on.
    pub enum ColdId {
        /// Nothing: branches on the ID view have no vector for it, the others decide alone.
        Drop = "drop",
        /// The mean of its first tokens, as an ID table that starts from features begins.
        Mean = "mean",
        /// A ridge regression from content to ID vectors, fitted on items with enough training interactions.
        Ridge = "ridge",
    }
}

choice! {
    /// Which interactions are trained on.
    pub enum TrainParts {
        /// Those of the training part: validation items choose the checkpoint, test items measure it.
        Train = "train",
        /// Those before the test items: the training part, the validation items and, in a data set that is split in time, all
        /// others before its test cut-off. The test figures are those of a model that knows the validation items.
        TrainValid = "train+valid",
        /// All of them, test items included, so that nothing is left to measure by.
        All = "all",
    }
}

impl TrainParts {
    /// Those of an ordinary training.
    pub(crate) fn ordinary() -> Self {
        Self::Train
    }

    /// Whether the split's own training part is meant, which is not written.
    pub(crate) fn is_ordinary(&self) -> bool {
        *self == Self::Train
    }

    /// Whether the model is validated while it learns.
    pub fn validates(self) -> bool {
        self == Self::Train
    }

    /// Whether items of the test part are left to measure it by.
    pub fn tests(self) -> bool {
        self != Self::All
    }

    /// Whether an interaction is trained on here and not in a training on `other`.
    pub fn exceeds(self, other: Self) -> bool {
        self as u8 > other as u8
    }

    /// What a reader of a run's figures has to know; nothing of an ordinary training.
    pub fn note(self) -> Option<&'static str> {
        match self {
            Self::Train => None,
            Self::TrainValid => {
                Some("refit on train+valid: test figures of a model that was trained on the validation items")
            }
            Self::All => Some(
                "refit on all: there are no test figures, because the model was trained on the test items too",
            ),
        }
    }
}

choice! {
    /// Which windows of S + 1 items are cut from a training sequence.
    pub enum Windows {
        /// Only the last one, as ODMT's authors do: what is older is never trained on.
        Last = "last",
        /// Consecutive windows from the end that share one item, so that every transition is a target once.
        All = "all",
    }
}

impl DataConfig {
    pub(crate) fn validate(&self) -> Checked {
        match (&self.path, &self.synth) {
            (None, None) => {
                let hint =
                    "set data.path to a dataset directory, or add a [data.synth] table to generate one";
                return Err(invalid("data.path", "is missing, and there is no [data.synth]").with_hint(hint));
            }
            (Some(path), _) if path.as_os_str().is_empty() => return Err(invalid("data.path", "is empty")),
            (None, Some(synth)) => synth.validate()?,
            _ => {}
        }
        if let Some(cold) = &self.cold {
            cold.validate()?;
            if !self.train_parts.tests() {
                let reason = "= \"all\" trains on test items, and data.cold keeps items out of all training";
                return Err(invalid("data.train_parts", reason)
                    .with_hint("leave out data.cold, or train on \"train+valid\""));
            }
        }
        check_minimum("data.max_seq_len", self.max_seq_len, 1)?;
        check_minimum("data.min_train_len", self.min_train_len, 2)
    }
}

impl ColdConfig {
    fn validate(&self) -> Checked {
        check_range("data.cold.share", self.share, 0.0..=0.5)?;
        if (self.share > 0.0) == self.ids.as_os_str().is_empty() {
            return Ok(());
        }
        Err(invalid("data.cold", "needs either a share or a file of ids")
            .with_hint("set data.cold.share = 0.1, or data.cold.ids = \"ids.txt\""))
    }
}
