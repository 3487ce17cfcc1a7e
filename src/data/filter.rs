//! Rules for which interactions are kept, and in which order: ties, duplicates, k-core, minimum length.
//!
//! `prepare` applies them in its second step; nothing here reads a file.

use serde::{Deserialize, Serialize};

use super::DataError;
use super::ids::{LogItem, LogUser};
use crate::rng::finalise;

/// One interaction with numbered ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interaction {
    pub user: LogUser,
    pub item: LogItem,
    /// The time as [`TimeColumn::pack`](super::source::TimeColumn::pack) packs it: numbers whose order is that of the times,
    /// in a unit that is decided once the whole column is read. The row's place in the source where it gives no times.
    pub time: i64,
}

/// The rule for several interactions of one user with one item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// All stay: repeated consumption is behaviour.
    KeepAll,
    /// The first stays. Default: the moment of discovery is what a recommender is to predict, and a later
    /// repetition would put the target into its own history, where full ranking masks it.
    #[default]
    First,
    /// The last stays.
    Last,
    /// Rows that repeat another in user, item and time go, and of an item that follows itself the first stays; a
    /// return after something else is behaviour.
    KeepReturns,
}

impl Duplicates {
    /// The name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::KeepAll => "keep_all",
            Self::First => "first",
            Self::Last => "last",
            Self::KeepReturns => "keep_returns",
        }
    }
}

/// The order of a user's interactions with equal times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// That of the source. Default, because it's the best evidence of what came first, unless the file is sorted.
    #[default]
    Source,
    /// By a hash of user and item, which carries no information: where files are sorted by item, their order is a pattern that a
    /// model learns and a service never sees.
    Hash,
}

/// Counts after a step of the preparation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCounts {
    pub step: String,
    pub users: usize,
    pub items: usize,
    pub interactions: usize,
}

impl StepCounts {
    /// # Errors
    /// No interaction is left; the error names the step and gives `advice`.
    pub(super) fn check_not_empty(&self, advice: &'static str) -> Result<(), DataError> {
        if self.interactions == 0 {
            return Err(DataError::Empty { step: self.step.clone(), advice });
        }
        Ok(())
    }
}

/// Sorts by user, then time; equal times keep the order of the source.
pub fn sort(interactions: &mut [Interaction]) {
    // A stable sort is the tie rule.
    interactions.sort_by_key(|i| (i.user, i.time));
}

/// Sorts by user, then time, then a hash of both ids: the order doesn't depend on that of the source.
pub fn sort_by_hash(interactions: &mut [Interaction], user_ids: &[String], item_ids: &[String]) {
    let hashes = |ids: &[String]| ids.iter().map(|id| fnv(id)).collect::<Vec<u64>>();
    let (users, items) = (hashes(user_ids), hashes(item_ids));
    interactions.sort_by_key(|i| {
        let (user, item) = (users[i.user.index()], items[i.item.index()]);
        (i.user, i.time, finalise(user ^ finalise(item)))
    });
}

/// FNV-1a: the same on every machine and version.
fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Counts of a user's consecutive interactions with equal times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TiedPairs {
    /// Number of consecutive pairs of one user's interactions.
    pub neighbours: usize,
    /// Number of pairs with equal times, whose order is the tie rule's.
    pub tied: usize,
    /// Number of tied pairs with different items, and of those whose item ids ascend.
    pub distinct: usize,
    pub ascending: usize,
}

impl TiedPairs {
    /// Counts the pairs of sorted interactions. Ids that are all numbers ascend as numbers, others as texts.
    pub fn count(interactions: &[Interaction], item_ids: &[String]) -> Self {
        let numbers: Option<Vec<u64>> = item_ids.iter().map(|id| id.parse().ok()).collect();
        let ascends = |a: LogItem, b: LogItem| match &numbers {
            Some(numbers) => numbers[a.index()] < numbers[b.index()],
            None => item_ids[a.index()] < item_ids[b.index()],
        };
        let mut pairs = Self::default();
        for pair in interactions.windows(2).filter(|pair| pair[0].user == pair[1].user) {
            pairs.neighbours += 1;
            if pair[0].time == pair[1].time {
                pairs.tied += 1;
                let distinct = pair[0].item != pair[1].item;
                pairs.distinct += usize::from(distinct);
                pairs.ascending += usize::from(distinct && ascends(pair[0].item, pair[1].item));
            }
        }
        pairs
    }

    /// Whether ids ascend (or descend) more often than in a random order, by more than three standard deviations.
    pub fn is_sorted(&self) -> bool {
        let (n, ascending) = (self.distinct as f64, self.ascending as f64);
        self.distinct >= 10 && (ascending - n / 2.0).abs() > 1.5 * n.sqrt()
    }
}

/// Number of rows that repeat another in user, item and time; `interactions` are sorted.
pub fn exact_duplicates(interactions: &[Interaction]) -> usize {
    let mut items = Vec::new();
    let mut repeated = 0;
    for run in interactions.chunk_by(|a, b| (a.user, a.time) == (b.user, b.time)).filter(|run| run.len() > 1)
    {
        items.clear();
        items.extend(run.iter().map(|i| i.item));
        items.sort_unstable();
        repeated += items.windows(2).filter(|pair| pair[0] == pair[1]).count();
    }
    repeated
}

/// Drops exact duplicates and immediate repetitions from sorted interactions.
fn keep_returns(interactions: &mut Vec<Interaction>) {
    let mut start = 0;
    let mut kept = 0;
    for n in 0..interactions.len() {
        let this = interactions[n];
        if kept == 0 || interactions[kept - 1].user != this.user || interactions[kept - 1].time != this.time {
            // The kept run of this user and time begins here.
            start = kept;
        }
        let double = interactions[start..kept].iter().any(|other| other.item == this.item);
        let again =
            kept > 0 && interactions[kept - 1].user == this.user && interactions[kept - 1].item == this.item;
        if !double && !again {
            interactions[kept] = this;
            kept += 1;
        }
    }
    interactions.truncate(kept);
}

/// Applies the rule for duplicates to sorted interactions, whose order stays.
pub fn deduplicate(interactions: &mut Vec<Interaction>, rule: Duplicates) {
    match rule {
        Duplicates::KeepAll => return,
        Duplicates::KeepReturns => return keep_returns(interactions),
        Duplicates::First | Duplicates::Last => {}
    }
    let mut order: Vec<u32> = (0..interactions.len() as u32).collect();
    let key = |&i: &u32| (interactions[i as usize].user, interactions[i as usize].item);
    // Stable: equal pairs stay in time order.
    order.sort_by_key(key);
    let mut keep = vec![false; interactions.len()];
    for run in order.chunk_by(|a, b| key(a) == key(b)) {
        let kept = if rule == Duplicates::First { run.first() } else { run.last() };
        if let Some(&kept) = kept {
            keep[kept as usize] = true;
        }
    }
    let mut keep = keep.into_iter();
    interactions.retain(|_| keep.next().unwrap_or(false));
}

/// Drops users with fewer than `user_core` and items with fewer than `item_core` interactions until none
/// is left to drop.
pub fn k_core(interactions: &mut Vec<Interaction>, user_core: usize, item_core: usize) {
    loop {
        let before = interactions.len();
        let (users, items) = frequencies(interactions);
        interactions.retain(|i| {
            users[i.user.index()] as usize >= user_core && items[i.item.index()] as usize >= item_core
        });
        if interactions.len() == before {
            return;
        }
    }
}

/// Drops users with fewer than `length` interactions, once: items may fall below a core by it.
pub fn minimum_length(interactions: &mut Vec<Interaction>, length: usize) {
    let (users, _) = frequencies(interactions);
    interactions.retain(|i| users[i.user.index()] as usize >= length);
}

/// Numbers of interactions per user and per item.
pub fn frequencies(interactions: &[Interaction]) -> (Vec<u32>, Vec<u32>) {
    let users = interactions.iter().map(|i| i.user.index() + 1).max().unwrap_or(0);
    let items = interactions.iter().map(|i| i.item.index() + 1).max().unwrap_or(0);
    let mut counts = (vec![0; users], vec![0; items]);
    for i in interactions {
        counts.0[i.user.index()] += 1;
        counts.1[i.item.index()] += 1;
    }
    counts
}

/// Counts for the report.
pub fn counts(step: &str, interactions: &[Interaction]) -> StepCounts {
    let (users, items) = frequencies(interactions);
    let present = |counts: Vec<u32>| counts.into_iter().filter(|&c| c > 0).count();
    StepCounts {
        step: step.to_owned(),
        users: present(users),
        items: present(items),
        interactions: interactions.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn interaction((user, item, time): (u32, u32, i64)) -> Interaction {
        Interaction { user: LogUser(user), item: LogItem(item), time }
    }

    fn log() -> impl Strategy<Value = Vec<Interaction>> {
        let one = (0u32..8, 0u32..8, 0i64..20).prop_map(interaction);
        proptest::collection::vec(one, 0..120)
    }

    proptest! {
        #[test]
        fn what_a_k_core_keeps_meets_it_and_nothing_more_could_stay(mut all in log(), u in 1usize..5, i in 1usize..5) {
            let before = all.clone();
            k_core(&mut all, u, i);
            let (users, items) = frequencies(&all);
            for x in &all {
                prop_assert!(users[x.user.index()] as usize >= u && items[x.item.index()] as usize >= i);
            }
            // The k-core is the largest such set: it is the fixed point of deleting from the whole.
            let mut rest = before;
            loop {
                let (users, items) = frequencies(&rest);
                let Some(place) = rest.iter().position(|x| {
                    (users[x.user.index()] as usize) < u || (items[x.item.index()] as usize) < i
                }) else { break };
                rest.remove(place);
            }
            prop_assert_eq!(all, rest);
        }

        #[test]
        fn one_interaction_of_each_pair_stays_and_it_is_the_first_or_last(mut all in log(), last: bool) {
            sort(&mut all);
            let before = all.clone();
            deduplicate(&mut all, if last { Duplicates::Last } else { Duplicates::First });
            let mut expected: Vec<Interaction> = Vec::new();
            for (n, x) in before.iter().enumerate() {
                let same = |y: &Interaction| y.user == x.user && y.item == x.item;
                let others = if last { &before[n + 1..] } else { &before[..n] };
                if !others.iter().any(same) { expected.push(*x) }
            }
            prop_assert_eq!(all, expected);
        }
    }

    fn interactions(rows: &[(u32, u32, i64)]) -> Vec<Interaction> {
        rows.iter().copied().map(interaction).collect()
    }

    #[test]
    fn a_return_is_behaviour_and_a_double_is_not() {
        let [a, b, c, d] = [0, 1, 2, 3];
        for (rows, expected) in [
            // a a b b b c a d d, the last two logged twice.
            (
                vec![(a, 1), (a, 2), (b, 3), (b, 3), (b, 4), (c, 5), (a, 6), (d, 7), (d, 7)],
                vec![a, b, c, a, d],
            ),
            // The double is not the neighbour: one moment holds a, b and a again.
            (vec![(a, 1), (b, 1), (a, 1), (a, 2)], vec![a, b, a]),
            (vec![(a, 1), (b, 2), (a, 3), (b, 4)], vec![a, b, a, b]),
        ] {
            let mut log: Vec<Interaction> =
                rows.iter().map(|&(item, time)| interaction((0, item, time))).collect();
            deduplicate(&mut log, Duplicates::KeepReturns);
            assert_eq!(log.iter().map(|i| i.item.0).collect::<Vec<_>>(), expected);
        }
        let two_users = interactions(&[(0, a, 1), (1, a, 1), (1, a, 1)]);
        assert_eq!(exact_duplicates(&two_users), 1);
        assert_eq!(exact_duplicates(&interactions(&[(0, a, 1), (0, b, 1), (0, a, 1), (0, a, 2)])), 1);
    }

    #[test]
    fn ties_that_ascend_by_id_are_seen_and_a_hash_breaks_them_alike_for_every_order() {
        let ids: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        let mut log: Vec<Interaction> = (0..40).map(|n| interaction((n / 20, n, 7))).collect();
        let sorted = TiedPairs::count(&log, &ids);
        // As texts 9 would come behind 10.
        assert_eq!(sorted, TiedPairs { neighbours: 38, tied: 38, distinct: 38, ascending: 38 });
        assert!(sorted.is_sorted());
        let users = ["u".to_owned(), "v".to_owned()];
        sort_by_hash(&mut log, &users, &ids);
        let once = log.clone();
        assert!(!TiedPairs::count(&log, &ids).is_sorted());
        log.reverse();
        sort_by_hash(&mut log, &users, &ids);
        assert_eq!(log, once);
    }

    #[test]
    fn equal_times_keep_the_order_of_the_source() {
        let mut log = [(1, 5, 3), (0, 1, 9), (1, 4, 3), (1, 6, 2)].map(interaction);
        sort(&mut log);
        assert_eq!(log.map(|i| i.item.0), [1, 6, 5, 4]);
    }
}
