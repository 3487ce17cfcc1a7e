//! The report of a probe.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::agreement::Agreement;
use super::figures::{Chance, Figures};
use super::geometry::{CrossModal, Geometry};
use super::mask::MaskCurve;
use super::validity::Validity;
use crate::artefact::{ArtefactError, io_error, write_atomic, write_json};

/// All figures of a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Content hash of the data set.
    pub dataset: String,
    /// Part: Part: `valid` or `test`.
    pub part: String,
    pub targets: usize,
    pub items: usize,
    pub chance: Chance,
    /// The features, followed by random ones.
    pub features: Vec<FeatureReport>,
    /// Popularity and item-kNN on behaviour.
    pub references: Vec<Figures>,
    pub masks: Vec<MaskCurve>,
    pub cross: Vec<CrossModal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validity: Option<Validity>,
    pub notes: Vec<String>,
}

impl Report {
    /// Writes `probe.md` and `probe.json` to the folder `dir`, which is created if it is missing.
    ///
    /// # Errors
    /// They can't be written.
    pub fn write(&self, dir: &Path) -> Result<(), ArtefactError> {
        std::fs::create_dir_all(dir).map_err(io_error(dir))?;
        write_atomic(&dir.join("probe.md"), self.markdown().as_bytes())?;
        write_json(&dir.join("probe.json"), self)
    }
}

/// Figures of one set of features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureReport {
    pub name: String,
    pub width: usize,
    /// Number of items without a vector.
    pub missing: usize,
    /// Number of items with NaN, infinite or zero features, which count as missing.
    pub unusable: usize,
    /// P1.
    pub zero_shot: Figures,
    /// P2 (a), for each number of neighbours.
    pub item_cf: Vec<Figures>,
    /// P2 (b); absent if too few items have users and features.
    pub agreement: Option<Agreement>,
    /// P5.
    pub geometry: Geometry,
    /// Whether the zero-shot recall of random features lies in the chance interval.
    #[serde(rename = "within_chance", default, skip_serializing_if = "Option::is_none")]
    pub chance_like: Option<bool>,
}

impl FeatureReport {
    /// The figures that P4 correlates with the final metric.
    pub fn numbers(&self) -> BTreeMap<String, f64> {
        let mut numbers = BTreeMap::new();
        for figures in std::iter::once(&self.zero_shot).chain(&self.item_cf) {
            for metric in ["recall@10", "ndcg@10"] {
                numbers.insert(format!("{} {metric}", figures.name), figures.get(metric));
            }
        }
        if let Some(a) = &self.agreement {
            numbers.insert("neighbour overlap".into(), a.overlap);
            numbers.insert("pair recall".into(), a.pair_recall);
            numbers.insert("similarity spearman".into(), a.spearman);
        }
        numbers.insert("effective rank".into(), self.geometry.effective_rank);
        numbers
    }
}
