//! Protocols by name: what one must do to set figures beside those that others publish (docs/protocols.md).
//!
//! `evaluate --protocol` takes one of [`ALL`]. Each is one entry here; facts about other programs were read in their source,
//! of the release that the entry names.

use std::str::FromStr;

use super::baseline::{Known, Terms, Unscored};
use super::conditions::Ideal;
use crate::config::{EvalConfig, HistoryRule, TieRule};
use crate::data::Dataset;

/// The name of rules that are no named protocol's.
pub const CUSTOM: &str = "custom";

/// A named set of rules. Every item of the catalogue is a candidate under each, and every user's last item the test target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: &'static str,
    /// One line for a list of choices.
    pub about: &'static str,
    /// Where the rules are from.
    pub source: &'static str,
    pub history: HistoryRule,
    pub ties: TieRule,
    /// What the protocol's own counters know. A row without a label counts what the judged model was trained on under every
    /// protocol; where this is more, all counters have a labelled row.
    pub known: Known,
    /// Number of last history items that a list is made from; absent: all.
    pub last: Option<usize>,
    pub unscored: Unscored,
    pub ideal: Ideal,
}

/// All protocols, our own first.
pub const ALL: [Named; 6] = [
    Named {
        name: "leave_one_out",
        about: "ours: history removed, ties at their middle rank",
        source: "docs/odmt.md, section 6",
        history: HistoryRule::All,
        ties: TieRule::Mid,
        known: Known::Training,
        last: None,
        unscored: Unscored::Popular,
        ideal: Ideal::Targets,
    },
    Named {
        name: "macrec",
        about: "MACRec, MQL4GRec, LETTER: seen items kept, the last 20 items read, what has no score is missed",
        source: "zhangfw123/MACRec 8adabbb: data.py, utils.py, test.py",
        history: HistoryRule::Keep,
        ties: TieRule::Mid,
        known: Known::Training,
        last: Some(20),
        unscored: Unscored::Missed,
        ideal: Ideal::Targets,
    },
    Named {
        name: "recbole",
        about: "RecBole's sequential models: seen items kept, the last 50 items read",
        source: "recbole 1.2.1: data/dataloader/general_dataloader.py, trainer/trainer.py, evaluator/metrics.py",
        history: HistoryRule::Keep,
        ties: TieRule::Ascending,
        known: Known::Training,
        last: Some(50),
        unscored: Unscored::Popular,
        ideal: Ideal::Targets,
    },
    Named {
        name: "rectools",
        about: "RecTools' cross_validate with filter_viewed: NDCG is divided by the gain of k hits",
        source: "rectools 0.19.0: metrics/ranking.py, metrics/base.py, model_selection/last_n_split.py",
        history: HistoryRule::All,
        ties: TieRule::Ascending,
        known: Known::Preceding,
        last: None,
        unscored: Unscored::Missed,
        ideal: Ideal::FullList,
    },
    Named {
        name: "replay",
        about: "RePlay: history removed, of equal scores the larger item number comes first",
        source: "replay-rec 0.22.0: metrics/base_metric.py, metrics/ndcg.py",
        history: HistoryRule::All,
        ties: TieRule::Descending,
        known: Known::Training,
        last: None,
        unscored: Unscored::Missed,
        ideal: Ideal::Targets,
    },
    Named {
        name: "mmrec",
        about: "MMRec: items of the training part removed, the validation item kept",
        source: "enoche/MMRec a75d89a: src/utils/dataloader.py, src/utils/topk_evaluator.py, src/common/trainer.py",
        history: HistoryRule::Train,
        ties: TieRule::Ascending,
        known: Known::Training,
        last: None,
        unscored: Unscored::Popular,
        ideal: Ideal::Targets,
    },
];

impl Named {
    /// On which terms baselines stand beside a model.
    pub fn terms(&self) -> Terms {
        Terms { known: Known::Training, last: self.last, unscored: self.unscored }
    }

    /// What a user should know where a model reads `read` items of a history.
    pub fn warning(&self, read: usize) -> Option<String> {
        let last = self.last.filter(|&last| read > last)?;
        Some(format!("{} makes lists from the last {last} items, this model reads {read}", self.name))
    }
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = ALL.map(|named| named.name).join(", ");
        ALL.into_iter().find(|named| named.name == text).ok_or_else(|| format!("use one of {names}"))
    }
}

/// The name of a configuration's own rules on these data.
pub fn own_name(eval: &EvalConfig, dataset: &Dataset) -> &'static str {
    let ours = &ALL[0];
    let same = (eval.history, eval.ties) == (ours.history, ours.ties) && !dataset.is_split_in_time();
    if same { ours.name } else { CUSTOM }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Part;

    #[test]
    fn every_protocol_has_its_row_and_its_source_in_the_documentation() {
        let page = include_str!("../../docs/protocols.md");
        for named in ALL {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", named.name))).unwrap();
            for fact in [named.history.word(), named.ties.word()] {
                assert!(row.contains(&format!("`{fact}`")), "{}: {fact}", named.name);
            }
            let last = named.last.map_or("all".to_owned(), |last| format!("last {last}"));
            assert!(row.contains(&last), "{}: {last}", named.name);
            assert!(page.contains(named.source), "{}", named.source);
            assert_eq!(named.name.parse::<Named>(), Ok(named));
        }
        assert!("x".parse::<Named>().unwrap_err().contains("mmrec"));
    }

    #[test]
    fn the_defaults_of_a_configuration_are_our_own_protocol() {
        use crate::eval::fixtures::{dataset, leave_one_out};
        let data = dataset(4, &leave_one_out(&[&[1, 2, 3, 4]]));
        let name = |eval: &EvalConfig| own_name(eval, &data);
        assert_eq!(name(&EvalConfig::default()), "leave_one_out");
        assert_eq!(name(&EvalConfig { history: HistoryRule::Keep, ..EvalConfig::default() }), CUSTOM);
        let timed =
            dataset(4, &[vec![(1, Part::Train), (2, Part::Valid), (3, Part::History), (4, Part::Test)]]);
        assert_eq!(own_name(&EvalConfig::default(), &timed), CUSTOM);
        assert_eq!(ALL[0].terms(), Terms::default());
    }

    #[test]
    fn a_model_that_reads_more_than_its_protocol_is_told_of() {
        let macrec: Named = "macrec".parse().unwrap();
        assert!(macrec.warning(50).is_some_and(|said| said.contains("last 20") && said.contains("50")));
        assert_eq!((macrec.warning(20), ALL[0].warning(500)), (None, None));
    }
}
