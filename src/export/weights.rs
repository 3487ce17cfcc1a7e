//! Conversion of weights to and from the authors' parameter names and PyTorch's layout (docs/odmt.md, section 10).
//!
//! Linear weights are `[out, in]` in PyTorch and `[in, out]` here. Parameters that the authors' model does not have
//! (missing tokens, other encoders) keep our name, with [`OWN_PREFIX`].

use std::collections::BTreeMap;

use crate::tensors::Values;

/// Prefix of parameters that the authors' model does not have.
pub const OWN_PREFIX: &str = "codistill.";

/// Parameters of the authors' checkpoints that their forward pass never reads.
const UNUSED: [&str; 3] =
    ["IMT.layer_norm.weight", "IMT.layer_norm.bias", "IMT.token_type_embeddings.weight"];

/// Renames all parameters to the authors' names and transposes linear weights to `[out, in]`.
pub fn to_authors(params: &BTreeMap<String, Values>) -> BTreeMap<String, Values> {
    params
        .iter()
        .map(|(name, values)| {
            (authors_name(name), if is_linear(name, values) { transposed(values) } else { values.clone() })
        })
        .collect()
}

/// The reverse of [`to_authors`] for the parameters in `names`. Unused parameters are dropped; unknown ones keep their
/// name, for the caller to report.
pub fn from_authors(params: &BTreeMap<String, Values>, names: &[String]) -> BTreeMap<String, Values> {
    let back: BTreeMap<String, &String> = names.iter().map(|name| (authors_name(name), name)).collect();
    params
        .iter()
        .filter(|(name, _)| !UNUSED.contains(&name.as_str()))
        .map(|(name, values)| match back.get(name) {
            Some(&ours) if is_linear(ours, values) => (ours.clone(), transposed(values)),
            Some(&ours) => (ours.clone(), values.clone()),
            None => (name.clone(), values.clone()),
        })
        .collect()
}

/// The authors' name of one of our parameters.
pub fn authors_name(ours: &str) -> String {
    let parts: Vec<&str> = ours.split('.').collect();
    let named = match parts.as_slice() {
        ["views", "id", "table"] => Some("id_encoder.weight".to_owned()),
        ["views", view @ ("id" | "text" | "image"), "project", leaf] => Some(format!("{view}_proj.{leaf}")),
        ["tower", "blocks", k, rest @ ..] => block(rest).map(|b| format!("IMT.transformer_blocks.{k}.{b}")),
        ["branches", name, rest @ ..] => short(name).and_then(|name| branch(name, rest)),
        _ => None,
    };
    named.unwrap_or_else(|| format!("{OWN_PREFIX}{ours}"))
}

fn short(branch: &str) -> Option<&str> {
    match branch {
        "id" => Some("id"),
        "text" => Some("t"),
        "image" => Some("v"),
        _ => None,
    }
}

fn branch(name: &str, rest: &[&str]) -> Option<String> {
    let encoder = format!("{name}_user_encoder.transformer_encoder");
    match rest {
        ["mlp", "first", leaf] => Some(format!("{name}_dnns.0.{leaf}")),
        ["mlp", "second", leaf] => Some(format!("{name}_dnns.2.{leaf}")),
        ["encoder", "positions"] => Some(format!("{encoder}.position_embedding.weight")),
        ["encoder", "norm", leaf] => Some(format!("{encoder}.layer_norm.{}", norm(leaf)?)),
        ["encoder", "blocks", k, rest @ ..] => {
            block(rest).map(|b| format!("{encoder}.transformer_blocks.{k}.{b}"))
        }
        _ => None,
    }
}

fn block(rest: &[&str]) -> Option<String> {
    let attention = "multi_head_attention";
    match rest {
        ["query", leaf] => Some(format!("{attention}.w_Q.{leaf}")),
        ["key", leaf] => Some(format!("{attention}.w_K.{leaf}")),
        ["value", leaf] => Some(format!("{attention}.w_V.{leaf}")),
        ["output", leaf] => Some(format!("{attention}.fc.{leaf}")),
        ["attention_norm", leaf] => Some(format!("{attention}.layer_norm.{}", norm(leaf)?)),
        ["up", leaf] => Some(format!("feed_forward.w_1.{leaf}")),
        ["down", leaf] => Some(format!("feed_forward.w_2.{leaf}")),
        ["feed_forward_norm", leaf] => Some(format!("feed_forward.layer_norm.{}", norm(leaf)?)),
        _ => None,
    }
}

fn norm(leaf: &str) -> Option<&'static str> {
    match leaf {
        "gamma" => Some("weight"),
        "beta" => Some("bias"),
        _ => None,
    }
}

/// Whether a parameter is a linear weight: every matrix called `weight` is, tables and positions have other names.
fn is_linear(ours: &str, values: &Values) -> bool {
    values.shape.len() == 2 && ours.ends_with(".weight")
}

fn transposed(values: &Values) -> Values {
    let [rows, columns] = [values.shape[0], values.shape[1]];
    let mut out = Vec::with_capacity(values.values.len());
    for column in 0..columns {
        out.extend((0..rows).map(|row| values.values[row * columns + column]));
    }
    Values { shape: vec![columns, rows], values: out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn import_undoes_export_bit_for_bit() {
        let value = |shape: &[usize]| Values {
            shape: shape.to_vec(),
            values: (0..shape.iter().product::<usize>()).map(|i| i as f32 * 0.37).collect(),
        };
        let ours: BTreeMap<String, Values> = [
            ("views.id.table", value(&[5, 3])),
            ("views.text.project.weight", value(&[4, 3])),
            ("views.text.missing", value(&[3])),
            ("branches.image.encoder.blocks.1.up.weight", value(&[3, 12])),
            ("branches.image.encoder.positions", value(&[5, 3])),
            ("branches.audio.encoder.gru.layers.0.input.weight", value(&[3, 9])),
        ]
        .map(|(name, values)| (name.to_owned(), values))
        .into();
        let theirs = to_authors(&ours);
        assert_eq!(theirs["text_proj.weight"].shape, [3, 4]);
        let up = "v_user_encoder.transformer_encoder.transformer_blocks.1.feed_forward.w_1.weight";
        assert_eq!(theirs[up].shape, [12, 3]);
        let names: Vec<String> = ours.keys().cloned().collect();
        assert_eq!(from_authors(&theirs, &names), ours);
    }
}
