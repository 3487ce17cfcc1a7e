//! The true properties of the items: latents, popularity, themes.

use super::draws::{Draws, Stream};
use crate::config::SynthConfig;

/// Number of latest items that count as recent for the theme bonus.
const RECENT: usize = 3;

/// Latents, popularity and themes of all items. Every vector has I + 1 entries a row; entry 0 is padding.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Catalogue {
    /// `[3q, I+1]`: text, image and collaborative latents, one coordinate after the other, so that a
    /// user's utilities are a few long sums.
    pub latents: Vec<f32>,
    /// Logarithm of 1 / popularity rank.
    pub log_popularity: Vec<f32>,
    /// Theme of each item: the signed coordinate (0..6q) of largest size over all three latents.
    pub themes: Vec<u32>,
    /// Whether the item occurs as a test target only.
    pub new: Vec<bool>,
}

impl Catalogue {
    /// Draws the items of a validated `config`.
    pub fn draw(config: &SynthConfig) -> Self {
        let (items, q) = (config.items, config.latent);
        let mut catalogue = Self {
            latents: vec![0.0; 3 * q * (items + 1)],
            log_popularity: vec![0.0; items + 1],
            themes: vec![0; items + 1],
            new: vec![false; items + 1],
        };
        let rho = config.redundancy as f32;
        let own = (1.0 - rho * rho).max(0.0).sqrt();
        let mut draws = Draws::new(config.seed, Stream::Latents, 0);
        for item in 1..=items {
            let text = draws.normals(q);
            let image: Vec<f32> = text.iter().map(|t| rho * t + own * draws.normal() as f32).collect();
            let collab = draws.normals(q);
            for (k, value) in text.into_iter().chain(image).chain(collab).enumerate() {
                catalogue.latents[k * (items + 1) + item] = value;
            }
            catalogue.themes[item] = strongest(&catalogue.row(item, 0..3 * q));
        }
        let ranked = Draws::new(config.seed, Stream::Popularity, 0).permutation(items);
        for (place, item) in ranked.into_iter().enumerate() {
            catalogue.log_popularity[item] = -((place + 1) as f32).ln();
        }
        for item in chosen(config.seed, Stream::NewItems, config.new_items, items) {
            catalogue.new[item] = true;
        }
        catalogue
    }

    /// I
    pub fn items(&self) -> usize {
        self.themes.len() - 1
    }

    /// Some coordinates of an item's latents: 0..q text, q..2q image, 2q..3q collaborative.
    pub fn row(&self, item: usize, coordinates: std::ops::Range<usize>) -> Vec<f32> {
        let n = self.themes.len();
        coordinates.map(|k| self.latents[k * n + item]).collect()
    }

    /// Writes the logarithm of each item's probability to come next, up to a constant, to `out` `[I + 1]`: `-inf` for
    /// padding, for items of the history, and for new items unless `offer_new`.
    pub fn utilities(
        &self,
        config: &SynthConfig,
        preference: &[f32],
        history: &[u32],
        offer_new: bool,
        out: &mut [f32],
    ) {
        let (n, q) = (self.themes.len(), config.latent);
        for (o, popularity) in out.iter_mut().zip(&self.log_popularity) {
            *o = config.popularity as f32 * popularity;
        }
        let weights = [config.w_text, config.w_image, config.w_collab];
        for (k, (column, liking)) in self.latents.chunks_exact(n).zip(preference).enumerate() {
            let factor = weights[k / q] as f32 * liking;
            if factor != 0.0 {
                out.iter_mut().zip(column).for_each(|(o, z)| *o += factor * z);
            }
        }
        let recent: Vec<u32> = history.iter().rev().take(RECENT).map(|&i| self.themes[i as usize]).collect();
        if config.w_repeat > 0.0 && !recent.is_empty() {
            for (o, theme) in out.iter_mut().zip(&self.themes) {
                if recent.contains(theme) {
                    *o += config.w_repeat as f32;
                }
            }
        }
        out[0] = f32::NEG_INFINITY;
        for &item in history {
            out[item as usize] = f32::NEG_INFINITY;
        }
        if !offer_new {
            for (o, _) in out.iter_mut().zip(&self.new).filter(|(_, new)| **new) {
                *o = f32::NEG_INFINITY;
            }
        }
    }
}

/// A random subset of exactly the share `part` of the items.
pub(super) fn chosen(seed: u64, stream: Stream, part: f64, items: usize) -> Vec<usize> {
    let mut order = Draws::new(seed, stream, 0).permutation(items);
    order.truncate((part * items as f64).round() as usize);
    order
}

/// The signed coordinate of largest size: 2k if coordinate k is positive, else 2k + 1.
pub(super) fn strongest(latent: &[f32]) -> u32 {
    let mut best = 0;
    for (k, value) in latent.iter().enumerate() {
        if value.abs() > latent[best].abs() {
            best = k;
        }
    }
    2 * best as u32 + u32::from(latent[best] < 0.0)
}
