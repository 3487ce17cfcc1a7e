//! The model card: architecture, training data, features and metrics of a model.

use std::fmt::Write as _;

use serde_json::Value;

use crate::config::{Config, EnsembleWeights};
use crate::eval::Report;
use crate::train::checkpoint::{Parents, RunState};

/// The features of a view, as their store describes them.
pub struct Features<'a> {
    pub view: &'a str,
    /// Content hash of the store.
    pub hash: &'a str,
    /// Most tokens of an item, and the width of one.
    pub tokens: usize,
    pub width: usize,
    /// Description of how the store was made, from its manifest.
    pub about: &'a Value,
}

/// The export's README in Markdown. `features` are the stores at hand; one with another hash than the model was trained
/// on is not described.
pub fn render(
    config: &Config,
    parents: &Parents,
    features: &[Features<'_>],
    state: &RunState,
    report: Option<&Report>,
    parameters: usize,
) -> String {
    let branches: Vec<String> =
        config.model.branches.iter().map(|b| format!("{} ({})", b.name, b.view)).collect();
    let tower = config.model.tower.as_ref().map_or_else(
        || "none (late fusion)".to_owned(),
        |t| format!("{} blocks, {} heads, ID token {:?}", t.blocks, t.heads, t.id_visible),
    );
    let mut text = format!(
        "# {name}\n\nA sequential recommender trained with codistill {version}.\n\n\
         | | |\n|---|---|\n\
         | branches (view) | {branches} |\n\
         | item tower | {tower} |\n\
         | width, positions | {width}, {positions} |\n\
         | parameters | {parameters} |\n\
         | trained | {step} steps, seed {seed} |\n\
         | data | `{dataset}` |\n",
        name = config.run.name,
        version = env!("CARGO_PKG_VERSION"),
        branches = branches.join(", "),
        width = config.model.width,
        positions = config.data.max_seq_len,
        step = state.best.map_or(state.step, |(_, step)| step),
        seed = config.seed,
        dataset = parents.dataset,
    );
    counted(&mut text, config);
    taught(&mut text, parents);
    if let Some(start) = &parents.start {
        let _ = writeln!(text, "| started from | the weights of `{start}` |");
    }
    if let Some(note) = config.data.train_parts.note() {
        let _ = writeln!(text, "| trained on | {} |\n\n**{note}**", config.data.train_parts.word());
    }
    describe(&mut text, parents, features);
    text.push_str("\n## Measured\n\n");
    match report {
        Some(report) => text.push_str(&report.markdown()),
        None => text.push_str("Nothing: the training has not ended. `codistill evaluate` measures it.\n"),
    }
    text.push_str(
        "\n## Files\n\n\
         - `weights.safetensors`: PyTorch layout (linear weights `[out, in]`), names of the ODMT authors' model;\n  \
           what that model lacks is named `codistill.…`.\n\
         - `items.BRANCH.safetensors` (tensor `vectors`) and `items.BRANCH.npy`: `[items + 1, width]` float32, row 0\n  \
           is padding; row n belongs to `items.json` `ids[n]`. A branch's score of an item is the dot product of\n  \
           user and item vector.\n\
         - `config.json`: the resolved configuration.\n\
         - `manifest.json`: hashes of all files.\n",
    );
    text.push_str(&scores(config));
    text
}

/// Appends a row for the memory.
fn counted(text: &mut String, config: &Config) {
    if let Some(memory) = &config.model.memory {
        let _ = writeln!(text, "| memory | {}: lists of the training part, not trained |", memory.name);
    }
}

/// How the branches become one score, and what the memory's file holds.
fn scores(config: &Config) -> String {
    let mut text = String::from("\n## Score\n\n");
    text.push_str(match config.model.ensemble.weights {
        EnsembleWeights::Equal => "The mean over all branches.\n",
        EnsembleWeights::Fitted => {
            "The sum over all branches of w · score. `weights.safetensors` holds\n`codistill.ensemble.weights`; of its first row, branch n \
             has the entries a = 2n and b = 2n + 1, and for a history of L\nitems w = max(a + b ln((1 + L) / 11), 0.001). The row's last entry is what an item of the history gains.\n"
        }
    });
    if config.model.memory.is_some() {
        text.push_str(
            "\nThe memory is the last branch. In `memory.safetensors` source N is a matrix A in rows (`N.starts`, `N.items`,\n\
             `N.values`), and row N of `sources` is (weight, decay, scale). An item i scores the sum over the sources of\n\
             weight · ln(1 + max(Σ decay^a A[h_a, i], 0) / scale), h_a being the distinct items of the history, newest first.\n",
        );
    }
    text
}

/// Appends a row for the finished runs that taught: a name, and the hash of the checkpoint.
fn taught(text: &mut String, parents: &Parents) {
    let teachers: Vec<String> =
        parents.teachers.iter().map(|(name, hash)| format!("{name} `{hash}`")).collect();
    if !teachers.is_empty() {
        let _ = writeln!(text, "| taught by | {} |", teachers.join(", "));
    }
}

/// Appends a line for the features of each view: further vectors must be made by the same recipe.
fn describe(text: &mut String, parents: &Parents, features: &[Features<'_>]) {
    if parents.features.is_empty() {
        return;
    }
    text.push_str("\n## Features\n\n| view | made from | shape | store |\n|---|---|---|---|\n");
    for (view, hash) in &parents.features {
        let found = features.iter().find(|f| f.view == view && f.hash == hash);
        let (origin, shape) = found.map_or_else(
            || ("unknown: the store that the model was trained on is not there".to_owned(), "-".to_owned()),
            |f| (origin(f.about), format!("{} x {}", f.tokens, f.width)),
        );
        let _ = writeln!(text, "| {view} | {origin} | {shape} | `{hash}` |");
    }
}

/// The origin of features: encoder, revision and recipe, or the matrix of an import.
fn origin(about: &Value) -> String {
    let word = |path: &str| about.pointer(path).and_then(Value::as_str).filter(|word| !word.is_empty());
    let mut parts = vec![word("/source").unwrap_or("a source that the store does not name").to_owned()];
    let marked = [
        ("revision", word("/revision").or(word("/recipe/revision")).or(word("/settings/revision"))),
        ("field", word("/field")),
        ("recipe", word("/recipe_sha256")),
        ("weights", word("/recipe/weights_sha256")),
        ("matrix", word("/matrix/sha256")),
    ];
    parts.extend(marked.into_iter().filter_map(|(name, value)| Some(format!("{name} `{}`", value?))));
    // A source is free text, and may hold the separator of cells.
    parts.join(", ").replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn features<'a>(view: &'a str, hash: &'a str, about: &'a Value) -> Features<'a> {
        Features { view, hash, tokens: 30, width: 768, about }
    }

    fn card(trained_on: &[(&str, &str)], found: &[Features<'_>]) -> String {
        let features = trained_on.iter().map(|(view, hash)| ((*view).to_owned(), (*hash).to_owned()));
        let parents = Parents { dataset: "d".into(), features: features.collect(), ..Parents::default() };
        render(&Config::default(), &parents, found, &RunState::default(), None, 7)
    }

    fn line<'a>(card: &'a str, view: &str) -> &'a str {
        card.lines().find(|line| line.starts_with(&format!("| {view} |"))).unwrap()
    }

    #[test]
    fn encoder_revision_recipe_and_hash_stand_in_the_card() {
        let about = json!({
            "source": "encoded by o/m", "revision": "abc", "recipe_sha256": "rrr", "field": "text",
            "recipe": { "weights_sha256": "www" },
        });
        let card = card(&[("text", "hhh")], &[features("text", "hhh", &about)]);
        assert_eq!(
            line(&card, "text"),
            "| text | encoded by o/m, revision `abc`, field `text`, recipe `rrr`, weights `www` | 30 x 768 | `hhh` |"
        );
    }

    #[test]
    fn an_import_names_its_matrix_and_cannot_break_the_table() {
        let about = json!({ "source": "a|b.npy", "matrix": { "file": "b.npy", "sha256": "mmm" } });
        let card = card(&[("smell", "hhh")], &[features("smell", "hhh", &about)]);
        assert_eq!(line(&card, "smell"), "| smell | a\\|b.npy, matrix `mmm` | 30 x 768 | `hhh` |");
    }

    #[test]
    fn the_runs_that_taught_stand_in_the_card_with_their_hashes() {
        let teachers = [("big", "bbb"), ("late", "lll")].map(|(name, hash)| (name.into(), hash.into()));
        let parents = Parents { dataset: "d".into(), teachers: teachers.into(), ..Parents::default() };
        let card = render(&Config::default(), &parents, &[], &RunState::default(), None, 7);
        assert!(card.contains("| data | `d` |\n| taught by | big `bbb`, late `lll` |\n"), "{card}");
        assert!(!self::card(&[], &[]).contains("taught"));
    }

    #[test]
    fn a_store_that_was_replaced_or_says_nothing_is_not_described() {
        let about = json!({ "source": "encoded by other" });
        let changed = card(&[("text", "old")], &[features("text", "new", &about)]);
        assert!(line(&changed, "text").contains("unknown") && !changed.contains("other"), "{changed}");
        let silent = json!({});
        let card = card(&[("text", "h")], &[features("text", "h", &silent)]);
        assert!(line(&card, "text").contains("does not name"), "{card}");
        assert!(!self::card(&[], &[]).contains("## Features"));
    }
}
