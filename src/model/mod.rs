//! The recommender: item tower, branches, user encoders (docs/odmt.md, section 2).
//!
//! Reading order: [`input`] (what a forward pass eats, still on the host), [`view`] (an item's ID vector and
//! token features at the model's width), [`tower`] (the ID-aware multi-modal transformer), [`histories`] (padded once),
//! [`encoder`] (user encoders), [`branch`] (a student), and [`Recommender`], which puts them together from a configuration.
//!
//! Shapes: `U` items of a block, `N` items of a group, `T` tokens of a view, `F` feature width, `D` width,
//! `B` users, `S` positions.

pub mod branch;
pub mod config;
pub mod encoder;
pub mod ensemble;
pub mod histories;
pub mod input;
pub mod rows;
pub mod tower;
pub mod view;
pub mod windows;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::config::{EnsembleWeights, ModelConfig, SavingsConfig, TokensRead};
use crate::nn::{Init, Named};
use crate::ops::Noise;
use crate::ops::lookup::lookup;
use crate::ops::rows::Rows;

pub use branch::Branch;
pub use ensemble::{Ensemble, Weights};
pub use histories::{Histories, Padded};
use input::GroupTokens;
pub use input::{Column, ItemBlock, ViewSource, Without};
pub use rows::IdRows;
pub use tower::Tower;
pub use view::{View, ViewContext};
use windows::{WORTH, WORTH_OF_COPIES, WindowGroup, group_windows};

/// What the data determine about a model's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct DataShape {
    /// I, without padding.
    pub items: usize,
    /// S: positions of the user encoders.
    pub max_seq_len: usize,
    /// Width of each `tokens` view, in the order of the configured views (ID views: 0).
    pub feature_widths: Vec<usize>,
}

/// How the parts are wired; not trainable.
#[derive(Clone, Debug)]
struct Plan {
    config: ModelConfig,
    /// View index of every branch.
    branch_views: Vec<usize>,
    savings: SavingsConfig,
}

/// The whole model.
#[derive(Module, Debug)]
pub struct Recommender {
    pub views: Named<View>,
    pub tower: Option<Tower>,
    pub branches: Named<Branch>,
    /// Weights of the branches; absent where all count the same.
    pub ensemble: Option<Ensemble>,
    #[module(skip)]
    plan: Plan,
}

impl Recommender {
    /// Builds the model with fresh weights. `config` has been validated.
    ///
    /// `first_tokens(view)` gives `[I + 1, F]` first-token features, row-major, for an ID table that starts
    /// from features; it is called only where [`IdInit::Features`](view::IdInit::Features) asks for it.
    ///
    /// # Panics
    /// A branch reads a view that there is not.
    pub fn new(
        config: &ModelConfig,
        savings: &SavingsConfig,
        shape: &DataShape,
        first_tokens: &dyn Fn(usize) -> Vec<f32>,
        init: &mut Init,
    ) -> Self {
        // Validation refuses a branch that names no view.
        let index_of = |name: &str| {
            let found = config.views.iter().position(|view| view.name == name);
            found.unwrap_or_else(|| panic!("a branch reads the view `{name}`, which the model has not"))
        };
        let views = config.views.iter().enumerate().map(|(number, view)| {
            let context = ViewContext {
                views: &config.views,
                feature_widths: &shape.feature_widths,
                number,
                width: config.width,
                items: shape.items,
                first_tokens,
            };
            (view.name.clone(), View::new(view, &context, init))
        });
        let views = views.collect();
        let tower = config.tower.as_ref().map(|tower| Tower::new(tower, config, init));
        let branches = config
            .branches
            .iter()
            .map(|b| (b.name.clone(), Branch::new(b, config, shape.max_seq_len, init)))
            .collect();
        let branch_views = config.branches.iter().map(|b| index_of(&b.view)).collect();
        let plan = Plan { config: config.clone(), branch_views, savings: savings.clone() };
        let fitted = config.ensemble.weights == EnsembleWeights::Fitted;
        let ensemble = fitted.then(|| Ensemble::new(config.score_names().len(), init.device()));
        Self { views, tower, branches, ensemble, plan }
    }

    pub fn config(&self) -> &ModelConfig {
        &self.plan.config
    }

    /// What each branch counts in the ensemble, a memory last.
    pub fn ensemble_weights(&self) -> Weights {
        let equal = || Weights::equal(self.plan.config.score_names().len());
        self.ensemble.as_ref().map_or_else(equal, Ensemble::weights)
    }

    /// Item vectors of every branch.
    ///
    /// # Shapes
    /// - block: U items in groups
    /// - result: one `[U, D]` per branch, rows in the block's order
    pub fn encode_items(&self, block: &ItemBlock, device: &Device, noise: &mut Noise) -> Vec<Tensor<2>> {
        self.encode_items_from(block, None, device, noise)
    }

    /// [`Self::encode_items`] with an ID view that reads `id_rows` instead of its table.
    pub fn encode_items_from(
        &self,
        block: &ItemBlock,
        id_rows: Option<&IdRows>,
        device: &Device,
        noise: &mut Noise,
    ) -> Vec<Tensor<2>> {
        let all: Vec<usize> = (0..self.branches.len()).collect();
        self.encode_items_in(&all, block, id_rows, device, noise)
    }

    /// [`Self::encode_items_from`] in some branches, which may be none: one `[U, D]` for each of them.
    pub fn encode_items_in(
        &self,
        branches: &[usize],
        block: &ItemBlock,
        id_rows: Option<&IdRows>,
        device: &Device,
        noise: &mut Noise,
    ) -> Vec<Tensor<2>> {
        let read: Vec<usize> = branches.iter().map(|&branch| self.plan.branch_views[branch]).collect();
        let mut parts: Vec<Vec<Tensor<2>>> = vec![Vec::new(); branches.len()];
        for group in &block.groups {
            let items = &block.items[group.start..group.start + group.count];
            let tokens_of = |v: usize| match (self.views[v].table(), id_rows) {
                (Some(table), Some(rows)) => table.tokens(rows.group_rows(group)),
                _ => self.views[v].forward(items, group.view(v), device),
            };
            let views = 0..self.views.len();
            let first: Vec<Tensor<2>> = if let Some(tower) = &self.tower {
                tower.forward(views.map(tokens_of).collect(), group, &read, &self.plan.savings, noise)
            } else {
                let tokens: Vec<Option<Tensor<3>>> =
                    views.map(|v| read.contains(&v).then(|| tokens_of(v))).collect();
                let own = branches.iter().zip(&read).filter_map(|(&branch, &v)| {
                    let how = self.plan.config.branches[branch].tokens;
                    Some(read_tokens(how, tokens[v].as_ref()?, group.view(v)))
                });
                own.collect()
            };
            for (part, (&branch, x_nd)) in parts.iter_mut().zip(branches.iter().zip(first)) {
                part.push(self.branches[branch].item_vectors(x_nd));
            }
        }
        parts.into_iter().map(|p| Tensor::cat(p, 0)).collect()
    }

    /// Branches that read the view of this number, or any where none is given.
    pub fn branches_reading(&self, view: Option<usize>) -> Vec<usize> {
        let all = self.plan.branch_views.iter().enumerate();
        all.filter(|(_, own)| view.is_none_or(|view| view == **own)).map(|(branch, _)| branch).collect()
    }

    /// Item vectors of branch `branch` for the whole catalogue, `[I + 1, D]`; row 0 is padding and means nothing.
    ///
    /// For branches that read the ID view without a tower; `None` for others, whose vectors would take a pass over
    /// all features.
    pub fn catalogue_vectors(&self, branch: usize) -> Option<Tensor<2>> {
        match (&self.tower, self.views[self.plan.branch_views[branch]].table()) {
            (None, Some(table)) => Some(self.branches[branch].item_vectors(table.all())),
            _ => None,
        }
    }

    /// User vectors of branch `branch` at every position.
    ///
    /// # Shapes
    /// - x: `[B, S', D]` with S' ≤ S, left-padded: the newest item is last
    /// - rows: which of the `[B, S']` hold an item
    /// - result: `[B, S', D]`; meaningless at the others
    pub fn encode_users(&self, branch: usize, x_bsd: Tensor<3>, rows: &Rows, noise: &mut Noise) -> Tensor<3> {
        self.branches[branch].encoder.forward(x_bsd, rows, noise)
    }

    /// User vectors of branch `branch` at every position of histories that are `padded`; `rows` says where the positions
    /// stand in them ([`Histories::rows`]).
    ///
    /// # Shapes
    /// - items: `[U, D]`, where the padded places lead
    /// - result: `[R, D]`
    pub fn encode_histories(
        &self,
        branch: usize,
        items_ud: &Tensor<2>,
        padded: &[Padded],
        rows: &[u32],
        noise: &mut Noise,
    ) -> Tensor<2> {
        let [_, d] = items_ud.dims();
        let encoded = padded.iter().map(|group| {
            let (b, s) = (group.rows.sequences, group.rows.positions);
            let x_bsd = lookup(items_ud.clone(), &group.places).reshape([b, s, d]);
            self.encode_users(branch, x_bsd, &group.rows, noise).reshape([b * s, d])
        });
        lookup(Tensor::cat(encoded.collect(), 0), rows)
    }

    /// Histories padded in groups for all branches, at most `most`. The same on every device: a group's shape is part of
    /// what dropout draws.
    pub fn group_windows(&self, lengths: &[usize], most: usize) -> Vec<WindowGroup> {
        let over = self.branches.iter().all(|branch| branch.encoder.passes_padding_over());
        group_windows(lengths, most, if over { WORTH_OF_COPIES } else { WORTH })
    }
}

/// What a branch reads of a view's tokens, `[N, D]`.
fn read_tokens(read: TokensRead, x_ntd: &Tensor<3>, features: Option<&GroupTokens>) -> Tensor<2> {
    let [n, t, d] = x_ntd.dims();
    let (Some(features), TokensRead::Mean, true) = (features, read, t > 1) else { return first_token(x_ntd) };
    // An item without the view has one token, the learned one.
    let share = |item: usize| {
        let count = features.readable(item);
        (0..t).map(move |token| if token < count { 1.0 / count as f32 } else { 0.0 })
    };
    let shares: Vec<f32> = (0..n).flat_map(share).collect();
    let shares_nt1 = Tensor::<3>::from_data(TensorData::new(shares, [n, t, 1]), &x_ntd.device());
    (x_ntd.clone() * shares_nt1).sum_dim(1).reshape([n, d])
}

/// First token of every item: the view's own summary (CLS, or the pooled vector).
fn first_token(x_ntd: &Tensor<3>) -> Tensor<2> {
    let [n, _, d] = x_ntd.dims();
    x_ntd.clone().narrow(1, 0, 1).reshape([n, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params;

    #[test]
    fn a_mean_is_that_of_the_tokens_an_item_has() {
        let device = Device::default();
        let x = [1.0f32, 2.0, 3.0, 4.0, 5.0, 60.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
        let x_ntd = Tensor::<3>::from_data(TensorData::new(x.to_vec(), [3, 2, 2]), &device);
        // The second item has one token, the third none: its learned token stands everywhere.
        let features = GroupTokens { values: Vec::new(), count: 2, width: 5, lengths: vec![2, 1, 0] };
        let mean = read_tokens(TokensRead::Mean, &x_ntd, Some(&features));
        assert_eq!(params::host(mean), [2.0, 3.0, 5.0, 60.0, 9.0, 10.0]);
        let first = read_tokens(TokensRead::First, &x_ntd, Some(&features));
        assert_eq!(params::host(first), [1.0, 2.0, 5.0, 60.0, 9.0, 10.0]);
    }
}
