//! Settings of the evaluation, and their rules.

use crate::config::rules::{Checked, check_minimum, invalid};
use crate::{choice, section};

/// What `train.metric` may ask for. Hit@k equals Recall@k with one target a user.
pub const METRICS: [&str; 3] = ["recall", "ndcg", "mrr"];

section! {
    /// How models are judged: every target is ranked among all items of the catalogue.
    #[facts(Unsearched, Unlisted, Benched)]
    pub struct EvalConfig {
        /// Cut-offs k of Recall@k, NDCG@k and MRR@k, each from 1 on and named once.
        pub ks: Vec<usize> = vec![1, 5, 10, 20, 50],
        /// Which known items leave the candidates.
        pub history: HistoryRule = HistoryRule::All,
        /// The rank of a target among items of equal score.
        pub ties: TieRule = TieRule::Mid,
        /// Items encoded in one call of the device, from 1 on. No figure depends on it.
        pub item_batch: usize = 512,
        /// Largest tile of scores (users × items × branches) in MiB, from 1 on. No figure depends on it.
        pub tile_mib: usize = 64,
    }
}

choice! {
    /// Which known items leave the candidates.
    pub enum HistoryRule {
        /// Every item that the user had before the target.
        All = "all",
        /// Only those of the user's last S + 3 interactions (S: `data.max_seq_len`), as ODMT's authors do.
        Window = "window",
        /// Only those of the training part: the validation item stays a candidate for the test target, as in MMRec.
        Train = "train",
        /// None: repeated consumption counts.
        Keep = "keep",
    }
}

choice! {
    /// Rank of a target among equal scores.
    pub enum TieRule {
        /// Half of the equals stand before it.
        Mid = "mid",
        /// None of the equals stands before it.
        Optimistic = "optimistic",
        /// All of the equals stand before it.
        Pessimistic = "pessimistic",
        /// Those of a smaller item number stand before it: its place in the list as it is printed.
        Ascending = "ascending",
        /// Those of a larger item number stand before it.
        Descending = "descending",
    }
}

impl EvalConfig {
    pub(crate) fn validate(&self) -> Checked {
        let ks = &self.ks;
        if ks.is_empty() || ks.contains(&0) {
            return Err(invalid("eval.ks", format!("= {ks:?} must hold numbers from 1 on"))
                .with_hint("for example ks = [1, 5, 10, 20]"));
        }
        if let Some(k) = ks.iter().enumerate().find_map(|(i, k)| ks[..i].contains(k).then_some(k)) {
            return Err(invalid("eval.ks", format!("names {k} twice")));
        }
        check_minimum("eval.item_batch", self.item_batch, 1)?;
        check_minimum("eval.tile_mib", self.tile_mib, 1)
    }
}
