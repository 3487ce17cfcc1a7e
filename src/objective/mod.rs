//! Training losses: terms over what a forward pass gives, one file each.
//!
//! An objective is a list of [`Term`]s. `objective.kind` chooses the one that every branch is trained on: the softmax over
//! a batch's own or drawn items ([`softmax`]), over the catalogue ([`full`]), or binary cross-entropy ([`gbce`]);
//! [`distill`] ties the branches to each other, and [`run_distillation`] to finished runs. Further terms are entries of
//! `[[objective.terms]]`, found in a registry.

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

/// Further terms of the program itself: the word of a configuration, and what makes the term.
const BUILT_IN: [(&str, MakeTerm); 0] = [];

static REGISTERED: RwLock<Vec<(&'static str, MakeTerm)>> = RwLock::new(Vec::new());

/// Makes `make` the term of entries of `[[objective.terms]]` with this `kind`, in this process. For programs with terms of
/// their own; a term of this program is a file beside the others and a line of a list in this file.
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
    #[error(
        "`objective.terms.{place}.kind` = \"{kind}\" reads the candidates of a batch, and objective.kind = \"full\" has none"
    )]
    NoCandidates { place: usize, kind: String },
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
            Self::NoCandidates { .. } => Some("use objective.kind in_batch or sampled".into()),
        }
    }
}

/// A term and its weight.
#[derive(Clone, Debug)]
struct Weighted {
    term: Arc<dyn Term>,
    weight: f64,
    /// Which of the terms of its kind it is, from 1. It belongs to the entry: a curve has one tag whichever terms a stage
    /// leaves out.
    number: usize,
}

impl Weighted {
    fn new(term: impl Term + 'static) -> Self {
        Self { term: Arc::new(term), weight: 1.0, number: 1 }
    }

    /// Its losses, weighted, under tags with its number.
    fn losses(&self, forward: &dyn Forward, phase: Phase<'_>) -> TermLosses {
        let mut losses = self.term.losses(forward, phase);
        // A product with 1 is another operation on the way back, for nothing.
        if self.weight != 1.0 {
            losses.total = losses.total * self.weight;
        }
        if self.number > 1 {
            losses.tags = losses.tags.iter().map(|tag| format!("{tag}_{}", self.number)).collect();
        }
        losses
    }
}

/// The objective of a configuration.
#[derive(Clone, Debug)]
pub struct Objective {
    kind: ObjectiveKind,
    terms: Vec<Weighted>,
    /// How many of them, at the end, are those of `[[objective.terms]]`.
    further: usize,
}

impl Objective {
    /// The terms of `objective.kind` and `objective.distill`. `branches` are the branches' names in order; `items` counts
    /// those that training may see.
    pub fn new(config: &ObjectiveConfig, branches: &[String], items: usize) -> Self {
        let main = match config.kind {
            ObjectiveKind::InBatch | ObjectiveKind::Sampled => Weighted::new(Softmax::new(config, branches)),
            ObjectiveKind::Full => Weighted::new(FullSoftmax::new(config, branches)),
            ObjectiveKind::Gbce => Weighted::new(Gbce::new(config, branches, items)),
        };
        let mut terms = vec![main];
        terms.extend(RunDistillation::new(config, branches).map(Weighted::new));
        Self { kind: config.kind, terms, further: 0 }
    }

    /// Adds the terms of `[[objective.terms]]`.
    ///
    /// # Errors
    /// One is unknown, its settings are wrong, or it reads what `objective.kind` does not give.
    pub fn extended(mut self, terms: &[TermConfig]) -> Result<Self, TermError> {
        let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
        let known = || registered.iter().chain(&BUILT_IN);
        for (place, config) in terms.iter().enumerate() {
            let kind = config.kind.clone();
            let Some((_, make)) = known().find(|(known, _)| *known == kind) else {
                return Err(TermError::Unknown {
                    place,
                    kind,
                    known: known().map(|(kind, _)| *kind).collect(),
                });
            };
            let term = make(&config.settings).map_err(|reason| TermError::Settings { place, reason })?;
            if self.kind == ObjectiveKind::Full && term.reads_candidates() {
                return Err(TermError::NoCandidates { place, kind });
            }
            let number = 1 + terms[..place].iter().filter(|earlier| earlier.kind == kind).count();
            self.terms.push(Weighted { term, weight: config.weight, number });
            self.further += 1;
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

    /// Whether each of `[[objective.terms]]` reads the catalogue.
    pub fn further_terms_read_catalogue(&self) -> impl Iterator<Item = bool> + '_ {
        let built = self.terms.len() - self.further;
        self.terms[built..].iter().map(|weighted| weighted.term.reads_catalogue())
    }

    /// Losses of a micro-batch: the weighted sum of the active terms.
    ///
    /// # Panics
    /// No term is active, which the stages of a training rule out.
    pub fn losses(&self, forward: &dyn Forward, phase: Phase<'_>) -> TermLosses {
        let active = || self.terms.iter().filter(|weighted| weighted.term.is_active(phase));
        if active().any(|weighted| weighted.term.reads_catalogue()) {
            // Before anything else is computed: the batch's items are looked up among the catalogue's, with the same noise.
            forward.catalogue();
        }
        let mut losses = active().map(|weighted| weighted.losses(forward, phase));
        let first = losses.next().expect("a stage has a term");
        losses.fold(first, |sum, next| TermLosses {
            total: sum.total + next.total,
            parts: Tensor::cat(vec![sum.parts, next.parts], 0),
            tags: distinct(&sum.tags, &next.tags),
            figures: [sum.figures, next.figures].concat(),
        })
    }
}

/// The tags of two terms together. Terms of different kinds should have tags of their own; where they don't, no curve is lost.
fn distinct(tags: &[String], next: &[String]) -> Arc<[String]> {
    let mut all = tags.to_vec();
    for tag in next {
        let numbered = (2..).map(|n| format!("{tag}_{n}"));
        let free = std::iter::once(tag.clone()).chain(numbered).find(|tag| !all.contains(tag));
        all.extend(free);
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::objective::kernels::losses::Candidates;

    /// A term that a stage chooses by the name in its settings.
    #[derive(Debug)]
    struct Named(String);

    impl Term for Named {
        fn names(&self) -> Vec<String> {
            vec![self.0.clone()]
        }

        fn losses(&self, _: &dyn Forward, _: Phase<'_>) -> TermLosses {
            let one = || Tensor::from_data([1.0f32], &Device::flex());
            let (total, parts) = (one(), one());
            TermLosses { total, parts, tags: Arc::new(["loss/named".to_owned()]), figures: Vec::new() }
        }
    }

    /// No term asks it for anything.
    struct Nothing;

    impl Forward for Nothing {
        fn branches(&self) -> &[String] {
            unreachable!()
        }
        fn block_items(&self) -> &[u32] {
            unreachable!()
        }
        fn candidates(&self) -> &Arc<Candidates> {
            unreachable!()
        }
        fn items(&self) -> Vec<Tensor<2>> {
            unreachable!()
        }
        fn users(&self) -> Vec<Tensor<2>> {
            unreachable!()
        }
        fn scores(&self) -> Tensor<3> {
            unreachable!()
        }
        fn catalogue(&self) -> Vec<Tensor<2>> {
            unreachable!()
        }
        fn teacher(&self, _: usize) -> Tensor<2> {
            unreachable!()
        }
    }

    #[test]
    fn a_curve_has_one_tag_whichever_terms_a_stage_leaves_out() {
        register("named", |settings| Ok(Arc::new(Named(settings["as"].as_str().unwrap_or_default().into()))));
        let entry = |name: &str| TermConfig {
            kind: "named".into(),
            weight: 1.0,
            settings: toml::Table::from_iter([("as".to_owned(), name.into())]),
        };
        let objective = Objective::new(&ObjectiveConfig::default(), &["id".to_owned()], 9);
        let objective = objective.extended(&["a", "b", "c"].map(entry)).unwrap();
        let tags = |stage: &[&str]| {
            let terms: Vec<String> = stage.iter().map(|&name| name.into()).collect();
            objective.losses(&Nothing, Phase { epoch: 1, terms: Some(&terms) }).tags.to_vec()
        };
        assert_eq!(tags(&["a", "b", "c"]), ["loss/named", "loss/named_2", "loss/named_3"]);
        assert_eq!(tags(&["b"]), ["loss/named_2"]);
        assert_eq!(tags(&["a", "c"]), ["loss/named", "loss/named_3"]);
    }
}
