//! The ID-aware multi-modal transformer: one item's tokens of all views read each other (docs/odmt.md, section 2.3).
//!
//! Shapes: `N` items of a group, `L` tokens of an item (all views), `Q` tokens that branches read, `D` width.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;

use super::input::ItemGroup;
use crate::config::{IdVisibility, ModelConfig, SavingsConfig, TowerConfig, ViewKind};
use crate::nn::init::Scheme;
use crate::nn::{Block, BlockConfig, Init};
use crate::ops::Noise;
use crate::ops::rows::Rows;
use crate::ops::self_attention::{Added, Mask};

/// Additive score of a pair that may not attend: the authors' value for the tower, which numbers of 16 bits hold too. Its
/// exponential is exactly 0, and that is all that is needed where every query can read itself; see the user encoders'
/// -1e9 in [`crate::nn::transformer`].
const MASKED: f32 = -10_000.0;

/// Transformer blocks over the tokens of one item.
#[derive(Module, Debug)]
pub struct Tower {
    pub blocks: Vec<Block>,
    #[module(skip)]
    kinds: Vec<ViewKind>,
    #[module(skip)]
    id_visible: IdVisibility,
}

/// Where each view's tokens stand among an item's tokens.
struct Layout {
    /// First token of every view.
    starts: Vec<usize>,
    /// L
    length: usize,
}

impl Tower {
    pub fn new(tower: &TowerConfig, model: &ModelConfig, init: &mut Init) -> Self {
        let block = BlockConfig {
            width: model.width,
            heads: tower.heads,
            layer_norm_eps: model.layer_norm_eps,
            scheme: Scheme::Uniform,
        };
        Self {
            blocks: (0..tower.blocks).map(|_| Block::new(block, init)).collect(),
            kinds: model.views.iter().map(|v| v.kind).collect(),
            id_visible: tower.id_visible,
        }
    }

    /// Fused vector of the first token of each view in `read`.
    ///
    /// # Shapes
    /// - tokens: `[N, T, D]` per view
    /// - result: `[N, D]` per entry of `read`
    pub fn forward(
        &self,
        tokens: Vec<Tensor<3>>,
        group: &ItemGroup,
        read: &[usize],
        savings: &SavingsConfig,
        noise: &mut Noise,
    ) -> Vec<Tensor<2>> {
        let layout = Layout::new(&tokens);
        let readout = savings.readout_queries && !self.blocks.is_empty();
        let full_blocks = self.blocks.len() - usize::from(readout);
        let x_nld = self.states(tokens, group, full_blocks, noise);
        let [n, _, d] = x_nld.dims();
        let mut queries: Vec<usize> = read.iter().map(|&v| layout.starts[v]).collect();
        queries.sort_unstable();
        queries.dedup();
        let x_nqd = if readout {
            let mask = self.mask(group, &layout, &queries);
            self.blocks[full_blocks].forward_readout(x_nld, &queries, mask.as_ref(), noise)
        } else {
            Tensor::cat(queries.iter().map(|&q| x_nld.clone().narrow(1, q, 1)).collect(), 1)
        };
        read.iter()
            .map(|&v| {
                // `queries` are these starts, sorted.
                let place = queries.partition_point(|&query| query < layout.starts[v]);
                x_nqd.clone().narrow(1, place, 1).reshape([n, d])
            })
            .collect()
    }

    /// All tokens after the first `blocks` blocks.
    ///
    /// # Shapes
    /// - tokens: `[N, T, D]` per view
    /// - result: `[N, L, D]`, views one behind the other
    pub fn states(
        &self,
        tokens: Vec<Tensor<3>>,
        group: &ItemGroup,
        blocks: usize,
        noise: &mut Noise,
    ) -> Tensor<3> {
        let layout = Layout::new(&tokens);
        let all: Vec<usize> = (0..layout.length).collect();
        let mask = if blocks == 0 { None } else { self.mask(group, &layout, &all) };
        let mask = mask.map_or(Mask::Open, Mask::Added);
        let rows = Rows::all(group.count, layout.length);
        let x_nld = noise.dropout(Tensor::cat(tokens, 1));
        self.blocks[..blocks].iter().fold(x_nld, |x, block| block.forward(x, &rows, &mask, noise))
    }

    /// What is added to the scores of the given query tokens, or `None` where all may attend to all.
    ///
    /// Rows differ between items only where the group holds padding tokens.
    fn mask(&self, group: &ItemGroup, layout: &Layout, queries: &[usize]) -> Option<Added> {
        let l = layout.length;
        let padded = (0..self.kinds.len())
            .any(|v| group.view(v).is_some_and(|t| (0..group.count).any(|item| t.readable(item) < t.count)));
        let hidden_id: Vec<usize> = (0..self.kinds.len())
            .filter(|&v| self.kinds[v].has_table() && self.id_visible == IdVisibility::Itself)
            .map(|v| layout.starts[v])
            .collect();
        if !padded && hidden_id.is_empty() {
            return None;
        }
        let rows = if padded { group.count } else { 1 };
        let mut mask = vec![0.0; rows * queries.len() * l];
        for (row, values) in mask.chunks_exact_mut(l).enumerate() {
            let (item, query) = (row / queries.len(), queries[row % queries.len()]);
            for &id in hidden_id.iter().filter(|&&id| id != query) {
                values[id] = MASKED;
            }
            if padded {
                for (v, &start) in layout.starts.iter().enumerate() {
                    if let Some(tokens) = group.view(v) {
                        values[start + tokens.readable(item)..start + tokens.count].fill(MASKED);
                    }
                }
            }
        }
        Some(Added { values: Arc::new(mask), sequence_specific: padded, queries: queries.len(), keys: l })
    }
}

impl Layout {
    fn new(tokens: &[Tensor<3>]) -> Self {
        let mut length = 0;
        let starts = tokens
            .iter()
            .map(|t| {
                let start = length;
                length += t.dims()[1];
                start
            })
            .collect();
        Self { starts, length }
    }
}
