//! Targets that no list can contain, because the history rule removes them from their own candidates.
//!
//! `train` and `evaluate` warn of them before they rank.

use std::fmt;

use super::protocol::kept_history;
use crate::config::HistoryRule;
use crate::data::{Dataset, Part};

/// Number of a part's targets that stand in their own history, as far as the rule looks back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HiddenTargets {
    pub part: Part,
    pub rule: HistoryRule,
    pub hidden: usize,
    pub targets: usize,
}

impl HiddenTargets {
    /// Counts the targets; `max_seq_len` is S, which [`HistoryRule::Window`] needs.
    pub fn count(dataset: &Dataset, part: Part, rule: HistoryRule, max_seq_len: usize) -> Self {
        let targets = dataset.targets(part);
        let is_hidden =
            |t: &&crate::data::Target| kept_history(dataset, t, part, rule, max_seq_len).contains(&t.item.0);
        let hidden = targets.iter().filter(is_hidden).count();
        Self { part, rule, hidden, targets: targets.len() }
    }

    /// Whether there are hidden targets.
    pub fn any(&self) -> bool {
        self.hidden > 0
    }

    /// Whether there are targets and none can be hit, so that every figure is 0 by construction.
    pub fn are_all(&self) -> bool {
        self.hidden > 0 && self.hidden == self.targets
    }

    /// A warning where there are any.
    pub fn warning(&self) -> Option<String> {
        self.any().then(|| format!("{self}; eval.history = \"keep\" lets them be hit"))
    }
}

impl fmt::Display for HiddenTargets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = if self.part == Part::Valid { "validation" } else { "test" };
        let rule = self.rule.word();
        let (hidden, targets) = (self.hidden, self.targets);
        let (stand, their) = if hidden == 1 { ("stands", "its") } else { ("stand", "their") };
        write!(
            f,
            "{hidden} of {targets} {part} targets {stand} in {their} own history and can't be hit under \
             eval.history = \"{rule}\""
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::fixtures::{dataset, leave_one_out};

    fn found(users: &[&[u32]], part: Part, rule: HistoryRule, s: usize) -> HiddenTargets {
        HiddenTargets::count(&dataset(9, &leave_one_out(users)), part, rule, s)
    }

    #[test]
    fn targets_in_their_own_history_are_counted_under_each_rule() {
        // The validation target stands in the history of users 0 and 2, the test target in that of 0 and 1.
        let users: [&[u32]; 3] = [&[1, 2, 1, 2], &[3, 4, 5, 3], &[6, 7, 8, 9, 1, 6, 2]];
        let hidden = |part, rule, s| found(&users, part, rule, s).hidden;
        assert_eq!(hidden(Part::Valid, HistoryRule::All, 9), 2);
        assert_eq!(hidden(Part::Test, HistoryRule::All, 9), 2);
        assert_eq!(hidden(Part::Valid, HistoryRule::Keep, 9), 0);
        // The window reaches the last S + 1 items before a validation target: 6 is the fifth before.
        assert_eq!(hidden(Part::Valid, HistoryRule::Window, 4), 2);
        assert_eq!(hidden(Part::Valid, HistoryRule::Window, 3), 1);
        let said = found(&users, Part::Valid, HistoryRule::All, 9);
        assert!(said.any() && !said.are_all());
        assert_eq!(
            said.warning().unwrap(),
            "2 of 3 validation targets stand in their own history and can't be hit under eval.history = \"all\"; \
             eval.history = \"keep\" lets them be hit"
        );
        assert_eq!(found(&users, Part::Valid, HistoryRule::Keep, 9).warning(), None);
    }

    #[test]
    fn all_means_every_target_and_none_means_no_target() {
        let repeated: [&[u32]; 2] = [&[1, 2, 1, 2], &[4, 4, 4, 4]];
        assert!(found(&repeated, Part::Valid, HistoryRule::All, 9).are_all());
        assert!(found(&repeated, Part::Test, HistoryRule::Window, 2).are_all());
        assert!(!found(&repeated, Part::Test, HistoryRule::Keep, 2).are_all());
        // Users without targets: nothing to hit, and nothing hidden.
        assert!(!found(&[], Part::Valid, HistoryRule::All, 9).are_all());
    }

    #[test]
    fn the_count_is_what_the_evaluation_masks() {
        let users: [&[u32]; 4] = [&[1, 2, 1, 2], &[3, 4, 5, 3], &[6, 7, 8, 9, 1, 6, 2], &[1, 2, 3]];
        let data = dataset(9, &leave_one_out(&users));
        for (part, rule) in [Part::Valid, Part::Test].into_iter().flat_map(|part| {
            [HistoryRule::All, HistoryRule::Window, HistoryRule::Train, HistoryRule::Keep]
                .map(|rule| (part, rule))
        }) {
            let config = crate::config::EvalConfig { history: rule, ..crate::config::EvalConfig::default() };
            let rows = vec![vec![0.0; 10]; 4];
            let mut table = crate::eval::fixtures::Table { items: 9, scores: vec![("x".into(), rows)] };
            let judged = crate::eval::evaluate(&mut table, &data, part, &config, 3, &mut |_| {}).unwrap();
            let hidden = HiddenTargets::count(&data, part, rule, 3).hidden;
            assert_eq!(judged.protocol.masked_targets, hidden, "{part:?} {rule:?}");
        }
    }
}
