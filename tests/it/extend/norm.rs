//! A term of the objective in one file: item vectors should not grow without need.

use std::sync::Arc;

use burn::tensor::Tensor;
use codistill::objective::{Forward, Term, TermLosses};
use codistill::train::phase::Phase;
use serde::Deserialize;

/// `settings` of the term.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Norm {
    /// Square of the length that costs nothing.
    free: f64,
}

/// Makes the term out of its settings.
pub fn make(settings: &toml::Table) -> Result<Arc<dyn Term>, String> {
    let norm: Norm = settings.clone().try_into().map_err(|e: toml::de::Error| e.message().to_owned())?;
    Ok(Arc::new(norm))
}

impl Term for Norm {
    fn names(&self) -> Vec<String> {
        vec!["norm".into()]
    }

    fn reads_candidates(&self) -> bool {
        false
    }

    fn losses(&self, forward: &dyn Forward, _phase: Phase<'_>) -> TermLosses {
        let excess = |x_ud: Tensor<2>| (x_ud.square().sum_dim(1) - self.free).clamp_min(0.0).mean();
        let terms: Vec<Tensor<1>> = forward.items().into_iter().map(excess).collect();
        let tags = forward.branches().iter().map(|branch| format!("loss/norm_{branch}")).collect();
        let parts_n = Tensor::cat(terms, 0);
        TermLosses { total: parts_n.clone().sum(), parts: parts_n.inner(), tags, figures: Vec::new() }
    }
}
