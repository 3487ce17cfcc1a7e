//! Repeated studies of known truth: false verdicts stay within their nominal rate, intervals cover as they say.
//!
//! A study has U users and S seeds; its differences are effect + user + seed + residual, residuals shaped like
//! differences of NDCG (mostly zero). Bounds are nominal plus what chance may add in so many repetitions.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

use super::*;

struct Study {
    users: usize,
    seeds: usize,
    effect: f64,
    user_sd: f64,
    seed_sd: f64,
}

/// Mean of the reference in every study; the equivalence margin is a share of it.
const REFERENCE: f64 = 1.0;

impl Study {
    fn draw(&self, repetition: u64) -> Vec<Vec<f64>> {
        let mut rng = ChaCha8Rng::seed_from_u64(17);
        rng.set_stream(repetition);
        let mut uniform = || ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let mut normal = || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
        let users: Vec<f64> = (0..self.users).map(|_| self.user_sd * normal()).collect();
        let seeds: Vec<f64> = (0..self.seeds).map(|_| self.seed_sd * normal()).collect();
        seeds
            .iter()
            .map(|seed| {
                let one = |user: &f64| {
                    // A third of the targets move, as far as a rank within a list of ten can.
                    let moved = normal();
                    self.effect + user + seed + if moved.abs() > 0.97 { moved } else { 0.0 }
                };
                users.iter().map(one).collect()
            })
            .collect()
    }

    /// How often `happens` in `n` repetitions.
    fn rate(&self, n: u64, happens: impl Fn(&[Vec<f64>], u64) -> bool + Sync) -> f64 {
        let count = (0..n).into_par_iter().filter(|&r| happens(&self.draw(r), r)).count();
        count as f64 / n as f64
    }
}

fn seed_mean(differences: &[Vec<f64>]) -> Vec<f64> {
    let s = differences.len() as f64;
    (0..differences[0].len()).map(|u| differences.iter().map(|d| d[u]).sum::<f64>() / s).collect()
}

fn estimate(differences: &[Vec<f64>]) -> Estimate {
    match differences {
        [one] => Estimate::from_users(one).unwrap(),
        several => TwoWay::fit(several).unwrap().estimate(),
    }
}

/// Two standard deviations of a rate near 0.05 in 2000 repetitions are 0.01.
const REPETITIONS: u64 = 2000;

/// Training noise absent, as large as the users' share of the error, and dominating it. The users' share of the
/// standard error of 200 users is about 1 / 14.
const SEED_SDS: [f64; 4] = [0.0, 0.07, 0.14, 0.7];

fn coverage(study: &Study) -> f64 {
    let covered = study.rate(REPETITIONS, |d, _| {
        let interval = estimate(d).interval(0.95);
        interval.low <= study.effect && study.effect <= interval.high
    });
    let Study { seeds, user_sd, seed_sd, .. } = study;
    println!("S = {seeds}, user sd {user_sd}, seed sd {seed_sd}: coverage {covered}");
    covered
}

#[test]
fn intervals_over_users_and_seeds_cover_as_they_say() {
    for (seeds, user_sd) in [(3, 0.6), (3, 0.05), (5, 0.6), (5, 0.05)] {
        for seed_sd in &SEED_SDS[1..] {
            let covered = coverage(&Study { users: 200, seeds, effect: 0.3, user_sd, seed_sd: *seed_sd });
            assert!((covered - 0.95).abs() <= 0.02, "S = {seeds}, seed sd {seed_sd}: {covered}");
        }
    }
}

/// Never below the variance over users: three seeds that happen to agree prove no training noise away.
#[test]
fn intervals_err_on_the_wide_side_where_training_has_no_noise_at_all() {
    for (seeds, user_sd) in [(3, 0.6), (3, 0.05), (5, 0.6), (5, 0.05)] {
        let covered = coverage(&Study { users: 200, seeds, effect: 0.3, user_sd, seed_sd: SEED_SDS[0] });
        assert!((0.95..0.99).contains(&covered), "S = {seeds}, user sd {user_sd}: {covered}");
    }
}

#[test]
fn intervals_over_users_cover_as_they_say() {
    let study = Study { users: 200, seeds: 1, effect: 0.3, user_sd: 0.6, seed_sd: 0.0 };
    for confidence in [0.9, 0.95] {
        let t = study.rate(REPETITIONS, |d, _| {
            let interval = estimate(d).interval(confidence);
            interval.low <= 0.3 && 0.3 <= interval.high
        });
        let resampled = study.rate(600, |d, r| {
            let interval = bootstrap(&d[0], confidence, 400, r).unwrap();
            interval.low <= 0.3 && 0.3 <= interval.high
        });
        println!("{confidence}: t {t}, bootstrap {resampled}");
        assert!((t - confidence).abs() <= 0.02 && (resampled - confidence).abs() <= 0.02, "{t} {resampled}");
    }
}

#[test]
fn no_effect_is_called_one_within_the_nominal_rate() {
    let rule = Rule { margin: 0.0, ..Rule::default() };
    for (seeds, seed_sd) in [(1, 0.0), (3, 0.0), (3, 0.07), (3, 0.7), (5, 0.14)] {
        let study = Study { users: 200, seeds, effect: 0.0, user_sd: 0.6, seed_sd };
        let called = study.rate(REPETITIONS, |d, _| {
            let estimate = estimate(d);
            rule.judge(&estimate, estimate.p_value(), REFERENCE) != Verdict::NoEvidence
        });
        println!("S = {seeds}, seed sd {seed_sd}: false verdicts {called}");
        assert!(called <= 0.05 + 0.02, "S = {seeds}, seed sd {seed_sd}: {called}");
    }
}

#[test]
fn users_alone_would_call_training_noise_an_effect() {
    let study = Study { users: 200, seeds: 3, effect: 0.0, user_sd: 0.6, seed_sd: 0.14 };
    let called = study.rate(500, |d, _| Estimate::from_users(&seed_mean(d)).unwrap().p_value() < 0.05);
    assert!(called > 0.2, "{called}");
}

#[test]
fn an_effect_of_the_margins_size_is_called_equivalent_within_the_nominal_rate() {
    let rule = Rule { margin: 0.2, ..Rule::default() };
    for (seeds, seed_sd) in [(1, 0.0), (3, 0.0), (3, 0.05)] {
        let study = Study { users: 400, seeds, effect: 0.2, user_sd: 0.6, seed_sd };
        let equal = study
            .rate(REPETITIONS, |d, _| estimate(d).equivalence(rule.margin_of(REFERENCE)).p < rule.alpha());
        println!("S = {seeds}, seed sd {seed_sd}: false equivalence {equal}");
        assert!(equal <= 0.05 + 0.02, "{equal}");
    }
}

#[test]
fn holm_keeps_the_rate_of_any_false_call_among_five() {
    let study = Study { users: 100, seeds: 5, effect: 0.0, user_sd: 0.6, seed_sd: 0.0 };
    // The five rows share their users, so that the five questions depend on each other, as contrasts do.
    let any = |d: &[Vec<f64>], corrected: bool| {
        let p: Vec<f64> = d.iter().map(|d| Estimate::from_users(d).unwrap().p_value()).collect();
        (if corrected { holm(&p) } else { p }).iter().any(|&p| p < 0.05)
    };
    let corrected = study.rate(REPETITIONS, |d, _| any(d, true));
    let plain = study.rate(REPETITIONS, |d, _| any(d, false));
    assert!(corrected <= 0.05 + 0.015 && plain > 0.1, "{corrected}, without correction {plain}");
}

#[test]
fn wilcoxon_and_sign_flips_are_uniform_without_effect() {
    let study = Study { users: 60, seeds: 1, effect: 0.0, user_sd: 0.0, seed_sd: 0.0 };
    for alpha in [0.05, 0.2, 0.5] {
        let ranks = study.rate(1000, |d, _| wilcoxon(&d[0]).unwrap().p <= alpha);
        let signs = study.rate(1000, |d, r| sign_flips(&d[0], 500, r).unwrap() <= alpha);
        // Three standard deviations of a rate in 1000 repetitions.
        let slack = 3.0 * (alpha * (1.0 - alpha) / 1000.0f64).sqrt();
        assert!((ranks - alpha).abs() <= slack + 0.01, "Wilcoxon at {alpha}: {ranks}");
        assert!((signs - alpha).abs() <= slack + 0.01, "sign flips at {alpha}: {signs}");
    }
}

#[test]
fn an_effect_of_the_minimum_detectable_size_is_found_as_often_as_promised() {
    let rule = Rule::default();
    let mde = {
        let study = Study { users: 400, seeds: 1, effect: 0.0, user_sd: 0.6, seed_sd: 0.0 };
        let all: Vec<f64> = (0..200).map(|r| rule.minimum_detectable(&estimate(&study.draw(r)))).collect();
        all.iter().sum::<f64>() / 200.0
    };
    let study = Study { users: 400, seeds: 1, effect: mde, user_sd: 0.6, seed_sd: 0.0 };
    let found = study.rate(1000, |d, _| estimate(d).p_value() < 0.05);
    assert!((found - rule.power).abs() < 0.04, "{found}");
}
