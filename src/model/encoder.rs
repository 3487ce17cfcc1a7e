//! User encoders behind one interface: SASRec, GRU4Rec, NextItNet.
//!
//! Shapes: `B` users, `S` positions of this batch, `D` width. Sequences are left-padded: the newest item is
//! always last, and position tables are indexed from their end.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};

use crate::config::{EncoderConfig, ModelConfig};
use crate::nn::conv::ResidualConv;
use crate::nn::gru::Gru;
use crate::nn::init::Scheme;
use crate::nn::{Block, BlockConfig, Init, LayerNorm};
use crate::ops::Noise;

/// Score of a key that may not be read (the authors' value).
const MASKED: f32 = -1e9;

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

    /// # Shapes
    /// - x: `[B, S, D]`
    /// - real: `[B, S, 1]`, 1 where the position holds an item
    /// - result: `[B, S, D]`
    pub fn forward(&self, x_bsd: Tensor<3>, real_bs1: &Tensor<3>, noise: &mut Noise) -> Tensor<3> {
        match self {
            Self::Sasrec(encoder) => encoder.forward(x_bsd, real_bs1, noise),
            Self::Gru4rec(encoder) => encoder.gru.forward(noise.dropout(x_bsd), real_bs1),
            Self::Nextitnet(encoder) => {
                let x = noise.dropout(x_bsd);
                encoder.blocks.iter().fold(x, |x, block| block.forward(x, real_bs1))
            }
        }
    }
}

/// Causal transformer over the history (odmt.md 2.4).
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

    fn forward(&self, x_bsd: Tensor<3>, real_bs1: &Tensor<3>, noise: &mut Noise) -> Tensor<3> {
        let [b, s, _] = x_bsd.dims();
        let [most, _] = self.positions.dims();
        let device = x_bsd.device();
        let positions_sd = self.positions.val().narrow(0, most - s, s);
        let x = noise.dropout(self.norm.forward(x_bsd + positions_sd.unsqueeze()));
        let causal: Vec<f32> = (0..s * s).map(|i| if i % s <= i / s { 0.0 } else { MASKED }).collect();
        let causal_11ss = Tensor::<4>::from_data(TensorData::new(causal, [1, 1, s, s]), &device);
        // A padded query has no key left; its softmax is uniform, and nothing reads it.
        let padding_b11s = (real_bs1.clone() - 1.0).reshape([b, 1, 1, s]) * -MASKED;
        let mask = causal_11ss + padding_b11s;
        self.blocks.iter().fold(x, |x, block| block.forward(x, Some(&mask), noise))
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
