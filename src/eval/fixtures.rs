//! Small data sets and scorers for the tests of this module.

use super::scorer::{ScoreError, Scorer};
use crate::data::{Dataset, Items, MICROS, Part, Sequences, Target, TrainedOn};

/// A data set of `items` items; each user is a list of (item, part), a step a second.
pub fn dataset(items: usize, users: &[Vec<(u32, Part)>]) -> Dataset {
    let mut sequences = Sequences { offsets: vec![0], ..Sequences::default() };
    for user in users {
        for (step, &(item, part)) in user.iter().enumerate() {
            sequences.items.push(item);
            sequences.times.push(step as i64 * MICROS);
            sequences.parts.push(part);
        }
        sequences.offsets.push(sequences.items.len());
    }
    let ids = (0..=items).map(|i| if i == 0 { String::new() } else { format!("i{i}") }).collect();
    let empty = vec![String::new(); items + 1];
    let items = Items {
        ids,
        titles: empty.clone(),
        texts: empty.clone(),
        categories: empty.clone(),
        images: empty,
        ..Items::default()
    };
    let names = (0..users.len()).map(|u| format!("u{u}")).collect();
    Dataset {
        users: names,
        items,
        sequences,
        timed: true,
        hash: "hash".into(),
        trained_on: TrainedOn::default(),
    }
}

/// The last item of each user is the test target, the one before it the validation target.
pub fn leave_one_out(users: &[&[u32]]) -> Vec<Vec<(u32, Part)>> {
    let part = |left: usize| match left {
        1 => Part::Test,
        2 => Part::Valid,
        _ => Part::Train,
    };
    users.iter().map(|u| u.iter().enumerate().map(|(i, &item)| (item, part(u.len() - i))).collect()).collect()
}

/// Scores given in advance: `[users, I + 1]` per name, looked up by the target's user.
pub struct Table {
    pub items: usize,
    pub scores: Vec<(String, Vec<Vec<f32>>)>,
}

impl Scorer for Table {
    fn names(&self) -> Vec<String> {
        self.scores.iter().map(|(name, _)| name.clone()).collect()
    }

    fn items(&self) -> usize {
        self.items
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        for (out, (_, scores)) in out.iter_mut().zip(&self.scores) {
            *out = targets.iter().flat_map(|t| scores[t.user as usize].iter().copied()).collect();
        }
        Ok(())
    }
}
