//! Which interactions are kept: duplicates, k-core, minimum length, and their order in time.

use serde::{Deserialize, Serialize};

/// One interaction with numbered ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interaction {
    pub user: u32,
    pub item: u32,
    /// Unix seconds; the place in the source where it gives no times.
    pub time: i64,
}

/// What becomes of several interactions of one user with one item.
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
}

/// Counts after a step of the preparation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCounts {
    pub step: String,
    pub users: usize,
    pub items: usize,
    pub interactions: usize,
}

/// Sorts by user, then time; equal times keep the order of the source.
pub fn sort(interactions: &mut [Interaction]) {
    // A stable sort is the tie rule: the log's own order is the best witness of what came first.
    interactions.sort_by_key(|i| (i.user, i.time));
}

/// Applies the rule for duplicates to sorted interactions; order is kept.
pub fn deduplicate(interactions: &mut Vec<Interaction>, rule: Duplicates) {
    if rule == Duplicates::KeepAll {
        return;
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
            users[i.user as usize] as usize >= user_core && items[i.item as usize] as usize >= item_core
        });
        if interactions.len() == before {
            return;
        }
    }
}

/// Drops users with fewer than `length` interactions, once: items may fall below a core by it.
pub fn minimum_length(interactions: &mut Vec<Interaction>, length: usize) {
    let (users, _) = frequencies(interactions);
    interactions.retain(|i| users[i.user as usize] as usize >= length);
}

/// Interactions per user and per item.
pub fn frequencies(interactions: &[Interaction]) -> (Vec<u32>, Vec<u32>) {
    let users = interactions.iter().map(|i| i.user as usize + 1).max().unwrap_or(0);
    let items = interactions.iter().map(|i| i.item as usize + 1).max().unwrap_or(0);
    let mut counts = (vec![0; users], vec![0; items]);
    for i in interactions {
        counts.0[i.user as usize] += 1;
        counts.1[i.item as usize] += 1;
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

    fn log() -> impl Strategy<Value = Vec<Interaction>> {
        let one =
            (0u32..8, 0u32..8, 0i64..20).prop_map(|(user, item, time)| Interaction { user, item, time });
        proptest::collection::vec(one, 0..120)
    }

    proptest! {
        #[test]
        fn what_a_k_core_keeps_meets_it_and_nothing_more_could_stay(mut all in log(), u in 1usize..5, i in 1usize..5) {
            let before = all.clone();
            k_core(&mut all, u, i);
            let (users, items) = frequencies(&all);
            for x in &all {
                prop_assert!(users[x.user as usize] as usize >= u && items[x.item as usize] as usize >= i);
            }
            // The k-core is the largest such set: it is the fixed point of deleting from the whole.
            let mut rest = before;
            loop {
                let (users, items) = frequencies(&rest);
                let Some(at) = rest.iter().position(|x| {
                    (users[x.user as usize] as usize) < u || (items[x.item as usize] as usize) < i
                }) else { break };
                rest.remove(at);
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

    #[test]
    fn equal_times_keep_the_order_of_the_source() {
        let mut log = [(1, 5, 3), (0, 1, 9), (1, 4, 3), (1, 6, 2)].map(|(user, item, time)| Interaction {
            user,
            item,
            time,
        });
        sort(&mut log);
        assert_eq!(log.map(|i| i.item), [1, 6, 5, 4]);
    }
}
