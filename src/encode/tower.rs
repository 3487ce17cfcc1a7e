//! The native encoders: one tower of transformer blocks behind a text or picture embedding.
//!
//! Shapes: `B` inputs, `T` tokens, `D` width, `P` side of a patch, `C` = 3 colour channels, `S` side of a picture.

use burn::tensor::module::{conv2d, embedding};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::layers::{Block, Linear, Norm, padding_mask};

/// How one vector is made of an input's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// The first token.
    Cls,
    /// The mean of the valid tokens.
    Mean,
    /// The largest value of the valid tokens, column by column.
    Max,
    /// The end-of-text token, as CLIP reads texts.
    End,
}

/// What is taken out of a tower.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Output {
    /// Hidden state: 0 is what enters the first block, n what leaves the n-th.
    pub layer: usize,
    /// The tower's final norm is applied to it.
    pub final_norm: bool,
    /// Absent: the states of all tokens.
    pub pool: Option<Pool>,
    /// The pooled vector goes through the model's projection (CLIP).
    pub projection: bool,
    /// The pooled vector is scaled to length 1.
    pub unit: bool,
}

/// How inputs become tokens. There is one in a process.
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
    /// Width behind the projection.
    pub projected: usize,
    /// Id of the end-of-text token; none: the largest id of the text.
    pub end_id: Option<u32>,
    pub device: Device,
}

/// Results of a batch on the host: `[B, T, f]` (T = 1 if pooled) and the valid tokens of each input.
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
    /// Width of what `output` gives.
    pub fn output_width(&self, output: &Output) -> usize {
        if output.pool.is_some() && output.projection { self.projected } else { self.width }
    }

    /// Tokens of a picture, the class token included.
    pub fn picture_tokens(&self) -> usize {
        match &self.embedding {
            Embedding::Picture { position_td, .. } => position_td.dims()[0],
            Embedding::Text { .. } => 1,
        }
    }

    /// Encodes texts given as token ids, padded here to the longest of the batch.
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
        // A tower is only asked for what its modality is; the other arm can't be reached through `Native`.
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

    /// Blocks behind the wanted layer are not computed.
    fn run(&self, mut x_btd: Tensor<3>, lengths: &[usize], ends: &[usize], output: &Output) -> Encoded {
        let [b, t, _] = x_btd.dims();
        let padding = padding_mask(lengths, t, self.heads, &self.device);
        for block in &self.blocks[..output.layer.min(self.blocks.len())] {
            x_btd = block.forward(x_btd, padding.as_ref(), self.causal);
        }
        let norm = self.final_norm.as_ref().filter(|_| output.final_norm);
        let Some(pool) = output.pool else {
            let x_btd = norm.map_or_else(|| x_btd.clone(), |norm| norm.forward(x_btd.clone()));
            let values = host(x_btd);
            return Encoded { values, tokens: t, width: self.width, lengths: lengths.to_vec() };
        };
        // The norm works token by token, so for a single token it is applied behind the choice.
        let mut v_bd = match pool {
            Pool::Cls => x_btd.slice([0..b, 0..1]).squeeze_dim(1),
            Pool::End => {
                let rows: Vec<i32> = ends.iter().enumerate().map(|(n, &end)| (n * t + end) as i32).collect();
                let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [b]), &self.device);
                x_btd.reshape([b * t, self.width]).select(0, rows)
            }
            Pool::Mean | Pool::Max => {
                let x = norm.map_or_else(|| x_btd.clone(), |norm| norm.forward(x_btd.clone()));
                self.over_valid(x, lengths, pool == Pool::Max)
            }
        };
        if let (Some(norm), Pool::Cls | Pool::End) = (norm, pool) {
            v_bd = norm.forward(v_bd);
        }
        if let Some(projection) = self.projection.as_ref().filter(|_| output.projection) {
            v_bd = projection.forward(v_bd);
        }
        if output.unit {
            let length_b1 = v_bd.clone().square().sum_dim(1).sqrt().clamp_min(1e-12);
            v_bd = v_bd / length_b1;
        }
        let [_, width] = v_bd.dims();
        Encoded { values: host(v_bd), tokens: 1, width, lengths: vec![1; b] }
    }

    fn over_valid(&self, x_btd: Tensor<3>, lengths: &[usize], largest: bool) -> Tensor<2> {
        let [b, t, _] = x_btd.dims();
        let valid = |n: usize| (0..t).map(move |place| if place < n { 1.0f32 } else { 0.0 });
        let mask: Vec<f32> = lengths.iter().flat_map(|&n| valid(n)).collect();
        let mask_bt1 = Tensor::<3>::from_data(TensorData::new(mask, [b, t, 1]), &self.device);
        if largest {
            // Padding is pushed below any state, as sentence-transformers does.
            let pushed = x_btd + (mask_bt1 - 1.0) * 1e9;
            return pushed.max_dim(1).squeeze_dim(1);
        }
        let counts: Vec<f32> = lengths.iter().map(|&n| n.max(1) as f32).collect();
        let counts_b1 = Tensor::<2>::from_data(TensorData::new(counts, [b, 1]), &self.device);
        (x_btd * mask_bt1).sum_dim(1).squeeze_dim::<2>(1) / counts_b1
    }
}

fn host<const N: usize>(x: Tensor<N>) -> Vec<f32> {
    // Towers are made of float32 tensors throughout, so the conversion changes nothing and can't fail.
    x.into_data().convert::<f32>().try_into_vec().unwrap_or_default()
}
