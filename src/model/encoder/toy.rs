//! An encoder in one file, as a contributor would add it: exponentially fading means of the history.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use super::{Encoder, EncoderContext, EncoderSettings, real};
use crate::config::rules::{Checked, check_range};
use crate::nn::Init;
use crate::ops::Noise;
use crate::ops::rows::Rows;
use crate::section;

section! {
    /// Fading mean of the history.
    pub struct ToyConfig {
        /// Spread of the initial memory, from 0 to 1.
        pub spread: f64 = 0.5,
    }
}

impl EncoderSettings for ToyConfig {
    fn validate(&self, _width: usize, key: &dyn Fn(&str) -> String) -> Checked {
        check_range(&key("spread"), self.spread, 0.0..=1.0)
    }
}

/// A user is the mean of the items so far, newer ones counting more.
#[derive(Module, Debug)]
pub struct Toy {
    /// `[D]`: how much of the past each dimension keeps, before the sigmoid.
    memory: Param<Tensor<1>>,
}

impl Encoder for Toy {
    type Settings = ToyConfig;

    fn new(settings: &ToyConfig, context: EncoderContext, init: &mut Init) -> Self {
        Self { memory: init.uniform([context.width], settings.spread) }
    }

    fn forward(&self, x_bsd: Tensor<3>, rows: &Rows, noise: &mut Noise) -> Tensor<3> {
        let [b, s, d] = x_bsd.dims();
        let x_bsd = noise.dropout(x_bsd.clone() * real(rows, &x_bsd.device()));
        let keep_11d = sigmoid(self.memory.val()).reshape([1, 1, d]);
        let mut state_b1d = Tensor::zeros([b, 1, d], &x_bsd.device());
        let states = (0..s).map(|i| {
            let fresh = x_bsd.clone().narrow(1, i, 1);
            state_b1d = state_b1d.clone() * keep_11d.clone() + fresh * (keep_11d.clone().neg() + 1.0);
            state_b1d.clone()
        });
        Tensor::cat(states.collect(), 1)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::{Device, TensorData};

    use super::super::UserEncoder;
    use super::*;
    use crate::config::{EncoderConfig, parse};
    use crate::params;

    const RUN: &str = "[data]\npath = \"x\"\n[[model.views]]\nname = \"id\"\nkind = \"id\"\n\
                       [[model.branches]]\nname = \"id\"\nview = \"id\"\n";

    #[test]
    fn one_file_and_one_line_make_an_encoder_with_settings_rules_and_parameters() {
        let read = |more: &str| parse(&format!("{RUN}{more}"), Path::new("x.toml"), &[]);
        let encoder = "[model.branches.encoder]\nkind = \"toy\"\n";
        let config = read(&format!("{encoder}spread = 0.25\n")).unwrap().config;
        let EncoderConfig::Toy(settings) = &config.model.branches[0].encoder else { panic!("another kind") };
        assert_eq!(settings.spread, 0.25);
        let refused = |more: &str| read(&format!("{encoder}{more}")).unwrap_err().to_string();
        assert!(refused("spread = 2.0").contains("model.branches.0.encoder.spread"));
        assert!(refused("blocks = 2").contains("unknown key"));

        let context = EncoderContext { width: 2, max_seq_len: 3, layer_norm_eps: 1e-6 };
        let device = Device::flex().autodiff();
        let encoder =
            UserEncoder::new(&EncoderConfig::Toy(settings.clone()), context, &mut Init::new(1, &device));
        assert_eq!(params::read(&encoder).into_keys().collect::<Vec<_>>(), ["memory"]);
        // Keeps half: 1, then 0.5 · 1 · 0.5 + …
        let encoder = params::map(encoder, &mut |_, _, value| value * 0.0);
        let x = Tensor::from_data(TensorData::new(vec![0.0f32, 0.0, 2.0, 4.0, 8.0, 0.0], [1, 3, 2]), &device);
        let rows = Rows::padded(vec![2], 3);
        let y = encoder.forward(x, &rows, &mut Noise::off());
        assert_eq!(params::host(y.clone().inner()), [0.0, 0.0, 1.0, 2.0, 4.5, 1.0]);
        let mut grads = y.sum().backward();
        let grads = params::gradients(&encoder, &mut grads);
        assert!(params::host(grads["memory"].clone()).iter().all(|&g| g != 0.0));
    }
}
