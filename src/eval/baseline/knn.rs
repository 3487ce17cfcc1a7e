//! Item-kNN on behaviour, and the scoring that it shares with content.

use rayon::prelude::*;

use super::baskets::Baskets;
use super::{Counted, Terms, dense_ranks, known, known_counts, place};
use crate::data::{Dataset, Part, Target};
use crate::eval::scorer::{ScoreError, Scorer};

/// K: neighbours kept per item.
pub(super) const NEIGHBOURS: usize = 50;

/// The most similar items of each item.
pub(super) struct Neighbours {
    /// By item, 0 is padding: (similarity > 0, other item).
    lists: Vec<Vec<(f32, u32)>>,
    /// Place of each item's count among the distinct counts.
    popularity: Vec<f32>,
}

impl Neighbours {
    pub fn new(lists: Vec<Vec<(f32, u32)>>, counts: &[u32]) -> Self {
        Self { lists, popularity: dense_ranks(counts) }
    }

    /// Scores of every target: sum of the similarities to the distinct items of its history, ties by popularity.
    pub fn score(&self, dataset: &Dataset, targets: &[Target], terms: Terms, out: &mut Vec<f32>) {
        let width = self.lists.len();
        out.resize(targets.len() * width, 0.0);
        out.par_chunks_exact_mut(width).zip(targets).for_each_init(
            || vec![0.0; width],
            |sums, (out, target)| {
                let mut history = terms.read(dataset.history(target)).to_vec();
                history.sort_unstable();
                history.dedup();
                let mut reached = Vec::new();
                for item in history {
                    for &(similarity, other) in &self.lists[item as usize] {
                        let sum = &mut sums[other as usize];
                        if *sum == 0.0 {
                            reached.push(other);
                        }
                        *sum += f64::from(similarity);
                    }
                }
                place(reached, sums, &self.popularity, terms.unscored, out);
            },
        );
    }
}

/// The [`NEIGHBOURS`] largest of `similar`, ties by item number.
pub(super) fn nearest(mut similar: Vec<(f32, u32)>) -> Vec<(f32, u32)> {
    let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    if similar.len() > NEIGHBOURS {
        similar.select_nth_unstable_by(NEIGHBOURS, order);
        similar.truncate(NEIGHBOURS);
    }
    similar.sort_unstable_by(order);
    similar.shrink_to_fit();
    similar
}

/// Items that the same users had: cosine of binary user columns with shrinkage, 50 neighbours.
pub struct ItemKnn<'a> {
    dataset: &'a Dataset,
    terms: Terms,
    counted: Counted<Neighbours>,
}

impl<'a> ItemKnn<'a> {
    pub fn new(dataset: &'a Dataset, terms: Terms) -> Self {
        Self { dataset, terms, counted: Counted::nothing() }
    }
}

/// Memory: the known interactions twice, and K neighbours per item.
fn behaviour(dataset: &Dataset, end: Part) -> Neighbours {
    let baskets = Baskets::new(dataset.sequences.users(), dataset.items.count(), |u| known(dataset, u, end));
    let list = |common: &mut Vec<u32>, item: usize| {
        let shared = baskets.sharing(item, common).into_iter();
        let similar = |(other, both)| (baskets.similarity(item, other as usize, both) as f32, other);
        nearest(shared.map(similar).collect())
    };
    let zeros = || vec![0u32; baskets.width()];
    let lists = (0..baskets.width()).into_par_iter().map_init(zeros, list).collect();
    Neighbours::new(lists, &known_counts(dataset, end))
}

impl Scorer for ItemKnn<'_> {
    fn names(&self) -> Vec<String> {
        vec![self.terms.name("item-knn")]
    }

    fn items(&self) -> usize {
        self.dataset.items.count()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let (dataset, terms) = (self.dataset, self.terms);
        let neighbours = self.counted.get(dataset, targets, terms.known, |end| behaviour(dataset, end));
        out.iter_mut().for_each(|out| neighbours.score(dataset, targets, terms, out));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::baseline::Unscored;
    use crate::eval::fixtures::{dataset, leave_one_out};

    #[test]
    fn item_knn_equals_the_formula_in_plain_loops() {
        let users: [&[u32]; 5] =
            [&[1, 2, 3, 4, 5], &[2, 4, 3, 1, 2], &[6, 1, 2, 3, 5], &[3, 2, 1, 1, 4], &[6, 5, 4, 2, 1]];
        let data = dataset(7, &leave_one_out(&users));
        let (equal, more) = (Terms::default(), Terms::default().knowing_validation());
        let cases =
            [(Part::Valid, equal, 2), (Part::Test, equal, 2), (Part::Valid, more, 2), (Part::Test, more, 1)];
        for (part, terms, hidden) in cases {
            let known: Vec<&[u32]> = users.iter().map(|u| &u[..u.len() - hidden]).collect();
            let n = |item: u32| known.iter().filter(|u| u.contains(&item)).count() as f64;
            let similarity = |a: u32, b: u32| {
                let both = known.iter().filter(|u| u.contains(&a) && u.contains(&b)).count() as f64;
                both / ((n(a) * n(b)).sqrt() + 10.0)
            };
            let count = |item: u32| known.iter().flat_map(|u| u.iter()).filter(|&&i| i == item).count();
            for target in data.targets(part) {
                let mut history = data.history(&target).to_vec();
                history.sort_unstable();
                history.dedup();
                let formula = |item: u32| -> f64 {
                    history.iter().filter(|&&h| h != item).map(|&h| similarity(h, item)).sum()
                };
                let mut out = vec![Vec::new()];
                ItemKnn::new(&data, terms).score(&[target], &mut out).unwrap();
                for a in 1..=7u32 {
                    for b in 1..=7u32 {
                        let (x, y) = (formula(a), formula(b));
                        let same = (x - y).abs() < 1e-6;
                        let wanted = if same { count(a) > count(b) } else { x > y };
                        let found = out[0][a as usize] > out[0][b as usize];
                        // Sums of f32 similarities may part what the formula finds equal.
                        assert!(found == wanted || (same && x > 0.0), "{part:?}, {terms:?}: {a} and {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn items_that_nothing_leads_to_have_no_score_where_the_terms_say_so() {
        // Item 4 shares a user with nothing that user 0 had; items 1 and 2 share users with each other and with 3.
        let data = dataset(5, &leave_one_out(&[&[1, 2, 3, 5], &[1, 2, 3, 1, 2], &[4, 4, 1]]));
        let terms = Terms { unscored: Unscored::Missed, last: Some(1), ..Terms::default() };
        let mut out = vec![Vec::new()];
        let target = data.targets(Part::Test)[0];
        ItemKnn::new(&data, terms).score(&[target], &mut out).unwrap();
        // The last item, 3, was trained on by user 1 alone, who had 1 and 2 beside it.
        let scored: Vec<usize> = (1..=5).filter(|&i| out[0][i].is_finite()).collect();
        assert_eq!(scored, [1, 2]);
        assert!(out[0][4] == f32::NEG_INFINITY);
        let mut all = vec![Vec::new()];
        ItemKnn::new(&data, Terms { last: Some(1), ..Terms::default() }).score(&[target], &mut all).unwrap();
        assert!(all[0].iter().all(|s| s.is_finite()) && all[0][1] > all[0][4]);
    }

    #[test]
    fn only_the_nearest_stay_and_ties_go_by_item_number() {
        let many: Vec<(f32, u32)> = (1..=200u32).map(|i| (if i % 2 == 0 { 0.5 } else { 0.25 }, i)).collect();
        let kept = nearest(many);
        assert_eq!(kept.len(), NEIGHBOURS);
        assert_eq!((kept[0], kept[49]), ((0.5, 2), (0.5, 100)));
    }
}
