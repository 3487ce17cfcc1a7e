//! Weights of a memory's sources: how well each foretells the last training item of a user when it is not counted.

use rayon::prelude::*;

use super::{Memory, largest};
use crate::logit::{Choices, HEAD, PRECISION, Rule};

/// Users that are asked, at most: the weights are few.
const MOST_USERS: usize = 20_000;
/// Each source's best items are alternatives.
const ALTERNATIVES: usize = 50;
/// Weights before anything is known: sums of what was counted are near to probabilities, cosines are not.
const COUNTED_PRIOR: f64 = 1.0;
const CONTENT_PRIOR: f64 = 0.5;
/// A source that foretells nothing keeps a trace: it may lead where no other does.
const FLOOR: f64 = 0.01;

/// A weight for each source of a memory that does not know what it is asked for; the first `counted` sources are no views.
/// `asked(user)` gives a history and the item that followed, where one did. A user whose item no source has among its best tells nothing of the weights.
pub(super) fn weights<'a>(
    memory: &Memory,
    counted: usize,
    users: usize,
    asked: &(dyn Fn(usize) -> (&'a [u32], Option<u32>) + Sync),
) -> Vec<f32> {
    let n = memory.sources.len();
    let step = users.div_ceil(MOST_USERS).max(1);
    let chosen: Vec<usize> = (0..users).step_by(step).collect();
    let rows: Vec<Option<Vec<f32>>> = chosen
        .par_iter()
        .map_init(
            || memory.scratch(),
            |scratch, &user| {
                let (history, next) = asked(user);
                let mut met = memory.sums(history, scratch);
                met.sort_unstable();
                met.dedup();
                let mut alternatives = Vec::with_capacity(met.len() * n);
                for &item in &met {
                    let sums = &mut scratch.sums[item as usize * n..][..n];
                    alternatives
                        .extend(sums.iter().zip(&memory.sources).map(|(sum, source)| source.logarithm(*sum)));
                    sums.fill(0.0);
                }
                let next = next.filter(|next| !history.contains(next))?;
                choice(&met, &alternatives, n, history, next)
            },
        )
        .collect();
    let mut choices = Choices::new(n);
    rows.into_iter().flatten().for_each(|row| choices.push(&row));
    let positive: Vec<usize> = (0..n).collect();
    let prior: Vec<f64> = (0..n).map(|s| if s < counted { COUNTED_PRIOR } else { CONTENT_PRIOR }).collect();
    let rule = Rule { prior: &prior, precision: PRECISION, positive: &positive, floor: FLOOR };
    choices.fit_head(&rule, &|_| true, HEAD).into_iter().map(|w| w as f32).collect()
}

/// Logarithms of the sources for `next` and for the best items of each source, none of them in the history; absent where `next`
/// is not among these.
fn choice(met: &[u32], values: &[f32], n: usize, history: &[u32], next: u32) -> Option<Vec<f32>> {
    let free: Vec<usize> = (0..met.len()).filter(|&place| !history.contains(&met[place])).collect();
    let mut among = vec![false; met.len()];
    for source in 0..n {
        let own = free.iter().map(|&place| (place as u32, values[place * n + source]));
        let best = largest(own.collect(), ALTERNATIVES);
        best.iter().for_each(|&(place, value)| among[place as usize] |= value > 0.0);
    }
    let own = met.binary_search(&next).ok().filter(|&place| among[place])?;
    let others = (0..met.len()).filter(|&place| among[place] && place != own);
    let rows = std::iter::once(own).chain(others);
    Some(rows.flat_map(|place| values[place * n..(place + 1) * n].iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_are_the_best_of_each_source_with_what_followed_in_front() {
        // Items 2 and 7 are in the history or unscored by both sources.
        let (met, values) = ([2, 4, 5, 7], [9.0, 9.0, 0.5, 0.0, 0.0, 2.0, 0.0, 0.0]);
        assert_eq!(choice(&met, &values, 2, &[2], 5), Some(vec![0.0, 2.0, 0.5, 0.0]));
        assert_eq!(choice(&met, &values, 2, &[2], 7), None);
        assert_eq!(choice(&met, &values, 2, &[2], 6), None);
    }
}
