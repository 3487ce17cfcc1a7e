//! Token features, as a frozen encoder would compute them.

use super::catalogue::{Catalogue, chosen};
use super::draws::{Draws, Stream};
use crate::config::SynthConfig;

/// Token features of one view, computed on demand.
///
/// Token 0 is a noisy summary of the whole latent, as a CLS token is. Each further token shows about half
/// of the latent's coordinates, with twice the noise; some are distractors that show another latent.
pub struct ViewRows {
    seed: u64,
    stream: Stream,
    /// Linear map from latent to feature space, `[f, q]`.
    map: Vec<f32>,
    /// `[I+1, q]`
    latents: Vec<f32>,
    /// Lengths `[I + 1]`; 0 for missing items.
    lengths: Vec<u32>,
    latent: usize,
    tokens: usize,
    width: usize,
    noise: f32,
    distractors: f64,
}

impl ViewRows {
    /// The text view, with 2 to `text_tokens` tokens an item.
    pub(super) fn text(config: &SynthConfig, catalogue: &Catalogue) -> Self {
        let mut rows =
            Self::new(config, catalogue, 0, config.text_tokens, [Stream::TextMap, Stream::TextTokens]);
        for item in 1..rows.lengths.len() {
            let shortest = config.text_tokens.min(2);
            let spread = config.text_tokens - shortest + 1;
            let mut draws = Draws::new(config.seed, Stream::TextLengths, item as u64);
            rows.lengths[item] = (shortest + draws.integer(spread)) as u32;
        }
        rows.hide(chosen(config.seed, Stream::MissingText, config.missing_text, catalogue.items()));
        rows
    }

    /// The image view, with `image_tokens` tokens an item.
    pub(super) fn image(config: &SynthConfig, catalogue: &Catalogue) -> Self {
        let mut rows = Self::new(
            config,
            catalogue,
            config.latent,
            config.image_tokens,
            [Stream::ImageMap, Stream::ImageTokens],
        );
        rows.lengths[1..].fill(config.image_tokens as u32);
        rows.hide(chosen(config.seed, Stream::MissingImage, config.missing_image, catalogue.items()));
        rows
    }

    fn new(
        config: &SynthConfig,
        catalogue: &Catalogue,
        first: usize,
        tokens: usize,
        [map, stream]: [Stream; 2],
    ) -> Self {
        let (q, f) = (config.latent, config.feature_width);
        let scale = 1.0 / (q as f32).sqrt();
        let map = Draws::new(config.seed, map, 0).normals(f * q).into_iter().map(|x| x * scale).collect();
        let latents =
            (0..=catalogue.items()).flat_map(|item| catalogue.row(item, first..first + q)).collect();
        Self {
            seed: config.seed,
            stream,
            map,
            latents,
            lengths: vec![0; catalogue.items() + 1],
            latent: q,
            tokens,
            width: f,
            noise: config.token_noise as f32,
            distractors: config.distractors,
        }
    }

    fn hide(&mut self, items: Vec<usize>) {
        for item in items {
            self.lengths[item] = 0;
        }
    }

    /// T
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// f
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of valid tokens of `item`; 0 if it is missing.
    ///
    /// # Panics
    /// As slice indexing does, when there is no such item.
    pub fn length(&self, item: u32) -> usize {
        self.lengths[item as usize] as usize
    }

    /// The latent behind the features, `[q]`.
    pub(super) fn latent(&self, item: u32) -> &[f32] {
        &self.latents[item as usize * self.latent..][..self.latent]
    }

    /// The valid tokens of `item`, `length * f` values; empty if it is missing.
    ///
    /// # Panics
    /// As slice indexing does, when there is no such item.
    pub fn row(&self, item: u32) -> Vec<f32> {
        let mut draws = Draws::new(self.seed, self.stream, u64::from(item));
        let mut values = Vec::with_capacity(self.length(item) * self.width);
        for token in 0..self.length(item) {
            let (shown, noise) = if token == 0 {
                (self.latent(item).to_vec(), self.noise)
            } else if draws.chance(self.distractors) {
                (draws.normals(self.latent), self.noise)
            } else {
                let half = self.latent(item).iter().map(|&z| if draws.chance(0.5) { z } else { 0.0 });
                (half.collect(), 2.0 * self.noise)
            };
            for weights in self.map.chunks_exact(self.latent) {
                let signal: f32 = weights.iter().zip(&shown).map(|(w, z)| w * z).sum();
                values.push(signal + noise * draws.normal() as f32);
            }
        }
        values
    }
}
