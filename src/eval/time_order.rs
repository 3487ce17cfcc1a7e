//! How much training knows of what happens after the targets.
//!
//! Leave-one-out predicts each user's last item, whenever that was: training then holds what other users did
//! later. The more of it there is, the further the figures are from those of a service. Reports include it.

use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Part};

/// The largest mean share of training from a target's future without a warning.
const TOLERATED: f64 = 0.01;

/// The order in time of training interactions and the targets of one part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeOrder {
    /// Mean over targets of the share of training interactions that happened later.
    pub later_training: f64,
    /// Share of targets whose item was first trained on at a later time.
    pub items_from_the_future: f64,
    /// Share of targets with the same time as the user's previous interaction: their order is the source's.
    pub same_time_as_history: f64,
}

impl TimeOrder {
    /// Measures a data set; absent without times, targets or training.
    pub fn measure(dataset: &Dataset, part: Part) -> Option<Self> {
        let sequences = &dataset.sequences;
        let mut times = Vec::new();
        for u in 0..sequences.users() {
            times.extend(sequences.train_of(u).iter().zip(sequences.times_of(u)).map(|(_, &time)| time));
        }
        times.sort_unstable();
        let targets = dataset.targets(part);
        if !dataset.timed || targets.is_empty() || times.is_empty() {
            return None;
        }
        let first_seen = dataset.first_training_times();
        let (mut later, mut future, mut same) = (0.0, 0usize, 0usize);
        for target in &targets {
            let own = sequences.times_of(target.user as usize);
            let time = own[target.position as usize];
            later += (times.len() - times.partition_point(|&t| t <= time)) as f64 / times.len() as f64;
            future += usize::from(first_seen[target.item.index()].is_some_and(|first| first > time));
            same += usize::from(target.position > 0 && own[target.position as usize - 1] == time);
        }
        let n = targets.len() as f64;
        Some(Self {
            later_training: later / n,
            items_from_the_future: future as f64 / n,
            same_time_as_history: same as f64 / n,
        })
    }

    /// A warning where training knows the future.
    pub fn warning(&self) -> Option<String> {
        (self.later_training > TOLERATED || self.items_from_the_future > 0.0).then(|| {
            format!(
                "training knows the future: {:.1} % of its interactions happened after the average target, and \
                 {:.1} % of the targets' items were first trained on later than the target; a `global_time` split \
                 has neither",
                100.0 * self.later_training,
                100.0 * self.items_from_the_future
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::split::{CutOff, Split, split};
    use crate::eval::fixtures::dataset;

    #[test]
    fn leave_one_out_is_warned_of_and_a_split_in_time_is_not() {
        // Steps are seconds. The short user's target (second 2) is item 9, first trained on at second 3.
        let long: Vec<(u32, Part)> =
            [1, 2, 3, 9, 5, 6].iter().zip([0, 0, 0, 0, 1, 3]).map(|(&i, p)| (i, part(p))).collect();
        let mut data = dataset(9, &[long, vec![(1, part(0)), (2, part(1)), (9, part(3))]]);
        let order = TimeOrder::measure(&data, Part::Test).unwrap();
        // Training: seconds 0, 1, 2, 3 and 0. After second 5 comes nothing, after second 2 one of five.
        assert!(
            (order.later_training - 0.1).abs() < 1e-12 && (order.items_from_the_future - 0.5).abs() < 1e-12
        );
        assert!(order.warning().unwrap().contains("10.0 %"));
        let moment = |s: i64| CutOff::Date(format!("1970-01-01T00:00:0{s}Z"));
        split(&mut data.sequences, &Split::GlobalTime { valid: moment(1), test: moment(2) }).unwrap();
        let order = TimeOrder::measure(&data, Part::Test).unwrap();
        assert_eq!((order.later_training, order.warning()), (0.0, None));
        data.timed = false;
        assert_eq!(TimeOrder::measure(&data, Part::Test), None);
    }

    fn part(code: u8) -> Part {
        match code {
            0 => Part::Train,
            1 => Part::Valid,
            _ => Part::Test,
        }
    }
}
