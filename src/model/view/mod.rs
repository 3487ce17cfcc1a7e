//! The views of an item, brought to the model's width.
//!
//! A kind of view is one file with its rules and its module, and one entry in the list below.
//!
//! Shapes: `N` items, `T` tokens, `F` feature width, `D` width, `I` items of the catalogue.

pub mod config;
mod id;
#[macro_use]
mod registry;
mod tokens;
#[cfg(test)]
mod toy;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

pub use self::config::{IdInit, ViewConfig};
pub use self::id::IdView;
pub use self::tokens::TokenView;
use super::input::GroupTokens;
use crate::config::rules::Checked;
use crate::nn::Init;

views! {
    /// A trainable vector per item.
    "id" => Id(IdView),
    /// Frozen token features from a feature store.
    "tokens" => Tokens(TokenView),
    /// One trainable token that all items share.
    #[cfg(test)]
    "toy" => Toy(toy::Toy),
}

/// What a view is built for.
pub struct ViewContext<'a> {
    /// All views of the model, in its order.
    pub views: &'a [ViewConfig],
    /// F of each; 0 where no store is read.
    pub feature_widths: &'a [usize],
    /// Which of them is built.
    pub number: usize,
    /// D
    pub width: usize,
    /// I
    pub items: usize,
    /// `[I + 1, F]` first-token features of the view with this number, row-major.
    pub first_tokens: &'a dyn Fn(usize) -> Vec<f32>,
}

/// One kind of view.
pub trait ItemView: Module {
    /// Whether a feature store is read.
    const READS_FEATURES: bool = false;
    /// Whether every item has a vector of its own that is trained: one that new items lack. A model has at most one such
    /// view.
    const HAS_TABLE: bool = false;
    /// Whether it has settings of its own, which stand in `settings`.
    const READS_SETTINGS: bool = false;

    /// Rules of `view`'s settings among the `others` of a model of the given width; `key` makes the dotted key of one.
    ///
    /// # Errors
    /// A value is out of range, or is read by views of another kind.
    fn check(view: &ViewConfig, others: &[ViewConfig], width: usize, key: &dyn Fn(&str) -> String)
    -> Checked;

    /// A view with fresh weights.
    fn new(config: &ViewConfig, context: &ViewContext<'_>, init: &mut Init) -> Self;

    /// Tokens of `items`; `features` are theirs where the view reads a store.
    ///
    /// # Shapes
    /// - features: `[N, T, F]`
    /// - result: `[N, T, D]`, T the view's own without features
    fn forward(&self, items: &[u32], features: Option<&GroupTokens>, device: &Device) -> Tensor<3>;

    /// The vectors of a view that has one per item.
    fn table(&self) -> Option<&IdView> {
        None
    }

    /// [`Self::table`], to be changed.
    fn table_mut(&mut self) -> Option<&mut IdView> {
        None
    }
}
