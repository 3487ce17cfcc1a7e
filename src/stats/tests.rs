//! Against SciPy and statsmodels (tests/stats_fixtures.py), and by hand.

use serde::Deserialize;

use super::*;
use crate::stats::p_values::t_quantile;

#[derive(Deserialize)]
struct Fixtures {
    paired: Vec<Paired>,
    quantiles: Vec<Quantile>,
    holm: Vec<Corrected>,
    bootstrap: Resampled,
    sign_flips: Flipped,
    layouts: Vec<Layout>,
}

#[derive(Deserialize)]
struct Paired {
    name: String,
    differences: Vec<f64>,
    effect: f64,
    se: f64,
    p: f64,
    interval95: [f64; 2],
    interval90: [f64; 2],
    margin: f64,
    equivalence_p: f64,
    wilcoxon_statistic: f64,
    wilcoxon_p: f64,
}

#[derive(Deserialize)]
struct Quantile {
    df: f64,
    p: f64,
    t: f64,
}

#[derive(Deserialize)]
struct Corrected {
    p: Vec<f64>,
    adjusted: Vec<f64>,
}

#[derive(Deserialize)]
struct Resampled {
    sample: String,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Flipped {
    sample: String,
    p: f64,
}

#[derive(Deserialize)]
struct Layout {
    differences: Vec<Vec<f64>>,
    effect: f64,
    ms_user: f64,
    ms_seed: f64,
    ms_resid: f64,
}

fn fixtures() -> Fixtures {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/stats.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[track_caller]
fn close(what: &str, ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() <= 1e-9 * theirs.abs().max(1e-3), "{what}: {ours}, reference {theirs}");
}

fn sample<'a>(all: &'a Fixtures, name: &str) -> &'a [f64] {
    &all.paired.iter().find(|p| p.name == name).unwrap().differences
}

#[test]
fn paired_tests_intervals_and_equivalence_equal_scipy_and_statsmodels() {
    for case in fixtures().paired {
        let name = &case.name;
        let estimate = Estimate::from_users(&case.differences).unwrap();
        close(name, estimate.effect, case.effect);
        close(name, estimate.se, case.se);
        close(name, estimate.p_value(), case.p);
        for (confidence, theirs) in [(0.95, case.interval95), (0.90, case.interval90)] {
            let ours = estimate.interval(confidence);
            close(name, ours.low, theirs[0]);
            close(name, ours.high, theirs[1]);
        }
        close(name, estimate.equivalence(case.margin).p, case.equivalence_p);
        let ranks = wilcoxon(&case.differences).unwrap();
        close(name, ranks.statistic, case.wilcoxon_statistic);
        close(name, ranks.p, case.wilcoxon_p);
    }
}

#[test]
fn quantiles_of_t_equal_scipy() {
    for case in fixtures().quantiles {
        close(&format!("t({}) at {}", case.df, case.p), t_quantile(case.p, case.df), case.t);
    }
}

#[test]
fn holm_equals_statsmodels() {
    for case in fixtures().holm {
        for (ours, theirs) in holm(&case.p).iter().zip(&case.adjusted) {
            close(&format!("{:?}", case.p), *ours, *theirs);
        }
    }
    assert!(holm(&[]).is_empty());
    let with_nan = holm(&[0.04, f64::NAN]);
    assert!(with_nan[0] == 0.08 && with_nan[1].is_nan());
}

#[test]
fn resampling_equals_scipy_within_its_own_error() {
    let all = fixtures();
    let d = sample(&all, &all.bootstrap.sample);
    let ours = bootstrap(d, 0.95, 20_000, 1).unwrap();
    // A quantile at 0.025 of 20,000 draws has an error of about 2 % of the standard error; four of them.
    let slack = 0.08 * Estimate::from_users(d).unwrap().se;
    assert!((ours.low - all.bootstrap.low).abs() < slack, "{ours:?}");
    assert!((ours.high - all.bootstrap.high).abs() < slack, "{ours:?}");
    let p = sign_flips(sample(&all, &all.sign_flips.sample), 20_000, 1).unwrap();
    let error = (all.sign_flips.p * (1.0 - all.sign_flips.p) / 20_000.0).sqrt();
    assert!((p - all.sign_flips.p).abs() < 4.0 * error + 1e-4, "{p} instead of {}", all.sign_flips.p);
}

#[test]
fn resampling_is_a_pure_function_of_the_seed() {
    let d: Vec<f64> = (0..40).map(|i| f64::from(i % 7) - 2.9).collect();
    let once = |seed| (bootstrap(&d, 0.9, 300, seed).unwrap(), sign_flips(&d, 300, seed).unwrap());
    assert_eq!(once(3), once(3));
    assert_ne!(once(3), once(4));
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(one_thread.install(|| once(3)), once(3));
}

#[test]
fn mean_squares_equal_the_analysis_of_variance_of_statsmodels() {
    for case in fixtures().layouts {
        let fit = TwoWay::fit(&case.differences).unwrap();
        close("effect", fit.effect, case.effect);
        close("user", fit.ms_user, case.ms_user);
        close("seed", fit.ms_seed, case.ms_seed);
        close("residual", fit.ms_resid, case.ms_resid);
        let estimate = fit.estimate();
        let cells = (fit.users * fit.seeds) as f64;
        let plain = fit.ms_user + fit.ms_seed - fit.ms_resid;
        let wanted = plain.max(fit.ms_user).max(fit.ms_seed) / cells;
        close("se", estimate.se.powi(2), wanted);
        assert!(estimate.df > 0.5 * (fit.seeds - 1) as f64 && estimate.df <= 2.0 * fit.users as f64);
    }
}

#[test]
fn training_noise_widens_the_interval_of_the_same_users() {
    let users: Vec<f64> = (0..500).map(|u| f64::from(u % 5) * 0.01).collect();
    let shifted: Vec<Vec<f64>> =
        [-0.1, 0.0, 0.13].iter().map(|shift| users.iter().map(|d| d + shift).collect()).collect();
    let both = TwoWay::fit(&shifted).unwrap().estimate();
    let means: Vec<f64> = (0..500).map(|u| shifted.iter().map(|s| s[u]).sum::<f64>() / 3.0).collect();
    let alone = Estimate::from_users(&means).unwrap();
    assert!((both.effect - alone.effect).abs() < 1e-12);
    assert!(both.se > 20.0 * alone.se && (both.df - 2.0).abs() < 0.1, "{both:?} {alone:?}");
    assert!(both.p_value() > 0.05 && alone.p_value() < 1e-6);
}

fn by_hand(effect: f64, se: f64) -> Estimate {
    let users = Component { variance: se * se, df: 200.0 };
    let seeds = Component { variance: 0.0, df: 1.0 };
    Estimate { effect, se, df: 200.0, users, seeds, least: users }
}

#[test]
fn p_values_and_intervals_of_two_sources_agree() {
    for case in fixtures().layouts {
        let estimate = TwoWay::fit(&case.differences).unwrap().estimate();
        let p = estimate.p_value();
        let interval = estimate.interval(1.0 - p);
        // At confidence 1 - p one end of the interval is 0.
        let end = interval.low.abs().min(interval.high.abs());
        assert!(end < 1e-6, "{interval:?} at p {p}");
        let margin = estimate.effect.abs() + estimate.se;
        let equal = estimate.equivalence(margin).p;
        let interval = estimate.interval(1.0 - 2.0 * equal);
        assert!(
            (interval.high.abs().max(interval.low.abs()) - margin).abs() < 1e-6,
            "{interval:?}, {margin}"
        );
    }
}

#[test]
fn verdicts_follow_the_rule() {
    let rule = Rule::default();
    let judge = |effect: f64, se: f64| {
        let estimate = by_hand(effect, se);
        rule.judge(&estimate, estimate.p_value(), 0.5)
    };
    assert_eq!(judge(0.05, 0.01), Verdict::Helps);
    assert_eq!(judge(-0.05, 0.01), Verdict::Hurts);
    assert_eq!(judge(0.001, 0.002), Verdict::Equivalent);
    assert_eq!(judge(0.006, 0.001), Verdict::Equivalent, "significant, and smaller than the margin of 0.01");
    assert_eq!(judge(0.005, 0.01), Verdict::NoEvidence);
    let estimate = by_hand(0.05, 0.01);
    assert_eq!(rule.judge(&estimate, 0.2, 0.5), Verdict::NoEvidence, "Holm's p counts, not its own");
}

#[test]
fn the_minimum_detectable_effect_is_found_with_the_stated_power() {
    // t(200) at 0.975 and 0.8, from tables.
    let estimate = by_hand(0.0, 0.01);
    let mde = Rule::default().minimum_detectable(&estimate);
    assert!((mde - 0.01 * (1.971_896 + 0.843_417)).abs() < 1e-6, "{mde}");
}

#[test]
fn nothing_differs_and_nothing_is_claimed() {
    let zero = Estimate::from_users(&[0.0; 40]).unwrap();
    assert_eq!((zero.effect, zero.se, zero.p_value()), (0.0, 0.0, 1.0));
    assert_eq!(zero.interval(0.95), Interval { low: 0.0, high: 0.0 });
    assert_eq!(wilcoxon(&[0.0; 40]).unwrap().p, 1.0);
    assert_eq!(sign_flips(&[0.0; 40], 100, 1).unwrap(), 1.0);
    assert_eq!(zero.equivalence(0.1).p, 0.0);
    assert_eq!(zero.equivalence(0.0).p, 1.0);
}

#[test]
fn too_little_and_broken_input_is_an_error() {
    assert_eq!(Estimate::from_users(&[1.0]), Err(StatsError::TooFew { found: 1, needed: 2 }));
    assert_eq!(Estimate::from_users(&[1.0, f64::NAN]), Err(StatsError::NotFinite { place: 1 }));
    assert!(wilcoxon(&[]).is_err() && bootstrap(&[1.0], 0.9, 10, 1).is_err());
    assert!(bootstrap(&[1.0, 2.0], 0.9, 1, 1).is_err() && sign_flips(&[1.0, 2.0], 0, 1).is_err());
    assert!(TwoWay::fit(&[vec![1.0, 2.0]]).is_err());
    let ragged = TwoWay::fit(&[vec![1.0, 2.0], vec![1.0, 2.0, 3.0]]);
    assert_eq!(ragged, Err(StatsError::Ragged { seed: 1, found: 3, expected: 2 }));
}
