//! NextItNet: dilated causal convolutions over the history (Yuan et al. 2019).

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Encoder, EncoderContext, EncoderSettings, real};
use crate::config::rules::{Checked, check_minimum, invalid};
use crate::nn::Init;
use crate::nn::conv::ResidualConv;
use crate::ops::Noise;
use crate::ops::rows::Rows;
use crate::section;

section! {
    /// Dilated causal convolutions, as in NextItNet.
    pub struct NextitnetConfig {
        /// Positions that a convolution reads, from 2 on.
        pub kernel: usize = 3,
        /// Dilation of each block, from 1 on; there are as many blocks.
        pub dilations: Vec<usize> = vec![1, 2, 1, 2],
    }
}

impl EncoderSettings for NextitnetConfig {
    fn validate(&self, _width: usize, key: &dyn Fn(&str) -> String) -> Checked {
        check_minimum(&key("kernel"), self.kernel, 2)?;
        let Self { dilations, .. } = self;
        if dilations.is_empty() || dilations.contains(&0) {
            let reason = format!("= {dilations:?} must hold numbers from 1 on");
            return Err(invalid(&key("dilations"), reason).with_hint("for example dilations = [1, 2, 1, 2]"));
        }
        Ok(())
    }
}

/// Dilated causal convolutions over the history.
#[derive(Module, Debug)]
pub struct Nextitnet {
    pub blocks: Vec<ResidualConv>,
}

impl Encoder for Nextitnet {
    type Settings = NextitnetConfig;

    fn new(settings: &NextitnetConfig, context: EncoderContext, init: &mut Init) -> Self {
        let block = |&dilation: &usize| {
            ResidualConv::new(context.width, settings.kernel, dilation, context.layer_norm_eps, init)
        };
        Self { blocks: settings.dilations.iter().map(block).collect() }
    }

    fn forward(&self, x_bsd: Tensor<3>, rows: &Rows, noise: &mut Noise) -> Tensor<3> {
        let real_bs1 = real(rows, &x_bsd.device());
        let x = noise.dropout(x_bsd);
        self.blocks.iter().fold(x, |x, block| block.forward(x, &real_bs1))
    }
}
