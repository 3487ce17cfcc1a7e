//! Item-kNN on behaviour, and the scoring that it shares with content.

use rayon::prelude::*;

use super::{dense_ranks, known, known_counts, part_of, place};
use crate::data::{Dataset, Part, Target};
use crate::eval::scorer::{ScoreError, Scorer};

/// K: neighbours kept per item.
pub(super) const NEIGHBOURS: usize = 50;
/// Added to the cosine's denominator, so that two items with one common user are no twins (docs/studies.md, section 3).
const SHRINKAGE: f64 = 10.0;

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
    pub fn score(&self, dataset: &Dataset, targets: &[Target], out: &mut Vec<f32>) {
        let width = self.lists.len();
        out.resize(targets.len() * width, 0.0);
        out.par_chunks_exact_mut(width).zip(targets).for_each_init(
            || vec![0.0; width],
            |sums, (out, target)| {
                let mut history = dataset.history(target).to_vec();
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
                place(reached, sums, &self.popularity, out);
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
    counted: Option<(Part, Neighbours)>,
}

impl<'a> ItemKnn<'a> {
    pub fn new(dataset: &'a Dataset) -> Self {
        Self { dataset, counted: None }
    }
}

/// Memory: the known interactions twice, and K neighbours per item.
fn behaviour(dataset: &Dataset, part: Part) -> Neighbours {
    let users = dataset.sequences.users();
    let width = dataset.items.count() + 1;
    let baskets: Vec<Vec<u32>> = (0..users)
        .into_par_iter()
        .map(|u| {
            let mut items = known(dataset, u, part).to_vec();
            items.sort_unstable();
            items.dedup();
            items
        })
        .collect();
    let mut owners: Vec<Vec<u32>> = vec![Vec::new(); width];
    for (u, basket) in baskets.iter().enumerate() {
        for &item in basket {
            owners[item as usize].push(u as u32);
        }
    }
    let lists = (0..width)
        .into_par_iter()
        .map_init(
            || vec![0u32; width],
            |common, item| {
                let mut met = Vec::new();
                for &user in &owners[item] {
                    for &other in &baskets[user as usize] {
                        if common[other as usize] == 0 {
                            met.push(other);
                        }
                        common[other as usize] += 1;
                    }
                }
                let own = owners[item].len() as f64;
                let cosine = |other: u32| {
                    let both = f64::from(common[other as usize]);
                    let norm = (own * owners[other as usize].len() as f64).sqrt();
                    ((both / (norm + SHRINKAGE)) as f32, other)
                };
                let others = met.iter().filter(|&&other| other as usize != item);
                let list = nearest(others.map(|&other| cosine(other)).collect());
                met.iter().for_each(|&other| common[other as usize] = 0);
                list
            },
        )
        .collect();
    Neighbours::new(lists, &known_counts(dataset, part))
}

impl Scorer for ItemKnn<'_> {
    fn names(&self) -> Vec<String> {
        vec!["item-knn".into()]
    }

    fn items(&self) -> usize {
        self.dataset.items.count()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let part = part_of(self.dataset, targets);
        let (_, neighbours) = match self.counted.take() {
            Some(counted) if counted.0 == part => self.counted.insert(counted),
            _ => self.counted.insert((part, behaviour(self.dataset, part))),
        };
        out.iter_mut().for_each(|out| neighbours.score(self.dataset, targets, out));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::fixtures::{dataset, leave_one_out};

    #[test]
    fn item_knn_equals_the_formula_in_plain_loops() {
        let users: [&[u32]; 5] =
            [&[1, 2, 3, 4, 5], &[2, 4, 3, 1, 2], &[6, 1, 2, 3, 5], &[3, 2, 1, 1, 4], &[6, 5, 4, 2, 1]];
        let data = dataset(7, &leave_one_out(&users));
        for (part, hidden) in [(Part::Valid, 2), (Part::Test, 1)] {
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
                ItemKnn::new(&data).score(&[target], &mut out).unwrap();
                for a in 1..=7u32 {
                    for b in 1..=7u32 {
                        let (x, y) = (formula(a), formula(b));
                        let same = (x - y).abs() < 1e-6;
                        let wanted = if same { count(a) > count(b) } else { x > y };
                        let found = out[0][a as usize] > out[0][b as usize];
                        // Sums of f32 similarities may part what the formula finds equal.
                        assert!(found == wanted || (same && x > 0.0), "{part:?}: {a} and {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_the_nearest_stay_and_ties_go_by_item_number() {
        let many: Vec<(f32, u32)> = (1..=200u32).map(|i| (if i % 2 == 0 { 0.5 } else { 0.25 }, i)).collect();
        let kept = nearest(many);
        assert_eq!(kept.len(), NEIGHBOURS);
        assert_eq!((kept[0], kept[49]), ((0.5, 2), (0.5, 100)));
    }
}
