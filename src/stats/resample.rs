//! Bootstrap over users, and sign flips. Both hold for the trained models as they are, without training noise.
//!
//! Draw k is a pure function of (seed, k), so that results don't depend on the number of threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

use super::estimate::Interval;
use super::{StatsError, check};

/// Offset of the sign flips' streams from those of the bootstrap.
const FLIPS: u64 = 1 << 40;

fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

/// Percentile bootstrap interval of the mean, from `draws` resamples of the users.
///
/// # Errors
/// Fewer than two users or draws, or a value that is not finite.
pub fn bootstrap(
    differences: &[f64],
    confidence: f64,
    draws: usize,
    seed: u64,
) -> Result<Interval, StatsError> {
    check(differences, 2)?;
    if draws < 2 {
        return Err(StatsError::TooFew { found: draws, needed: 2 });
    }
    let n = differences.len() as u64;
    let mut means: Vec<f64> = (0..draws as u64)
        .into_par_iter()
        .map(|draw| {
            let mut rng = stream(seed, draw);
            // 32 random bits spread over n places: the bias of n / 2^32 is far below the error of resampling.
            let pick = |rng: &mut ChaCha8Rng| differences[((u64::from(rng.next_u32()) * n) >> 32) as usize];
            (0..n).map(|_| pick(&mut rng)).sum::<f64>() / n as f64
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    Ok(Interval { low: quantile(&means, tail), high: quantile(&means, 1.0 - tail) })
}

/// The quantile `p` of sorted values by linear interpolation, as NumPy's default.
pub(crate) fn quantile(sorted: &[f64], p: f64) -> f64 {
    let place = p.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (sorted[high] - sorted[low]) * (place - low as f64)
}

/// Two-sided p value of "the sign of every difference is random": (1 + number as extreme) / (1 + flips).
///
/// # Errors
/// Fewer than two users, no flips, or a value that is not finite.
pub fn sign_flips(differences: &[f64], flips: usize, seed: u64) -> Result<f64, StatsError> {
    check(differences, 2)?;
    if flips == 0 {
        return Err(StatsError::TooFew { found: 0, needed: 1 });
    }
    // Zeros keep their value under any sign.
    let values: Vec<f64> = differences.iter().copied().filter(|&d| d != 0.0).collect();
    // Sums of the same numbers in the same order: what is left of rounding is far below this.
    let slack = 1e-12 * values.iter().map(|d| d.abs()).sum::<f64>();
    let observed = values.iter().sum::<f64>().abs() - slack;
    let extreme = (0..flips as u64)
        .into_par_iter()
        .filter(|&flip| {
            let mut rng = stream(seed, FLIPS + flip);
            let mut sum = 0.0;
            for chunk in values.chunks(64) {
                let mut bits = rng.next_u64();
                for &value in chunk {
                    sum += if bits & 1 == 1 { value } else { -value };
                    bits >>= 1;
                }
            }
            sum.abs() >= observed
        })
        .count();
    Ok((1 + extreme) as f64 / (1 + flips) as f64)
}
