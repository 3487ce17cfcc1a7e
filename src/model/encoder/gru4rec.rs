//! GRU4Rec: gated recurrent units over the history (Hidasi et al. 2016).

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Encoder, EncoderContext, EncoderSettings, real};
use crate::config::rules::{Checked, check_minimum};
use crate::nn::Init;
use crate::nn::gru::Gru;
use crate::ops::Noise;
use crate::ops::rows::Rows;
use crate::section;

section! {
    /// Gated recurrent units, as in GRU4Rec.
    pub struct Gru4recConfig {
        /// Layers, from 1 on.
        pub layers: usize = 1,
    }
}

impl EncoderSettings for Gru4recConfig {
    fn validate(&self, _width: usize, key: &dyn Fn(&str) -> String) -> Checked {
        check_minimum(&key("layers"), self.layers, 1)
    }
}

/// Gated recurrent units over the history.
#[derive(Module, Debug)]
pub struct Gru4rec {
    pub gru: Gru,
}

impl Encoder for Gru4rec {
    type Settings = Gru4recConfig;

    fn new(settings: &Gru4recConfig, context: EncoderContext, init: &mut Init) -> Self {
        Self { gru: Gru::new(context.width, settings.layers, init) }
    }

    fn forward(&self, x_bsd: Tensor<3>, rows: &Rows, noise: &mut Noise) -> Tensor<3> {
        let real_bs1 = real(rows, &x_bsd.device());
        self.gru.forward(noise.dropout(x_bsd), &real_bs1)
    }
}
