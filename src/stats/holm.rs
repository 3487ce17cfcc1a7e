//! Correction for several questions asked of the same data.

/// Holm's step-down p values, in the order of `p`: with `p[i] < alpha` called an effect, the chance of even one
/// false call among all is at most alpha, whatever the dependence between them. NaN stays NaN and counts as asked.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![f64::NAN; p.len()];
    let mut largest: f64 = 0.0;
    for (place, &i) in order.iter().enumerate() {
        if p[i].is_nan() {
            continue;
        }
        largest = largest.max(((p.len() - place) as f64 * p[i]).min(1.0));
        adjusted[i] = largest;
    }
    adjusted
}
