//! What a workload is: kind, shapes, profile, and overrides of single dimensions.

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
    /// Cross-entropy over the whole catalogue from given vectors, and its gradients by them: of one branch, or of three
    /// that distil.
    Loss,
    /// A data set out of a file of reviews, by `codistill prepare`'s own code.
    Prepare,
    /// A checkpoint of a model with one ID branch and of its optimiser, saved and loaded.
    Checkpoint,
}

/// How long histories and texts are, and which items are frequent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Nothing can be skipped: all users and texts of full length, items uniform.
    Dense,
    /// Short users, item frequency 1/rank, short texts (docs/odmt.md, section 9.1).
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
    /// B, users of a batch; of an evaluation: all users; of a loss: rows; of a preparation: those who
    /// wrote reviews.
    pub users: usize,
    /// S, input positions; of an evaluation or a preparation: the longest history.
    pub positions: usize,
    /// D
    pub width: usize,
    /// F, width of token features and of the ID table; 0 where there is no tower.
    pub feature_width: usize,
    /// T; of a preparation: most words of a review.
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
    /// Constant weight of the distillation terms; 0 where there are none.
    pub distill_weight: f64,
    pub dropout: f64,
    pub lr: f64,
    pub weight_decay: f64,
    pub clip_norm: f64,
    pub layer_norm_eps: f64,
    /// K, different batches; steps take them in turn. 0 where every step has the same data.
    pub batches: usize,
    /// Of every draw.
    pub seed: u64,
}

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

    /// Names of the branches, in the order of the numbered tensors.
    pub fn branches(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Odmt | Kind::Evaluate => &BRANCHES,
            Kind::Loss if self.distill_weight > 0.0 => &BRANCHES,
            Kind::Sasrec | Kind::Loss | Kind::Checkpoint => &BRANCHES[..1],
            Kind::Prepare => &[],
        }
    }

    /// Shapes on one line.
    pub fn shape(&self) -> String {
        let Self { users, positions, width, items, .. } = self;
        let branches = self.branches().len();
        let branches = if branches == 1 { "1 branch".to_owned() } else { format!("{branches} branches") };
        match self.kind {
            Kind::Odmt => format!(
                "{users} users x {positions} positions, width {width}, {} + {} + 1 tokens of width {}, {items} items",
                self.text_tokens, self.image_tokens, self.feature_width
            ),
            Kind::Sasrec | Kind::Checkpoint => {
                let blocks = self.encoder_blocks;
                let blocks = if blocks == 1 { "1 block".to_owned() } else { format!("{blocks} blocks") };
                let model = format!("{positions} positions, width {width}, {blocks}, {items} items");
                if *users > 0 { format!("{users} users x {model}") } else { model }
            }
            Kind::Evaluate => format!("{users} users x {items} items, width {width}, {branches}"),
            Kind::Prepare => {
                format!("reviews of {users} users (each at most {positions}) on {items} items")
            }
            Kind::Loss => format!("{users} rows x {items} items, width {width}, {branches}"),
        }
    }
}

/// All branches that a workload may have.
pub const BRANCHES: [&str; BRANCH_COUNT] = ["id", "text", "image"];
pub(super) const BRANCH_COUNT: usize = 3;
