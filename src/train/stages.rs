//! Stages of a training, one after the other: which parameters learn in each, and which loss terms count.
//!
//! A run without `[[train.stages]]` is one stage in which all parameters learn and all terms count. Where a run stands
//! among its stages is part of its state, so that a resumed run goes on in the right one.

use std::collections::BTreeSet;

use glob::Pattern;

use super::config::trained_epochs;
use crate::config::{StageConfig, TrainConfig};

/// What a pattern of parameter names can't do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("`{key}` = {pattern:?} matches no parameter of the model")]
    NoMatch { key: String, pattern: String, names: Vec<String> },
    #[error("`{key}` = {pattern:?} does nothing: earlier groups have all its parameters")]
    Taken { key: String, pattern: String },
    #[error("`{key}` = {pattern:?} is no pattern: {reason}")]
    Malformed { key: String, pattern: String, reason: String },
    #[error("{stage} freezes every parameter")]
    NothingLearns { stage: String },
    #[error("`{key}` names the term `{term}`, which the objective does not have")]
    UnknownTerm { key: String, term: String, known: Vec<String> },
}

impl PatternError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoMatch { names, .. } => Some(format!("parameters are, for example, {}", names.join(", "))),
            Self::Taken { .. } => Some("put the narrower pattern first, or remove the group".into()),
            Self::Malformed { .. } => Some("write for example \"views.*\" or \"branches.text.*\"".into()),
            Self::NothingLearns { .. } => Some("leave some parameters out of `freeze`".into()),
            Self::UnknownTerm { known, .. } => Some(format!("terms: {}", known.join(", "))),
        }
    }
}

/// Names in a hint.
const SHOWN: usize = 4;

/// The names that `pattern` matches: `*` stands for any characters, dots among them.
///
/// # Errors
/// It is malformed or matches none.
pub fn matching(key: &str, pattern: &str, names: &[String]) -> Result<BTreeSet<String>, PatternError> {
    let malformed =
        |reason: String| PatternError::Malformed { key: key.into(), pattern: pattern.into(), reason };
    let compiled = Pattern::new(pattern).map_err(|e| malformed(e.to_string()))?;
    let matched: BTreeSet<String> = names.iter().filter(|name| compiled.matches(name)).cloned().collect();
    if matched.is_empty() {
        let step = names.len().div_ceil(SHOWN).max(1);
        let names = names.iter().step_by(step).cloned().collect();
        return Err(PatternError::NoMatch { key: key.into(), pattern: pattern.into(), names });
    }
    Ok(matched)
}

/// One stage, resolved against a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stage {
    /// For messages; empty for a run without stages.
    pub name: String,
    /// Epochs of its schedule.
    pub epochs: usize,
    /// Epochs that are trained: those of the schedule or fewer.
    pub trained: usize,
    /// Names of the parameters that stay as they are.
    pub frozen: BTreeSet<String>,
    /// Loss terms that count; all where absent.
    pub terms: Option<Vec<String>>,
    /// Learning rate in place of `optim.lr`.
    pub lr: Option<f64>,
}

impl Stage {
    /// The stages of `config`, for a model with parameters `names` and loss terms `terms`.
    ///
    /// # Errors
    /// A pattern matches nothing, a term is unknown, or nothing is left to learn.
    pub fn all(config: &TrainConfig, names: &[String], terms: &[String]) -> Result<Vec<Self>, PatternError> {
        let last = config.stages.len().saturating_sub(1);
        let stages = config.stages.iter().enumerate();
        let mut all = Vec::new();
        for (n, stage) in stages {
            let (epochs, stop_after) =
                if n == last { (config.epochs, config.stop_after) } else { (stage.epochs, stage.stop_after) };
            let trained = trained_epochs(epochs, stop_after);
            all.push(Self { epochs, trained, ..Self::new(n, stage, names, terms)? });
        }
        if all.is_empty() {
            all.push(Self { epochs: config.epochs, trained: config.last_epochs(), ..Self::default() });
        }
        Ok(all)
    }

    /// The stage without its epochs.
    fn new(n: usize, config: &StageConfig, names: &[String], terms: &[String]) -> Result<Self, PatternError> {
        let mut frozen = BTreeSet::new();
        for pattern in &config.freeze {
            frozen.extend(matching(&format!("train.stages.{n}.freeze"), pattern, names)?);
        }
        let name = if config.name.is_empty() { format!("stage {}", n + 1) } else { config.name.clone() };
        if frozen.len() == names.len() {
            return Err(PatternError::NothingLearns { stage: name });
        }
        if let Some(term) = config.terms.iter().find(|term| !terms.contains(term)) {
            let (key, term, known) = (format!("train.stages.{n}.terms"), term.clone(), terms.to_vec());
            return Err(PatternError::UnknownTerm { key, term, known });
        }
        let terms = (!config.terms.is_empty()).then(|| config.terms.clone());
        Ok(Self { name, frozen, terms, lr: config.lr, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["branches.id.encoder.norm.weight", "views.id.table", "views.text.project.weight"]
            .map(String::from)
            .into()
    }

    #[test]
    fn a_run_without_stages_is_one_in_which_everything_learns() {
        let config = TrainConfig { epochs: 7, ..TrainConfig::default() };
        let stages = Stage::all(&config, &names(), &[]).unwrap();
        assert_eq!(stages, [Stage { epochs: 7, trained: 7, ..Stage::default() }]);
        let stopped = TrainConfig { stop_after: 3, ..config };
        let stages = Stage::all(&stopped, &names(), &[]).unwrap();
        assert_eq!((stages[0].epochs, stages[0].trained), (7, 3));
    }

    #[test]
    fn patterns_cross_dots_and_the_last_stage_has_the_epochs_of_the_training() {
        let stage = |epochs, freeze: &[&str], terms: &[&str]| StageConfig {
            epochs,
            freeze: freeze.iter().map(ToString::to_string).collect(),
            terms: terms.iter().map(ToString::to_string).collect(),
            ..StageConfig::default()
        };
        let stages = vec![stage(2, &["views.*"], &[]), stage(0, &["*.table"], &["in_batch"])];
        let config = TrainConfig { epochs: 7, stages, ..TrainConfig::default() };
        let terms = ["in_batch".to_owned(), "distill".to_owned()];
        let stages = Stage::all(&config, &names(), &terms).unwrap();
        assert_eq!((stages[0].epochs, stages[0].frozen.len()), (2, 2));
        assert_eq!(stages[0].terms, None);
        assert_eq!((stages[1].epochs, stages[1].frozen.len()), (7, 1));
        assert_eq!(stages[1].terms.as_deref(), Some(&["in_batch".to_owned()][..]));
    }

    #[test]
    fn what_matches_nothing_or_leaves_nothing_is_refused() {
        let refused = |freeze: &str, term: &str| {
            let terms = if term.is_empty() { Vec::new() } else { vec![term.to_owned()] };
            let stage = StageConfig { freeze: vec![freeze.into()], terms, ..StageConfig::default() };
            let config = TrainConfig { stages: vec![stage], ..TrainConfig::default() };
            Stage::all(&config, &names(), &["in_batch".to_owned()]).unwrap_err()
        };
        assert!(matches!(refused("view.*", ""), PatternError::NoMatch { .. }));
        assert!(matches!(refused("*", ""), PatternError::NothingLearns { .. }));
        assert!(matches!(refused("views.*", "inbatch"), PatternError::UnknownTerm { .. }));
        assert!(matches!(refused("views.[", ""), PatternError::Malformed { .. }));
    }
}
