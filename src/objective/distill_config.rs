//! Settings of distillation, and their rules.

use std::path::PathBuf;

use crate::config::ENSEMBLE;
use crate::config::rules::{Checked, check_name, invalid, non_negative, positive};
use crate::{choice, section};

/// Name of the pairs as a term that stages of the training may choose.
pub const DISTILL: &str = "distill";

section! {
    /// Online distillation: while all branches train, some learn from what others make of the same candidates. A pair
    /// adds w(epoch) · tau² · mean over rows of -Σ softmax(T/tau) · log softmax(S/tau), with the logits S of the student
    /// and T of the teacher, as in ODMT.
    pub struct DistillConfig {
        /// Who learns from whom. Empty: nobody.
        pub pairs: Vec<DistillPair> = Vec::new(),
        /// Finished runs that pairs may name as teachers.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub teachers: Vec<TeacherConfig> = Vec::new(),
        /// tau: both logits are divided by it; above 0.
        pub temperature: f64 = 0.5,
        /// alpha. From 1 on: the epoch at which the weight's ramp w(epoch) = exp(-5 (1 - epoch/alpha)²) reaches 1;
        /// epochs count from 1. From 0 to below 1: the weight itself, in every epoch.
        pub alpha: f64 = 20.0,
        /// Whether gradient flows into the teacher. A finished run never learns.
        pub teacher: Teacher = Teacher::Live,
        /// What is made small.
        pub divergence: Divergence = Divergence::CrossEntropy,
    }
}

section! {
    /// One student and its teacher.
    #[derive(Eq)]
    pub struct DistillPair {
        /// Name of the branch that learns.
        pub student: String,
        /// Name of another branch, `ensemble` for the mean of all trained branches' logits, the name of `model.memory`, or
        /// that of a finished run in `objective.distill.teachers`.
        pub teacher: String,
    }
}

section! {
    /// A finished run as a teacher. It is a run of the system `codistill` on the same data set, and its
    /// `data.max_seq_len` is at least this one's. Its best checkpoint is read when the training starts and never
    /// changes; its scores of the batch's candidates are the mean over its branches, as `recommend` has them, without
    /// dropout. For `objective.kind` `in_batch` and `sampled`. Checkpoints record its content hash, and a training goes
    /// on with the same one, or with another where `--accept-changed` says so; the trained model needs it no longer. A
    /// run that `codistill import` made counts as finished.
    #[derive(Eq)]
    pub struct TeacherConfig {
        /// Name in pairs and tags, up to 64 letters a-z, digits, `_` or `-`; neither a branch's nor `ensemble`.
        pub name: String,
        /// Run directory. A training that goes on takes a new place, where the run is the same by its hash.
        #[facts(Resumable)]
        pub run: PathBuf,
    }
}

choice! {
    /// Whether gradient flows into the teacher.
    pub enum Teacher {
        /// It does, as in ODMT: the teacher learns from its student too.
        Live = "live",
        /// It does not.
        Detached = "detached",
    }
}

choice! {
    /// What distillation makes small.
    pub enum Divergence {
        /// The cross-entropy, as in ODMT: the teacher's entropy is not subtracted.
        CrossEntropy = "cross_entropy",
        /// The Kullback-Leibler divergence: the teacher's entropy is subtracted.
        Kl = "kl",
    }
}

impl DistillConfig {
    pub(super) fn validate(&self) -> Checked {
        positive("objective.distill.temperature", self.temperature)?;
        non_negative("objective.distill.alpha", self.alpha)
    }

    /// Names and folders of the finished runs, among which no branch may be called the same.
    pub(crate) fn check_teachers(&self, branches: &[&str]) -> Checked {
        for (n, teacher) in self.teachers.iter().enumerate() {
            let key = |field: &str| format!("objective.distill.teachers.{n}.{field}");
            let name = teacher.name.as_str();
            check_name(&key("name"), name, "_-")?;
            let whose = match name {
                ENSEMBLE => "the mean of all branches",
                _ if branches.contains(&name) => "a branch",
                _ if self.run(name) != Some(n) => "another teacher",
                _ => "",
            };
            if !whose.is_empty() {
                return Err(invalid(&key("name"), format!("= \"{name}\" is the name of {whose}"))
                    .with_hint("choose another name, in the pairs too"));
            }
            if teacher.run.as_os_str().is_empty() {
                return Err(
                    invalid(&key("run"), "is empty").with_hint("give the directory of a finished run")
                );
            }
        }
        Ok(())
    }

    /// A run that no pair learns from would be read for nothing.
    pub(crate) fn check_teachers_teach(&self) -> Checked {
        match self.teachers.iter().enumerate().find(|(_, teacher)| !self.teaches(&teacher.name)) {
            None => Ok(()),
            Some((n, teacher)) => {
                let reason = format!("= \"{}\" is the teacher of no pair", teacher.name);
                Err(invalid(&format!("objective.distill.teachers.{n}.name"), reason).with_hint(format!(
                    "add {{ student = \"BRANCH\", teacher = \"{}\" }} to objective.distill.pairs, or remove the teacher",
                    teacher.name
                )))
            }
        }
    }

    /// The number of the finished run that is called so; none where no run is.
    pub fn run(&self, name: &str) -> Option<usize> {
        self.teachers.iter().position(|teacher| teacher.name == name)
    }

    /// The number of a teacher that is no branch of `branches` and not their ensemble: of its run, or, for a memory, the next one.
    pub fn outside(&self, teacher: &str, branches: &[String]) -> Option<usize> {
        let is_inside = teacher == ENSEMBLE || branches.iter().any(|branch| branch == teacher);
        (!is_inside).then(|| self.run(teacher).unwrap_or(self.teachers.len()))
    }

    /// Whether some pair learns from the teacher that is called so.
    pub fn teaches(&self, name: &str) -> bool {
        self.pairs.iter().any(|pair| pair.teacher == name)
    }
}
