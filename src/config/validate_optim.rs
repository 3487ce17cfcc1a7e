//! Rules of the optimiser.

use super::rules::{Checked, invalid, non_negative, positive, within};
use super::{Config, IdTable, ObjectiveKind, OptimConfig, ViewKind};

pub(super) fn check(optim: &OptimConfig, config: &Config) -> Checked {
    positive("optim.lr", optim.lr)?;
    for (key, beta) in [("optim.beta1", optim.beta1), ("optim.beta2", optim.beta2)] {
        within(key, beta, 0.0..=1.0)?;
        if beta >= 1.0 {
            return Err(invalid(key, "= 1 never forgets").with_hint("usual values: beta1 0.9, beta2 0.999"));
        }
    }
    positive("optim.eps", optim.eps)?;
    non_negative("optim.weight_decay", optim.weight_decay)?;
    non_negative("optim.clip_norm", optim.clip_norm)?;
    within("optim.final_lr_share", optim.final_lr_share, 0.0..=1.0)?;
    match optim.id_table {
        IdTable::Dense => Ok(()),
        IdTable::RowSparse => check_row_sparse(config),
    }
}

fn check_row_sparse(config: &Config) -> Checked {
    let key = "optim.id_table";
    if config.objective.kind == ObjectiveKind::Full {
        let reason =
            "= \"row_sparse\" spares nothing: objective.kind = \"full\" reads every row in every step";
        return Err(invalid(key, reason).with_hint("use id_table = \"dense\", or another objective"));
    }
    if config.model.views.iter().all(|view| view.kind != ViewKind::Id) {
        return Err(invalid(key, "= \"row_sparse\" needs a view of kind \"id\"")
            .with_hint("remove the setting, or add an ID view"));
    }
    Ok(())
}
