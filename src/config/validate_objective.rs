//! Rules of the objective: ranges, settings that would do nothing, and objectives that a model can't have.

use super::rules::{Checked, at_least, between, invalid, known, non_negative, positive, within};
use super::validate::ENSEMBLE;
use super::{DistillConfig, Draw, ModelConfig, NegativesConfig, ObjectiveConfig, ObjectiveKind, ViewKind};

/// Most negatives of one draw: far beyond use, and small enough that a batch's draws can be counted in u32.
const MAX_NEGATIVES: usize = 1 << 20;

pub(super) fn check(objective: &ObjectiveConfig, model: &ModelConfig) -> Checked {
    non_negative("objective.log_popularity_power", objective.log_popularity_power)?;
    within("objective.calibration", objective.calibration, 0.0..=1.0)?;
    at_least("objective.chunk_items", objective.chunk_items, 1)?;
    check_negatives(&objective.negatives)?;
    check_nothing_is_idle(objective)?;
    check_distill(&objective.distill, model)?;
    match objective.kind {
        ObjectiveKind::InBatch | ObjectiveKind::Sampled => Ok(()),
        ObjectiveKind::Gbce => no_pairs(objective),
        ObjectiveKind::Full => check_full(model),
    }
}

fn check_negatives(negatives: &NegativesConfig) -> Checked {
    let key = |field: &str| format!("objective.negatives.{field}");
    between(&key("count"), negatives.count, 1..=MAX_NEGATIVES)?;
    non_negative(&key("power"), negatives.power)?;
    within(&key("uniform_share"), negatives.uniform_share, 0.0..=1.0)?;
    let default = NegativesConfig::default();
    if negatives.draw == Draw::Uniform && negatives.power != default.power {
        return Err(invalid(&key("power"), "is read only where items are drawn by popularity")
            .with_hint("set objective.negatives.draw to popularity or mixed, or remove the power"));
    }
    if negatives.draw != Draw::Mixed && negatives.uniform_share != default.uniform_share {
        return Err(invalid(&key("uniform_share"), "is read only with draw = \"mixed\"")
            .with_hint("set objective.negatives.draw to mixed, or remove the share"));
    }
    Ok(())
}

/// A setting that the chosen kind never reads is an error, not a wish.
fn check_nothing_is_idle(objective: &ObjectiveConfig) -> Checked {
    use ObjectiveKind::{Full, Gbce, InBatch, Sampled};
    let default = ObjectiveConfig::default();
    let rules = [
        ("negatives", objective.negatives != default.negatives, &[Sampled, Gbce][..], "sampled or gbce"),
        ("negatives.log_q", objective.negatives.log_q, &[Sampled], "sampled"),
        ("calibration", objective.calibration != default.calibration, &[Gbce], "gbce"),
        ("chunk_items", objective.chunk_items != default.chunk_items, &[Full], "full"),
        (
            "log_popularity_power",
            objective.log_popularity_power != default.log_popularity_power,
            &[InBatch],
            "in_batch",
        ),
    ];
    match rules.into_iter().find(|(_, is_set, kinds, _)| *is_set && !kinds.contains(&objective.kind)) {
        None => Ok(()),
        Some((key, _, _, readers)) => {
            Err(invalid(&format!("objective.{key}"), format!("is read only with kind = {readers}"))
                .with_hint("change objective.kind, or remove the setting"))
        }
    }
}

/// Branches teach each other what they make of a softmax's candidates; gBCE has none.
fn no_pairs(objective: &ObjectiveConfig) -> Checked {
    if objective.distill.pairs.is_empty() {
        return Ok(());
    }
    Err(invalid("objective.distill.pairs", "need a softmax, which objective.kind = \"gbce\" has not")
        .with_hint("use kind in_batch, sampled or full, or remove the pairs"))
}

/// The catalogue's vectors are needed in every step: free for an ID table, out of reach for a tower.
fn check_full(model: &ModelConfig) -> Checked {
    let hint = "use kind sampled (its negatives join the items of the batch) or in_batch";
    if model.tower.is_some() {
        let reason = "= \"full\" would run the item tower over the whole catalogue in every step";
        return Err(invalid("objective.kind", reason).with_hint(hint));
    }
    let is_tokens = |name: &str| model.views.iter().any(|v| v.name == name && v.kind == ViewKind::Tokens);
    match model.branches.iter().find(|branch| is_tokens(&branch.view)) {
        None => Ok(()),
        Some(branch) => {
            let reason = format!(
                "= \"full\" would read the features of the whole catalogue in every step, for branch {}",
                branch.name
            );
            Err(invalid("objective.kind", reason).with_hint(hint))
        }
    }
}

fn check_distill(distill: &DistillConfig, model: &ModelConfig) -> Checked {
    positive("objective.distill.temperature", distill.temperature)?;
    non_negative("objective.distill.alpha", distill.alpha)?;
    let branches: Vec<&str> = model.branches.iter().map(|b| b.name.as_str()).collect();
    let teachers = [branches.as_slice(), &[ENSEMBLE]].concat();
    for (i, pair) in distill.pairs.iter().enumerate() {
        let key = |field: &str| format!("objective.distill.pairs.{i}.{field}");
        known(&key("student"), &pair.student, &branches, "branches")?;
        known(&key("teacher"), &pair.teacher, &teachers, "teachers")?;
        if pair.student == pair.teacher {
            return Err(invalid(&key("teacher"), "is the student itself")
                .with_hint("name another branch, or `ensemble` for the mean of all"));
        }
        if pair.teacher == ENSEMBLE && branches.len() == 1 {
            return Err(invalid(
                &key("teacher"),
                "is the ensemble of one branch, which is the student itself",
            )
            .with_hint("remove the pair, or add branches"));
        }
        if distill.pairs[..i].contains(pair) {
            let reason = format!("repeats the pair {} from {}", pair.student, pair.teacher);
            return Err(
                invalid(&format!("objective.distill.pairs.{i}"), reason).with_hint("remove one of them")
            );
        }
    }
    Ok(())
}
