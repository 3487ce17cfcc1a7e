//! What frozen features are worth before anything is trained on them (companions.md 3.7).
//!
//! P1 ranks by features alone, P2 by their neighbours and asks whether these agree with behaviour, P3 takes
//! modalities away from more and more items, P4 asks whether all that foretells the final metric, P5 looks at the
//! geometry. Random features, popularity and item-kNN on behaviour always stand beside them.
//!
//! Reading order: [`vectors`] (pooling, products in tiles), [`rank`] (P1, P2 a), [`mod@agreement`] (P2 b), [`mask`] (P3),
//! [`geometry`] (P5), [`chance`], [`validity`] (P4), [`table`] (terminal and Markdown).

pub mod agreement;
pub mod chance;
pub mod geometry;
pub mod mask;
pub mod rank;
pub mod table;
#[cfg(test)]
mod tests;
pub mod validity;
pub mod vectors;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::EvalConfig;
use crate::data::{Dataset, Part};
use crate::eval::baseline::{ContentView, ItemKnn, Popularity};
use crate::eval::{ScoreError, Scored, Scorer, evaluate};
use agreement::{Agreement, Behaviour, agreement, eligible_neighbours};
use chance::Chance;
use geometry::{CrossModal, Geometry};
use mask::MaskCurve;
use rank::{ItemCf, ZeroShot};
use validity::Validity;
use vectors::{Against, Vectors, nearest};

/// Width of the random features: enough for independent neighbourhoods, cheap.
const RANDOM_WIDTH: usize = 64;
/// Cut-off of behavioural agreement and of figures that stand for a list.
const K: usize = 10;

/// How to probe.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose targets are ranked.
    pub part: Part,
    /// Neighbours per item of P2 (a).
    pub neighbours: Vec<usize>,
    /// Last items of the history that P1 averages; 0: all.
    pub last: usize,
    /// Whether P3 runs.
    pub masks: bool,
    /// Of random features, masks and sampled pairs.
    pub seed: u64,
    pub eval: EvalConfig,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            part: Part::Valid,
            neighbours: vec![10, 20, 50],
            last: 0,
            masks: true,
            seed: 1,
            eval: EvalConfig { ks: vec![10, 20, 50], ..EvalConfig::default() },
        }
    }
}

/// Everything that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Content hash of the data set.
    pub dataset: String,
    /// `valid` or `test`.
    pub part: String,
    pub targets: usize,
    pub items: usize,
    pub chance: Chance,
    /// The features, then random ones.
    pub features: Vec<FeatureReport>,
    /// Popularity and item-kNN on behaviour.
    pub references: Vec<Figures>,
    pub masks: Vec<MaskCurve>,
    pub cross: Vec<CrossModal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validity: Option<Validity>,
    pub notes: Vec<String>,
}

/// Ranking metrics of one recommender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub name: String,
    /// `recall@k`, `ndcg@k`, `mrr@k`
    pub metrics: BTreeMap<String, f64>,
}

impl Figures {
    fn of(scored: &Scored) -> Self {
        let wanted = |name: &str| ["recall@", "ndcg@", "mrr@"].iter().any(|m| name.starts_with(m));
        let metrics = scored.metrics.iter().filter(|(name, _)| wanted(name)).map(|(n, v)| (n.clone(), *v));
        Self { name: scored.name.clone(), metrics: metrics.collect() }
    }

    /// 0 where it was not measured.
    pub fn get(&self, metric: &str) -> f64 {
        self.metrics.get(metric).copied().unwrap_or(0.0)
    }
}

/// One set of features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureReport {
    pub name: String,
    pub width: usize,
    /// Items without a vector.
    pub missing: usize,
    /// Items with NaN, infinite or zero features, which count as lacking them.
    pub unusable: usize,
    /// P1.
    pub zero_shot: Figures,
    /// P2 (a), one for each number of neighbours.
    pub item_cf: Vec<Figures>,
    /// P2 (b); absent where too few items have users and features.
    pub agreement: Option<Agreement>,
    /// P5.
    pub geometry: Geometry,
    /// For random features: whether their zero-shot recall lies in the chance interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_chance: Option<bool>,
}

impl FeatureReport {
    /// Figures that P4 correlates with the final metric.
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

/// A data set with what all probes of it share.
pub struct Probe<'a> {
    dataset: &'a Dataset,
    options: &'a Options,
    behaviour: Behaviour,
}

impl<'a> Probe<'a> {
    pub fn new(dataset: &'a Dataset, options: &'a Options) -> Self {
        Self { dataset, options, behaviour: Behaviour::of(dataset, 50) }
    }

    /// All probes but P4 of the views, each alone and, where there are several, joined.
    ///
    /// # Errors
    /// The part has no targets.
    pub fn report(&self, views: &[ContentView]) -> Result<Report, ScoreError> {
        let items = self.dataset.items.count();
        let single: Vec<Vectors> = views
            .iter()
            .map(|view| Vectors::of(&view.name, std::slice::from_ref(view), items, |_, _| false))
            .collect();
        let mut features = Vec::new();
        for vectors in &single {
            features.push(self.features(vectors)?.0);
        }
        if views.len() > 1 {
            features.push(self.features(&joined(views, items))?.0);
        }
        let present: Vec<bool> =
            (0..=items).map(|item| single.iter().any(|vectors| vectors.present[item])).collect();
        let (mut random, rows) =
            self.features(&Vectors::random(RANDOM_WIDTH, &vec![true; items + 1], self.options.seed))?;
        let chance = Chance::of(&rows, K);
        random.within_chance = Some(chance.holds(random.zero_shot.get("recall@10")));
        features.push(random);
        let masks = if self.options.masks { self.masks(views)? } else { Vec::new() };
        let mut cross = Vec::new();
        for (i, from) in single.iter().enumerate() {
            cross.extend(single[i + 1..].iter().filter_map(|to| CrossModal::of(from, to)));
        }
        Ok(Report {
            dataset: self.dataset.hash.clone(),
            part: self.options.part.name().into(),
            targets: rows.len(),
            items,
            chance,
            references: self.references()?,
            notes: notes(&single, &features, &present),
            features,
            masks,
            cross,
            validity: None,
        })
    }

    /// P1, P2 and P5 of one set of vectors, and the rows of P1.
    ///
    /// # Errors
    /// The part has no targets.
    pub fn features(&self, vectors: &Vectors) -> Result<(FeatureReport, Vec<crate::eval::Row>), ScoreError> {
        let against = Against::new(&vectors.values, vectors.width);
        let most = self.options.neighbours.iter().copied().max().unwrap_or(K);
        let near = all_neighbours(vectors, &against, most);
        let mut zero_shot = self.zero_shot(vectors, &against)?;
        let item_cf = self.item_cf(&near)?;
        let eligible = eligible_neighbours(&self.behaviour, vectors, &against, K);
        let agreement = agreement(&self.behaviour, vectors, &eligible, K, self.options.seed);
        let rows = std::mem::take(&mut zero_shot.rows);
        let report = FeatureReport {
            name: vectors.name.clone(),
            width: vectors.width,
            missing: vectors.missing(),
            unusable: vectors.unusable,
            zero_shot: Figures::of(&zero_shot),
            item_cf,
            agreement,
            geometry: Geometry::of(vectors, &near),
            within_chance: None,
        };
        Ok((report, rows))
    }

    fn zero_shot(&self, vectors: &Vectors, against: &Against) -> Result<Scored, ScoreError> {
        let last = self.options.last;
        let mut scorer = ZeroShot { dataset: self.dataset, vectors, against, last };
        let mut scored = self.evaluate(&mut scorer)?;
        scored.pop().ok_or_else(|| ScoreError::new("zero-shot ranking gave no figures"))
    }

    fn item_cf(&self, near: &[Vec<(f32, u32)>]) -> Result<Vec<Figures>, ScoreError> {
        let ks = &self.options.neighbours;
        let mut scorer = ItemCf { dataset: self.dataset, neighbours: near, ks };
        Ok(self.evaluate(&mut scorer)?.iter().map(Figures::of).collect())
    }

    fn references(&self) -> Result<Vec<Figures>, ScoreError> {
        let mut all = self.evaluate(&mut Popularity::new(self.dataset))?;
        all.extend(self.evaluate(&mut ItemKnn::new(self.dataset))?);
        Ok(all.iter().map(Figures::of).collect())
    }

    fn evaluate(&self, scorer: &mut dyn Scorer) -> Result<Vec<Scored>, ScoreError> {
        let Options { part, eval, .. } = self.options;
        Ok(evaluate(scorer, self.dataset, *part, eval, usize::MAX / 2, &mut |_| {})?.scored)
    }
}

/// All views joined.
pub fn joined(views: &[ContentView], items: usize) -> Vectors {
    let names: Vec<&str> = views.iter().map(|v| v.name.as_str()).collect();
    Vectors::of(&names.join("+"), views, items, |_, _| false)
}

/// Of every item, among all items with vectors.
fn all_neighbours(vectors: &Vectors, against: &Against, k: usize) -> Vec<Vec<(f32, u32)>> {
    against.each(&vectors.values, |item, products| {
        if !vectors.present[item] {
            return Vec::new();
        }
        nearest(products, k, |i| i != item && vectors.present[i])
    })
}

fn notes(single: &[Vectors], features: &[FeatureReport], present: &[bool]) -> Vec<String> {
    let mut notes = Vec::new();
    for f in features.iter().filter(|f| f.unusable > 0) {
        notes.push(format!(
            "{}: {} items have NaN, infinite or zero features and count as lacking them",
            f.name, f.unusable
        ));
    }
    let bare = present.iter().skip(1).filter(|&&p| !p).count();
    if bare > 0 {
        notes.push(format!("{bare} items have no features in any view and stand at the end of every list"));
    }
    if features.iter().any(|f| f.within_chance == Some(false)) {
        notes.push("random features leave the chance interval: look at the split and the catalogue".into());
    }
    for (i, a) in single.iter().enumerate() {
        for b in single[i + 1..].iter().filter(|b| b.width != a.width) {
            notes.push(format!(
                "{} ({} wide) and {} ({}) have no common space: no retrieval between them",
                a.name, a.width, b.name, b.width
            ));
        }
    }
    notes
}
