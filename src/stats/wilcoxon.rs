//! Wilcoxon's signed-rank test with SciPy's conventions: zeros are dropped (`zero_method="wilcox"`), ties share their
//! mean rank, no continuity correction.

use serde::{Deserialize, Serialize};

use super::p_values::normal_two_sided;
use super::{StatsError, check};

/// Most differences for which the distribution is exact, without zeros and ties.
const EXACT: usize = 50;
/// The same with zeros or ties.
const EXACT_WITH_TIES: usize = 13;

/// The result of the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wilcoxon {
    /// The smaller of the two rank sums.
    pub statistic: f64,
    /// Two-sided p value.
    pub p: f64,
    /// Number of differences that are not zero.
    pub used: usize,
    /// Whether p is exact, not a normal approximation.
    pub exact: bool,
}

/// Tests whether the differences are symmetric around 0. p is 1 if all are 0.
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

/// 2 P(W <= w) with random signs, at most 1, by counting the subsets of the ranks by their sum. There are at most 2^50,
/// which f64 holds exactly. Ranks are doubled, since shared ones may be halves.
fn exact_p(w: f64, doubled: &[usize]) -> f64 {
    let most: usize = doubled.iter().sum();
    let mut subsets = vec![0.0f64; most + 1];
    subsets[0] = 1.0;
    for &rank in doubled {
        for sum in (rank..=most).rev() {
            subsets[sum] += subsets[sum - rank];
        }
    }
    let smaller: f64 = subsets[..=((2.0 * w) as usize).min(most)].iter().sum();
    (2.0 * smaller / 2f64.powi(doubled.len() as i32)).min(1.0)
}
