//! User encoders: item vectors of a history in, one user vector per position out.
//!
//! An encoder is one file with its settings and its module, and one line in the list below.
//!
//! Shapes: `B` users, `S` positions of this batch, `D` width. Sequences are left-padded: the newest item is
//! always last, and position tables are indexed from their end.

mod gru4rec;
mod nextitnet;
#[macro_use]
mod registry;
mod sasrec;
#[cfg(test)]
mod toy;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

pub use self::gru4rec::{Gru4rec, Gru4recConfig};
pub use self::nextitnet::{Nextitnet, NextitnetConfig};
pub use self::sasrec::{Sasrec, SasrecConfig};
use crate::config::rules::Checked;
use crate::nn::Init;
use crate::ops::Noise;
use crate::ops::rows::Rows;

encoders! {
    "sasrec" => Sasrec,
    "gru4rec" => Gru4rec,
    "nextitnet" => Nextitnet,
    #[cfg(test)]
    "toy" => Toy(toy::Toy),
}

/// What an encoder is built for.
#[derive(Clone, Copy, Debug)]
pub struct EncoderContext {
    /// D
    pub width: usize,
    /// Positions of the longest history.
    pub max_seq_len: usize,
    pub layer_norm_eps: f64,
}

/// Settings of an encoder.
pub trait EncoderSettings {
    /// Rules of the settings for a model of the given width; `key` makes the dotted key of one.
    ///
    /// # Errors
    /// A value is out of range.
    fn validate(&self, width: usize, key: &dyn Fn(&str) -> String) -> Checked;
}

/// One kind of user encoder.
pub trait Encoder: Module {
    type Settings: EncoderSettings;

    /// An encoder with fresh weights.
    fn new(settings: &Self::Settings, context: EncoderContext, init: &mut Init) -> Self;

    /// # Shapes
    /// - x: `[B, S, D]`
    /// - rows: which of the `[B, S]` hold an item
    /// - result: `[B, S, D]`; meaningless at the others
    fn forward(&self, x_bsd: Tensor<3>, rows: &Rows, noise: &mut Noise) -> Tensor<3>;

    /// Whether padded positions cost little but copies: the CPU's kernels pass them over.
    fn passes_padding_over(&self) -> bool {
        false
    }
}

/// `[B, S, 1]`: 1 where a position holds an item, else 0.
fn real(rows: &Rows, device: &Device) -> Tensor<3> {
    let (b, s) = (rows.sequences, rows.positions);
    let lengths = rows.lengths.as_deref();
    let real = (0..b * s).map(|i| {
        let length = lengths.map_or(s, |lengths| lengths[i / s] as usize);
        if i % s + length >= s { 1.0f32 } else { 0.0 }
    });
    Tensor::from_data(TensorData::new(real.collect(), [b, s, 1]), device)
}
