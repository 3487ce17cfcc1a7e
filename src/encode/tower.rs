//! The native encoders: a text or picture embedding, followed by a tower of transformer blocks.
//!
//! Shapes: `B` inputs, `T` tokens, `D` width, `P` side of a patch, `C` = 3 colour channels, `S` side of a picture.

use burn::tensor::module::{conv2d, embedding};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::layers::{Block, Linear, Norm, padding_mask};
use super::pool::{Pool, Pooling, Pools};
use crate::tensors::host;

/// The output of a tower.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Output {
    /// Hidden state: 0 is the input of the first block, n the output of the n-th.
    pub layer: usize,
    /// Whether the tower's final norm is applied.
    pub final_norm: bool,
    /// Pooling; without it, the states of all tokens.
    pub pool: Option<Pools>,
    /// Whether the model's projection is applied to the pooled vector (CLIP).
    pub projection: bool,
    /// Whether the pooled vector is scaled to length 1.
    pub unit: bool,
    /// Number of first tokens that are not pooled: those of a prompt.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skip: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// The embedding of inputs as tokens.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub(super) enum Embedding {
    Text {
        word_vd: Tensor<2>,
        position_td: Tensor<2>,
        /// Added to every token: the first row of BERT's segment table.
        segment_d: Option<Tensor<1>>,
        norm: Option<Norm>,
    },
    Picture {
        /// `[D, C, P, P]`
        patch_dcpp: Tensor<4>,
        bias_d: Option<Tensor<1>>,
        class_d: Tensor<1>,
        position_td: Tensor<2>,
        patch: usize,
        norm: Option<Norm>,
    },
}

/// Embedding, blocks, final norm and projection.
#[derive(Clone, Debug)]
pub(super) struct Tower {
    pub embedding: Embedding,
    pub blocks: Vec<Block>,
    pub final_norm: Option<Norm>,
    pub projection: Option<Linear>,
    pub causal: bool,
    pub heads: usize,
    pub width: usize,
    /// Width after the projection.
    pub projected: usize,
    /// Id of the end-of-text token; without it, the largest id of the text.
    pub end_id: Option<u32>,
    pub device: Device,
}

/// Results of a batch on the host: `[B, T, f]` (T = 1 if pooled), with the number of valid tokens of each input.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    pub values: Vec<f32>,
    pub tokens: usize,
    pub width: usize,
    pub lengths: Vec<usize>,
}

impl Encoded {
    /// The valid tokens of input `n`, `[length, f]`.
    pub fn row(&self, n: usize) -> &[f32] {
        let start = n * self.tokens * self.width;
        &self.values[start..start + self.lengths[n] * self.width]
    }
}

impl Tower {
    /// Width of `output`.
    pub fn output_width(&self, output: &Output) -> usize {
        let Some(pools) = &output.pool else { return self.width };
        pools.modes().len() * if output.projection { self.projected } else { self.width }
    }

    /// Number of tokens of a picture, class token included.
    pub fn picture_tokens(&self) -> usize {
        match &self.embedding {
            Embedding::Picture { position_td, .. } => position_td.dims()[0],
            Embedding::Text { .. } => 1,
        }
    }

    /// Encodes texts given as token ids, padded to the longest of the batch.
    pub fn encode_texts(&self, texts: &[&[u32]], output: &Output) -> Encoded {
        let lengths: Vec<usize> = texts.iter().map(|ids| ids.len()).collect();
        let tokens = lengths.iter().copied().max().unwrap_or(1).max(1);
        let padded: Vec<i32> = texts
            .iter()
            .flat_map(|ids| {
                let rest = tokens - ids.len();
                ids.iter().map(|&id| id as i32).chain(std::iter::repeat_n(0, rest))
            })
            .collect();
        let data = TensorData::new(padded, [texts.len(), tokens]);
        let ids_bt = Tensor::<2, Int>::from_data(data, &self.device);
        let x_btd = self.embed_texts(ids_bt, tokens);
        let ends: Vec<usize> = texts.iter().map(|ids| self.end_of(ids)).collect();
        self.run(x_btd, &lengths, &ends, output)
    }

    /// Encodes pictures `[B, C, S, S]`, already preprocessed.
    pub fn encode_pictures(&self, pixels: Vec<f32>, count: usize, side: usize, output: &Output) -> Encoded {
        let data = TensorData::new(pixels, [count, 3, side, side]);
        let x_btd = self.embed_pictures(Tensor::from_data(data, &self.device));
        let [_, tokens, _] = x_btd.dims();
        self.run(x_btd, &vec![tokens; count], &vec![0; count], output)
    }

    fn embed_texts(&self, ids_bt: Tensor<2, Int>, tokens: usize) -> Tensor<3> {
        // `Native` calls a tower for its own modality only, so that the other arm is unreachable.
        let Embedding::Text { word_vd, position_td, segment_d, norm } = &self.embedding else {
            unreachable!("a picture tower was given texts")
        };
        let mut x = embedding(word_vd.clone(), ids_bt);
        x = x + position_td.clone().narrow(0, 0, tokens).unsqueeze();
        if let Some(segment) = segment_d {
            x = x + segment.clone().unsqueeze();
        }
        norm.as_ref().map_or_else(|| x.clone(), |norm| norm.forward(x.clone()))
    }

    fn embed_pictures(&self, pixels_bcss: Tensor<4>) -> Tensor<3> {
        let Embedding::Picture { patch_dcpp, bias_d, class_d, position_td, patch, norm } = &self.embedding
        else {
            unreachable!("a text tower was given pictures")
        };
        let [b, ..] = pixels_bcss.dims();
        let options = ConvOptions::new([*patch, *patch], [0, 0], [1, 1], 1);
        let grid_bdgg = conv2d(pixels_bcss, patch_dcpp.clone(), bias_d.clone(), options);
        let patches_btd = grid_bdgg.flatten::<3>(2, 3).swap_dims(1, 2);
        let class_b1d = class_d.clone().unsqueeze::<3>().expand([b, 1, self.width]);
        let x = Tensor::cat(vec![class_b1d, patches_btd], 1) + position_td.clone().unsqueeze();
        norm.as_ref().map_or_else(|| x.clone(), |norm| norm.forward(x.clone()))
    }

    fn end_of(&self, ids: &[u32]) -> usize {
        let place = match self.end_id {
            Some(end) => ids.iter().position(|&id| id == end),
            None => ids.iter().enumerate().rev().max_by_key(|(_, id)| **id).map(|(place, _)| place),
        };
        place.unwrap_or(ids.len().saturating_sub(1))
    }

    /// Computes the blocks up to the requested layer.
    fn run(&self, mut x_btd: Tensor<3>, lengths: &[usize], ends: &[usize], output: &Output) -> Encoded {
        let [b, t, _] = x_btd.dims();
        let padding = padding_mask(lengths, t, self.heads, &self.device);
        for block in &self.blocks[..output.layer.min(self.blocks.len())] {
            x_btd = block.forward(x_btd, padding.as_ref(), self.causal);
        }
        let norm = self.final_norm.as_ref().filter(|_| output.final_norm);
        let Some(pools) = &output.pool else {
            let x_btd = norm.map_or_else(|| x_btd.clone(), |norm| norm.forward(x_btd.clone()));
            let values = host(x_btd);
            return Encoded { values, tokens: t, width: self.width, lengths: lengths.to_vec() };
        };
        let one = |pool: &Pool| {
            let plan: Vec<Pooling> =
                lengths.iter().zip(ends).map(|(&n, &end)| pool.plan(n, output.skip, end)).collect();
            let v_bd = self.pooled(x_btd.clone(), &plan, lengths, output.skip, norm);
            match self.projection.as_ref().filter(|_| output.projection) {
                Some(projection) => projection.forward(v_bd),
                None => v_bd,
            }
        };
        let mut v_bd = Tensor::cat(pools.modes().iter().map(one).collect(), 1);
        if output.unit {
            let length_b1 = v_bd.clone().square().sum_dim(1).sqrt().clamp_min(1e-12);
            v_bd = v_bd / length_b1;
        }
        let [_, width] = v_bd.dims();
        Encoded { values: host(v_bd), tokens: 1, width, lengths: vec![1; b] }
    }

    /// Pools all inputs by one mode; their plans are of the same kind.
    fn pooled(
        &self,
        x_btd: Tensor<3>,
        plan: &[Pooling],
        lengths: &[usize],
        skip: usize,
        norm: Option<&Norm>,
    ) -> Tensor<2> {
        let [b, t, d] = x_btd.dims();
        let normed = |x: Tensor<3>| norm.map_or_else(|| x.clone(), |norm| norm.forward(x.clone()));
        let places: Vec<i32> = plan
            .iter()
            .enumerate()
            .filter_map(
                |(n, p)| if let Pooling::Place(place) = p { Some((n * t + place) as i32) } else { None },
            )
            .collect();
        if places.len() == b {
            // The norm acts on each token, so that it can follow the selection of a single one.
            let rows = Tensor::<1, Int>::from_data(TensorData::new(places, [b]), &self.device);
            let v_bd = x_btd.reshape([b * t, d]).select(0, rows);
            return norm.map_or_else(|| v_bd.clone(), |norm| norm.forward(v_bd.clone()));
        }
        let x_btd = normed(x_btd);
        let weighted = matches!(plan.first(), Some(Pooling::Sum { weighted: true, .. }));
        let weights: Vec<f32> = lengths
            .iter()
            .flat_map(|&n| {
                let first = skip.min(n.max(1) - 1);
                (0..t).map(move |place| match (first..n).contains(&place) {
                    true if weighted => (place + 1) as f32,
                    valid => f32::from(u8::from(valid)),
                })
            })
            .collect();
        let weights_bt1 = Tensor::<3>::from_data(TensorData::new(weights, [b, t, 1]), &self.device);
        let divisors: Vec<f32> = plan
            .iter()
            .filter_map(|p| if let Pooling::Sum { divisor, .. } = p { Some(*divisor) } else { None })
            .collect();
        if divisors.len() < b {
            // Moves padding below any state.
            let pushed = x_btd + (weights_bt1 - 1.0) * 1e9;
            return pushed.max_dim(1).squeeze_dim(1);
        }
        let divisors_b1 = Tensor::<2>::from_data(TensorData::new(divisors, [b, 1]), &self.device);
        (x_btd * weights_bt1).sum_dim(1).squeeze_dim::<2>(1) / divisors_b1
    }
}
