//! Which interactions make up the training part: that of the split, or more of them.
//!
//! A model that was chosen on the validation part can be trained anew on that part too, and on all there is once nothing is
//! left to be measured. Whoever reads the training part (windows, counts, baselines, rules for cold items) follows from
//! the parts of the sequences, so that they are changed here and nowhere else.

use super::{Dataset, Part, TrainedOn};
use crate::config::TrainParts;

impl Dataset {
    /// Makes the interactions of `parts` the training part. What was a target of the added parts is none any more. The data
    /// set's hash stays, which says what was read and not what it was read for.
    pub fn train_on(&mut self, parts: TrainParts) {
        let split_in_time = self.is_split_in_time();
        let first_left = match parts {
            TrainParts::Train => return,
            TrainParts::TrainValid => Some(Part::Test),
            TrainParts::All => None,
        };
        for part in &mut self.sequences.parts {
            if first_left.is_none_or(|left| *part < left) {
                *part = Part::Train;
            }
        }
        self.trained_on = TrainedOn { parts, split_in_time };
    }

    /// Whether parts follow moments in the log instead of each user's last items: only then something stands between or
    /// behind the targets.
    pub fn is_split_in_time(&self) -> bool {
        let apart = |part: &Part| matches!(part, Part::History | Part::Unused);
        self.trained_on.split_in_time || self.sequences.parts.iter().any(apart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::fixtures::dataset;
    use Part::{History, Test, Train, Unused, Valid};

    #[test]
    fn the_training_part_grows_by_what_comes_before_the_test_targets_or_by_everything() {
        let users = [
            vec![(1, Train), (2, Train), (3, Valid), (4, Test)],
            vec![(2, Train), (5, Valid), (1, History), (3, Test), (4, Unused)],
            vec![(3, History), (2, Test)],
            vec![(4, Train)],
        ];
        let on = |parts| {
            let mut data = dataset(5, &users);
            data.train_on(parts);
            data
        };
        let own = on(TrainParts::Train);
        assert_eq!(own, dataset(5, &users));
        let more = on(TrainParts::TrainValid);
        let trained: Vec<&[u32]> = (0..4).map(|u| more.sequences.train_of(u)).collect();
        assert_eq!(trained, [&[1, 2, 3][..], &[2, 5, 1], &[3], &[4]]);
        assert_eq!(more.train_counts(), [0, 2, 2, 2, 1, 1]);
        assert!(more.targets(Valid).is_empty());
        assert_eq!(more.targets(Test), own.targets(Test), "with the histories that they had");
        let all = on(TrainParts::All);
        assert!((0..4).all(|u| all.sequences.train_of(u) == all.sequences.items_of(u)));
        assert!(all.targets(Test).is_empty());
        assert!([&own, &more, &all].iter().all(|data| data.hash == own.hash && data.is_split_in_time()));
        let mut last = dataset(4, &users[..1]);
        last.train_on(TrainParts::TrainValid);
        assert!(!last.is_split_in_time());
    }
}
