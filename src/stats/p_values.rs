//! Tail probabilities behind p values, and Holm's correction for several tests.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Student's t distribution with `df` degrees of freedom; `None` where there is none.
fn student(df: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, df).ok()
}

/// P(T > t) of Student's t; NaN without degrees of freedom.
pub fn t_upper(t: f64, df: f64) -> f64 {
    student(df).map_or(f64::NAN, |d| d.sf(t))
}

/// The t with P(T < t) = `p`, for 0 < p < 1; else NaN.
pub fn t_quantile(p: f64, df: f64) -> f64 {
    if !(p > 0.0 && p < 1.0) {
        return f64::NAN;
    }
    let Some(distribution) = student(df) else { return f64::NAN };
    let start = distribution.inverse_cdf(p);
    // The library's inverse has about six digits; two Newton steps give the others.
    (0..2).fold(start, |t, _| {
        let slope = statrs::distribution::Continuous::pdf(&distribution, t);
        let step = (distribution.cdf(t) - p) / slope;
        if step.is_finite() { t - step } else { t }
    })
}

/// P(|Z| > |z|) of the standard normal distribution.
pub fn normal_two_sided(z: f64) -> f64 {
    (2.0 * Normal::standard().sf(z.abs())).min(1.0)
}

/// Holm's step-down p values, in the order of `p`.
///
/// Rejecting where the result is below alpha makes any false rejection with probability at most alpha, whatever the
/// dependence between the tests. NaN stays NaN and counts as a test.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![f64::NAN; p.len()];
    let mut largest: f64 = 0.0;
    for (place, &i) in order.iter().enumerate() {
        if p[i].is_nan() {
            continue;
        }
        largest = largest.max(((p.len() - place) as f64 * p[i]).min(1.0));
        adjusted[i] = largest;
    }
    adjusted
}
