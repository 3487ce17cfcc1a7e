//! Settings of the user encoders by kind, and their rules. A kind is one entry of the list here; what it computes is
//! in `encoder`.

use crate::config::rules::{Checked, at_least, divides, invalid};
use crate::kinds;

kinds! {
    /// The user encoder of a branch: item vectors of a history in, one user vector per position out.
    pub enum EncoderConfig {
        /// Causal transformer with learned positions, as in SASRec and ODMT.
        Sasrec = "sasrec" {
            /// Transformer blocks, from 1 on.
            blocks: usize = 2,
            /// Attention heads of a block; they divide `model.width`.
            heads: usize = 2,
        },
        /// Gated recurrent units, as in GRU4Rec.
        Gru4rec = "gru4rec" {
            /// Layers, from 1 on.
            layers: usize = 1,
        },
        /// Dilated causal convolutions, as in NextItNet.
        Nextitnet = "nextitnet" {
            /// Positions that a convolution reads, from 2 on.
            kernel: usize = 3,
            /// Dilation of each block, from 1 on; there are as many blocks.
            dilations: Vec<usize> = vec![1, 2, 1, 2],
        },
    }
}

impl EncoderConfig {
    /// `key` makes the dotted key of a setting.
    pub(super) fn validate(&self, width: usize, key: &dyn Fn(&str) -> String) -> Checked {
        match self {
            Self::Sasrec { blocks, heads } => {
                at_least(&key("blocks"), *blocks, 1)?;
                divides(&key("heads"), *heads, width)
            }
            Self::Gru4rec { layers } => at_least(&key("layers"), *layers, 1),
            Self::Nextitnet { kernel, dilations } => {
                at_least(&key("kernel"), *kernel, 2)?;
                if dilations.is_empty() || dilations.contains(&0) {
                    return Err(invalid(
                        &key("dilations"),
                        format!("= {dilations:?} must hold numbers from 1 on"),
                    )
                    .with_hint("for example dilations = [1, 2, 1, 2]"));
                }
                Ok(())
            }
        }
    }
}
