//! Item vectors of the whole catalogue, encoded once.
//!
//! Shapes: `I` items, `D` width.

use std::borrow::Cow;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::model::{ItemBlock, Recommender, ViewSource};
use crate::ops::Noise;

/// Item vectors of each branch; row 0 (padding) is zero.
#[derive(Clone, Debug)]
pub struct CatalogueVectors {
    /// `[I + 1, D]` for each branch, on the plain device.
    pub branches: Vec<Tensor<2>>,
}

impl From<CatalogueVectors> for Cow<'_, CatalogueVectors> {
    fn from(vectors: CatalogueVectors) -> Self {
        Self::Owned(vectors)
    }
}

impl<'a> From<&'a CatalogueVectors> for Cow<'a, CatalogueVectors> {
    fn from(vectors: &'a CatalogueVectors) -> Self {
        Self::Borrowed(vectors)
    }
}

impl CatalogueVectors {
    /// Encodes items 1..=`items` with the plain (not autodiff) `model`, `batch` at a time, in order of their token counts.
    pub fn encode(
        model: &Recommender,
        views: &[Option<ViewSource>],
        items: usize,
        batch: usize,
        device: &Device,
    ) -> Self {
        let mut order: Vec<u32> = (1..=items as u32).collect();
        // Items of one block have similar token counts, so that each block pads little.
        let tokens = |item: u32| -> usize {
            views.iter().flatten().map(|v| v.store.length(item).min(v.max_tokens)).sum()
        };
        order.sort_by_cached_key(|&item| (tokens(item), item));
        let mut parts: Vec<Vec<Tensor<2>>> = vec![Vec::new(); model.branches.len()];
        let mut encoded = Vec::with_capacity(items);
        for chunk in order.chunks(batch.max(1)) {
            let block = ItemBlock::build(chunk.to_vec(), views, 2);
            let vectors = model.encode_items(&block, device, &mut Noise::off());
            encoded.extend_from_slice(&block.items);
            parts.iter_mut().zip(vectors).for_each(|(part, x)| part.push(x));
        }
        let mut place = vec![0i32; items + 1];
        for (row, &item) in encoded.iter().enumerate() {
            place[item as usize] = row as i32 + 1;
        }
        let index = Tensor::<1, Int>::from_data(TensorData::new(place, [items + 1]), device);
        let width = model.config().width;
        let branches = parts.into_iter().map(|mut part| {
            part.insert(0, Tensor::zeros([1, width], device));
            Tensor::cat(part, 0).select(0, index.clone())
        });
        Self { branches: branches.collect() }
    }

    /// I, the number of items without padding.
    pub fn items(&self) -> usize {
        self.branches.first().map_or(0, |b| b.dims()[0].saturating_sub(1))
    }
}
