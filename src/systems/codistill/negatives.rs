//! Draws negatives: a pure function of the batch's key.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::{Draw, NegativesConfig, Shared};
use crate::data::ItemId;
use crate::objective::BLOCKED;
use crate::objective::kernels::drawn::Drawn;
use crate::rng::mix64;

/// Separates the draws of a batch from its dropout noise.
const STREAM: u64 = 0x6e65_6761_7469_7665;

/// What is left when some items are never drawn.
#[derive(Clone, Debug)]
struct Excluded {
    /// Items that can be drawn, ascending.
    drawable: Vec<u32>,
    /// I + 1 entries.
    is_excluded: Vec<bool>,
}

/// Draws items with known probabilities.
#[derive(Clone, Debug)]
pub struct NegativeSampler {
    config: NegativesConfig,
    /// I
    items: usize,
    /// The items that uniform draws choose from; none where these are all.
    excluded: Option<Excluded>,
    /// Running sum of count^power up to each item, entry 0 for padding; empty where popularity plays no part.
    cumulative: Vec<f64>,
}

impl NegativeSampler {
    /// `counts[i]`: training count of item i; entry 0, padding, is not read.
    pub fn new(config: &NegativesConfig, counts: &[u64]) -> Self {
        let mut total = 0.0;
        let raised = |&count: &u64| if count == 0 { 0.0 } else { (count as f64).powf(config.power) };
        let sums = counts.iter().skip(1).map(raised).map(|weight| {
            total += weight;
            total
        });
        let cumulative = match config.draw {
            Draw::Uniform => Vec::new(),
            Draw::Popularity | Draw::Mixed => std::iter::once(0.0).chain(sums).collect(),
        };
        Self { config: config.clone(), items: counts.len().saturating_sub(1), excluded: None, cumulative }
    }

    /// The same sampler, which never draws the items of which `excluded` is true (I + 1 entries). They have no training
    /// events, so that popularity does not draw them anyway. To exclude none changes no draw.
    #[must_use]
    pub fn excluding(mut self, excluded: &[bool]) -> Self {
        let drawable: Vec<u32> = (1..=self.items as u32).filter(|&i| !excluded[i as usize]).collect();
        if drawable.len() < self.items {
            self.excluded = Some(Excluded { drawable, is_excluded: excluded.to_vec() });
        }
        self
    }

    /// Items that can be drawn.
    pub fn drawable(&self) -> usize {
        self.excluded.as_ref().map_or(self.items, |excluded| excluded.drawable.len())
    }

    /// Probability that a draw gives `item`.
    pub fn probability(&self, item: ItemId) -> f64 {
        let excluded = self.excluded.as_ref().is_some_and(|excluded| excluded.is_excluded[item.index()]);
        let uniform = if excluded { 0.0 } else { 1.0 / self.drawable().max(1) as f64 };
        let popularity = || {
            let (below, upto) = (self.cumulative[item.index() - 1], self.cumulative[item.index()]);
            (upto - below) / self.cumulative.last().copied().unwrap_or(1.0)
        };
        match self.config.draw {
            Draw::Uniform => uniform,
            Draw::Popularity => popularity(),
            Draw::Mixed => {
                let share = self.config.uniform_share;
                share * uniform + (1.0 - share) * popularity()
            }
        }
    }

    /// Draws for rows with the given right answers; `window_rows` says how many rows each window has.
    pub fn draw(&self, labels: Vec<ItemId>, window_rows: Vec<u32>, noise_key: u64) -> Drawn<ItemId> {
        let group_rows = match self.config.shared {
            Shared::User => window_rows,
            Shared::Batch => vec![window_rows.iter().sum()],
        };
        let mut rng = ChaCha8Rng::seed_from_u64(mix64(noise_key ^ STREAM));
        let count = self.config.count;
        let negatives = (0..group_rows.len() * count).map(|_| ItemId(self.item(&mut rng))).collect();
        Drawn { labels, negatives, count, group_rows }
    }

    fn item(&self, rng: &mut ChaCha8Rng) -> u32 {
        let uniform = match self.config.draw {
            Draw::Uniform => true,
            Draw::Popularity => false,
            Draw::Mixed => rng.random::<f64>() < self.config.uniform_share,
        };
        if uniform {
            let place = rng.random_range(1..=self.drawable().max(1) as u32);
            let drawable =
                self.excluded.as_ref().and_then(|excluded| excluded.drawable.get(place as usize - 1));
            return drawable.copied().unwrap_or(place);
        }
        self.item_at(rng.random::<f64>() * self.cumulative.last().copied().unwrap_or(0.0))
    }

    /// The first item whose running sum exceeds `point`; at the very end the last item that has a count, because those
    /// behind it have probability 0.
    fn item_at(&self, point: f64) -> u32 {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let last = self.cumulative.partition_point(|&sum| sum < total);
        self.cumulative.partition_point(|&sum| sum <= point).min(last) as u32
    }

    /// `[R, 1 + K]` weights of what was drawn, as logarithms: 0 for the right answer; for a
    /// negative 0, or -ln(K q) with the correction; blocked where it is the right answer.
    pub fn log_weights(&self, drawn: &Drawn<ItemId>) -> Vec<f32> {
        let weight = |item: ItemId| {
            if self.config.log_q { -(drawn.count as f64 * self.probability(item)).ln() as f32 } else { 0.0 }
        };
        let group_weights: Vec<f32> = drawn.negatives.iter().map(|&item| weight(item)).collect();
        let mut weights = Vec::with_capacity(drawn.labels.len() * (1 + drawn.count));
        for (group, &label) in drawn.groups().zip(&drawn.labels) {
            weights.push(0.0);
            let weight = &group_weights[group * drawn.count..(group + 1) * drawn.count];
            let blocked = |(&item, &weight): (&ItemId, &f32)| if item == label { BLOCKED } else { weight };
            weights.extend(drawn.group(group).iter().zip(weight).map(blocked));
        }
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: [u64; 6] = [0, 4, 1, 0, 9, 2];

    fn sampler(draw: Draw, power: f64, log_q: bool, count: usize) -> NegativeSampler {
        let config = NegativesConfig { draw, power, log_q, count, uniform_share: 0.3, shared: Shared::Batch };
        NegativeSampler::new(&config, &COUNTS)
    }

    #[test]
    fn items_come_with_the_stated_probabilities() {
        for (draw, power) in [(Draw::Uniform, 1.0), (Draw::Popularity, 0.5), (Draw::Mixed, 1.0)] {
            let n = 400_000;
            let sampler = sampler(draw, power, false, n);
            let drawn = sampler.draw(vec![ItemId(1)], vec![1], 5);
            let mut seen = [0usize; 6];
            drawn.negatives.iter().for_each(|item| seen[item.index()] += 1);
            let total: f64 = (1..6).map(|i| sampler.probability(ItemId(i))).sum();
            assert!((total - 1.0).abs() < 1e-12, "{draw:?}: {total}");
            for item in 1..6 {
                let p = sampler.probability(ItemId(item));
                let share = seen[item as usize] as f64 / n as f64;
                // Five standard errors.
                let bound = 5.0 * (p * (1.0 - p) / n as f64).sqrt();
                assert!((share - p).abs() <= bound, "{draw:?} item {item}: {share} for {p}");
            }
            assert_eq!(seen[0], 0, "padding was drawn");
        }
        assert!(
            (sampler(Draw::Popularity, 0.5, false, 1).probability(ItemId(4)) - 3.0 / 7.414_213_562).abs()
                < 1e-9
        );
        assert_eq!(sampler(Draw::Popularity, 0.0, false, 1).probability(ItemId(3)), 0.0);
    }

    #[test]
    fn excluded_items_are_never_drawn_and_the_others_with_their_probabilities() {
        // Item 3 has no events; so have 6 and 7.
        let counts = [0, 4, 1, 0, 9, 2, 0, 0];
        let excluded: Vec<bool> = counts.iter().map(|&n| n == 0).collect();
        for draw in [Draw::Uniform, Draw::Popularity, Draw::Mixed] {
            let config = NegativesConfig {
                draw,
                count: 20_000,
                uniform_share: 0.7,
                shared: Shared::Batch,
                ..NegativesConfig::default()
            };
            let sampler = NegativeSampler::new(&config, &counts).excluding(&excluded);
            assert_eq!(sampler.drawable(), 4);
            let drawn = sampler.draw(vec![ItemId(1)], vec![1], 5).negatives;
            let share =
                |item: u32| drawn.iter().filter(|&&i| i.0 == item).count() as f64 / drawn.len() as f64;
            let mut total = 0.0;
            for item in 1..8 {
                let p = sampler.probability(ItemId(item));
                total += p;
                assert_eq!(p == 0.0, excluded[item as usize], "{draw:?} {item}: {p}");
                assert!(
                    (share(item) - p).abs() <= 5.0 * (p * (1.0 - p) / 20_000.0).sqrt(),
                    "{draw:?} {item}"
                );
            }
            assert!((total - 1.0).abs() < 1e-12, "{draw:?}: {total}");
        }
    }

    #[test]
    fn the_draws_are_what_they_always_were_where_no_item_is_excluded() {
        let counts = [0, 4, 1, 3, 9, 2];
        let mut rng = ChaCha8Rng::seed_from_u64(mix64(0x11 ^ STREAM));
        let expected: Vec<ItemId> = (0..64).map(|_| ItemId(rng.random_range(1..=5))).collect();
        let config = NegativesConfig { draw: Draw::Uniform, count: 64, ..NegativesConfig::default() };
        let plain = NegativeSampler::new(&config, &counts);
        assert_eq!(plain.draw(vec![ItemId(1)], vec![1], 0x11).negatives, expected);
        for draw in [Draw::Uniform, Draw::Popularity, Draw::Mixed] {
            let config =
                NegativesConfig { draw, count: 64, uniform_share: 0.4, ..NegativesConfig::default() };
            let plain = NegativeSampler::new(&config, &counts);
            let excluding = plain.clone().excluding(&[false; 6]);
            let draw_of = |sampler: &NegativeSampler| sampler.draw(vec![ItemId(1)], vec![1], 3);
            assert_eq!(draw_of(&plain), draw_of(&excluding), "{draw:?}");
            assert_eq!(excluding.drawable(), 5);
        }
    }

    #[test]
    fn the_end_of_the_running_sum_is_the_last_item_with_a_count() {
        let config =
            NegativesConfig { draw: Draw::Popularity, log_q: true, count: 1, ..NegativesConfig::default() };
        let sampler = NegativeSampler::new(&config, &[0, 0, 3, 1, 0, 0]);
        let total = *sampler.cumulative.last().unwrap();
        assert_eq!([0.0, total.next_down(), total].map(|point| sampler.item_at(point)), [2, 3, 3]);
        assert!(sampler.probability(ItemId(sampler.item_at(total))) > 0.0);
    }

    #[test]
    fn draws_are_a_pure_function_of_the_key_and_differ_between_windows() {
        let config = NegativesConfig { count: 40, ..NegativesConfig::default() };
        let sampler = NegativeSampler::new(&config, &[1; 1001]);
        let draw = |key| sampler.draw(vec![ItemId(1); 5], vec![2, 3], key);
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3).negatives, draw(4).negatives);
        assert_ne!(draw(3).group(0), draw(3).group(1));
        assert_eq!(draw(3).groups().collect::<Vec<_>>(), [0, 0, 1, 1, 1]);
    }

    #[test]
    fn the_corrected_sum_over_negatives_estimates_the_sum_over_the_catalogue() {
        // exp of any scores, by item; 3 is never drawn by popularity alone, so the mixed draw is used.
        let mass = [0.0, 0.3, 2.0, 5.0, 1.1, 0.7f64];
        for label in 1..6u32 {
            let exact: f64 = (1..6).filter(|&i| i != label).map(|i| mass[i as usize]).sum();
            let sampler = sampler(Draw::Mixed, 1.0, true, 400_000);
            let drawn = sampler.draw(vec![ItemId(label)], vec![1], 11);
            let weights = sampler.log_weights(&drawn);
            assert_eq!(weights[0], 0.0);
            let estimate: f64 = drawn
                .negatives
                .iter()
                .zip(&weights[1..])
                .map(|(item, &w)| f64::from(w).exp() * mass[item.index()])
                .sum();
            assert!((estimate / exact - 1.0).abs() < 0.02, "{label}: {estimate} for {exact}");
        }
    }
}
