//! The users' sequences, drawn item by item.

use rayon::prelude::*;

use super::catalogue::Catalogue;
use super::draws::{Draws, Stream, normalise};
use crate::config::SynthConfig;
use crate::data::{MICROS, Part, Sequences};

/// First second of the synthetic log: 2020-01-01 UTC.
const EPOCH: i64 = 1_577_836_800;
const DAY: f64 = 86_400.0;

/// The sequences of all users, with their preferences at the targets.
pub(super) struct Walks {
    pub sequences: Sequences,
    /// `[U, 2, 3q]`: preferences at the validation and the test target.
    pub preferences: Vec<f32>,
    /// `[U, 2]`: the positions of these targets.
    pub positions: Vec<u32>,
}

struct Walk {
    items: Vec<u32>,
    times: Vec<i64>,
    preferences: Vec<f32>,
}

/// Draws every user's sequence, leave-one-out: the last item is the test target, the one before it the
/// validation target.
pub(super) fn draw(config: &SynthConfig, catalogue: &Catalogue) -> Walks {
    let walks: Vec<Walk> = (0..config.users)
        .into_par_iter()
        .map_init(
            || vec![0.0; catalogue.items() + 1],
            |utilities, user| walk(config, catalogue, user as u64, utilities),
        )
        .collect();
    let mut all = Walks { sequences: Sequences::default(), preferences: Vec::new(), positions: Vec::new() };
    all.sequences.offsets.push(0);
    for walk in walks {
        let n = walk.items.len();
        all.sequences.items.extend(walk.items);
        all.sequences.times.extend(walk.times.iter().map(|seconds| seconds * MICROS));
        all.sequences.parts.extend(std::iter::repeat_n(Part::Train, n - 2));
        all.sequences.parts.extend([Part::Valid, Part::Test]);
        all.sequences.offsets.push(all.sequences.items.len());
        all.preferences.extend(walk.preferences);
        all.positions.extend([n as u32 - 2, n as u32 - 1]);
    }
    all
}

fn walk(config: &SynthConfig, catalogue: &Catalogue, user: u64, utilities: &mut [f32]) -> Walk {
    let mut draws = Draws::new(config.seed, Stream::User, user);
    let length = config.min_len + draws.integer(config.max_len - config.min_len + 1);
    let mut preference: Vec<f32> = (0..3).flat_map(|_| draws.direction(config.latent)).collect();
    let mut walk = Walk { items: Vec::with_capacity(length), times: Vec::new(), preferences: Vec::new() };
    for position in 0..length {
        if position > 0 {
            drift(config, &mut preference, &mut draws);
        }
        if position + 2 >= length {
            walk.preferences.extend_from_slice(&preference);
        }
        let last = position + 1 == length;
        catalogue.utilities(config, &preference, &walk.items, last, utilities);
        let noise = draws.chance(config.label_noise);
        walk.items.push(pick(utilities, noise, &mut draws));
    }
    let mut draws = Draws::new(config.seed, Stream::Times, user);
    let mut time = EPOCH + (draws.uniform() * 365.0 * DAY) as i64;
    for _ in 0..length {
        walk.times.push(time);
        // Exponential gaps with a mean of a day, at least a second so that times keep the order.
        time += 1 + (-(1.0 - draws.uniform()).ln() * DAY) as i64;
    }
    walk
}

/// Rotates each of the three preferences slightly; they keep length 1.
fn drift(config: &SynthConfig, preference: &mut [f32], draws: &mut Draws) {
    let keep = 1.0 - config.drift as f32;
    let turn = (1.0 - keep * keep).max(0.0).sqrt();
    for part in preference.chunks_exact_mut(config.latent) {
        let other = draws.direction(config.latent);
        part.iter_mut().zip(other).for_each(|(p, o)| *p = keep * *p + turn * o);
        normalise(part);
    }
}

/// Draws an item with probability ∝ exp(utility), or uniformly among those with finite utility.
fn pick(utilities: &mut [f32], uniform: bool, draws: &mut Draws) -> u32 {
    let top = utilities.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for u in utilities.iter_mut() {
        *u = if uniform { f32::from(*u > f32::NEG_INFINITY) } else { (*u - top).exp() };
        total += f64::from(*u);
    }
    let mut left = draws.uniform() * total;
    let mut last = 0;
    for (item, &weight) in utilities.iter().enumerate().filter(|(_, w)| **w > 0.0) {
        last = item;
        left -= f64::from(weight);
        if left < 0.0 {
            break;
        }
    }
    last as u32
}
