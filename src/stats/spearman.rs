//! Rank correlation, with an interval.

/// Ranks from 1; equal values share their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut smaller = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = smaller as f64 + f64::midpoint(1.0, equal.len() as f64);
        equal.iter().for_each(|&i| ranks[i] = rank);
        smaller += equal.len();
    }
    ranks
}

/// Spearman's correlation; `None` for fewer than three pairs, unequal lengths, or a constant side.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    let n = x.len();
    if n < 3 || y.len() != n {
        return None;
    }
    let (x, y) = (ranks(x), ranks(y));
    let mean = f64::midpoint(n as f64, 1.0);
    let sum = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(p, q)| (p - mean) * (q - mean)).sum() };
    let (xx, yy) = (sum(&x, &x), sum(&y, &y));
    (xx > 0.0 && yy > 0.0).then(|| (sum(&x, &y) / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

/// 95 % interval by Fisher's transformation with the standard error of Bonett and Wright (2000), sqrt((1 + r² / 2) / (n
/// - 3)); `None` for fewer than four pairs.
pub fn interval(r: f64, n: usize) -> Option<(f64, f64)> {
    if n < 4 {
        return None;
    }
    // Keeps the transformation finite for a perfect order.
    let z = r.clamp(-0.999_999, 0.999_999).atanh();
    let half = 1.959_964 * ((1.0 + r * r / 2.0) / (n as f64 - 3.0)).sqrt();
    Some(((z - half).tanh(), (z + half).tanh()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spearman_equals_scipy_with_and_without_ties() {
        // scipy.stats.spearmanr([1,2,3,4,5], [5,6,7,8,7]) and a case with ties on both sides.
        let r = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]).unwrap();
        assert!((r - 0.820_782_681_668_123_3).abs() < 1e-12);
        let r = spearman(&[1.0, 1.0, 2.0, 3.0], &[1.0, 2.0, 2.0, 4.0]).unwrap();
        // Ranks 1.5 1.5 3 4 and 1 2.5 2.5 4: sum of products 3.75, of squares 4.5 and 4.5.
        assert!((r - 3.75 / 4.5).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
        assert_eq!(spearman(&[1.0, 1.0, 1.0], &[3.0, 2.0, 1.0]), None);
    }

    #[test]
    fn the_interval_holds_the_estimate_and_shrinks_with_more_pairs() {
        let (low, high) = interval(0.6, 8).unwrap();
        assert!(low < 0.6 && 0.6 < high && high < 1.0);
        let more = interval(0.6, 80).unwrap();
        assert!(more.1 - more.0 < high - low);
        assert_eq!(interval(0.6, 3), None);
    }
}
