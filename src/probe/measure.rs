//! The probes of a data set.

use super::agreement::{Behaviour, agreement, eligible_neighbours};
use super::figures::{Chance, Figures};
use super::geometry::{CrossModal, Geometry};
use super::mask::{self, MaskCurve, MaskPoint};
use super::rank::{ItemCf, ZeroShot};
use super::report::{FeatureReport, Report};
use super::vectors::{RowMatrix, Vectors, nearest};
use crate::config::EvalConfig;
use crate::data::{Dataset, Part};
use crate::eval::baseline::{ContentView, ItemKnn, Popularity, Terms};
use crate::eval::{ScoreError, Scored, Scorer, evaluate};

/// Width of the random features: enough for independent neighbourhoods.
const RANDOM_WIDTH: usize = 64;
/// Cut-off of behavioural agreement and of summary figures.
const K: usize = 10;

/// Options of a probe.
#[derive(Clone, Debug)]
pub struct Options {
    /// Part whose targets are ranked.
    pub part: Part,
    /// Numbers of neighbours in P2 (a).
    pub neighbours: Vec<usize>,
    /// Number of last items of the history that P1 averages; 0 for all.
    pub last: usize,
    /// Whether to run P3.
    pub masks: bool,
    /// Seed of random features, masks and sampled pairs.
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

/// A data set with what its probes share.
pub struct Probe<'a> {
    pub(super) dataset: &'a Dataset,
    options: &'a Options,
    behaviour: Behaviour,
}

impl<'a> Probe<'a> {
    pub fn new(dataset: &'a Dataset, options: &'a Options) -> Self {
        Self { dataset, options, behaviour: Behaviour::new(dataset, 50) }
    }

    /// Runs all probes except P4 on each view, and on all views joined.
    ///
    /// # Errors
    /// The part has no targets.
    pub fn report(&self, views: &[ContentView]) -> Result<Report, ScoreError> {
        let items = self.dataset.items.count();
        let single: Vec<Vectors> = views
            .iter()
            .map(|view| Vectors::pooled(&view.name, std::slice::from_ref(view), items, |_, _| false))
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
        let chance = Chance::new(&rows, K);
        random.chance_like = Some(chance.holds(random.zero_shot.get("recall@10")));
        features.push(random);
        let masks = if self.options.masks { self.masks(views)? } else { Vec::new() };
        let mut cross = Vec::new();
        for (i, source) in single.iter().enumerate() {
            cross.extend(single[i + 1..].iter().filter_map(|target| CrossModal::new(source, target)));
        }
        Ok(Report {
            dataset: self.dataset.hash.clone(),
            part: if self.options.part == Part::Test { "test" } else { "valid" }.into(),
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

    /// Runs P1, P2 and P5 on one set of vectors; also returns the rows of P1.
    ///
    /// # Errors
    /// The part has no targets.
    pub fn features(&self, vectors: &Vectors) -> Result<(FeatureReport, Vec<crate::eval::Row>), ScoreError> {
        let matrix = RowMatrix::new(&vectors.values, vectors.width);
        let most = self.options.neighbours.iter().copied().max().unwrap_or(K);
        let neighbours = all_neighbours(vectors, &matrix, most);
        let mut zero_shot = self.zero_shot(vectors, &matrix)?;
        let item_cf = self.item_cf(&neighbours)?;
        let eligible = eligible_neighbours(&self.behaviour, vectors, &matrix, K);
        let agreement = agreement(&self.behaviour, vectors, &eligible, K, self.options.seed);
        let rows = std::mem::take(&mut zero_shot.rows);
        let report = FeatureReport {
            name: vectors.name.clone(),
            width: vectors.width,
            missing: vectors.missing(),
            unusable: vectors.unusable,
            zero_shot: Figures::new(&zero_shot),
            item_cf,
            agreement,
            geometry: Geometry::new(vectors, &neighbours),
            chance_like: None,
        };
        Ok((report, rows))
    }

    /// The curve of each view.
    fn masks(&self, views: &[ContentView]) -> Result<Vec<MaskCurve>, ScoreError> {
        let items = self.dataset.items.count();
        let places = mask::places(items, self.options.seed);
        let mut curves: Vec<MaskCurve> = Vec::new();
        for (masked_view, view) in views.iter().enumerate() {
            let mut points: Vec<MaskPoint> = Vec::new();
            for ratio in mask::RATIOS {
                // All curves share the point without masks.
                if let Some(first) = curves.first().filter(|_| ratio == 0.0) {
                    points.push(first.points[0].clone());
                    continue;
                }
                let masked = mask::masked(&places, ratio);
                let vectors =
                    Vectors::pooled("masked", views, items, |v, item| v == masked_view && masked[item]);
                let matrix = RowMatrix::new(&vectors.values, vectors.width);
                let most = self.options.neighbours.iter().copied().max().unwrap_or(10);
                let zero_shot = Figures::new(&self.zero_shot(&vectors, &matrix)?);
                let item_cf = self.item_cf(&all_neighbours(&vectors, &matrix, most))?;
                points.push(MaskPoint { ratio, zero_shot, item_cf });
            }
            curves.push(MaskCurve::new(&view.name, points));
        }
        Ok(curves)
    }

    fn zero_shot(&self, vectors: &Vectors, matrix: &RowMatrix) -> Result<Scored, ScoreError> {
        let last = self.options.last;
        let mut scorer = ZeroShot { dataset: self.dataset, vectors, matrix, last };
        let mut scored = self.evaluate(&mut scorer)?;
        scored.pop().ok_or_else(|| ScoreError::new("zero-shot ranking gave no figures"))
    }

    fn item_cf(&self, neighbours: &[Vec<(f32, u32)>]) -> Result<Vec<Figures>, ScoreError> {
        let ks = &self.options.neighbours;
        let mut scorer = ItemCf { dataset: self.dataset, neighbours, ks };
        Ok(self.evaluate(&mut scorer)?.iter().map(Figures::new).collect())
    }

    fn references(&self) -> Result<Vec<Figures>, ScoreError> {
        let mut all = self.evaluate(&mut Popularity::new(self.dataset, Terms::default()))?;
        all.extend(self.evaluate(&mut ItemKnn::new(self.dataset, Terms::default()))?);
        Ok(all.iter().map(Figures::new).collect())
    }

    fn evaluate(&self, scorer: &mut dyn Scorer) -> Result<Vec<Scored>, ScoreError> {
        let Options { part, eval, .. } = self.options;
        Ok(evaluate(scorer, self.dataset, *part, eval, usize::MAX / 2, &mut |_| {})?.scored)
    }
}

/// The vectors of all views, joined.
pub fn joined(views: &[ContentView], items: usize) -> Vectors {
    let names: Vec<&str> = views.iter().map(|v| v.name.as_str()).collect();
    Vectors::pooled(&names.join("+"), views, items, |_, _| false)
}

/// The nearest neighbours of every item among all items with vectors.
pub(super) fn all_neighbours(vectors: &Vectors, matrix: &RowMatrix, k: usize) -> Vec<Vec<(f32, u32)>> {
    matrix.each(&vectors.values, |item, products| {
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
    let without_content = present.iter().skip(1).filter(|&&p| !p).count();
    if without_content > 0 {
        notes.push(format!(
            "{without_content} items have no features in any view and stand at the end of every list"
        ));
    }
    if features.iter().any(|f| f.chance_like == Some(false)) {
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
