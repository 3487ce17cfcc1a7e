//! Student's t and the normal distribution. What has no answer (no degree of freedom) is NaN.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

fn student(df: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, df).ok()
}

/// P(T > t).
pub fn t_upper(t: f64, df: f64) -> f64 {
    student(df).map_or(f64::NAN, |d| d.sf(t))
}

/// The t that T stays below with probability `p`, for 0 < p < 1.
pub fn t_quantile(p: f64, df: f64) -> f64 {
    if !(p > 0.0 && p < 1.0) {
        return f64::NAN;
    }
    let Some(distribution) = student(df) else { return f64::NAN };
    let start = distribution.inverse_cdf(p);
    // The library's inverse is good to about six digits; two steps of Newton give the rest.
    (0..2).fold(start, |t, _| {
        let slope = statrs::distribution::Continuous::pdf(&distribution, t);
        let step = (distribution.cdf(t) - p) / slope;
        if step.is_finite() { t - step } else { t }
    })
}

/// P(|Z| > |z|).
pub fn normal_two_sided(z: f64) -> f64 {
    (2.0 * Normal::standard().sf(z.abs())).min(1.0)
}
