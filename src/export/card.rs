//! The model card: what the model is, what it was trained on, how it was measured.

use std::fmt::Write as _;

use crate::config::Config;
use crate::eval::Report;
use crate::train::checkpoint::{Parents, RunState};

/// Markdown for the export's README.
pub fn render(
    config: &Config,
    parents: &Parents,
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
    for (view, hash) in &parents.features {
        let _ = writeln!(text, "| features of `{view}` | `{hash}` |");
    }
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
           is padding; row n belongs to `items.json` `ids[n]`. A user's score of an item is the dot product of\n  \
           user and item vector, averaged over branches.\n\
         - `config.json`: the resolved configuration.\n\
         - `manifest.json`: hashes of all files.\n",
    );
    text
}
