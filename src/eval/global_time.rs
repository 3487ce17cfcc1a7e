//! Figures of the untrained baselines under a split in time, whatever the data set's own split is.
//!
//! Leave-one-out lets training know the future. A trained model can't be moved to another split, but baselines can at little
//! cost: what they lose there shows how far the figures are from those of a service. Reports include them.

use serde::{Deserialize, Serialize};

use super::baseline::{ItemKnn, Popularity, RecentPopularity, Transitions};
use super::metrics::Scored;
use super::named::Named;
use super::protocol::{Rules, evaluate_under};
use super::scorer::{ScoreError, Scorer};
use crate::data::split::{CutOff, Split, split};
use crate::data::{Dataset, Part};

/// Shares of the interactions before validation and before test.
const CUT_OFFS: (f64, f64) = (0.8, 0.9);

/// Figures of the baselines where the same interactions are split at two moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobalTime {
    /// Shares of the interactions before validation and before test.
    pub valid_from: f64,
    pub test_from: f64,
    pub targets: usize,
    pub scored: Vec<Scored>,
}

impl GlobalTime {
    /// Evaluates the baselines, which count the training part; absent where the log has no times, or a part has no targets that are candidates.
    ///
    /// # Errors
    /// A baseline can't be evaluated.
    pub fn evaluate(dataset: &Dataset, part: Part, rules: &Rules<'_>) -> Result<Option<Self>, ScoreError> {
        let (valid, test) = (CutOff::Quantile(CUT_OFFS.0), CutOff::Quantile(CUT_OFFS.1));
        if !dataset.timed {
            return Ok(None);
        }
        let mut cut = dataset.clone();
        if split(&mut cut.sequences, &Split::GlobalTime { valid, test }).is_err() {
            return Ok(None);
        }
        let terms = rules.named.map(Named::terms).unwrap_or_default();
        let mut baselines: [Box<dyn Scorer + '_>; 4] = [
            Box::new(Popularity::new(&cut, terms)),
            Box::new(RecentPopularity::new(&cut, terms)),
            Box::new(Transitions::new(&cut, terms)),
            Box::new(ItemKnn::new(&cut, terms)),
        ];
        let mut scored = Vec::new();
        let mut targets = 0;
        for baseline in &mut baselines {
            let baseline = baseline.as_mut();
            let found = match evaluate_under(baseline, &cut, part, rules, &mut |_| {}) {
                Err(ScoreError::NoneChosen { .. }) => return Ok(None),
                found => found?,
            };
            targets = found.targets();
            scored.extend(found.scored);
        }
        Ok(Some(Self { valid_from: CUT_OFFS.0, test_from: CUT_OFFS.1, targets, scored }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EvalConfig;
    use crate::eval::fixtures::{dataset, leave_one_out};

    #[test]
    fn baselines_are_counted_before_the_cut_only() {
        // Ten users step through eight seconds together: the cuts fall at seconds 6 and 7 for everybody.
        let user = [1, 2, 3, 4, 5, 6, 7, 8];
        let data = dataset(8, &leave_one_out(&[&user[..]; 10]));
        let eval = EvalConfig::default();
        let rules = Rules { eval: &eval, max_seq_len: 8, named: None, choice: None };
        let found = GlobalTime::evaluate(&data, Part::Test, &rules).unwrap().unwrap();
        assert_eq!((found.targets, found.scored.len()), (10, 4));
        // Transitions never saw what follows item 7: item 8 is unknown before the cut, and is the one candidate
        // that is left.
        assert!(found.scored.iter().all(|s| s.metrics["recall@1"] == 1.0));
        let one_moment = {
            let mut data = data.clone();
            data.sequences.times.fill(5);
            data
        };
        assert_eq!(GlobalTime::evaluate(&one_moment, Part::Test, &rules).unwrap(), None);
        let places_only = Dataset { timed: false, ..data };
        assert_eq!(GlobalTime::evaluate(&places_only, Part::Test, &rules).unwrap(), None);
    }
}
