//! A kind of view in one file, as a contributor would add it: one token that all items share.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Deserialize;

use super::config::ViewConfig;
use super::{ItemView, ViewContext};
use crate::config::rules::{Checked, check_range, invalid};
use crate::model::input::GroupTokens;
use crate::nn::Init;

/// Settings of the view.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Spread of the initial token, from 0 to 1.
    spread: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { spread: 0.5 }
    }
}

/// One token that all items share.
#[derive(Module, Debug)]
pub struct Toy {
    /// `[D]`
    token: Param<Tensor<1>>,
}

impl ItemView for Toy {
    const READS_SETTINGS: bool = true;

    fn check(view: &ViewConfig, _: &[ViewConfig], _: usize, key: &dyn Fn(&str) -> String) -> Checked {
        let settings: Settings = view.settings().map_err(|e| invalid(&key("settings"), e.to_string()))?;
        check_range(&key("settings.spread"), settings.spread, 0.0..=1.0)
    }

    fn new(config: &ViewConfig, context: &ViewContext<'_>, init: &mut Init) -> Self {
        let settings: Settings = config.settings().unwrap_or_default();
        Self { token: init.uniform([context.width], settings.spread) }
    }

    fn forward(&self, items: &[u32], _: Option<&GroupTokens>, _: &Device) -> Tensor<3> {
        let [d] = self.token.dims();
        self.token.val().reshape([1, 1, d]).expand([items.len(), 1, d])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, ConfigError, parse};
    use crate::model::{DataShape, ItemBlock, Recommender};
    use crate::ops::Noise;
    use crate::params;

    const RUN: &str = "[data]\npath = \"x\"\n[model]\nwidth = 4\n[model.tower]\nblocks = 1\nheads = 2\nid_visible = \"all\"\n\
                       [[model.branches]]\nname = \"id\"\nview = \"id\"\n\
                       [[model.branches]]\nname = \"mood\"\nview = \"mood\"\n\
                       [[model.views]]\nname = \"id\"\nkind = \"id\"\n\
                       [[model.views]]\nname = \"mood\"\nkind = \"toy\"\n";

    fn read(more: &str) -> Result<Config, ConfigError> {
        parse(&format!("{RUN}{more}"), Path::new("x.toml"), &[]).map(|read| read.config)
    }

    #[test]
    fn one_file_and_one_line_make_a_view_with_settings_and_rules() {
        assert!(read("settings = { spread = 0.25 }").is_ok());
        let refused = |more: &str| read(more).unwrap_err().to_string();
        assert!(refused("settings = { spread = 2.0 }").contains("model.views.1.settings.spread"));
        assert!(refused("settings = { spreads = 0.5 }").contains("spreads"));
        let other = RUN.replace("\"toy\"", "\"tokens\"") + "settings = { spread = 0.5 }";
        let told = parse(&other, Path::new("x.toml"), &[]).unwrap_err().to_string();
        assert!(told.contains("model.views.1.settings"), "{told}");
    }

    #[test]
    fn one_file_and_one_line_make_a_view_that_a_tower_reads_and_a_training_changes() {
        let config = read("").unwrap();
        let device = Device::flex().autodiff();
        let shape = DataShape { items: 5, max_seq_len: 3, feature_widths: vec![0, 0] };
        let mut init = Init::new(1, &device);
        let none = |_: usize| Vec::new();
        let model = Recommender::new(&config.model, &config.train.savings, &shape, &none, &mut init);
        let name = "views.mood.token";
        assert_eq!(params::read(&model)[name].shape, [4]);
        let block = ItemBlock::build(vec![2, 4, 5], &[None, None], 2);
        let items = model.encode_items(&block, &device, &mut Noise::off());
        assert_eq!(items.iter().map(Tensor::dims).collect::<Vec<_>>(), [[3, 4], [3, 4]]);
        // All items share the token, but the tower lets it read each item's ID.
        let mood = params::host(items[1].clone().inner());
        assert_ne!(mood[..4], mood[4..8]);
        let mut grads = items[1].clone().powf_scalar(2.0).sum().backward();
        let grads = params::gradients(&model, &mut grads);
        assert!(params::host(grads[name].clone()).iter().any(|&g| g != 0.0));
    }
}
