//! Online distillation between branches, from finished runs and from a memory (docs/odmt.md, section 3.3).
//!
//! Shapes: `R` rows, `U` columns.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};

use super::kernels::losses::PairSettings;
use crate::config::{DistillConfig, Divergence, Teacher};

/// Teacher name of the mean of all branches' logits.
pub use crate::config::ENSEMBLE;

/// Who a student learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Branch(usize),
    Ensemble,
}

/// The pairs of a configuration, resolved to numbers of branches and runs.
#[derive(Clone, Debug)]
pub struct Distillation {
    /// Students of branches and of the ensemble.
    pairs: Vec<(usize, Source)>,
    /// Students of finished runs and of a memory: numbers of branch and teacher.
    run_pairs: Vec<(usize, usize)>,
    temperature: f64,
    alpha: f64,
    teacher: Teacher,
    divergence: Divergence,
}

impl Distillation {
    /// Names that are no branch have been refused by the configuration's validation.
    pub fn new(config: &DistillConfig, branches: &[String]) -> Self {
        let index = |name: &str| branches.iter().position(|b| b == name);
        let pairs = config
            .pairs
            .iter()
            .filter_map(|pair| {
                let teacher = match pair.teacher.as_str() {
                    ENSEMBLE => Source::Ensemble,
                    name => Source::Branch(index(name)?),
                };
                Some((index(&pair.student)?, teacher))
            })
            .collect();
        let run_pairs = config.pairs.iter();
        let run_pairs =
            run_pairs.filter_map(|p| Some((index(&p.student)?, config.outside(&p.teacher, branches)?)));
        Self {
            pairs,
            run_pairs: run_pairs.collect(),
            temperature: config.temperature,
            alpha: config.alpha,
            teacher: config.teacher,
            divergence: config.divergence,
        }
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.run_pairs.is_empty()
    }

    /// Whether a finished run or a memory teaches.
    pub fn has_runs(&self) -> bool {
        !self.run_pairs.is_empty()
    }

    /// Weight at `epoch`, which counts from 1; 0 without pairs.
    pub fn weight(&self, epoch: usize) -> f64 {
        if self.is_empty() { 0.0 } else { ramp_up(self.alpha, epoch) }
    }

    /// What the kernel is to compute, which knows branches alone; without pairs where `distill` is false.
    pub fn settings(&self, distill: bool) -> PairSettings {
        let pair = |&(student, teacher): &(usize, Source)| match teacher {
            Source::Branch(teacher) => (student, Some(teacher)),
            Source::Ensemble => (student, None),
        };
        PairSettings {
            pairs: if distill { self.pairs.iter().map(pair).collect() } else { Vec::new() },
            temperature: self.temperature as f32,
            detached: self.teacher == Teacher::Detached,
            divergence: self.divergence == Divergence::Kl,
        }
    }

    /// One unweighted term per student of a branch or the ensemble, out of tensor operations.
    ///
    /// # Shapes
    /// - logits: `[R, U]` per branch, popularity subtracted
    /// - log_weight: `[R, U]`
    pub fn composed(&self, logits: &[Tensor<2>], log_weight_ru: &Tensor<2>) -> Vec<Tensor<1>> {
        let scaled: Vec<Tensor<2>> = logits.iter().map(|z| z.clone() / self.temperature).collect();
        let needs_ensemble = self.pairs.iter().any(|&(_, teacher)| teacher == Source::Ensemble);
        let ensemble = needs_ensemble.then(|| {
            let sum = scaled.iter().skip(1).fold(scaled[0].clone(), |sum, z| sum + z.clone());
            sum / scaled.len() as f64
        });
        self.pairs
            .iter()
            .map(|&(student, teacher)| {
                let teacher_ru = match (teacher, &ensemble) {
                    (Source::Ensemble, Some(ensemble)) => ensemble.clone(),
                    (Source::Branch(b), _) => scaled[b].clone(),
                    // `ensemble` was built because this pair asks for it.
                    (Source::Ensemble, None) => scaled[student].clone(),
                };
                self.term(scaled[student].clone(), teacher_ru, log_weight_ru)
            })
            .collect()
    }

    /// One unweighted term per student of a finished run. `branch` and `run` give logits by number, popularity subtracted.
    ///
    /// # Shapes
    /// - logits: `[R, U]`
    /// - log_weight: `[R, U]`
    pub fn composed_runs(
        &self,
        branch: &dyn Fn(usize) -> Tensor<2>,
        run: &dyn Fn(usize) -> Tensor<2>,
        log_weight_ru: &Tensor<2>,
    ) -> Vec<Tensor<1>> {
        let scaled = |z: Tensor<2>| z / self.temperature;
        let pairs = self.run_pairs.iter();
        pairs.map(|&(s, t)| self.term(scaled(branch(s)), scaled(run(t)), log_weight_ru)).collect()
    }

    /// `tau² · mean_r [-Σ_c softmax(T)_c log_softmax(S)_c]`, both logits already divided by tau; a true KL
    /// divergence also subtracts the teacher's entropy.
    fn term(&self, student_ru: Tensor<2>, teacher_ru: Tensor<2>, log_weight_ru: &Tensor<2>) -> Tensor<1> {
        let teacher_ru = match self.teacher {
            Teacher::Live => teacher_ru,
            Teacher::Detached => teacher_ru.detach(),
        };
        let weighted = |z: Tensor<2>| z + log_weight_ru.clone();
        let p_ru = softmax(weighted(teacher_ru.clone()), 1);
        // A column of weight w stands for w equal columns, each with 1/w of its probability.
        let log_q_ru = log_softmax(weighted(student_ru), 1) - log_weight_ru.clone();
        let gap_ru = match self.divergence {
            Divergence::CrossEntropy => log_q_ru.neg(),
            Divergence::Kl => log_softmax(weighted(teacher_ru), 1) - log_weight_ru.clone() - log_q_ru,
        };
        (p_ru * gap_ru).sum_dim(1).mean() * (self.temperature * self.temperature)
    }
}

/// `exp(-5 (1 - min(epoch, alpha)/alpha)²)` for alpha ≥ 1, else the constant alpha.
pub fn ramp_up(alpha: f64, epoch: usize) -> f64 {
    if alpha < 1.0 {
        return alpha;
    }
    let left = 1.0 - (epoch as f64).min(alpha) / alpha;
    (-5.0 * left * left).exp()
}
