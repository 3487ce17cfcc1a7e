//! Wilcoxon's signed-rank test, with SciPy's conventions: zeros are dropped (`zero_method="wilcox"`), equal
//! sizes share their ranks, no continuity correction.

use serde::{Deserialize, Serialize};

use super::distribution::normal_two_sided;
use super::error::{StatsError, check};

/// With so few differences and neither zeros nor ties the distribution is counted out.
const EXACT: usize = 50;
/// With so few it is counted out in any case.
const EXACT_WITH_TIES: usize = 13;

/// The result of the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wilcoxon {
    /// The smaller of the two rank sums.
    pub statistic: f64,
    /// Two-sided.
    pub p: f64,
    /// Differences that are not zero.
    pub used: usize,
    /// Counted out instead of approximated by a normal.
    pub exact: bool,
}

/// Tests whether positive and negative differences balance. Without any difference p is 1.
///
/// # Errors
/// No values, or one that is not finite.
pub fn wilcoxon(differences: &[f64]) -> Result<Wilcoxon, StatsError> {
    check(differences, 1)?;
    let mut sizes: Vec<(f64, bool)> =
        differences.iter().filter(|&&d| d != 0.0).map(|&d| (d.abs(), d > 0.0)).collect();
    let n = sizes.len();
    if n == 0 {
        return Ok(Wilcoxon { statistic: 0.0, p: 1.0, used: 0, exact: true });
    }
    sizes.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut doubled = Vec::with_capacity(n);
    let (mut positive, mut ties) = (0.0, 0.0);
    let mut place = 0.0;
    for equal in sizes.chunk_by(|a, b| a.0 == b.0) {
        let size = equal.len() as f64;
        let rank = place + f64::midpoint(1.0, size);
        positive += rank * equal.iter().filter(|e| e.1).count() as f64;
        ties += size.powi(3) - size;
        doubled.extend(equal.iter().map(|_| (2.0 * rank) as usize));
        place += size;
    }
    let total = (n * (n + 1) / 2) as f64;
    let statistic = positive.min(total - positive);
    let whole = n == differences.len() && ties == 0.0;
    let exact = differences.len() <= if whole { EXACT } else { EXACT_WITH_TIES };
    let p = if exact {
        exact_p(statistic, &doubled)
    } else {
        let n = n as f64;
        let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
        normal_two_sided((positive - total / 2.0) / variance.sqrt())
    };
    Ok(Wilcoxon { statistic, p, used: n, exact })
}

/// 2 P(W <= w) under equal chances of both signs, at most 1: counts of subsets of the ranks by their sum. At most
/// 2^50 of them, which f64 holds exactly. Ranks come doubled, since a shared one may be a half.
fn exact_p(w: f64, doubled: &[usize]) -> f64 {
    let most: usize = doubled.iter().sum();
    let mut subsets = vec![0.0f64; most + 1];
    subsets[0] = 1.0;
    for &rank in doubled {
        for sum in (rank..=most).rev() {
            subsets[sum] += subsets[sum - rank];
        }
    }
    let below: f64 = subsets[..=((2.0 * w) as usize).min(most)].iter().sum();
    (2.0 * below / 2f64.powi(doubled.len() as i32)).min(1.0)
}
