//! A study file read and checked.

use std::path::Path;

use super::StudyError;
use super::retune::Retune;
use super::study::Study;
use crate::compare::Metric;
use crate::config::{nearest, one_line};

impl Study {
    /// Reads a study file.
    ///
    /// # Errors
    /// It can't be read, is not TOML, has an unknown key, or a value that can't be meant.
    pub fn load(path: &Path) -> Result<Self, StudyError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| StudyError::Read { path: path.to_owned(), source })?;
        let mut study: Self = toml::from_str(&text).map_err(|e| malformed(path, &text, &e))?;
        if study.name.is_empty() {
            study.name =
                path.file_stem().map_or_else(|| "study".into(), |s| s.to_string_lossy().into_owned());
        }
        check(&study, path)?;
        Ok(study)
    }
}

/// The TOML reader's message with its place; a misspelt key or word gets the nearest known one.
fn malformed(path: &Path, text: &str, error: &toml::de::Error) -> StudyError {
    let place = error.span().map_or_else(String::new, |span| {
        let before = &text[..span.start.min(text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!(":{line}:{column}")
    });
    let message = one_line(error.message());
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let listed = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let (reason, hint) = match quoted.split_first() {
        Some((given, known)) if listed => {
            let what = if message.starts_with("unknown field") { "unknown key" } else { "unknown word" };
            let hint = match nearest(given, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            (format!("{what} `{given}`"), Some(hint))
        }
        _ => (message.clone(), None),
    };
    StudyError::Malformed { path: path.to_owned(), place, reason, hint }
}

/// Why a value is refused.
struct Refusal {
    key: &'static str,
    reason: String,
    hint: String,
}

type Checked = Result<(), Refusal>;

fn refuse(key: &'static str, reason: impl Into<String>, hint: impl Into<String>) -> Checked {
    Err(Refusal { key, reason: reason.into(), hint: hint.into() })
}

/// Checks every value of `study`, which `path` holds.
///
/// # Errors
/// The first value that is refused.
fn check(study: &Study, path: &Path) -> Result<(), StudyError> {
    let rules = [
        check_base,
        check_name,
        check_seeds,
        check_again_seeds,
        check_metric,
        check_shares,
        check_counts,
        check_retune,
        check_conditions,
    ];
    rules.iter().try_for_each(|rule| rule(study)).map_err(|Refusal { key, reason, hint }| {
        StudyError::Invalid { path: path.to_owned(), key: key.to_owned(), reason, hint }
    })
}

fn check_base(study: &Study) -> Checked {
    if study.base.as_os_str().is_empty() && study.data.is_none() {
        let hint = "name the full model, e.g. base = \"configs/quickstart.toml\", or data = \"DIR\" for the recommended one";
        return refuse("base", "is missing", hint);
    }
    Ok(())
}

fn check_name(study: &Study) -> Checked {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if study.name.starts_with('.') || !study.name.chars().all(fits) {
        let reason = format!("= {:?} can't be a folder", study.name);
        return refuse("name", reason, "use letters, digits, `_`, `-`");
    }
    Ok(())
}

fn check_seeds(study: &Study) -> Checked {
    if study.seeds.is_empty() {
        return refuse("seeds", "is empty", "three seeds give a verdict: seeds = [1, 2, 3]");
    }
    if let Some(seed) = repeated(&study.seeds) {
        return refuse("seeds", format!("names {seed} twice"), "the same seed twice is no second sample");
    }
    Ok(())
}

fn check_again_seeds(study: &Study) -> Checked {
    if let Some(seed) = study.again_seeds.iter().find(|seed| study.seeds.contains(seed)) {
        let reason = format!("shares {seed} with seeds");
        return refuse("again_seeds", reason, "choose seeds of their own, or none");
    }
    if let Some(seed) = repeated(&study.again_seeds) {
        return refuse("again_seeds", format!("names {seed} twice"), "choose other seeds, or none");
    }
    Ok(())
}

fn repeated(seeds: &[u64]) -> Option<u64> {
    (1..seeds.len()).find(|&i| seeds[..i].contains(&seeds[i])).map(|i| seeds[i])
}

fn check_metric(study: &Study) -> Checked {
    if study.metric.parse::<Metric>().is_err() {
        let reason = format!("= {:?} is not a metric", study.metric);
        return refuse("metric", reason, "use recall@K, ndcg@K or mrr@K");
    }
    Ok(())
}

fn check_shares(study: &Study) -> Checked {
    let shares =
        [("margin", study.margin, 0.0), ("confidence", study.confidence, 0.5), ("power", study.power, 0.5)];
    for (key, value, low) in shares {
        // Not a number is outside too.
        if !(value > low && value < 1.0) {
            let hint = format!("use a value between {low} and 1");
            return refuse(key, format!("= {value} is out of range"), hint);
        }
    }
    Ok(())
}

fn check_counts(study: &Study) -> Checked {
    if !(2..=10_000_000).contains(&study.draws) {
        return refuse("draws", format!("= {} is out of range", study.draws), "use 2 to 10000000");
    }
    if !(1..=1024).contains(&study.jobs) {
        let reason = format!("= {} is out of range", study.jobs);
        return refuse("jobs", reason, "1 trains one cell after the other");
    }
    if study.replace_seed > 1 << 62 {
        let reason = format!("= {} is too large", study.replace_seed);
        return refuse("replace_seed", reason, "use a small number");
    }
    Ok(())
}

fn check_retune(study: &Study) -> Checked {
    match study.retune.as_ref().and_then(Retune::fault) {
        Some(reason) => refuse("retune", reason, "see `[retune]` in configs/studies/quickstart.toml"),
        None => Ok(()),
    }
}

fn check_conditions(study: &Study) -> Checked {
    let named = study.preset.is_some() || !study.conditions.is_empty() || !study.condition.is_empty();
    if !named && !study.quick {
        return refuse("preset", "is missing, and there are no conditions", "add preset = \"seed\"");
    }
    Ok(())
}
