//! Rules that types can't hold: each section's own, and those between sections.
//!
//! A setting that would silently do nothing is an error too: a feature store that no view reads, a width on
//! a view that has none. The first violation is reported, under its dotted key.

use super::rules::{Checked, check_name, check_seed, invalid, known};
use super::{
    Config, ENSEMBLE, EnsembleWeights, IdTable, METRICS, ModelConfig, ObjectiveConfig, ObjectiveKind,
    StageConfig, ViewConfig,
};
use crate::objective::distill_config::DISTILL;

impl Config {
    /// Checks every rule; [`super::load`] has done so.
    ///
    /// # Errors
    /// The first value that is out of range or at odds with another.
    pub fn validate(&self) -> Checked {
        check_seed("seed", self.seed)?;
        check_device(&self.device)?;
        self.run.validate()?;
        self.system.validate()?;
        self.data.validate()?;
        if self.system.reads_model() {
            self.check_own_system()?;
        } else {
            self.check_nothing_of_own_system()?;
        }
        self.optim.validate()?;
        self.check_row_sparse()?;
        self.eval.validate()?;
        self.train.validate()?;
        self.check_patience()?;
        self.check_fitted()?;
        self.check_metric()?;
        self.monitor.validate()
    }

    /// Rules of the system `codistill`.
    fn check_own_system(&self) -> Checked {
        if !self.system.settings.is_empty() {
            return Err(invalid("system.settings", "do nothing with system.kind = \"codistill\"")
                .with_hint("its settings are the sections model and objective"));
        }
        self.check_every_store_is_read()?;
        self.model.validate()?;
        self.objective.validate()?;
        self.check_pairs()?;
        self.check_objective_of_model()
    }

    /// Sections that another system does not read.
    fn check_nothing_of_own_system(&self) -> Checked {
        let kind = &self.system.kind;
        let idle = [
            ("model", self.model != ModelConfig::default()),
            ("objective", self.objective != ObjectiveConfig::default()),
        ];
        match idle.into_iter().find(|(_, is_set)| *is_set) {
            None => Ok(()),
            Some((key, _)) => Err(invalid(key, format!("does nothing with system.kind = \"{kind}\""))
                .with_hint("remove it, or set system.kind to codistill")),
        }
    }

    /// Rules of configurations whose trainings are held against each other: each chooses its checkpoint by validation, and none
    /// knows what another one has learned.
    ///
    /// # Errors
    /// [`Self::data`] trains on validation items, or [`Self::train`] starts from a finished run.
    pub fn check_compared(&self) -> Checked {
        let parts = self.data.train_parts;
        if !parts.validates() {
            let reason = format!("= \"{}\" leaves no validation items to choose by", parts.word());
            return Err(invalid("data.train_parts", reason)
                .with_hint("remove it, and refit the chosen run afterwards: `train --refit RUN`"));
        }
        if self.train.parent.is_some() {
            let reason =
                "starts all trainings from one finished run, so that they differ by less than what is asked";
            return Err(
                invalid("train.parent", reason).with_hint("remove it: trainings begin with random weights")
            );
        }
        Ok(())
    }

    /// Weights of the ensemble that are fitted on validation items are fitted by an earlier run where these are trained on.
    fn check_fitted(&self) -> Checked {
        let is_fitted = self.model.ensemble.weights == EnsembleWeights::Fitted;
        let takes = is_fitted && !self.data.train_parts.validates();
        match &self.train.fitted_by {
            Some(_) if !takes => {
                let reason =
                    "does nothing: weights of the ensemble are fitted in this training, or all equal";
                Err(invalid("train.fitted_by", reason).with_hint("remove it"))
            }
            None if takes => {
                let reason = "= \"fitted\" has no validation items to fit them on, which are trained on";
                Err(invalid("model.ensemble.weights", reason)
                    .with_hint("`train --refit RUN` takes those of the run; or set it to \"equal\""))
            }
            _ => Ok(()),
        }
    }

    /// What trains on the validation items has no validation that could stop it.
    fn check_patience(&self) -> Checked {
        let parts = self.data.train_parts;
        if self.train.patience == 0 || parts.validates() {
            return Ok(());
        }
        let reason = format!(
            "= {} waits for validation figures, and data.train_parts = \"{}\" leaves no validation items",
            self.train.patience,
            parts.word()
        );
        Err(invalid("train.patience", reason)
            .with_hint("set train.patience=0 and the number of epochs, or `train --refit RUN`"))
    }

    fn check_every_store_is_read(&self) -> Checked {
        let stores: Vec<&str> = self.model.views.iter().map(ViewConfig::store).collect();
        for name in self.data.features.keys() {
            let key = format!("data.features.{name}");
            check_name(&key, name, "_-")?;
            if !stores.contains(&name.as_str()) {
                let error = invalid(&key, "is read by no view");
                return Err(error.or_near(name, &stores, "views read"));
            }
        }
        Ok(())
    }

    fn check_pairs(&self) -> Checked {
        let branches: Vec<&str> = self.model.branches.iter().map(|b| b.name.as_str()).collect();
        let distill = &self.objective.distill;
        let scored = self.model.score_names();
        let scored: Vec<&str> = scored.iter().map(String::as_str).collect();
        distill.check_teachers(&scored)?;
        let runs = distill.teachers.iter().map(|teacher| teacher.name.as_str());
        let teachers: Vec<&str> = scored.iter().copied().chain([ENSEMBLE]).chain(runs).collect();
        let pairs = &distill.pairs;
        for (i, pair) in pairs.iter().enumerate() {
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
            if pairs[..i].contains(pair) {
                let reason = format!("repeats the pair {} from {}", pair.student, pair.teacher);
                return Err(
                    invalid(&format!("objective.distill.pairs.{i}"), reason).with_hint("remove one of them")
                );
            }
        }
        distill.check_teachers_teach()?;
        self.check_teachers_are_heard()
    }

    /// Whether a branch learns from the memory.
    pub fn memory_teaches(&self) -> bool {
        self.model.memory.as_ref().is_some_and(|memory| self.objective.distill.teaches(&memory.name))
    }

    /// Teachers whose pairs count in no epoch would be read for nothing.
    fn check_teachers_are_heard(&self) -> Checked {
        let distill = &self.objective.distill;
        let Some(teacher) = distill.teachers.first() else { return Ok(()) };
        let name = &teacher.name;
        if distill.alpha == 0.0 {
            let reason = format!("= 0 gives the pairs no weight, and `{name}` teaches nobody");
            return Err(invalid("objective.distill.alpha", reason)
                .with_hint("set it above 0, or remove the teachers and the pairs"));
        }
        let stages = &self.train.stages;
        let hears = |stage: &StageConfig| stage.terms.is_empty() || stage.terms.iter().any(|t| t == DISTILL);
        if stages.is_empty() || stages.iter().any(hears) {
            return Ok(());
        }
        let reason = format!("leave out the term `{DISTILL}` one and all, and `{name}` teaches nobody");
        Err(invalid("train.stages", reason).with_hint(format!(
            "add \"{DISTILL}\" to the terms of a stage, or remove the teachers and the pairs"
        )))
    }

    /// Objectives that this model can't have.
    fn check_objective_of_model(&self) -> Checked {
        match self.objective.kind {
            ObjectiveKind::InBatch | ObjectiveKind::Sampled => Ok(()),
            ObjectiveKind::Gbce => self.check_no_pairs(),
            ObjectiveKind::Full => self.check_full(),
        }
    }

    /// Branches teach each other what they make of a softmax's candidates; gBCE has none.
    fn check_no_pairs(&self) -> Checked {
        let distill = &self.objective.distill;
        if distill.pairs.is_empty() {
            return Ok(());
        }
        // What the hint names must not be refused next.
        let hint = if distill.teachers.is_empty() {
            "use kind in_batch, sampled or full, or remove the pairs"
        } else {
            "use kind in_batch or sampled, or remove the pairs and the teachers"
        };
        Err(invalid("objective.distill.pairs", "need a softmax, which objective.kind = \"gbce\" has not")
            .with_hint(hint))
    }

    /// The catalogue's vectors are needed in every step: free for an ID table, out of reach for a tower.
    fn check_full(&self) -> Checked {
        if !self.objective.distill.teachers.is_empty() {
            let reason = "teach candidates of a batch, and objective.kind = \"full\" walks the catalogue in chunks, \
                          in which a finished run takes no part";
            return Err(invalid("objective.distill.teachers", reason)
                .with_hint("use kind in_batch or sampled, or learn from a branch or the ensemble"));
        }
        let memory = self.model.memory.as_ref().map(|memory| &memory.name);
        let pairs = self.objective.distill.pairs.iter().enumerate();
        if let Some((n, _)) = pairs.into_iter().find(|(_, pair)| Some(&pair.teacher) == memory) {
            let reason = "is a memory, which teaches candidates of a batch, and objective.kind = \"full\" walks the catalogue \
                          in chunks";
            return Err(invalid(&format!("objective.distill.pairs.{n}.teacher"), reason)
                .with_hint("use kind in_batch or sampled, or learn from a branch or the ensemble"));
        }
        let hint = "use kind sampled (its negatives join the items of the batch) or in_batch";
        self.check_catalogue("objective.kind", "full").map_err(|e| e.with_hint(hint))
    }

    /// Refuses a loss that reads the vectors of the whole catalogue, which `key` asks for by `word`, where the model has
    /// them only at the price of a pass over all items.
    pub(crate) fn check_catalogue(&self, key: &str, word: &str) -> Checked {
        let model = &self.model;
        if model.tower.is_some() {
            let reason =
                format!("= \"{word}\" would run the item tower over the whole catalogue in every step");
            return Err(invalid(key, reason));
        }
        let lacks_table = |name: &str| model.views.iter().any(|v| v.name == name && !v.kind.has_table());
        if let Some(branch) = model.branches.iter().find(|branch| lacks_table(&branch.view)) {
            let reason = format!(
                "= \"{word}\" would read the features of the whole catalogue in every step, for branch {}",
                branch.name
            );
            return Err(invalid(key, reason));
        }
        Ok(())
    }

    /// Refuses an entry of `[[objective.terms]]` that reads the catalogue, where that can't be had.
    pub(crate) fn check_catalogue_term(&self, place: usize) -> Checked {
        let word = &self.objective.terms[place].kind;
        self.check_catalogue(&format!("objective.terms.{place}.kind"), word)?;
        if self.optim.id_table == IdTable::RowSparse {
            let reason = format!(
                "= \"row_sparse\" spares nothing: objective.terms.{place}.kind = \"{word}\" reads every row in every step"
            );
            return Err(invalid("optim.id_table", reason).with_hint("use id_table = \"dense\""));
        }
        Ok(())
    }

    fn check_row_sparse(&self) -> Checked {
        if self.optim.id_table == IdTable::Dense {
            return Ok(());
        }
        let key = "optim.id_table";
        if self.objective.kind == ObjectiveKind::Full {
            let reason =
                "= \"row_sparse\" spares nothing: objective.kind = \"full\" reads every row in every step";
            return Err(invalid(key, reason).with_hint("use id_table = \"dense\", or another objective"));
        }
        if self.model.views.iter().all(|view| !view.kind.has_table()) {
            return Err(invalid(key, "= \"row_sparse\" needs a view of kind \"id\"")
                .with_hint("remove the setting, or add an ID view"));
        }
        Ok(())
    }

    /// `<branch|ensemble>/<metric>@<k>` with k among `eval.ks`.
    fn check_metric(&self) -> Checked {
        let (key, text) = ("train.metric", &self.train.metric);
        let parts = text.split_once('/').and_then(|(who, rest)| Some((who, rest.split_once('@')?)));
        let Some((who, (metric, k))) = parts else {
            return Err(invalid(key, format!("= \"{text}\" is not of the form branch/metric@k"))
                .with_hint("for example ensemble/ndcg@10"));
        };
        if !self.system.reads_model() {
            // Only the system knows what its scores are called.
            return Ok(());
        }
        // A branch alone is the ensemble, and is measured under that name only.
        let branches: &[_] = if self.model.branches.len() == 1 { &[] } else { &self.model.branches };
        let names = branches.iter().map(|b| b.name.as_str());
        known(key, who, &names.chain([ENSEMBLE]).collect::<Vec<_>>(), "branches")?;
        known(key, metric, &METRICS, "metrics")?;
        match k.parse::<usize>() {
            Ok(k) if self.eval.ks.contains(&k) => Ok(()),
            _ => Err(invalid(
                key,
                format!("= \"{text}\" asks for k = {k}, which is not in eval.ks {:?}", self.eval.ks),
            )
            .with_hint("add it to eval.ks, or choose one of them")),
        }
    }
}

fn check_device(device: &str) -> Checked {
    let number = device.strip_prefix("wgpu:").map(str::parse::<usize>);
    if matches!(device, "auto" | "cpu" | "wgpu") || matches!(number, Some(Ok(_))) {
        return Ok(());
    }
    Err(invalid("device", format!("= \"{device}\" is not a device"))
        .with_hint("one of auto, cpu, wgpu, wgpu:N; `codistill devices` lists what there is"))
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
