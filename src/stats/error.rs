/// Why a statistic can't be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StatsError {
    #[error("{found} values are too few, {needed} are needed")]
    TooFew { found: usize, needed: usize },
    #[error("value {place} is not finite")]
    NotFinite { place: usize },
    #[error("seed {seed} has {found} users, the first one {expected}")]
    Ragged { seed: usize, found: usize, expected: usize },
}

/// The values are all finite, and `needed` or more.
pub(super) fn check(values: &[f64], needed: usize) -> Result<(), StatsError> {
    if values.len() < needed {
        return Err(StatsError::TooFew { found: values.len(), needed });
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(place) => Err(StatsError::NotFinite { place }),
        None => Ok(()),
    }
}
