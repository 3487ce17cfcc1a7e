//! SASRec: a causal transformer with learned positions (Kang and McAuley 2018; docs/odmt.md, section 2.4).

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Encoder, EncoderContext, EncoderSettings};
use crate::config::rules::{Checked, check_minimum, divides};
use crate::nn::init::Scheme;
use crate::nn::{Block, BlockConfig, Init, LayerNorm};
use crate::ops::Noise;
use crate::ops::rows::Rows;
use crate::ops::self_attention::Mask;
use crate::section;

section! {
    /// Causal transformer with learned positions, as in SASRec and ODMT.
    pub struct SasrecConfig {
        /// Transformer blocks, from 1 on.
        pub blocks: usize = 2,
        /// Attention heads of a block; they divide `model.width`.
        pub heads: usize = 2,
    }
}

impl EncoderSettings for SasrecConfig {
    fn validate(&self, width: usize, key: &dyn Fn(&str) -> String) -> Checked {
        check_minimum(&key("blocks"), self.blocks, 1)?;
        divides(&key("heads"), self.heads, width)
    }
}

/// Causal transformer over the history.
#[derive(Module, Debug)]
pub struct Sasrec {
    /// `[S, D]`
    pub positions: Param<Tensor<2>>,
    pub norm: LayerNorm,
    pub blocks: Vec<Block>,
}

impl Encoder for Sasrec {
    type Settings = SasrecConfig;

    fn new(settings: &SasrecConfig, context: EncoderContext, init: &mut Init) -> Self {
        let EncoderContext { width, max_seq_len, layer_norm_eps } = context;
        let config =
            BlockConfig { width, heads: settings.heads, layer_norm_eps, scheme: Scheme::XavierNormal };
        Self {
            positions: init.matrix([max_seq_len, width], width, max_seq_len, Scheme::XavierNormal),
            norm: LayerNorm::new(width, layer_norm_eps, init),
            blocks: (0..settings.blocks).map(|_| Block::new(config, init)).collect(),
        }
    }

    fn forward(&self, x_bsd: Tensor<3>, rows: &Rows, noise: &mut Noise) -> Tensor<3> {
        let [_, s, _] = x_bsd.dims();
        let [most, _] = self.positions.dims();
        let positions_sd = self.positions.val().narrow(0, most - s, s);
        let x = noise.dropout(self.norm.forward(x_bsd + positions_sd.unsqueeze()));
        self.blocks.iter().fold(x, |x, block| block.forward(x, rows, &Mask::Causal, noise))
    }

    fn passes_padding_over(&self) -> bool {
        true
    }
}
