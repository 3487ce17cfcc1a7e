//! P4's variants: finished runs of one model on different features.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ProbeError;
use super::measure::{Probe, joined};
use super::stores::open_view;
use super::validity::{ENOUGH, Validity, Variant};
use crate::config::{Config, ENSEMBLE, load};
use crate::eval::baseline::ContentView;
use crate::eval::{Report, Scored};
use crate::train::inputs::{self, Asked};
use crate::train::run_dir::RunDir;
use crate::train::setup::feature_dir;

/// The final metric that the figures are to predict.
const METRIC: &str = "ndcg@10";

/// Notices about the runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    Warning(String),
    Note(String),
}

/// Variants by the content hashes of their features, with the features.
type Variants = BTreeMap<Vec<String>, (Variant, Vec<ContentView>)>;

impl Probe<'_> {
    /// Runs P4: correlates the figures of features with the final metric of finished runs on them. Runs on the same
    /// features are one variant with their mean metric; unfinished runs are left out with a warning. `data` is the
    /// directory of the data set; `accept_changed` accepts runs whose features have changed since.
    ///
    /// # Errors
    /// Fewer than three variants, a run on another data set, or features that are gone, changed or of other items.
    pub fn validity(
        &self,
        runs: &[PathBuf],
        data: &Path,
        accept_changed: bool,
        on_notice: &mut dyn FnMut(Notice),
    ) -> Result<Validity, ProbeError> {
        let mut variants = Variants::new();
        let asked = Asked { data: Some(data.to_owned()), accept_changed, ..Asked::default() };
        for root in runs {
            self.add_run(root, data, &asked, &mut variants, on_notice)?;
        }
        let found = variants.len();
        if found < 3 {
            return Err(ProbeError::FewVariants { found });
        }
        if found < ENOUGH {
            let warning = format!("{found} feature variants are few; the interval of P4 will be wide");
            on_notice(Notice::Warning(warning));
        }
        let mut all = Vec::new();
        for (_, (mut variant, views)) in variants {
            variant.numbers = self.features(&joined(&views, self.dataset.items.count()))?.0.numbers();
            all.push(variant);
        }
        all.sort_by(|a, b| b.metric.total_cmp(&a.metric));
        Ok(Validity::new(METRIC, all))
    }

    fn add_run(
        &self,
        root: &Path,
        data: &Path,
        asked: &Asked,
        variants: &mut Variants,
        on_notice: &mut dyn FnMut(Notice),
    ) -> Result<(), ProbeError> {
        let (mut config, metric) = match self.finished(root)? {
            Ok(finished) => finished,
            Err(reason) => {
                on_notice(Notice::Warning(format!("{} is left out: {reason}", root.display())));
                return Ok(());
            }
        };
        let found = inputs::resolve(root, &mut config, &inputs::recorded(&RunDir::new(root))?, asked)?;
        found.warnings().into_iter().for_each(|warning| on_notice(Notice::Warning(warning)));
        found.notes().into_iter().for_each(|note| on_notice(Notice::Note(note)));
        let views = self.run_views(&config, data)?;
        let key = views.iter().map(|v| v.store.hash().to_owned()).collect();
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let new = Variant { name, runs: 0, numbers: BTreeMap::new(), metric: 0.0 };
        let (variant, _) = variants.entry(key).or_insert((new, views));
        variant.metric = (variant.metric * variant.runs as f64 + metric) / (variant.runs + 1) as f64;
        variant.runs += 1;
        Ok(())
    }

    /// Configuration and final test metric of a run, or the reason why it has none.
    fn finished(&self, root: &Path) -> Result<Result<(Config, f64), &'static str>, ProbeError> {
        let run = RunDir::new(root);
        let config = load(&run.config(), &[])?.config;
        let report =
            std::fs::read(run.report()).ok().and_then(|text| serde_json::from_slice::<Report>(&text).ok());
        let Some(report) = report.filter(|r| !r.evaluations.is_empty()) else {
            return Ok(Err("it has no report"));
        };
        if report.dataset != self.dataset.hash {
            return Err(ProbeError::OtherData { run: root.to_owned() });
        }
        if !config.data.train_parts.validates() {
            return Ok(Err("it was trained on the validation items"));
        }
        let scored = &report.model().scored;
        let ensemble = scored.iter().find(|s| s.name == ENSEMBLE).or_else(|| scored.first());
        let metric = ensemble.and_then(|s: &Scored| s.metrics.get(METRIC).copied());
        Ok(metric.map(|metric| (config, metric)).ok_or("its report has no ndcg@10"))
    }

    /// The content views of a run's model.
    fn run_views(&self, config: &Config, data: &Path) -> Result<Vec<ContentView>, ProbeError> {
        let views = config.model.views.iter().filter(|v| v.kind.reads_features());
        views
            .map(|view| {
                let name = view.store();
                let path = config.data.features.get(name).cloned().unwrap_or_else(|| feature_dir(data, name));
                open_view(view.name.clone(), &path, self.dataset)
            })
            .collect()
    }
}
