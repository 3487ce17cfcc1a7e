//! The contrast of one condition with the reference: differences per user and their statistics.

use serde::Serialize;

use super::group::Group;
use super::metric::Metric;
use super::run::Run;
use super::{CompareError, Options};
use crate::eval::Row;
use crate::stats::{
    Estimate, Interval, MIN_USERS, TwoWay, Verdict, Wilcoxon, bootstrap, sign_flips, wilcoxon,
};

/// The sources of error that interval and verdict contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Users and training seeds, both random.
    UsersAndSeeds,
    /// Users only, because nothing was trained.
    Users,
    /// Users only, with one training each: no verdict.
    SingleRun,
}

/// How the runs of the two sides were paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    /// By equal seeds.
    Seed,
    /// In ascending order of seeds that differ.
    Order,
    /// One side was not trained: its only run is paired with every run of the other.
    Broadcast,
}

/// Statistics of a condition compared with the reference. Differences are condition minus reference.
#[derive(Clone, Debug, Serialize)]
pub struct Contrast {
    pub condition: String,
    pub reference: String,
    pub basis: Basis,
    pub pairing: Pairing,
    pub users: usize,
    pub seeds: usize,
    pub reference_mean: f64,
    pub condition_mean: f64,
    pub estimate: Estimate,
    /// Effect as a share of the reference's mean; absent where that is 0.
    pub relative: Option<f64>,
    pub interval: Interval,
    pub p: f64,
    /// Corrected over all contrasts of the comparison.
    pub p_holm: f64,
    /// Largest difference that counts as equal, in the metric's unit.
    pub margin: f64,
    pub p_equivalence: f64,
    /// The smallest effect that this comparison would have detected with the rule's power (0.8 by default).
    pub minimum_detectable: f64,
    pub verdict: Verdict,
    /// Mean difference of each pair of runs.
    #[serde(rename = "by_seed")]
    pub pair_effects: Vec<f64>,
    /// Tests that hold for these trained models, without training noise.
    pub given_these_models: GivenModels,
}

/// Tests over users on the mean over seeds.
#[derive(Clone, Debug, Serialize)]
pub struct GivenModels {
    pub bootstrap: Interval,
    pub p_sign_flips: f64,
    pub p_t: f64,
    pub wilcoxon: Wilcoxon,
}

/// The mean of a metric over each user's targets, in order of the user number.
pub fn user_means(rows: &[Row], metric: Metric) -> Vec<f64> {
    let mut values: Vec<(u32, f64)> = rows.iter().map(|row| (row.user, metric.value(row.rank))).collect();
    // A stable sort keeps the order of a user's targets, and with it the bits of the sum.
    values.sort_by_key(|v| v.0);
    values
        .chunk_by(|a, b| a.0 == b.0)
        .map(|own| own.iter().map(|v| v.1).sum::<f64>() / own.len() as f64)
        .collect()
}

/// The pairs of runs (reference, condition), and the rule that paired them.
pub fn pair<'a>(reference: &'a Group, condition: &'a Group) -> (Vec<(&'a Run, &'a Run)>, Pairing) {
    let (a, b) = (&reference.runs, &condition.runs);
    match (reference.trained(), condition.trained()) {
        (true, true) => {
            let common: Vec<(&Run, &Run)> =
                a.iter().filter_map(|x| Some((x, b.iter().find(|y| y.seed == x.seed)?))).collect();
            let fewer = a.len().min(b.len());
            if common.len() == fewer {
                (common, Pairing::Seed)
            } else {
                (a.iter().zip(b).collect(), Pairing::Order)
            }
        }
        (true, false) => (a.iter().filter_map(|x| b.first().map(|y| (x, y))).collect(), Pairing::Broadcast),
        (false, _) => (b.iter().filter_map(|y| a.first().map(|x| (x, y))).collect(), Pairing::Broadcast),
    }
}

/// Differences of each pair s and user u, `[s][u]`.
fn differences(pairs: &[(&Run, &Run)], metric: Metric) -> Vec<Vec<f64>> {
    let one = |(a, b): &(&Run, &Run)| -> Vec<f64> {
        user_means(&b.rows, metric).iter().zip(user_means(&a.rows, metric)).map(|(b, a)| b - a).collect()
    };
    pairs.iter().map(one).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Contrasts `condition` with `reference`; `p_holm` and the verdict are provisional until [`settle`].
///
/// # Errors
/// A statistic can't be computed, e.g. of a single user.
pub fn contrast(reference: &Group, condition: &Group, options: &Options) -> Result<Contrast, CompareError> {
    let what = format!("{} against {}", condition.label, reference.label);
    let stats = |source| CompareError::Stats { what: what.clone(), source };
    let metric = options.metric;
    let (pairs, pairing) = pair(reference, condition);
    let d = differences(&pairs, metric);
    let users = d.first().map_or(0, Vec::len);
    let seed_mean: Vec<f64> =
        (0..users).map(|u| d.iter().map(|s| s[u]).sum::<f64>() / d.len() as f64).collect();
    let user_estimate = Estimate::from_users(&seed_mean).map_err(stats)?;
    let (basis, estimate) = if !reference.trained() && !condition.trained() {
        (Basis::Users, user_estimate)
    } else if d.len() == 1 {
        (Basis::SingleRun, user_estimate)
    } else {
        (Basis::UsersAndSeeds, TwoWay::fit(&d).map_err(stats)?.estimate())
    };
    let reference_mean =
        mean(&pairs.iter().map(|p| mean(&user_means(&p.0.rows, metric))).collect::<Vec<f64>>());
    let rule = &options.rule;
    let margin = rule.margin_of(reference_mean);
    let p = estimate.p_value();
    let given_these_models = GivenModels {
        bootstrap: bootstrap(&seed_mean, rule.confidence, options.draws, options.seed).map_err(stats)?,
        p_sign_flips: sign_flips(&seed_mean, options.draws, options.seed).map_err(stats)?,
        p_t: user_estimate.p_value(),
        wilcoxon: wilcoxon(&seed_mean).map_err(stats)?,
    };
    let identical = pairs.iter().all(|(a, b)| a.rows.iter().zip(&b.rows).all(|(x, y)| x.rank == y.rank));
    let verdict = if users < MIN_USERS {
        Verdict::TooFewUsers
    } else if identical {
        Verdict::Identical
    } else if basis == Basis::SingleRun {
        Verdict::SingleRun
    } else {
        Verdict::NoEvidence
    };
    Ok(Contrast {
        condition: condition.label.clone(),
        reference: reference.label.clone(),
        basis,
        pairing,
        users,
        seeds: d.len(),
        reference_mean,
        condition_mean: reference_mean + estimate.effect,
        relative: (reference_mean != 0.0).then(|| estimate.effect / reference_mean),
        interval: estimate.interval(rule.confidence),
        p,
        p_holm: p,
        margin,
        p_equivalence: estimate.equivalence(margin).p,
        minimum_detectable: rule.minimum_detectable(&estimate),
        verdict,
        pair_effects: d.iter().map(|s| mean(s)).collect(),
        estimate,
        given_these_models,
    })
}

/// Corrects the p values over all contrasts and sets the verdicts.
pub fn settle(contrasts: &mut [Contrast], options: &Options) {
    let p: Vec<f64> = contrasts.iter().map(|c| c.p).collect();
    for (contrast, p_holm) in contrasts.iter_mut().zip(crate::stats::holm(&p)) {
        contrast.p_holm = p_holm;
        if contrast.verdict == Verdict::NoEvidence {
            contrast.verdict = options.rule.judge(&contrast.estimate, p_holm, contrast.reference_mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_targets_are_averaged_before_users_are() {
        let row = |user, rank| Row { user, rank, ..Row::default() };
        let rows = [row(3, 1.0), row(1, f64::INFINITY), row(3, 20.0)];
        assert_eq!(user_means(&rows, "recall@10".parse().unwrap()), [0.0, 0.5]);
    }
}
