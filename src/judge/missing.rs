//! What a trained model keeps of its figures where items lack a view: retention (docs/studies.md, section 7).
//!
//! A hidden view takes the way of a view that the item never had: the learned missing token stands in, in the catalogue and in
//! histories alike. Nothing is trained, and all branches stay in the ensemble.

mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Cold, JudgeError, check_part, check_split, judge_cold};
use crate::data::{Choice, Part};
use crate::embed::ColdRule;
use crate::eval::report::usual_ks;
use crate::eval::{Evaluation, Scored};
use crate::probe::mask::{masked, places};
use crate::rng::mix64;
use crate::systems::{AnyFitted, CoDistill, Fitted};

/// The seed of the masks where none is asked for: the same items for all runs on a data set.
pub const SEED: u64 = 1;
/// Metrics whose retention is told, at each cut-off.
const METRICS: [&str; 2] = ["recall", "ndcg"];

/// A view, and the share of the items that lack it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MissingView {
    pub view: String,
    /// 0 to 1.
    pub share: f64,
}

/// What is missing at one time: a row of the table. As text `text=0.3`, or `text=0.3+image=1` for several views.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Missing {
    pub views: Vec<MissingView>,
}

impl FromStr for Missing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let one = |part: &str| {
            let (view, share) = part
                .split_once('=')
                .filter(|(view, _)| !view.is_empty())
                .ok_or("use VIEW=SHARE, e.g. text=0.3; several views at a time as text=0.3+image=1")?;
            let share = share.parse().ok().filter(|share| (0.0..=1.0).contains(share));
            let share = share.ok_or("the share of the items that lack the view lies between 0 and 1")?;
            // Without the sign of -0.
            Ok::<_, String>(MissingView { view: view.to_owned(), share: f64::abs(share) })
        };
        Ok(Self { views: text.split('+').map(one).collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let views: Vec<String> = self.views.iter().map(|own| format!("{}={}", own.view, own.share)).collect();
        f.write_str(&views.join("+"))
    }
}

/// What is asked of a model.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// [`Part::Valid`] or [`Part::Test`].
    pub part: Part,
    /// A row of the table each; at least one.
    pub missing: &'a [Missing],
    /// Of the masks ([`SEED`]). A larger share of a view hides it in the same items and more.
    pub seed: u64,
    /// As of [`super::Judging`]. A rule for cold items is fitted with all features.
    pub cold: Option<Cold>,
    pub choice: Option<&'a Choice>,
}

/// Figures with everything, and those with views missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retention {
    /// Content hash of the data set.
    pub dataset: String,
    /// Seed of the run, and of the masks.
    pub seed: u64,
    pub mask_seed: u64,
    /// I
    pub items: usize,
    /// With all features.
    pub whole: Evaluation,
    pub missing: Vec<Retained>,
    /// Inputs that are not those of the training and were accepted all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<String>,
}

/// Figures with views missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retained {
    pub missing: Missing,
    /// In the order of the views that are missing.
    pub counts: Vec<Counts>,
    pub evaluation: Evaluation,
    /// By score name and metric: the figure in percent of the one with everything; absent where that is 0.
    pub kept: BTreeMap<String, BTreeMap<String, f64>>,
}

/// Items with features in a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub before: usize,
    pub still: usize,
}

/// Judges `model` with everything and with each of `asking.missing`. Nothing is written.
///
/// # Errors
/// The model is of another system or has no such view with features, a view or row is named twice, a named protocol does not
/// fit the data set's split, a scorer failed, or the part has no targets among the candidates.
pub fn retention(model: &dyn AnyFitted, asking: &Asking<'_>) -> Result<Retention, JudgeError> {
    let fitted: &Fitted<CoDistill> = model.as_any().downcast_ref().ok_or_else(|| {
        let kind = &model.setup().config.system.kind;
        refused(
            format!("the system `{kind}` is not known to read a view that could be missing"),
            "use a run of the system `codistill`",
        )
    })?;
    let system = fitted.system.as_ref();
    check_part(&system.setup, asking.part)?;
    check_split(&system.setup)?;
    let rows: Vec<Vec<usize>> =
        asking.missing.iter().map(|missing| numbers(system, missing)).collect::<Result<_, _>>()?;
    let twice = asking.missing.iter().enumerate().find(|(n, row)| asking.missing[..*n].contains(row));
    if let Some((_, row)) = twice {
        return Err(refused(format!("{row} is asked for twice"), "name each row once"));
    }
    let rule = asking.cold.map(|cold| ColdRule::fit(system, &fitted.model, cold.rule, cold.min_events));
    let rule = rule.transpose()?;
    let judge = |fitted: &Fitted<CoDistill>| -> Result<Evaluation, JudgeError> {
        Ok(match (&rule, asking.cold) {
            (Some(rule), Some(cold)) => {
                judge_cold(fitted, asking.part, rule, cold.calibration, asking.choice)?.0
            }
            _ => fitted.evaluate(asking.part, asking.choice)?,
        })
    };
    let whole = judge(fitted)?;
    let mut missing = Vec::new();
    for (row, numbers) in asking.missing.iter().zip(rows) {
        let hidden = masks(system, row, &numbers, asking.seed);
        let poorer = Arc::new(system.hiding(&hidden));
        let counts = numbers
            .iter()
            .map(|&view| Counts { before: with_features(system, view), still: with_features(&poorer, view) });
        let counts = counts.collect();
        let evaluation = judge(&Fitted { system: poorer, model: fitted.model.clone() })?;
        let kept = kept(&whole, &evaluation);
        missing.push(Retained { missing: row.clone(), counts, evaluation, kept });
    }
    Ok(Retention {
        dataset: system.setup.dataset.hash.clone(),
        seed: system.setup.config.seed,
        mask_seed: asking.seed,
        items: system.shape.items,
        whole,
        missing,
        accepted: system.setup.accepted.clone(),
    })
}

fn refused(reason: String, remedy: impl Into<String>) -> JudgeError {
    JudgeError::Missing { reason, remedy: remedy.into() }
}

/// Numbers of the views that are missing.
fn numbers(system: &CoDistill, missing: &Missing) -> Result<Vec<usize>, JudgeError> {
    let views = &system.setup.config.model.views;
    let readable: Vec<&str> =
        views.iter().filter(|v| v.kind.reads_features()).map(|v| v.name.as_str()).collect();
    let remedy = match readable.as_slice() {
        [] => "the model reads no features, so that nothing can be missing".to_owned(),
        names => format!("views with features: {}", names.join(", ")),
    };
    let mut found = Vec::new();
    for MissingView { view, .. } in &missing.views {
        let Some(number) = views.iter().position(|own| own.name == *view) else {
            return Err(refused(format!("the model reads no view `{view}`"), remedy));
        };
        if !views[number].kind.reads_features() {
            let reason =
                format!("`{view}` has no features that could be missing: its vectors are the model's own");
            return Err(refused(reason, remedy));
        }
        if found.contains(&number) {
            return Err(refused(
                format!("{missing} names `{view}` twice"),
                "a comma instead of the + makes rows of their own",
            ));
        }
        found.push(number);
    }
    Ok(found)
}

/// Which items lack each of the views. Views lose other items, at random to each other.
fn masks(system: &CoDistill, missing: &Missing, numbers: &[usize], seed: u64) -> Vec<(usize, Vec<bool>)> {
    let of_view = |(own, &number): (&MissingView, &usize)| {
        // By its name, so that models with other views beside it lose it in the same items.
        let seed = own.view.bytes().fold(mix64(seed), |key, byte| mix64(key ^ u64::from(byte)));
        (number, masked(&places(system.shape.items, seed), own.share))
    };
    missing.views.iter().zip(numbers).map(of_view).collect()
}

fn with_features(system: &CoDistill, view: usize) -> usize {
    system.views[view].as_ref().map_or(0, |source| source.store.items() - source.store.missing())
}

/// Figures of `now` in percent of those of `whole`.
fn kept(whole: &Evaluation, now: &Evaluation) -> BTreeMap<String, BTreeMap<String, f64>> {
    let of_name = |(whole, now): (&Scored, &Scored)| {
        let metrics = metrics(&whole.metrics).filter_map(|(metric, &before)| {
            let after = now.metrics.get(metric)?;
            (before > 0.0).then(|| (metric.clone(), 100.0 * after / before))
        });
        (whole.name.clone(), metrics.collect())
    };
    whole.scored.iter().zip(&now.scored).map(of_name).collect()
}

fn metrics(all: &BTreeMap<String, f64>) -> impl Iterator<Item = (&String, &f64)> {
    all.iter().filter(|(metric, _)| METRICS.iter().any(|own| metric.split('@').next() == Some(own)))
}

impl Retention {
    /// Cut-offs that are shown where none are asked for.
    pub fn usual_ks(&self) -> Vec<usize> {
        usual_ks(&self.whole.protocol)
    }

    /// All evaluations; score names say what is missing, `ensemble (text=0.3 missing)`.
    pub fn named_evaluations(&self) -> Vec<Evaluation> {
        let poorer = self.missing.iter().map(|row| {
            let mut evaluation = row.evaluation.clone();
            for scored in &mut evaluation.scored {
                scored.name = format!("{} ({} missing)", scored.name, row.missing);
            }
            evaluation
        });
        std::iter::once(self.whole.clone()).chain(poorer).collect()
    }

    /// Rows that hide nothing from anybody, a warning each.
    pub fn warnings(&self) -> Vec<String> {
        let of_row = |row: &Retained| {
            let idle = row
                .missing
                .views
                .iter()
                .zip(&row.counts)
                .filter(|(own, counts)| own.share > 0.0 && counts.before == counts.still);
            let idle = idle.map(|(own, counts)| {
                let had = if counts.before == 0 { "no item has" } else { "the share is of no item that has" };
                format!("{} hides nothing: {had} {}", row.missing, own.view)
            });
            idle.collect::<Vec<_>>()
        };
        self.missing.iter().flat_map(of_row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_are_written() {
        let row: Missing = "text=0.3+image=1".parse().unwrap();
        let shares: Vec<(&str, f64)> = row.views.iter().map(|own| (own.view.as_str(), own.share)).collect();
        assert_eq!(shares, [("text", 0.3), ("image", 1.0)]);
        assert_eq!(row.to_string(), "text=0.3+image=1");
        assert_eq!("text=-0".parse::<Missing>().unwrap().to_string(), "text=0");
        for (text, told) in [
            ("text", "VIEW=SHARE"),
            ("=0.3", "VIEW=SHARE"),
            ("text=0.3+", "VIEW=SHARE"),
            ("text=1.01", "between 0 and 1"),
            ("text=-0.1", "between 0 and 1"),
            ("text=NaN", "between 0 and 1"),
            ("text=half", "between 0 and 1"),
            ("text=", "between 0 and 1"),
        ] {
            let refused = text.parse::<Missing>().unwrap_err();
            assert!(refused.contains(told), "{text}: {refused}");
        }
    }

    fn evaluation(figures: &[(&str, f64, f64)]) -> Evaluation {
        let text = serde_json::json!({
            "part": "test",
            "protocol": {
                "dataset": "d", "targets": 4, "items": 8, "history": "all", "ties": "mid", "ks": [10],
                "bucket_k": 10, "masked_targets": 0
            },
            "scored": figures.iter().map(|(name, recall, ndcg)| serde_json::json!({
                "name": name, "metrics": { "recall@10": recall, "ndcg@10": ndcg, "coverage@10": 1.0 },
                "by_item_count": [], "by_user_length": []
            })).collect::<Vec<_>>(),
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn retention_is_a_share_of_the_figure_with_everything() {
        let whole = evaluation(&[("ensemble", 0.5, 0.4), ("text", 0.25, 0.0)]);
        let now = evaluation(&[("ensemble", 0.25, 0.3), ("text", 0.0, 0.1)]);
        let kept = kept(&whole, &now);
        assert_eq!(kept["ensemble"], BTreeMap::from([("recall@10".into(), 50.0), ("ndcg@10".into(), 75.0)]));
        // Of nothing, no share is kept; of something, 0 %.
        assert_eq!(kept["text"], BTreeMap::from([("recall@10".into(), 0.0)]));
        let counts = vec![Counts { before: 6, still: 2 }];
        let missing = vec![Retained { missing: "text=0.6".parse().unwrap(), counts, evaluation: now, kept }];
        let (dataset, seed, mask_seed, items) = ("d".into(), 1, 1, 8);
        let accepted = Vec::new();
        let retention = Retention { dataset, seed, mask_seed, items, whole, missing, accepted };
        let text = retention.table_at(&[10]);
        assert!(text.contains("\ntext=0.6: 4 of 8 items lose text, 2 still have it\n"), "{text}");
        let line = |name: &str| {
            let line =
                text.lines().find(|line| line.starts_with("text=0.6  ") && line.contains(name)).unwrap();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line(" ensemble "), "text=0.6 ensemble 0.5000 0.2500 50.0 % 0.4000 0.3000 75.0 %");
        assert_eq!(line(" text "), "text=0.6 text 0.2500 0.0000 0.0 % 0.0000 0.1000 -");
        assert!(
            retention
                .markdown_at(&[10])
                .contains("| text=0.6 | ensemble | 0.5000 | 0.2500 | 50.0 % | 0.4000 |")
        );
        assert!(retention.warnings().is_empty());
        let names: Vec<String> =
            retention.named_evaluations().iter().map(|e| e.scored[0].name.clone()).collect();
        assert_eq!(names, ["ensemble", "ensemble (text=0.6 missing)"]);
    }
}
