//! Text vectors without a neural encoder: hashed TF-IDF with a random projection to a fixed width.
//!
//! Features of a text are its lower-cased words and, within `<word>`, all runs of 3 to 5 characters: `fishing` and
//! `fisherman` share some, a misspelling keeps most, and scripts without spaces have only these. Features are hashed
//! into 2^18 buckets, weighted by (1 + ln tf) · idf with idf = ln((1 + N) / (1 + df)) + 1 as in scikit-learn, and
//! scaled to length 1. Every bucket adds a fixed vector of random signs / sqrt(width) (Achlioptas 2003), which
//! preserves cosines up to about 1 / sqrt(width).
//!
//! In contrast to a truncated SVD, the signs are a function of the bucket. A later item needs only the table of
//! document frequencies, and vectors don't depend on the order of the catalogue.

use std::collections::HashMap;
use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::EncodeError;
use super::error::malformed;
use crate::hex::hex;
use crate::rng::mix64;
use crate::tensors;
use crate::tensors::Values;

/// Number of buckets of the hash.
const BUCKETS: usize = 1 << 18;
/// Default width.
pub const DEFAULT_WIDTH: usize = 256;
/// Lengths of the runs of characters.
const RUNS: std::ops::RangeInclusive<usize> = 3..=5;
/// Most characters of a text that are read.
const MOST_CHARACTERS: usize = 100_000;
/// File of the table in the feature store.
pub const FILE: &str = "tfidf.safetensors";

/// TF-IDF with the inverse document frequencies of a catalogue.
#[derive(Clone, Debug)]
pub struct Tfidf {
    width: usize,
    /// By bucket.
    idf: Vec<f32>,
}

impl Tfidf {
    /// Counts the texts that contain each feature, without empty texts.
    pub fn fit<'t>(texts: impl Iterator<Item = &'t str>, width: usize) -> Self {
        let mut counts = vec![0u32; BUCKETS];
        let mut total = 0u32;
        for text in texts.filter(|text| !text.trim().is_empty()) {
            total += 1;
            features(text).keys().for_each(|&bucket| counts[bucket as usize] += 1);
        }
        let all = f64::from(total) + 1.0;
        let idf = counts.into_iter().map(|df| ((all / (f64::from(df) + 1.0)).ln() + 1.0) as f32).collect();
        Self { width, idf }
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// The vector of a text, of length 1; zeros for a text without a letter or digit.
    pub fn encode(&self, text: &str) -> Vec<f32> {
        let mut weighted: Vec<(u32, f64)> = features(text)
            .into_iter()
            .map(|(bucket, tf)| (bucket, (1.0 + f64::from(tf).ln()) * f64::from(self.idf[bucket as usize])))
            .collect();
        // The order of a map is random, and sums of floats depend on it.
        weighted.sort_unstable_by_key(|(bucket, _)| *bucket);
        let mut vector = vec![0.0f64; self.width];
        for (bucket, weight) in weighted {
            for (block, values) in vector.chunks_mut(64).enumerate() {
                let bits = mix64((u64::from(bucket) << 20) ^ block as u64);
                for (n, value) in values.iter_mut().enumerate() {
                    *value += if bits >> n & 1 == 1 { weight } else { -weight };
                }
            }
        }
        let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
        vector.into_iter().map(|v| (v / norm) as f32).collect()
    }

    /// Encodes all texts on all cores.
    pub fn encode_all(&self, texts: &[&str]) -> Vec<Vec<f32>> {
        texts.par_iter().map(|text| self.encode(text)).collect()
    }

    /// SHA-256 of table and width.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update((self.width as u64).to_le_bytes());
        hasher.update(bytemuck::cast_slice::<f32, u8>(&self.idf));
        hex(hasher.finalize())
    }

    /// Writes the table.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self, path: &Path) -> Result<(), EncodeError> {
        let idf = Values { shape: vec![BUCKETS], values: self.idf.clone() };
        let width = Values { shape: vec![1], values: vec![self.width as f32] };
        let all = [("idf".to_owned(), idf), ("width".to_owned(), width)].into();
        tensors::write(path, &all).map_err(|e| malformed(path, e))
    }

    /// Reads a table.
    ///
    /// # Errors
    /// The file is not such a table.
    pub fn read(path: &Path) -> Result<Self, EncodeError> {
        let mut all = tensors::read(path).map_err(|e| malformed(path, e))?;
        let mut take = |name: &str| all.remove(name).ok_or_else(|| malformed(path, format!("no {name:?}")));
        let (idf, width) = (take("idf")?.values, take("width")?.values);
        let width = width.first().copied().unwrap_or(0.0) as usize;
        if idf.len() != BUCKETS || !(1..=65_536).contains(&width) || idf.iter().any(|v| !v.is_finite()) {
            return Err(malformed(path, "not a table of document frequencies"));
        }
        Ok(Self { width, idf })
    }
}

/// The count of each bucket in a text.
fn features(text: &str) -> HashMap<u32, u32> {
    let mut counts = HashMap::new();
    let lower: String = text.chars().take(MOST_CHARACTERS).flat_map(char::to_lowercase).collect();
    for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *counts.entry(bucket(0, word.bytes())).or_insert(0) += 1;
        let framed: Vec<char> =
            std::iter::once('<').chain(word.chars()).chain(std::iter::once('>')).collect();
        for length in RUNS {
            for run in framed.windows(length) {
                let bytes = run.iter().flat_map(|&c| u32::from(c).to_le_bytes());
                *counts.entry(bucket(length as u64, bytes)).or_insert(0) += 1;
            }
        }
    }
    counts
}

/// The bucket of a feature: FNV-1a with a seed for its kind, mixed.
fn bucket(seed: u64, bytes: impl Iterator<Item = u8>) -> u32 {
    let start = 0xcbf2_9ce4_8422_2325 ^ mix64(seed);
    let hash = bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (mix64(hash) % BUCKETS as u64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 5] = [
        "wooden fishing rod for children",
        "a fishing line, nylon, for fishermen",
        "red silk evening dress",
        "silk dress in red",
        "детская удочка из дерева",
    ];

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn a_text_that_shares_words_or_stems_or_is_misspelt_finds_its_kind_first() {
        let model = Tfidf::fit(TEXTS.into_iter(), 512);
        let v = model.encode_all(&TEXTS);
        for (query, wanted) in
            [(TEXTS[0], 1), (TEXTS[3], 2), ("evning dres", 2), ("fisherman", 1), ("деревянная удочка", 4)]
        {
            let q = model.encode(query);
            let order: Vec<f32> = v.iter().map(|v| cosine(&q, v)).collect();
            let nearest = (0..TEXTS.len())
                .filter(|&n| TEXTS[n] != query)
                .max_by(|&a, &b| order[a].total_cmp(&order[b]))
                .unwrap();
            assert_eq!(nearest, wanted, "{query}: {order:?}");
        }
        // Nothing in common: no more than the projection's noise, of deviation 1 / sqrt(512) = 0.044.
        for (a, b) in [(0, 2), (0, 4), (2, 4)] {
            assert!(cosine(&v[a], &v[b]).abs() < 0.15, "{a} {b}: {}", cosine(&v[a], &v[b]));
        }
    }

    #[test]
    fn projection_keeps_cosines_up_to_its_width() {
        let exact = |a: &str, b: &str, model: &Tfidf| {
            let vector = |text: &str| -> HashMap<u32, f64> {
                let weigh =
                    |(k, tf): (u32, u32)| (k, (1.0 + f64::from(tf).ln()) * f64::from(model.idf[k as usize]));
                features(text).into_iter().map(weigh).collect()
            };
            let (a, b) = (vector(a), vector(b));
            let dot = |x: &HashMap<u32, f64>, y: &HashMap<u32, f64>| -> f64 {
                x.iter().map(|(k, v)| v * y.get(k).copied().unwrap_or(0.0)).sum()
            };
            dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
        };
        let model = Tfidf::fit(TEXTS.into_iter(), 4096);
        for a in TEXTS {
            for b in TEXTS {
                let got = f64::from(cosine(&model.encode(a), &model.encode(b)));
                // Four standard deviations.
                assert!((got - exact(a, b, &model)).abs() < 4.0 / 64.0, "{a} / {b}: {got}");
            }
        }
    }

    #[test]
    fn the_table_survives_the_disk_and_every_text_is_encoded_alike_by_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(FILE);
        let model = Tfidf::fit(TEXTS.into_iter(), 96);
        model.write(&path).unwrap();
        let back = Tfidf::read(&path).unwrap();
        assert_eq!(back.hash(), model.hash());
        assert_eq!(back.encode("silk rod"), model.encode("silk rod"));
        assert_eq!(model.encode(" ?! "), vec![0.0; 96]);
    }
}
