//! Times of many steps in a few numbers.

use crate::stats::quantile;

/// Quantiles of the seconds of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub median: f64,
    pub p10: f64,
    pub p90: f64,
}

impl Summary {
    /// All NaN without times.
    pub fn new(seconds: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = seconds.collect();
        if sorted.is_empty() {
            return Self { median: f64::NAN, p10: f64::NAN, p90: f64::NAN };
        }
        sorted.sort_by(f64::total_cmp);
        Self { median: quantile(&sorted, 0.5), p10: quantile(&sorted, 0.1), p90: quantile(&sorted, 0.9) }
    }

    /// (p90 - p10) / median
    pub fn spread(&self) -> f64 {
        (self.p90 - self.p10) / self.median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        let summary = Summary::new([4.0, 1.0, 3.0, 2.0].into_iter());
        assert_eq!(summary.median, 2.5);
        assert!((summary.p10 - 1.3).abs() < 1e-12 && (summary.p90 - 3.7).abs() < 1e-12);
        assert!((summary.spread() - 0.96).abs() < 1e-12);
        assert_eq!(Summary::new([2.0].into_iter()), Summary { median: 2.0, p10: 2.0, p90: 2.0 });
        assert!(Summary::new(std::iter::empty()).median.is_nan());
    }
}
