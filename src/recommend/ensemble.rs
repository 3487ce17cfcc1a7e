//! What each branch counts in the ensemble, fitted on the validation part.
//!
//! A choice is a validation target among what the branches have to offer: the best items of each, those of the history too. The
//! weights make the targets likely under the ensemble (a conditional logit). A target that no branch offers tells nothing of
//! them: whatever the weights are, it stands in no list. They are fitted twice, the second time among the foremost alone: lists
//! are decided there. The weights of a fold are fitted on the users of the others, so
//! that a validation figure is never that of a user who had a say in it.

use rayon::prelude::*;

use super::ModelScorer;
use crate::data::{Dataset, Part, Target};
use crate::eval::inner_product::{Query, View};
use crate::logit::{Choices, HEAD, PRECISION, Rule};
use crate::memory::{Scored, largest};
use crate::model::ensemble::{FEATURES, FLOOR, FOLDS, columns, features, fold};

/// Targets that are asked, at most: the weights are few.
const MOST_TARGETS: usize = 12_000;
/// Each branch's best items are alternatives.
const ALTERNATIVES: usize = 40;

/// Weights `[1 + K, 2 N + 1]` of the branches of `scorer`, a memory last: the first row from all validation targets, the others
/// without those of a fold. Absent where no target is offered or vectors are not finite.
pub fn fit(scorer: &mut ModelScorer<'_>, dataset: &Dataset) -> Option<Vec<f32>> {
    let all = dataset.targets(Part::Valid);
    let step = all.len().div_ceil(MOST_TARGETS).max(1);
    let targets: Vec<Target> = all.into_iter().step_by(step).collect();
    let histories: Vec<&[u32]> = targets.iter().map(|target| dataset.history(target)).collect();
    let branches = scorer.trained_branches();
    let n = branches + usize::from(scorer.has_memory());
    let users = scorer.plain_users(&histories);
    let catalogue = scorer.catalogue()?;
    let query = |target: &Target| Query { target: target.item.0, masked: &[], added: &[] };
    let queries: Vec<Query> = targets.iter().map(query).collect();
    let views: Vec<View> = (0..branches).map(View::Branch).collect();
    let found = catalogue.rank(&views, &users.vectors, &queries, ALTERNATIVES);
    let d = users.vectors.first().map_or(0, |rows| rows.len() / targets.len().max(1));
    let rows = queries.par_iter().enumerate().map(|(place, query)| {
        let remembered = &users.remembered[place];
        let mut offered: Vec<u32> =
            found[place].iter().flat_map(|found| found.best.iter().copied()).collect();
        let best = largest(remembered.clone(), ALTERNATIVES);
        offered.extend(best.iter().map(|scored| scored.0));
        let offered = ascending(&offered);
        offered.binary_search(&query.target).ok()?;
        let user: Vec<&[f32]> = users.vectors.iter().map(|rows| &rows[place * d..(place + 1) * d]).collect();
        let others = offered.iter().copied().filter(|&item| item != query.target);
        let features = features(histories[place].len());
        let mut row = Vec::with_capacity(offered.len() * columns(n));
        for item in std::iter::once(query.target).chain(others) {
            let trained = views.iter().map(|&view| catalogue.exact_score(view, &user, item));
            let counted = (n > branches).then(|| score(remembered, item));
            trained.chain(counted).for_each(|score| row.extend(features.map(|x| score * x)));
            row.push(f32::from(u8::from(histories[place].contains(&item))));
        }
        Some((fold(targets[place].user), row))
    });
    let rows: Vec<(usize, Vec<f32>)> = rows.collect::<Vec<_>>().into_iter().flatten().collect();
    (!rows.is_empty()).then(|| weights(n, &rows))
}

fn weights(n: usize, rows: &[(usize, Vec<f32>)]) -> Vec<f32> {
    let mut choices = Choices::new(columns(n));
    rows.iter().for_each(|(_, row)| choices.push(row));
    let share = |k: usize| if k < n * FEATURES && k.is_multiple_of(FEATURES) { 1.0 / n as f64 } else { 0.0 };
    let prior: Vec<f64> = (0..columns(n)).map(share).collect();
    let positive: Vec<usize> = (0..n).map(|branch| branch * FEATURES).collect();
    let rule = Rule { prior: &prior, precision: PRECISION, positive: &positive, floor: FLOOR };
    let mut all = choices.fit_head(&rule, &|_| true, HEAD);
    (0..FOLDS).for_each(|k| all.extend(choices.fit_head(&rule, &|choice| rows[choice].0 != k, HEAD)));
    all.into_iter().map(|w| w as f32).collect()
}

/// Distinct items in order.
fn ascending(items: &[u32]) -> Vec<u32> {
    let mut items = items.to_vec();
    items.sort_unstable();
    items.dedup();
    items
}

fn score(remembered: &[Scored], item: u32) -> f32 {
    remembered.binary_search_by_key(&item, |scored| scored.0).map_or(0.0, |place| remembered[place].1)
}
