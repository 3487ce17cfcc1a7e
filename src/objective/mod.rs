//! Training losses: terms over what a forward pass gives, one file each.
//!
//! An objective is a list of [`Term`]s. `objective.kind` chooses the one that every branch is trained on: the softmax over
//! a batch's own or drawn items ([`softmax`]), over the catalogue ([`full`]), or binary cross-entropy ([`gbce`]);
//! [`distill`] ties the branches to each other, and [`run_distillation`] to finished runs. Further terms are entries of `[[objective.terms]]`, found in a registry.

pub mod config;
pub mod distill;
pub mod distill_config;
pub mod full;
pub mod gbce;
pub mod kernels;
mod parts;
pub mod run_distillation;
pub mod softmax;
pub mod term;

use std::sync::{Arc, PoisonError, RwLock};

use burn::tensor::Tensor;

pub use self::distill::Distillation;
pub use self::full::FullSoftmax;
pub use self::gbce::Gbce;
pub use self::run_distillation::RunDistillation;
pub use self::softmax::Softmax;
pub use self::term::{Forward, Term, TermLosses};
use crate::config::{ObjectiveConfig, ObjectiveKind, TermConfig};
use crate::train::phase::Phase;

/// Log-weight of a column that is no candidate of the row: its exponential is exactly 0, and unlike infinity it stays
/// finite when multiplied by 0. Attention masks are lower (-1e9 in user encoders): this one is added to logits whose sums
/// over all columns must stay small numbers.
pub const BLOCKED: f32 = -1e5;

/// Makes a term out of its settings; the reason where they are wrong.
pub type MakeTerm = fn(&toml::Table) -> Result<Arc<dyn Term>, String>;

static REGISTERED: RwLock<Vec<(&'static str, MakeTerm)>> = RwLock::new(Vec::new());

/// Makes `make` the term of entries of `[[objective.terms]]` with this `kind`, in this process.
pub fn register(kind: &'static str, make: MakeTerm) {
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    registered.retain(|(known, _)| *known != kind);
    registered.push((kind, make));
}

/// Why an entry of `[[objective.terms]]` makes no term.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermError {
    #[error("`objective.terms.{place}.kind` = \"{kind}\" is no term")]
    Unknown { place: usize, kind: String, known: Vec<&'static str> },
    #[error("`objective.terms.{place}.settings`: {reason}")]
    Settings { place: usize, reason: String },
}

impl TermError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { known, .. } if known.is_empty() => Some(
                "this program has no further terms; `objective.kind` and `objective.distill` are terms too"
                    .into(),
            ),
            Self::Unknown { known, .. } => Some(format!("terms: {}", known.join(", "))),
            Self::Settings { .. } => None,
        }
    }
}

/// A term and what it counts.
#[derive(Clone, Debug)]
struct Weighted {
    term: Arc<dyn Term>,
    weight: f64,
}

/// The objective of a configuration.
#[derive(Clone, Debug)]
pub struct Objective {
    terms: Vec<Weighted>,
}

impl Objective {
    /// The terms of `objective.kind` and `objective.distill`. `branches` are the branches' names in order; `items` counts
    /// those that training may see.
    pub fn new(config: &ObjectiveConfig, branches: &[String], items: usize) -> Self {
        let main: Arc<dyn Term> = match config.kind {
            ObjectiveKind::InBatch | ObjectiveKind::Sampled => Arc::new(Softmax::new(config, branches)),
            ObjectiveKind::Full => Arc::new(FullSoftmax::new(config, branches)),
            ObjectiveKind::Gbce => Arc::new(Gbce::new(config, branches, items)),
        };
        let mut terms = vec![Weighted { term: main, weight: 1.0 }];
        terms.extend(
            RunDistillation::new(config, branches).map(|term| Weighted { term: Arc::new(term), weight: 1.0 }),
        );
        Self { terms }
    }

    /// Adds the terms of `[[objective.terms]]`.
    ///
    /// # Errors
    /// One is unknown, or its settings are wrong.
    pub fn extended(mut self, terms: &[TermConfig]) -> Result<Self, TermError> {
        let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
        for (place, config) in terms.iter().enumerate() {
            let Some((_, make)) = registered.iter().find(|(kind, _)| *kind == config.kind) else {
                let known = registered.iter().map(|(kind, _)| *kind).collect();
                return Err(TermError::Unknown { place, kind: config.kind.clone(), known });
            };
            let term = make(&config.settings).map_err(|reason| TermError::Settings { place, reason })?;
            self.terms.push(Weighted { term, weight: config.weight });
        }
        Ok(self)
    }

    /// Names of the terms, from which a stage of the training may choose.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for name in self.terms.iter().flat_map(|weighted| weighted.term.names()) {
            // Distillation goes by one name, whoever teaches.
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Losses of a micro-batch: the weighted sum of the terms that count.
    ///
    /// # Panics
    /// No term counts, which the stages of a training rule out.
    pub fn losses(&self, forward: &dyn Forward, phase: Phase<'_>) -> TermLosses {
        let counts = |weighted: &&Weighted| weighted.term.counts(phase);
        let mut losses = self.terms.iter().filter(counts).map(|Weighted { term, weight }| {
            let losses = term.losses(forward, phase);
            // A product with 1 is another operation on the way back, for nothing.
            if *weight == 1.0 { losses } else { TermLosses { total: losses.total * *weight, ..losses } }
        });
        let first = losses.next().expect("a stage has a term");
        losses.fold(first, |sum, next| TermLosses {
            total: sum.total + next.total,
            parts: Tensor::cat(vec![sum.parts, next.parts], 0),
            names: sum.names.iter().chain(next.names.iter()).cloned().collect(),
            figures: [sum.figures, next.figures].concat(),
        })
    }
}
