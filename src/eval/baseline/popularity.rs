//! Popularity baselines: over all training interactions, and over recent ones.

use super::{Counted, Terms, Unscored, known, known_counts};
use crate::data::{Dataset, Part, Target};
use crate::eval::scorer::{ScoreError, Scorer};

/// Scores every item by its count.
pub struct Popularity<'a> {
    dataset: &'a Dataset,
    terms: Terms,
    counted: Counted<Vec<f32>>,
}

impl<'a> Popularity<'a> {
    pub fn new(dataset: &'a Dataset, terms: Terms) -> Self {
        Self { dataset, terms, counted: Counted::nothing() }
    }
}

impl Scorer for Popularity<'_> {
    fn names(&self) -> Vec<String> {
        vec![self.terms.name("popularity")]
    }

    fn items(&self) -> usize {
        self.dataset.items.count()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let (dataset, Terms { known, unscored, .. }) = (self.dataset, self.terms);
        let scores = self.counted.get(dataset, targets, known, |end| {
            known_counts(dataset, end).into_iter().map(|count| score(count, 1.0, unscored)).collect()
        });
        for out in out {
            out.clear();
            for _ in targets {
                out.extend_from_slice(scores);
            }
        }
        Ok(())
    }
}

/// A count in units of `unit`, or the score of what was never counted.
fn score(count: u32, unit: f32, unscored: Unscored) -> f32 {
    if count == 0 && unscored == Unscored::Missed { f32::NEG_INFINITY } else { count as f32 / unit }
}

/// Number of slices of equal size into which the known interactions are divided, in time order.
const SLICES: usize = 100;
/// Number of whole slices before a target that are its recent past.
const RECENT: usize = 5;

/// Every item by its count in the newest twentieth of what was known when the target happened; ties go by the
/// overall count.
///
/// Only whole slices that end before the target are counted, so that a target sees nothing of its own moment or
/// later; before the first slices have passed the overall count alone decides.
pub struct RecentPopularity<'a> {
    dataset: &'a Dataset,
    terms: Terms,
    counted: Counted<Timeline>,
}

impl<'a> RecentPopularity<'a> {
    pub fn new(dataset: &'a Dataset, terms: Terms) -> Self {
        Self { dataset, terms, counted: Counted::nothing() }
    }
}

/// Known interactions in time order.
struct Timeline {
    items: Vec<u32>,
    /// Time of the last interaction of each slice.
    ends: Vec<i64>,
    /// Share of the largest count, below 1: decides between equal recent counts only.
    overall: Vec<f32>,
}

impl Timeline {
    fn new(dataset: &Dataset, end: Part, unscored: Unscored) -> Self {
        let mut events: Vec<(i64, u32)> = Vec::new();
        for u in 0..dataset.sequences.users() {
            let times = dataset.sequences.times_of(u).iter().copied();
            events.extend(times.zip(known(dataset, u, end).iter().copied()));
        }
        events.sort_unstable();
        let after = |slice: usize| (slice + 1) * events.len() / SLICES;
        let ends = (0..SLICES).filter(|&s| after(s) > 0).map(|s| events[after(s) - 1].0).collect();
        let counts = known_counts(dataset, end);
        let most = counts.iter().copied().max().unwrap_or(0) as f32 + 1.0;
        Self {
            items: events.iter().map(|e| e.1).collect(),
            ends,
            overall: counts.iter().map(|&c| score(c, most, unscored)).collect(),
        }
    }

    /// Number of slices, from the first, that lie wholly before `time`.
    fn slices_before(&self, time: i64) -> usize {
        // Empty slices of a tiny log come first and lie before everything.
        SLICES - self.ends.len() + self.ends.partition_point(|&end| end < time)
    }

    /// Scores for a target that `slices` whole slices precede.
    fn scores(&self, slices: usize) -> Vec<f32> {
        let place = |slice: usize| slice * self.items.len() / SLICES;
        let mut scores = self.overall.clone();
        if slices > 0 {
            for &item in &self.items[place(slices.saturating_sub(RECENT))..place(slices)] {
                scores[item as usize] += 1.0;
            }
        }
        scores
    }
}

impl Scorer for RecentPopularity<'_> {
    fn names(&self) -> Vec<String> {
        vec![self.terms.name("recent-popularity")]
    }

    fn items(&self) -> usize {
        self.dataset.items.count()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let (dataset, Terms { known, unscored, .. }) = (self.dataset, self.terms);
        let timeline = self.counted.get(dataset, targets, known, |end| Timeline::new(dataset, end, unscored));
        let moment = |t: &Target| {
            timeline.slices_before(self.dataset.sequences.times_of(t.user as usize)[t.position as usize])
        };
        let mut moments: Vec<(usize, usize)> =
            targets.iter().enumerate().map(|(row, t)| (moment(t), row)).collect();
        moments.sort_unstable();
        let width = self.dataset.items.count() + 1;
        for out in out {
            out.resize(targets.len() * width, 0.0);
            for same in moments.chunk_by(|a, b| a.0 == b.0) {
                let scores = timeline.scores(same[0].0);
                for &(_, row) in same {
                    out[row * width..(row + 1) * width].copy_from_slice(&scores);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::fixtures::{dataset, leave_one_out};

    fn scores(scorer: &mut dyn Scorer, dataset: &Dataset, part: Part) -> Vec<f32> {
        let mut out = vec![vec![7.0; 3]];
        scorer.score(&dataset.targets(part)[..1], &mut out).unwrap();
        out.remove(0)
    }

    #[test]
    fn popularity_counts_validation_items_for_test_targets_only_and_only_if_told_to() {
        let data = dataset(4, &leave_one_out(&[&[1, 2, 1, 3, 4], &[2, 1, 3, 4]]));
        let found = |terms, part| scores(&mut Popularity::new(&data, terms), &data, part);
        let (equal, more) = (Terms::default(), Terms::default().knowing_validation());
        assert_eq!(found(equal, Part::Valid), [0.0, 3.0, 2.0, 0.0, 0.0]);
        assert_eq!(found(equal, Part::Test), [0.0, 3.0, 2.0, 0.0, 0.0]);
        assert_eq!(found(more, Part::Valid), [0.0, 3.0, 2.0, 0.0, 0.0]);
        assert_eq!(found(more, Part::Test), [0.0, 3.0, 2.0, 2.0, 0.0]);
        let none = f32::NEG_INFINITY;
        let missed = Terms { unscored: Unscored::Missed, ..equal };
        assert_eq!(found(missed, Part::Test), [none, 3.0, 2.0, none, none]);
    }

    #[test]
    fn recent_popularity_counts_the_training_part_unless_it_is_told_more() {
        // 100 interactions in training, one a slice; the validation items are all 3 and come before the test targets.
        let user = |first: u32| {
            let train = (0..50).map(move |_| (first, Part::Train));
            train.chain([(3, Part::Valid), (4, Part::Test)]).collect::<Vec<_>>()
        };
        let data = dataset(4, &[user(1), user(2)]);
        let found = |terms, part| scores(&mut RecentPopularity::new(&data, terms), &data, part);
        let (equal, more) = (Terms::default(), Terms::default().knowing_validation());
        assert_eq!(found(equal, Part::Valid)[3], 0.0);
        assert_eq!(found(equal, Part::Test)[3], 0.0);
        assert_eq!(found(more, Part::Valid), found(equal, Part::Valid));
        assert!(found(more, Part::Test)[3] > 0.0);
    }

    #[test]
    fn recent_popularity_knows_only_the_slices_before_the_target() {
        // The first user turns from item 1 to item 2; the second has item 3 all along, a step a second.
        let turned = (0..200).map(|t| (if t < 150 { 1 } else { 2 }, Part::Train)).collect();
        let constant = (0..199).map(|_| (3, Part::Train)).chain([(4, Part::Test)]).collect();
        let data = dataset(4, &[turned, constant, vec![(3, Part::Train), (4, Part::Test)]]);
        let mut scorer = RecentPopularity::new(&data, Terms::default());
        let targets = data.targets(Part::Test);
        let mut out = vec![Vec::new()];
        scorer.score(&targets, &mut out).unwrap();
        let (late, early) = out[0].split_at(5);
        // 400 interactions in 100 slices of four, two of them of user 0: the last five whole slices before
        // second 199 hold ten of item 2 and ten of item 3; nobody has a whole slice before second 1.
        assert_eq!((late[1].floor(), late[2].floor(), late[3].floor()), (0.0, 10.0, 10.0));
        assert!(late[3] > late[2], "ties go by the overall count");
        assert!(early.iter().all(|&s| s < 1.0) && early[3] > early[1]);
    }
}
