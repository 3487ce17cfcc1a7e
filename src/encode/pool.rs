//! Pooling of an input's tokens to one vector, with the modes of sentence-transformers and CLIP.
//!
//! A mode is defined once by its plan for the tokens of an input ([`Pooling`]); `tower` computes it on the device and
//! `onnx` on the host.

use serde::{Deserialize, Serialize};

/// A pooling mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// The first token.
    Cls,
    /// The mean of the valid tokens.
    Mean,
    /// The largest value of the valid tokens, column by column.
    Max,
    /// The sum of the valid tokens over the square root of their number.
    MeanSqrtLen,
    /// The mean of the valid tokens, weighted by their places from 1 on.
    WeightedMean,
    /// The last valid token.
    Last,
    /// The end-of-text token, as in CLIP.
    End,
}

impl Pool {
    /// The mode with sentence-transformers' name, the value of `pooling_mode`.
    pub fn named(name: &str) -> Option<Self> {
        let known = [Self::Cls, Self::Mean, Self::Max, Self::MeanSqrtLen, Self::WeightedMean, Self::Last];
        known.into_iter().find(|pool| pool.name() == name)
    }

    /// Its name in sentence-transformers; `end` for CLIP's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cls => "cls",
            Self::Mean => "mean",
            Self::Max => "max",
            Self::MeanSqrtLen => "mean_sqrt_len_tokens",
            Self::WeightedMean => "weightedmean",
            Self::Last => "lasttoken",
            Self::End => "end",
        }
    }

    /// The plan for an input of `length` valid tokens without the first `skip` ones (a prompt that is not pooled);
    /// `end` is the place of the end-of-text token.
    pub(super) fn plan(self, length: usize, skip: usize, end: usize) -> Pooling {
        let length = length.max(1);
        // At least one token is left, as with every text after a prompt.
        let skip = skip.min(length - 1);
        let count = (length - skip) as f32;
        let sum = |weighted, divisor| Pooling::Sum { weighted, divisor };
        match self {
            Self::Cls => Pooling::Place(skip),
            Self::Last => Pooling::Place(length - 1),
            Self::End => Pooling::Place(end),
            Self::Max => Pooling::Largest,
            Self::Mean => sum(false, count),
            Self::MeanSqrtLen => sum(false, count.sqrt()),
            // Places count from the start of the input, prompt included.
            Self::WeightedMean => sum(true, (skip + 1..=length).map(|place| place as f32).sum()),
        }
    }
}

/// The plan of a [`Pool`] for the tokens of an input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pooling {
    /// Selects a token.
    Place(usize),
    /// Sums the tokens, times their places from 1 on if `weighted`, and divides by `divisor`.
    Sum { weighted: bool, divisor: f32 },
    /// Takes the largest value of each column.
    Largest,
}

/// One mode, or several whose vectors are concatenated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OneOrMore", into = "OneOrMore")]
pub struct Pools(Vec<Pool>);

/// A single mode is serialised by itself, as in older stores.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(Pool),
    More(Vec<Pool>),
}

impl From<OneOrMore> for Pools {
    fn from(modes: OneOrMore) -> Self {
        match modes {
            OneOrMore::One(pool) => pool.into(),
            OneOrMore::More(pools) => Self(pools),
        }
    }
}

impl From<Pools> for OneOrMore {
    fn from(pools: Pools) -> Self {
        match pools.0[..] {
            [one] => Self::One(one),
            _ => Self::More(pools.0),
        }
    }
}

impl From<Pool> for Pools {
    fn from(pool: Pool) -> Self {
        Self(vec![pool])
    }
}

impl Pools {
    /// Several modes; `None` without any.
    pub fn several(pools: Vec<Pool>) -> Option<Self> {
        (!pools.is_empty()).then_some(Self(pools))
    }

    /// The modes, in the order of their vectors.
    pub fn modes(&self) -> &[Pool] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_is_left_out_moves_the_first_token_and_keeps_the_places_of_the_others() {
        assert_eq!(Pool::Cls.plan(5, 2, 0), Pooling::Place(2));
        assert_eq!(Pool::Last.plan(5, 2, 0), Pooling::Place(4));
        assert_eq!(Pool::Mean.plan(5, 2, 0), Pooling::Sum { weighted: false, divisor: 3.0 });
        assert_eq!(Pool::MeanSqrtLen.plan(6, 2, 0), Pooling::Sum { weighted: false, divisor: 2.0 });
        assert_eq!(
            Pool::WeightedMean.plan(5, 2, 0),
            Pooling::Sum { weighted: true, divisor: 3.0 + 4.0 + 5.0 }
        );
    }

    #[test]
    fn a_single_mode_is_written_as_in_older_stores() {
        let json = |pools: &Pools| serde_json::to_string(pools).unwrap();
        assert_eq!(json(&Pool::Mean.into()), "\"mean\"");
        let two = Pools::several(vec![Pool::Cls, Pool::MeanSqrtLen]).unwrap();
        assert_eq!(json(&two), "[\"cls\",\"mean_sqrt_len\"]");
        assert_eq!(serde_json::from_str::<Pools>(&json(&two)).unwrap(), two);
        assert_eq!(serde_json::from_str::<Pools>("\"end\"").unwrap(), Pool::End.into());
        assert_eq!(Pools::several(Vec::new()), None);
    }
}
