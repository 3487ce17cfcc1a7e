//! What TensorBoard's HParams page shows of a run.
//!
//! The page has a column for everything that it is given, so it is given little: the figure that the training chose
//! by, what came of it on the test part, and the settings that people change, with whatever else this run has changed.

use serde_json::Value;

use crate::artefact::{ArtefactError, json_value};
use crate::config::section::Fact;
use crate::config::{Config, ENSEMBLE, has_fact};
use crate::eval::{Evaluation, Report};
use crate::monitor::{FINAL_BEST, FINAL_TEST, HValue};

/// Settings that every run shows, so that runs stand side by side.
const ALWAYS: [&str; 12] = [
    "seed",
    "optim.lr",
    "optim.weight_decay",
    "model.width",
    "model.dropout",
    "model.tower.blocks",
    "objective.kind",
    "objective.distill.alpha",
    "objective.distill.temperature",
    "train.batch_users",
    "data.max_seq_len",
    "data.windows",
];
/// Lists are told by their names alone.
const BRANCHES: &str = "model.branches";

/// Columns of settings.
///
/// # Errors
/// The configuration has no JSON form.
pub fn settings(config: &Config) -> Result<Vec<(String, HValue)>, ArtefactError> {
    let own = json_value("the configuration", config)?;
    let usual = json_value("the configuration", &Config::default())?;
    let mut shown: Vec<(String, HValue)> =
        ALWAYS.iter().filter_map(|key| Some(((*key).to_owned(), hvalue(entry(&own, key)?)?))).collect();
    let branches: Vec<&str> = config.model.branches.iter().map(|b| b.name.as_str()).collect();
    shown.insert(1, (BRANCHES.into(), HValue::Text(branches.join(" + "))));
    let mut changed = Vec::new();
    // What is learned comes before what it is learned from.
    let (data, others): (Vec<_>, Vec<_>) =
        own.as_object().into_iter().flatten().partition(|(key, _)| *key == "data");
    for (table, value) in others.into_iter().chain(data) {
        changes(table, value, entry(&usual, table), &mut changed);
    }
    shown.extend(changed.into_iter().filter(|(key, _)| !ALWAYS.contains(&key.as_str())));
    Ok(shown)
}

/// Columns of figures, the one that was optimised first, as they are logged at the end.
///
/// `best` is the best value of `train.metric` on the validation part.
pub fn figures(config: &Config, report: &Report, best: Option<f64>) -> Vec<(String, f64)> {
    let metric = &config.train.metric;
    let (who, rest) = metric.split_once('/').unwrap_or((ENSEMBLE, metric));
    let k = rest.split_once('@').map_or("10", |(_, k)| k);
    // A model that was trained on the test items has no figures.
    let test = report.evaluations.first().map(Evaluation::metrics).unwrap_or_default();
    let mut names = vec![metric.clone()];
    for other in ["recall", "ndcg", "coverage"] {
        let name = format!("{who}/{other}@{k}");
        if name != *metric {
            names.push(name);
        }
    }
    let chosen = best.map(|value| (format!("{FINAL_BEST}{metric}"), value));
    let tested =
        names.into_iter().filter_map(|name| Some((format!("{FINAL_TEST}{name}"), *test.get(&name)?)));
    chosen.into_iter().chain(tested).collect()
}

/// Leaves of `own` that differ from `usual`, lists left out.
fn changes(key: &str, own: &Value, usual: Option<&Value>, out: &mut Vec<(String, HValue)>) {
    if usual == Some(own) {
        return;
    }
    match own {
        Value::Object(fields) => {
            for (name, value) in fields {
                changes(&format!("{key}.{name}"), value, usual.and_then(|u| u.get(name)), out);
            }
        }
        _ if is_unlisted(key) => {}
        leaf => out.extend(hvalue(leaf).map(|value| (key.to_owned(), value))),
    }
}

/// Whether a setting without a say in what is learned, or with a place elsewhere, is no column.
fn is_unlisted(key: &str) -> bool {
    has_fact(key, Fact::Unlisted) || has_fact(key, Fact::Idle)
}

fn entry<'v>(root: &'v Value, key: &str) -> Option<&'v Value> {
    key.split('.').try_fold(root, |node, part| node.get(part))
}

/// A leaf by its type: a name such as `nan` or `inf` is a text, whatever a parser of numbers makes of it.
fn hvalue(leaf: &Value) -> Option<HValue> {
    match leaf {
        Value::Number(number) => number.as_f64().map(HValue::Number),
        Value::Bool(flag) => Some(HValue::Flag(*flag)),
        Value::String(text) => Some(HValue::Text(text.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    fn config(more: &str) -> Config {
        let text = format!(
            "[data]\npath = \"x\"\n[[model.views]]\nname = \"id\"\nkind = \"id\"\n\
             [[model.branches]]\nname = \"nan\"\nview = \"id\"\n{more}"
        );
        parse(&text, Path::new("x.toml"), &[]).unwrap().config
    }

    #[test]
    fn a_handful_of_settings_and_what_the_run_changed() {
        let plain = settings(&config("")).unwrap();
        assert!(plain.len() <= 13, "{plain:?}");
        let names: Vec<&str> = plain.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[..3], ["seed", "model.branches", "optim.lr"]);
        assert!(!names.contains(&"model.tower.blocks"), "there is no tower");
        assert_eq!(plain[1].1, HValue::Text("nan".into()), "a name is no number");
        let changed =
            settings(&config("[optim]\nwarmup_steps = 7\ndecay = \"matrices\"\n[train]\nkeep = 9\n"))
                .unwrap();
        let extra: Vec<_> = changed.into_iter().filter(|entry| !plain.contains(entry)).collect();
        let wanted = [
            ("optim.decay".to_owned(), HValue::Text("matrices".into())),
            ("optim.warmup_steps".to_owned(), HValue::Number(7.0)),
        ];
        assert_eq!(extra, wanted);
    }
}
