//! Random draws that are a pure function of (seed, stream, index).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::rng::unit;

/// The purpose of draws. Each has its own streams, so that a change of one (longer texts, say) leaves the others as
/// they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Stream {
    Latents = 1,
    Popularity,
    NewItems,
    MissingText,
    TextLengths,
    MissingImage,
    TextMap,
    ImageMap,
    TextTokens,
    ImageTokens,
    Words,
    Picture,
    User,
    Times,
}

/// A source of uniform and normal numbers.
pub(crate) struct Draws {
    rng: ChaCha8Rng,
    /// The second normal number of a Box-Muller pair.
    spare: Option<f64>,
}

impl Draws {
    /// `index` (an item or a user) is less than 2^32.
    pub(super) fn new(seed: u64, stream: Stream, index: u64) -> Self {
        Self::numbered(seed, stream as u64, index)
    }

    /// As [`Draws::new`], with a stream number instead of a [`Stream`].
    pub fn numbered(seed: u64, stream: u64, index: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream((stream << 32) | index);
        Self { rng, spare: None }
    }

    /// A uniform number in [0, 1), with 53 bits.
    pub fn uniform(&mut self) -> f64 {
        unit(self.rng.next_u64())
    }

    /// A uniform number in `0..n`, for `n` > 0. The bias is at most n / 2^53.
    pub fn integer(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64) as usize).min(n - 1)
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// A standard normal number, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 1 - u is in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.uniform();
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }

    /// `n` standard normal numbers.
    pub fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal() as f32).collect()
    }

    /// A uniform direction: a vector of length 1.
    pub fn direction(&mut self, n: usize) -> Vec<f32> {
        let mut v = self.normals(n);
        normalise(&mut v);
        v
    }

    /// The numbers 1..=n in random order (Fisher and Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut items: Vec<usize> = (1..=n).collect();
        for last in (1..n).rev() {
            items.swap(last, self.integer(last + 1));
        }
        items
    }
}

/// Scales `v` to length 1; a zero vector stays as it is.
pub(super) fn normalise(v: &mut [f32]) {
    let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 {
        for x in v {
            *x /= norm;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_draws_have_mean_0_variance_1_and_normal_tails() {
        let mut draws = Draws::new(3, Stream::User, 5);
        let x: Vec<f64> = (0..200_000).map(|_| draws.normal()).collect();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
        let share = x.iter().filter(|v| v.abs() > 2.0).count() as f64 / x.len() as f64;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.015, "{mean} {variance}");
        assert!((share - 0.0455).abs() < 0.002, "{share}");
    }

    #[test]
    fn streams_and_indices_are_independent_and_repeatable() {
        let first = |stream, index| Draws::new(1, stream, index).normals(4);
        assert_eq!(first(Stream::User, 1), first(Stream::User, 1));
        assert_ne!(first(Stream::User, 1), first(Stream::User, 2));
        assert_ne!(first(Stream::User, 1), first(Stream::Times, 1));
    }

    #[test]
    fn a_permutation_holds_every_item_once() {
        let mut items = Draws::new(1, Stream::NewItems, 0).permutation(100);
        assert_ne!(items, (1..=100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (1..=100).collect::<Vec<_>>());
    }
}
