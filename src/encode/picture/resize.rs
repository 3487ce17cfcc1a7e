//! Resizing as in PIL: two passes, each a weighted sum over the filter's support (widened when the picture shrinks),
//! with 8-bit samples and 22-bit fixed-point weights. Each pass equals PIL's to the bit. The horizontal pass is first,
//! as in PIL up to version 12; PIL 13 chooses the order by size, with differences of at most 3 of 255 levels in the
//! fixtures.

use image::RgbImage;
use rayon::prelude::*;

/// Interpolation filters with PIL's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    Nearest,
    Box,
    Bilinear,
    Bicubic,
    Lanczos,
}

impl Filter {
    /// The filter with the number in `preprocessor_config.json`.
    pub fn numbered(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Nearest,
            1 => Self::Lanczos,
            2 => Self::Bilinear,
            3 => Self::Bicubic,
            4 => Self::Box,
            _ => return None,
        })
    }

    /// Half width of the filter's support, in pixels of the smaller grid.
    fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| {
            let y = x * std::f64::consts::PI;
            if x == 0.0 { 1.0 } else { y.sin() / y }
        };
        match self {
            Self::Nearest => 0.0,
            Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Bicubic => {
                // Keys' cubic with a = -1/2.
                let x = x.abs();
                if x < 1.0 {
                    (1.5 * x - 2.5) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
                } else {
                    0.0
                }
            }
            Self::Lanczos => {
                if (-3.0..3.0).contains(&x) {
                    sinc(x) * sinc(x / 3.0)
                } else {
                    0.0
                }
            }
        }
    }
}

/// Fractional bits of a weight: 32 minus 8 of the sample and 2 of headroom.
const BITS: u32 = 22;

/// Weights of the source samples for one target sample.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

fn taps(filter: Filter, source: usize, target: usize) -> Vec<Taps> {
    let scale = source as f64 / target as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let place = |n: usize| {
        let centre = (n as f64 + 0.5) * scale;
        // The sum is truncated towards zero before it is clamped.
        let first = ((centre - support + 0.5) as i64).max(0) as usize;
        let last = ((centre + support + 0.5) as i64).min(source as i64) as usize;
        let raw: Vec<f64> =
            (first..last).map(|k| filter.weight((k as f64 - centre + 0.5) * (1.0 / stretch))).collect();
        let sum: f64 = raw.iter().sum();
        let fixed = |w: f64| {
            let w = if sum == 0.0 { w } else { w / sum };
            let scaled = w * f64::from(1u32 << BITS);
            (if w < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
        };
        Taps { first, weights: raw.into_iter().map(fixed).collect() }
    };
    (0..target).map(place).collect()
}

/// Resizes `picture` to `width` x `height` pixels, both at least 1.
pub fn resize(picture: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let (source_width, source_height) = (picture.width() as usize, picture.height() as usize);
    let (target_width, target_height) = (width.max(1) as usize, height.max(1) as usize);
    if (source_width, source_height) == (target_width, target_height) {
        return picture.clone();
    }
    if filter == Filter::Nearest {
        let place = |n: u32, source: usize, target: usize| {
            (((f64::from(n) + 0.5) * (source as f64 / target as f64)) as u32).min(source as u32 - 1)
        };
        return RgbImage::from_fn(target_width as u32, target_height as u32, |x, y| {
            *picture.get_pixel(place(x, source_width, target_width), place(y, source_height, target_height))
        });
    }
    let mut samples = picture.as_raw().clone();
    if source_width != target_width {
        samples = resize_rows(&samples, source_width, &taps(filter, source_width, target_width));
    }
    if source_height != target_height {
        samples = down(&samples, target_width, &taps(filter, source_height, target_height));
    }
    // The passes made exactly this number of samples, so that the default is never used.
    RgbImage::from_raw(target_width as u32, target_height as u32, samples).unwrap_or_default()
}

fn clip(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (BITS - 1);

fn resize_rows(samples: &[u8], width: usize, taps: &[Taps]) -> Vec<u8> {
    let mut out = vec![0u8; samples.len() / width * taps.len()];
    let rows = out.par_chunks_mut(taps.len() * 3).zip(samples.par_chunks(width * 3));
    rows.for_each(|(out, row)| {
        for (pixel, tap) in out.chunks_exact_mut(3).zip(taps) {
            let mut sums = [HALF; 3];
            for (sample, &weight) in row[tap.first * 3..].chunks_exact(3).zip(&tap.weights) {
                for c in 0..3 {
                    sums[c] += i32::from(sample[c]) * weight;
                }
            }
            pixel.copy_from_slice(&sums.map(clip));
        }
    });
    out
}

fn down(samples: &[u8], width: usize, taps: &[Taps]) -> Vec<u8> {
    let row = width * 3;
    let mut out = vec![0u8; row * taps.len()];
    out.par_chunks_mut(row).zip(taps).for_each(|(out, tap)| {
        let mut sums = vec![HALF; row];
        for (source, &weight) in samples[tap.first * row..].chunks_exact(row).zip(&tap.weights) {
            for (sum, &sample) in sums.iter_mut().zip(source) {
                *sum += i32::from(sample) * weight;
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = clip(sum);
        }
    });
    out
}
