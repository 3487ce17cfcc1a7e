//! How an item without a vector in some branch is scored among items that have all.
//!
//! Shapes: `B` branches, `I` items.

/// The way in which scores of items that lack a branch are carried over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Calibration {
    /// The mean z-score over the item's branches, spread as the trained items' mean over all branches is.
    #[default]
    Zscore,
    /// The mean over all branches, as if the absent branch had given the item its mean z-score over the others.
    Impute,
    /// The mean over the item's branches.
    Off,
}

/// One history's scores under each branch.
pub(super) struct BranchScores<'s> {
    /// `[B][I + 1]`
    pub scores: Vec<&'s [f32]>,
    /// Whether each branch has a vector of any item of the history.
    pub knows: Vec<bool>,
}

impl BranchScores<'_> {
    /// Whether any branch knows the user.
    pub fn any_knows(&self) -> bool {
        self.knows.iter().any(|&known| known)
    }

    /// Means of all items over the chosen branches, `[I + 1]`.
    pub fn mean(&self, chosen: &[bool], out: &mut [f32]) {
        let n = chosen.iter().filter(|&&chosen| chosen).count().max(1) as f32;
        out.fill(0.0);
        for (scores, _) in self.scores.iter().zip(chosen).filter(|(_, chosen)| **chosen) {
            out.iter_mut().zip(*scores).for_each(|(o, s)| *o += s);
        }
        out.iter_mut().for_each(|o| *o /= n);
    }

    fn spreads(&self, reference: &[bool]) -> Vec<Spread> {
        self.scores.iter().map(|scores| Spread::new(scores, reference)).collect()
    }

    /// Mean z-score of an item over the `used` branches.
    fn zscore(&self, item: usize, used: &[bool], spreads: &[Spread]) -> f64 {
        let n = count(used) as f64;
        let branches = (0..self.scores.len()).filter(|&b| used[b]);
        branches.map(|b| spreads[b].zscore(self.scores[b][item])).sum::<f64>() / n
    }
}

impl Calibration {
    /// Scores of `items`, which have vectors in the `used` branches only. `ensemble` are the scores of all items under all
    /// branches that know the user, `reference` flags the items that calibration goes by; both have I + 1 entries.
    pub(super) fn scores(
        self,
        ensemble: &[f32],
        branches: &BranchScores<'_>,
        used: &[bool],
        reference: &[bool],
        items: &[usize],
    ) -> Vec<f32> {
        if count(used) == 0 {
            return vec![f32::NEG_INFINITY; items.len()];
        }
        if used == branches.knows || self == Self::Off || !reference.contains(&true) {
            let mut mean = vec![0.0; ensemble.len()];
            branches.mean(used, &mut mean);
            return items.iter().map(|&item| mean[item]).collect();
        }
        let spreads = branches.spreads(reference);
        if self == Self::Impute {
            return items.iter().map(|&item| imputed_mean(branches, used, &spreads, item)).collect();
        }
        let z: Vec<f32> =
            (0..ensemble.len()).map(|item| branches.zscore(item, used, &spreads) as f32).collect();
        let (z_spread, ensemble_spread) = (Spread::new(&z, reference), Spread::new(ensemble, reference));
        let score = |&item: &usize| ensemble_spread.score(z_spread.zscore(z[item])) as f32;
        items.iter().map(score).collect()
    }
}

/// Mean over the branches that know the user, where those that lack the item give it its mean z-score over the others.
fn imputed_mean(branches: &BranchScores<'_>, used: &[bool], spreads: &[Spread], item: usize) -> f32 {
    let z = branches.zscore(item, used, spreads);
    let known = (0..branches.scores.len()).filter(|&b| branches.knows[b]);
    let scores =
        known.map(|b| if used[b] { f64::from(branches.scores[b][item]) } else { spreads[b].score(z) });
    (scores.sum::<f64>() / count(&branches.knows) as f64) as f32
}

fn count(flags: &[bool]) -> usize {
    flags.iter().filter(|&&flag| flag).count()
}

/// Mean and standard deviation of the reference items' scores.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    mean: f64,
    sd: f64,
}

impl Spread {
    fn new(scores: &[f32], reference: &[bool]) -> Self {
        let kept = || scores.iter().zip(reference).filter(|(_, kept)| **kept).map(|(&s, _)| f64::from(s));
        let n = kept().count().max(1) as f64;
        let mean = kept().sum::<f64>() / n;
        let sd = (kept().map(|s| (s - mean).powi(2)).sum::<f64>() / n).sqrt();
        Self { mean, sd }
    }

    /// The z-score of a score; 0 where all reference items score the same.
    fn zscore(&self, score: f32) -> f64 {
        if self.sd > 0.0 { (f64::from(score) - self.mean) / self.sd } else { 0.0 }
    }

    /// The score that has a z-score.
    fn score(&self, z: f64) -> f64 {
        self.mean + self.sd * z
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// The reference is written with plain sums over lists.
        #[test]
        fn carried_scores_have_the_trained_items_mean_and_spread(
            z in proptest::collection::vec(-3.0f32..3.0, 8..30),
        ) {
            let n = z.len();
            let reference: Vec<bool> = (0..n).map(|i| i > 0 && i % 3 != 0).collect();
            let spread = Spread::new(&z, &reference);
            let kept: Vec<f64> = (0..n).filter(|i| reference[*i]).map(|i| f64::from(z[i])).collect();
            let mean = kept.iter().sum::<f64>() / kept.len() as f64;
            let variance = kept.iter().map(|v| v * v).sum::<f64>() / kept.len() as f64 - mean * mean;
            proptest::prop_assert!((spread.mean - mean).abs() < 1e-9);
            proptest::prop_assert!((spread.sd * spread.sd - variance).abs() < 1e-6);
            let zscores: Vec<f64> =
                (0..n).filter(|i| reference[*i]).map(|i| spread.zscore(z[i])).collect();
            proptest::prop_assert!(zscores.iter().sum::<f64>().abs() < 1e-6);
        }
    }

    #[test]
    fn the_mean_is_taken_over_the_chosen_branches_alone() {
        let mut out = vec![9.0; 2];
        let scores: Vec<&[f32]> = vec![&[1.0, 2.0], &[5.0, 5.0], &[3.0, 4.0]];
        BranchScores { scores, knows: vec![true; 3] }.mean(&[true, false, true], &mut out);
        assert_eq!(out, [2.0, 3.0]);
    }
}
