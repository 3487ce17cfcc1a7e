//! User encoders behind one interface: SASRec, GRU4Rec, NextItNet.
//!
//! Shapes: `B` users, `S` positions of this batch, `D` width. Sequences are left-padded: the newest item is
//! always last, and position tables are indexed from their end.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::config::{EncoderConfig, ModelConfig};
use crate::nn::conv::ResidualConv;
use crate::nn::gru::Gru;
use crate::nn::init::Scheme;
use crate::nn::{Block, BlockConfig, Init, LayerNorm};
use crate::ops::Noise;
use crate::ops::rows::Rows;
use crate::ops::self_attention::Mask;

/// Turns the item vectors of a history into a user vector at every position.
#[derive(Module, Debug)]
pub enum UserEncoder {
    Sasrec(Sasrec),
    Gru4rec(Gru4rec),
    Nextitnet(Nextitnet),
}

impl UserEncoder {
    pub fn new(encoder: &EncoderConfig, model: &ModelConfig, max_seq_len: usize, init: &mut Init) -> Self {
        match encoder {
            EncoderConfig::Sasrec { blocks, heads } => {
                Self::Sasrec(Sasrec::new(*blocks, *heads, model, max_seq_len, init))
            }
            EncoderConfig::Gru4rec { layers } => {
                Self::Gru4rec(Gru4rec { gru: Gru::new(model.width, *layers, init) })
            }
            EncoderConfig::Nextitnet { kernel, dilations } => Self::Nextitnet(Nextitnet {
                blocks: dilations
                    .iter()
                    .map(|&d| ResidualConv::new(model.width, *kernel, d, model.layer_norm_eps, init))
                    .collect(),
            }),
        }
    }

    /// Whether padded positions cost little but copies: the CPU's kernels pass them over.
    pub fn passes_padding_over(&self) -> bool {
        matches!(self, Self::Sasrec(_))
    }

    /// # Shapes
    /// - x: `[B, S, D]`
    /// - rows: which of the `[B, S]` hold an item
    /// - result: `[B, S, D]`; meaningless at the others
    pub fn forward(&self, x_bsd: Tensor<3>, rows: &Rows, noise: &mut Noise) -> Tensor<3> {
        match self {
            Self::Sasrec(encoder) => encoder.forward(x_bsd, rows, noise),
            Self::Gru4rec(encoder) => {
                let real_bs1 = real(rows, &x_bsd.device());
                encoder.gru.forward(noise.dropout(x_bsd), &real_bs1)
            }
            Self::Nextitnet(encoder) => {
                let real_bs1 = real(rows, &x_bsd.device());
                let x = noise.dropout(x_bsd);
                encoder.blocks.iter().fold(x, |x, block| block.forward(x, &real_bs1))
            }
        }
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

/// Causal transformer over the history (docs/odmt.md, section 2.4).
#[derive(Module, Debug)]
pub struct Sasrec {
    /// `[S, D]`
    pub positions: Param<Tensor<2>>,
    pub norm: LayerNorm,
    pub blocks: Vec<Block>,
}

impl Sasrec {
    fn new(blocks: usize, heads: usize, model: &ModelConfig, max_seq_len: usize, init: &mut Init) -> Self {
        let d = model.width;
        let config = BlockConfig {
            width: d,
            heads,
            layer_norm_eps: model.layer_norm_eps,
            scheme: Scheme::XavierNormal,
        };
        Self {
            positions: init.matrix([max_seq_len, d], d, max_seq_len, Scheme::XavierNormal),
            norm: LayerNorm::new(d, model.layer_norm_eps, init),
            blocks: (0..blocks).map(|_| Block::new(config, init)).collect(),
        }
    }

    fn forward(&self, x_bsd: Tensor<3>, rows: &Rows, noise: &mut Noise) -> Tensor<3> {
        let [_, s, _] = x_bsd.dims();
        let [most, _] = self.positions.dims();
        let positions_sd = self.positions.val().narrow(0, most - s, s);
        let x = noise.dropout(self.norm.forward(x_bsd + positions_sd.unsqueeze()));
        self.blocks.iter().fold(x, |x, block| block.forward(x, rows, &Mask::Causal, noise))
    }
}

/// Gated recurrent units over the history (Hidasi et al. 2016).
#[derive(Module, Debug)]
pub struct Gru4rec {
    pub gru: Gru,
}

/// Dilated causal convolutions over the history (Yuan et al. 2019).
#[derive(Module, Debug)]
pub struct Nextitnet {
    pub blocks: Vec<ResidualConv>,
}
