//! Pooling of an item's tokens into one vector.

use super::FeatureStore;

/// Writes the mean of an item's tokens to `out`. Without tokens it writes zeros and returns false.
///
/// # Panics
/// `item` lies outside the store, or `out` is not f long.
pub fn mean_token(store: &FeatureStore, item: u32, out: &mut [f32]) -> bool {
    out.fill(0.0);
    let count = store.length(item);
    if count == 0 {
        return false;
    }
    let mut tokens = vec![0.0; count * store.width()];
    store.gather_into(item, count, &mut tokens);
    for token in tokens.chunks_exact(store.width()) {
        out.iter_mut().zip(token).for_each(|(mean, x)| *mean += x / count as f32);
    }
    true
}

/// Scales `row` to length 1. If its length is 0 or not finite, it writes zeros and returns false.
pub fn normalise(row: &mut [f32]) -> bool {
    let length = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 && length.is_finite() {
        row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        return true;
    }
    row.fill(0.0);
    false
}
