//! The workloads: names, exact shapes, profiles, and overrides of single dimensions.

use serde::{Deserialize, Serialize};

use super::BenchError;
use crate::config::nearest;

/// What a step of a workload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Three branches, item tower, distillation, in-batch softmax.
    Odmt,
    /// One ID branch, softmax over the whole catalogue.
    Sasrec,
    /// A full ranking of one target a user by given vectors of three branches.
    Evaluate,
}

/// How long histories and texts are, and which items are frequent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Nothing can be skipped: all users and texts of full length, items uniform.
    Dense,
    /// Short users, item frequency 1/rank, short texts (odmt.md 10.1).
    Sparse,
}

impl Profile {
    pub fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Sparse => "sparse",
        }
    }
}

/// Everything that a contender must know: shapes, rates and draws. `workload.json` is this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    pub name: String,
    pub kind: Kind,
    pub profile: Profile,
    /// B, users of a batch; of an evaluation: all users.
    pub users: usize,
    /// S, input positions; of an evaluation: the longest history.
    pub positions: usize,
    /// D
    pub width: usize,
    /// F, width of token features and of the ID table; 0 where there is no tower.
    pub feature_width: usize,
    /// T
    pub text_tokens: usize,
    /// V
    pub image_tokens: usize,
    pub tower_blocks: usize,
    pub tower_heads: usize,
    pub encoder_blocks: usize,
    pub encoder_heads: usize,
    /// I, without padding.
    pub items: usize,
    pub temperature: f64,
    /// Constant weight of the distillation terms.
    pub distill_weight: f64,
    pub dropout: f64,
    pub lr: f64,
    pub weight_decay: f64,
    pub clip_norm: f64,
    pub layer_norm_eps: f64,
    /// K, different batches; steps take them in turn.
    pub batches: usize,
    /// Of every draw.
    pub seed: u64,
}

/// All names, in the order in which they are listed.
pub const NAMES: [&str; 4] = ["odmt-small", "odmt-paper", "sasrec-ml1m", "eval-arts"];

/// Dimensions that can be overridden.
pub const OVERRIDES: [&str; 9] = [
    "users",
    "positions",
    "width",
    "items",
    "text_tokens",
    "image_tokens",
    "feature_width",
    "batches",
    "seed",
];

/// Most values of one dimension: item numbers are int32, and random streams are split by them.
const MOST: u64 = (1 << 31) - 2;

impl Workload {
    /// The workload `name` with its own shapes.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn named(name: &str, profile: Profile) -> Result<Self, BenchError> {
        let small = Self {
            name: name.to_owned(),
            kind: Kind::Odmt,
            profile,
            users: 32,
            positions: 10,
            width: 64,
            feature_width: 64,
            text_tokens: 30,
            image_tokens: 50,
            tower_blocks: 2,
            tower_heads: 2,
            encoder_blocks: 2,
            encoder_heads: 2,
            items: 4000,
            temperature: 0.5,
            distill_weight: 0.8,
            dropout: 0.1,
            lr: 1e-4,
            weight_decay: 0.1,
            clip_norm: 5.0,
            layer_norm_eps: 1e-6,
            batches: 8,
            seed: 1,
        };
        let bare = Self {
            feature_width: 0,
            text_tokens: 0,
            image_tokens: 0,
            tower_blocks: 0,
            tower_heads: 0,
            ..small.clone()
        };
        match name {
            "odmt-small" => Ok(small),
            "odmt-paper" => {
                let (users, positions, width, items) = (128, 12, 768, 2000);
                Ok(Self { users, positions, width, feature_width: 768, items, ..small })
            }
            "sasrec-ml1m" => {
                let (users, positions, items) = (128, 200, 3416);
                Ok(Self { kind: Kind::Sasrec, users, positions, items, dropout: 0.2, ..bare })
            }
            "eval-arts" => {
                let (users, positions, items) = (45_487, 50, 21_020);
                Ok(Self { kind: Kind::Evaluate, users, positions, items, batches: 1, dropout: 0.0, ..bare })
            }
            other => Err(BenchError::Unknown(other.to_owned())),
        }
    }

    /// What the workload `name` is for.
    pub fn purpose(name: &str) -> &'static str {
        match name {
            "odmt-small" => {
                "an ODMT step that a CPU trains with: bound by memory traffic as much as by products"
            }
            "odmt-paper" => "an ODMT step at the published sizes: bound by products; peak memory counts",
            "sasrec-ml1m" => "a SASRec step with the full softmax on MovieLens-1M's sizes: long histories",
            "eval-arts" => "a full ranking on Amazon Arts' sizes by given vectors of three branches",
            _ => "",
        }
    }

    /// Applies `field=number`.
    ///
    /// # Errors
    /// The field is unknown or means nothing to this kind, or the number is out of range.
    pub fn set(&mut self, set: &str) -> Result<(), BenchError> {
        let refuse =
            |reason: String, hint: String| BenchError::Override { set: set.to_owned(), reason, hint };
        let (field, value) = set.split_once('=').ok_or_else(|| {
            refuse("not of the form field=number".into(), "write e.g. --set users=64".into())
        })?;
        let (field, value) = (field.trim(), value.trim());
        let slot = match field {
            "users" => &mut self.users,
            "positions" => &mut self.positions,
            "width" => &mut self.width,
            "items" => &mut self.items,
            "text_tokens" => &mut self.text_tokens,
            "image_tokens" => &mut self.image_tokens,
            "feature_width" => &mut self.feature_width,
            "batches" => &mut self.batches,
            "seed" => {
                let refused = |_| refuse("not a whole number".into(), "write e.g. --set seed=2".into());
                self.seed = value.parse::<u32>().map_err(refused)?.into();
                return Ok(());
            }
            other => {
                let hint = nearest(other, OVERRIDES.into_iter()).map_or_else(
                    || format!("there is {}", OVERRIDES.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                return Err(refuse(format!("`{other}` is no dimension of a workload"), hint));
            }
        };
        if *slot == 0 {
            return Err(refuse(format!("`{}` has no {field}", self.name), "leave it out".into()));
        }
        // Two users at least: alone, one has no negatives. Two items, so that there is something to tell apart.
        let least = if matches!(field, "users" | "items") { 2 } else { 1 };
        *slot = match value.parse::<u64>() {
            Ok(number) if (least..=MOST).contains(&number) => number as usize,
            _ => {
                let reason = format!("`{value}` is not a whole number from {least} on");
                return Err(refuse(reason, format!("write e.g. --set {field}={slot}")));
            }
        };
        Ok(())
    }

    /// Rows of `sequences`; of an evaluation: users.
    pub fn windows(&self) -> usize {
        if self.kind == Kind::Evaluate { self.users } else { self.users * self.batches }
    }

    /// Shapes on one line.
    pub fn shape(&self) -> String {
        let Self { users, positions, width, items, .. } = self;
        match self.kind {
            Kind::Odmt => format!(
                "{users} users x {positions} positions, width {width}, {} + {} + 1 tokens of width {}, {items} items",
                self.text_tokens, self.image_tokens, self.feature_width
            ),
            Kind::Sasrec => format!(
                "{users} users x {positions} positions, width {width}, {} blocks, {items} items",
                self.encoder_blocks
            ),
            Kind::Evaluate => {
                format!("{users} users x {items} items, width {width}, {BRANCH_COUNT} branches")
            }
        }
    }
}

/// Branches of `odmt` and of `evaluate`, in the order of the numbered tensors.
pub const BRANCHES: [&str; BRANCH_COUNT] = ["id", "text", "image"];
pub(super) const BRANCH_COUNT: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_workload_and_a_purpose() {
        for name in NAMES {
            assert_eq!(Workload::named(name, Profile::Dense).unwrap().name, name);
            assert!(!Workload::purpose(name).is_empty());
        }
    }

    #[test]
    fn overrides_take_only_what_the_kind_has_and_numbers_in_range() {
        let mut workload = Workload::named("sasrec-ml1m", Profile::Dense).unwrap();
        workload.set("users=4").unwrap();
        assert_eq!(workload.users, 4);
        for bad in ["users", "users=", "users=1", "users=-3", "users=99999999999", "text_tokens=4", "heads=2"]
        {
            assert!(matches!(workload.set(bad), Err(BenchError::Override { .. })), "{bad}");
        }
        assert_eq!(workload.set("positoins=3").unwrap_err().hint().unwrap(), "did you mean `positions`?");
    }
}
