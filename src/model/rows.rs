//! The rows of an ID table that one micro-batch reads, as a leaf of the graph in place of the table.
//!
//! Burn's gradient of a look-up is as large as the table. A leaf that holds the looked-up rows has their gradient
//! instead, and the table itself stays out of the graph: Burn 0.22 has no sparse gradient.
//!
//! Shapes: `U` items of a block, `V` distinct ones, `N` items of a group, `F` width of the table.

use std::collections::HashMap;

use burn::tensor::Tensor;

use super::Recommender;
use super::input::{ItemBlock, ItemGroup};
use crate::ops::lookup::lookup;

/// Rows of the ID table.
#[derive(Clone, Debug)]
pub struct IdRows {
    /// The table's name among the parameters.
    pub table: String,
    /// V different rows.
    pub rows: Vec<u32>,
    /// `[V, F]`, with gradient
    pub values: Tensor<2>,
    /// `[U, F]`: the same in the block's order.
    block_values: Tensor<2>,
}

impl IdRows {
    /// The same rows in the order of another block, whose items are among those of the first.
    ///
    /// # Panics
    /// One is not.
    #[must_use]
    pub fn reading(&self, block: &ItemBlock) -> Self {
        let place_of: HashMap<u32, u32> = self.rows.iter().copied().zip(0..).collect();
        let places: Vec<u32> = block.items.iter().map(|item| place_of[item]).collect();
        Self { block_values: lookup(self.values.clone(), &places), ..self.clone() }
    }

    /// Rows of a group's items, `[N, F]`.
    pub(super) fn group_rows(&self, group: &ItemGroup) -> Tensor<2> {
        self.block_values.clone().narrow(0, group.start, group.count)
    }
}

impl Recommender {
    /// What the ID view reads for the items of `block`; `None` without such a view.
    pub fn id_rows(&self, block: &ItemBlock) -> Option<IdRows> {
        let views = self.views.iter().zip(&self.config().views);
        let (table, name) =
            views.into_iter().find_map(|(view, config)| Some((view.table()?.table.val(), &config.name)))?;
        let mut place_of = HashMap::with_capacity(block.items.len());
        let mut rows = Vec::with_capacity(block.items.len());
        let places = block.items.iter().map(|&item| {
            *place_of.entry(item).or_insert_with(|| {
                rows.push(item);
                rows.len() - 1
            }) as u32
        });
        let places: Vec<u32> = places.collect();
        let values = Tensor::from_inner(lookup(table.inner(), &rows)).require_grad();
        let block_values =
            if rows.len() == places.len() { values.clone() } else { lookup(values.clone(), &places) };
        Some(IdRows { table: format!("views.{name}.table"), rows, values, block_values })
    }
}
