//! What a run is: the typed configuration, its defaults and where they come from.
//!
//! A file states only what differs from the defaults. Unknown keys are errors. Branches, views and
//! distillation pairs are lists: one ID branch without tower and pairs *is* SASRec; three branches
//! without tower are late fusion; three branches, tower and pairs are ODMT.

mod error;
mod keys;
mod load;
mod objective;
mod reduce;
mod rules;
mod sets;
mod validate;
mod validate_objective;
mod validate_optim;

pub(crate) use error::one_line;
pub use error::{ConfigError, Place};
pub(crate) use keys::nearest;
pub use load::{Loaded, Origin, load, load_on, parse};
pub use objective::{
    DistillConfig, DistillPair, Divergence, Draw, NegativesConfig, ObjectiveConfig, ObjectiveKind, Shared,
    Teacher,
};
pub use reduce::Dropped;
pub use validate::{ENSEMBLE, METRICS};

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The whole configuration of one training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Every random draw is a pure function of this seed, the epoch and the step.
    pub seed: u64,
    /// `auto`, `cpu` or `wgpu[:N]`; `--device` overrides it.
    pub device: String,
    pub run: RunConfig,
    pub data: DataConfig,
    pub model: ModelConfig,
    pub objective: ObjectiveConfig,
    pub optim: OptimConfig,
    pub train: TrainConfig,
    pub eval: EvalConfig,
    pub monitor: MonitorConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            device: "auto".into(),
            run: RunConfig::default(),
            data: DataConfig::default(),
            model: ModelConfig::default(),
            objective: ObjectiveConfig::default(),
            optim: OptimConfig::default(),
            train: TrainConfig::default(),
            eval: EvalConfig::default(),
            monitor: MonitorConfig::default(),
        }
    }
}

/// Where the run's files go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Name of the run; empty takes the configuration file's stem.
    pub name: String,
    /// Folder that holds the run directories.
    pub dir: PathBuf,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { name: String::new(), dir: "checkpoints".into() }
    }
}

/// Which data set, and how sequences are cut from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Dataset directory made by `prepare` or `synth`. Absent: `synth` below is generated.
    pub path: Option<PathBuf>,
    /// Parameters of the generated data set, used when `path` is absent.
    pub synth: Option<SynthConfig>,
    /// Feature stores by name; a name that is not listed is looked for in `<path>/features/<name>`.
    pub features: BTreeMap<String, PathBuf>,
    /// S: input positions per window (odmt.md 5.2).
    pub max_seq_len: usize,
    /// Which windows of a longer training sequence are used.
    pub windows: Windows,

    /// Users with fewer training items than this are not trained on.
    pub min_train_len: usize,
    /// Items that no training sees, for judging how new items fare; absent: none.
    pub cold: Option<ColdConfig>,
}

/// Items held out of all training: no input, no target, no count; they stay as test targets and candidates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColdConfig {
    /// Share of the catalogue, drawn by `seed`.
    pub share: f64,
    pub seed: u64,
    /// File with one item id per line, instead of a share.
    pub ids: PathBuf,
    /// What stands in for their ID vectors in the final report.
    pub rule: ColdId,
    /// Items with fewer training interactions are not fitted on by `rule = "ridge"`.
    pub min_events: u32,
}

impl Default for ColdConfig {
    fn default() -> Self {
        Self { share: 0.0, seed: 1, ids: PathBuf::new(), rule: ColdId::Drop, min_events: 20 }
    }
}

/// What stands in for the ID vector of an item that was not trained on (companions.md 6.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ColdId {
    /// Nothing: branches on the ID view have no vector for it, the others decide alone.
    #[default]
    Drop,
    /// The mean of its first tokens, as an ID table that starts from features begins.
    Mean,
    /// A ridge regression from content to ID vectors, fitted on items with enough training interactions.
    Ridge,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            path: None,
            synth: None,
            features: BTreeMap::new(),
            max_seq_len: 12,
            windows: Windows::Last,
            min_train_len: 2,
            cold: None,
        }
    }
}

/// Which windows of S + 1 items are cut from a training sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Windows {
    /// Only the last one, as the authors do: what is older is never trained on.
    Last,
    /// Consecutive windows from the end that share one item, so that every transition is a target once.
    All,
}

/// Planted synthetic data (companions.md 1.4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SynthConfig {
    pub seed: u64,
    pub users: usize,
    pub items: usize,
    /// Shortest and longest sequence, both targets included.
    pub min_len: usize,
    pub max_len: usize,
    /// q: size of each latent vector.
    pub latent: usize,
    /// Weight of the text, image and collaborative signal, of repeating a recent theme, and of popularity.
    pub w_text: f64,
    pub w_image: f64,
    pub w_collab: f64,
    pub w_repeat: f64,
    pub popularity: f64,
    /// rho: correlation of the text and image latents.
    pub redundancy: f64,
    /// How far a user's preference moves per step, 0 (never) to 1 (a new one each step).
    pub drift: f64,
    /// Share of items without text, without image.
    pub missing_text: f64,
    pub missing_image: f64,
    /// Share of items that occur in test targets only.
    pub new_items: f64,
    /// Share of interactions replaced by a uniform draw.
    pub label_noise: f64,
    /// Token features: width, most tokens of a text, tokens of an image, noise, share of distractor tokens.
    pub feature_width: usize,
    pub text_tokens: usize,
    pub image_tokens: usize,
    pub token_noise: f64,
    pub distractors: f64,
    /// Also draw a picture of each item.
    pub pictures: bool,
}

impl Default for SynthConfig {
    /// Twelve training interactions per item: enough for an ID table to beat popularity, too few to learn
    /// what text and image tell.
    fn default() -> Self {
        Self {
            seed: 1,
            users: 3000,
            items: 2000,
            min_len: 5,
            max_len: 15,
            latent: 6,
            w_text: 2.0,
            w_image: 2.0,
            w_collab: 0.5,
            w_repeat: 0.2,
            popularity: 0.2,
            redundancy: 0.2,
            drift: 0.02,
            missing_text: 0.05,
            missing_image: 0.05,
            new_items: 0.0,
            label_noise: 0.02,
            feature_width: 32,
            text_tokens: 8,
            image_tokens: 6,
            token_noise: 0.3,
            distractors: 0.25,
            pictures: false,
        }
    }
}

/// Views, tower and branches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// d: width of the tower, the item vectors and the user encoders.
    pub width: usize,
    /// Probability of every dropout (odmt.md 2.1).
    pub dropout: f64,
    /// Probability of dropping entries of the item vectors that a step reads, as inputs and as candidates alike
    /// (one draw per item and step). For ID tables that learn the training set by heart; 0 as in ODMT.
    pub item_dropout: f64,
    pub layer_norm_eps: f64,
    pub views: Vec<ViewConfig>,
    /// The ID-aware multi-modal transformer; absent: each branch reads its own view only.
    pub tower: Option<TowerConfig>,
    pub branches: Vec<BranchConfig>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            width: 64,
            dropout: 0.1,
            item_dropout: 0.0,
            layer_norm_eps: 1e-6,
            views: Vec::new(),
            tower: None,
            branches: Vec::new(),
        }
    }
}

/// One view of an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewConfig {
    pub name: String,
    pub kind: ViewKind,
    /// Feature store of a `tokens` view; empty: the view's name.
    #[serde(default)]
    pub features: String,
    /// Most tokens read per item; 0: all that the store has.
    #[serde(default)]
    pub max_tokens: usize,
    /// Width of the ID table; 0: the model's width, or the features' where `init` copies them.
    #[serde(default)]
    pub width: usize,
    /// How the ID table starts.
    #[serde(default)]
    pub init: IdInit,
    /// Views whose first token starts the ID table when `init` is `features` (their mean).
    #[serde(default)]
    pub init_views: Vec<String>,
    /// Linear map to the model's width. Off only for an ID view of that width (SASRec).
    #[serde(default = "yes")]
    pub project: bool,
    /// Other features in place of a `tokens` view's own, in training and inference: a knock-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace: Option<Replace>,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewKind {
    /// A trainable vector per item.
    Id,
    /// Frozen token features from a feature store.
    Tokens,
}

/// What stands in place of a view's features (companions.md 5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    pub kind: ReplaceKind,
    /// Draws are a function of this and the run's seed: views of one seed are shuffled alike.
    #[serde(default)]
    pub seed: u64,
}

/// Replacements of token features. All but `shuffle` and `hidden` leave token counts and missing items as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplaceKind {
    /// Rows permuted between items; tokens, lengths and missing items travel together.
    Shuffle,
    /// Every component drawn once from N(1, 0.1).
    Noise,
    /// Every component drawn once from a normal with the mean and deviation of its column.
    Moments,
    /// As `moments`, but redrawn in every training step; one more draw for evaluation.
    Fresh,
    Ones,
    Zeros,
    /// The mean token of the view.
    Mean,
    /// No item has this view: its learned missing token stands in everywhere.
    Hidden,
}

/// Start of the ID table (odmt.md 2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdInit {
    /// Normal with std sqrt(2 / (I + 1 + width)): `init` 0 of the authors.
    #[default]
    Xavier,
    /// Mean of the first tokens of `init_views`, as a copy: `init` 1 (text and image), 2, 3. The authors'
    /// `init` 2 and 3 share memory with the features by accident, which we do not follow.
    Features,
}

/// The fusion transformer over the tokens of one item (odmt.md 2.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TowerConfig {
    pub blocks: usize,
    /// The authors pass the number of blocks here; ours is a number of its own (odmt.md 8, row 1).
    pub heads: usize,
    /// Who may attend to the ID token.
    pub id_visible: IdVisibility,
}

impl Default for TowerConfig {
    fn default() -> Self {
        Self { blocks: 2, heads: 2, id_visible: IdVisibility::Itself }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdVisibility {
    /// Only the ID token itself (v1 of the authors, used by all their runs): text and image stay
    /// independent of the ID table, so that new items have exact vectors.
    Itself,
    /// Every token (v3 of the authors).
    All,
}

/// A student: reads one view (through the tower if there is one) and has its own user encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchConfig {
    pub name: String,
    pub view: String,
    /// The two-layer map behind the view or tower (odmt.md 2.3); off for plain SASRec.
    #[serde(default = "yes")]
    pub item_mlp: bool,
    #[serde(default)]
    pub encoder: EncoderConfig,
}

/// The user encoder of a branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EncoderConfig {
    /// Causal transformer (odmt.md 2.4).
    Sasrec {
        #[serde(default = "two")]
        blocks: usize,
        #[serde(default = "two")]
        heads: usize,
    },
    /// Gated recurrent units.
    Gru4rec {
        #[serde(default = "one")]
        layers: usize,
    },
    /// Dilated causal convolutions.
    Nextitnet {
        #[serde(default = "three")]
        kernel: usize,
        #[serde(default = "dilations")]
        dilations: Vec<usize>,
    },
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self::Sasrec { blocks: 2, heads: 2 }
    }
}

fn one() -> usize {
    1
}
fn two() -> usize {
    2
}
fn three() -> usize {
    3
}
fn dilations() -> Vec<usize> {
    vec![1, 2, 1, 2]
}

/// AdamW with PyTorch's semantics (odmt.md 4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimConfig {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    /// Decay every parameter as the authors do, or spare biases, norms and tables.
    pub decay: Decay,
    /// Which rows of the ID table an update reaches.
    pub id_table: IdTable,
    /// Global L2 norm of all gradients; 0 switches clipping off.
    pub clip_norm: f64,
    pub schedule: Schedule,
    /// Steps of linear warm-up before the schedule.
    pub warmup_steps: usize,
    /// Share of `lr` at the end of a cosine or linear schedule.
    pub final_lr_share: f64,
}

impl Default for OptimConfig {
    fn default() -> Self {
        Self {
            lr: 1e-4,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.1,
            decay: Decay::All,
            id_table: IdTable::Dense,
            clip_norm: 5.0,
            schedule: Schedule::Constant,
            warmup_steps: 0,
            final_lr_share: 0.0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    All,
    /// Only matrices of linear, recurrent and convolution layers.
    Matrices,
}

/// Which rows of the ID table an update reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdTable {
    /// All: a row that no batch holds still decays and moves with its momentum (odmt.md 4).
    Dense,
    /// Those that the step's batches read, as PyTorch's SparseAdam does, with AdamW's decay: the other rows and their
    /// moments stay as they are. A row that comes back finds its moments as it left them; they have not faded in the
    /// meantime, and the correction of their bias counts all updates of the table, not the row's own. Where
    /// every row is in every step it is the dense update. The cost of a step does not grow with the catalogue.
    RowSparse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    Constant,
    Cosine,
    Linear,
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// B: windows (users) per micro-batch; negatives come from the micro-batch alone.
    pub batch_users: usize,
    /// Micro-batches whose gradients are averaged before one optimiser step (the authors' two GPUs are 2).
    pub accumulate: usize,
    pub epochs: usize,
    /// Evaluate every so many epochs, and always after the last.
    pub eval_every: usize,
    /// Stop after so many evaluations without a better `metric`; 0 never stops early.
    pub patience: usize,
    /// Validation metric that picks the best checkpoint, e.g. `ensemble/ndcg@10`.
    pub metric: String,
    /// Also save every so many optimiser steps; 0 saves after epochs only.
    pub checkpoint_steps: usize,
    /// Checkpoints kept besides the best one.
    pub keep: usize,
    /// Batches prepared ahead of the step that runs.
    pub prefetch: usize,
    pub savings: SavingsConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            batch_users: 128,
            accumulate: 1,
            epochs: 30,
            eval_every: 1,
            patience: 5,
            metric: "ensemble/ndcg@10".into(),
            checkpoint_steps: 0,
            keep: 2,
            prefetch: 2,
            savings: SavingsConfig::default(),
        }
    }
}

/// Work that need not be done (odmt.md 10.4). All exact; off only to check that they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SavingsConfig {
    /// Encode each distinct item of a batch once. Off: once per occurrence, with dropout of its own, as
    /// the authors do.
    pub distinct_items: bool,
    /// Items are grouped by token count, and histories by length, into at most so many dense groups; 1 pads all
    /// to the longest.
    pub length_groups: usize,
    /// The last tower block computes only the tokens that branches read.
    pub readout_queries: bool,
}

impl Default for SavingsConfig {
    fn default() -> Self {
        Self { distinct_items: true, length_groups: 4, readout_queries: true }
    }
}

/// How models are judged (odmt.md 6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Cut-offs of Recall, NDCG and MRR.
    pub ks: Vec<usize>,
    pub history: HistoryRule,
    pub ties: TieRule,
    /// Items encoded per device call.
    pub item_batch: usize,
    /// Largest score tile (users × items × branches) in MiB.
    pub tile_mib: usize,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self {
            ks: vec![1, 5, 10, 20, 50],
            history: HistoryRule::All,
            ties: TieRule::Mid,
            item_batch: 512,
            tile_mib: 64,
        }
    }
}

/// Which known items leave the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryRule {
    /// Every item the user had before the target.
    All,
    /// Only those of the last S + 3 interactions, as the authors' code does.
    Window,
    /// None: repeated consumption counts.
    Keep,
}

/// Rank of a target among equal scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TieRule {
    /// Half of the equals stand before it.
    Mid,
    /// None does.
    Optimistic,
    /// All do.
    Pessimistic,
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MonitorConfig {
    pub tensorboard: bool,
    /// Write training metrics every so many steps.
    pub log_every: usize,
    /// Items in the TensorBoard projector; 0 leaves it out.
    pub projector_items: usize,
    /// Side of an item's picture in the projector's sprite, in pixels; 0 leaves pictures out.
    pub sprite_side: usize,
    /// Users whose history and top ten are drawn as picture strips after the training; 0 draws none.
    pub strip_users: usize,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self { tensorboard: true, log_every: 10, projector_items: 2000, sprite_side: 48, strip_users: 4 }
    }
}
