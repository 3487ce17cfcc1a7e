//! Conditional logit: weights of features under which what was chosen is likely among what could have been
//! (McFadden 1974, "Conditional logit analysis of qualitative choice behavior").
//!
//! Shapes: `C` alternatives of a choice, `D` features.

use rayon::prelude::*;

use crate::linear::{cholesky, substitute};

/// Choices whose sums are made one after the other: the result does not depend on the number of threads.
const CHUNK: usize = 256;
/// Newton's method doubles the digits with each step; it is convex, so that a few are enough.
const MOST_STEPS: usize = 40;
/// A step that gains less than this much of log-likelihood a choice is the last one.
const LEAST_GAIN: f64 = 1e-10;

/// Choices, each among alternatives of its own.
#[derive(Clone, Debug)]
pub struct Choices {
    features: usize,
    /// `[all alternatives, D]`; of each choice the chosen alternative comes first.
    values: Vec<f32>,
    /// Where each choice's alternatives end.
    ends: Vec<usize>,
}

impl Choices {
    /// No choices yet, of alternatives with D = `features`.
    pub fn new(features: usize) -> Self {
        Self { features, values: Vec::new(), ends: Vec::new() }
    }

    /// Adds a choice: `[C, D]`, the chosen alternative first.
    ///
    /// # Panics
    /// The values are no whole number of rows.
    pub fn push(&mut self, values_cd: &[f32]) {
        assert!(values_cd.len().is_multiple_of(self.features.max(1)), "rows of {} features", self.features);
        self.values.extend_from_slice(values_cd);
        self.ends.push(self.values.len());
    }

    /// Number of choices.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn choice(&self, n: usize) -> &[f32] {
        let start = n.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.values[start..self.ends[n]]
    }

    /// The D weights w of the largest `Σ log softmax(x w)[chosen] - precision/2 · |w - prior|²` over the choices for which
    /// `counts` is true. Of the features in `positive` no weight is below `floor`: the lowest is held there, and the others are
    /// fitted again.
    ///
    /// # Panics
    /// `prior` has another length than D.
    pub fn fit(&self, rule: &Rule<'_>, counts: &(dyn Fn(usize) -> bool + Sync)) -> Vec<f64> {
        assert_eq!(rule.prior.len(), self.features, "a prior for each feature");
        let mut held = vec![false; self.features];
        loop {
            let weights = self.newton(rule, &held, counts);
            let below = rule.positive.iter().filter(|&&d| !held[d] && weights[d] < rule.floor);
            let Some(&lowest) = below.min_by(|&&a, &&b| weights[a].total_cmp(&weights[b])) else {
                return weights;
            };
            held[lowest] = true;
        }
    }

    /// [`Self::fit`], and another one among the alternatives of each choice that the first puts foremost, `head` of them: what a
    /// list shows is decided there, and the many far behind would have most of the say otherwise. Choices whose chosen
    /// alternative is not among these have none.
    pub fn fit_head(
        &self,
        rule: &Rule<'_>,
        counts: &(dyn Fn(usize) -> bool + Sync),
        head: usize,
    ) -> Vec<f64> {
        let weights = self.fit(rule, counts);
        let mut heads = Self::new(self.features);
        for choice in (0..self.len()).filter(|&n| counts(n)).map(|n| self.choice(n)) {
            let rows: Vec<&[f32]> = choice.chunks_exact(self.features).collect();
            let scores: Vec<f64> = rows.iter().map(|row| score(row, &weights)).collect();
            let mut order: Vec<usize> = (1..rows.len()).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            let ahead = order.iter().take_while(|&&n| scores[n] > scores[0]).count();
            if ahead < head {
                let others = order.into_iter().take(head - 1);
                heads.push(
                    &std::iter::once(0).chain(others).flat_map(|n| rows[n]).copied().collect::<Vec<_>>(),
                );
            }
        }
        if heads.is_empty() { weights } else { heads.fit(rule, &|_| true) }
    }

    /// [`Self::fit`] where held weights stay at the floor.
    fn newton(&self, rule: &Rule<'_>, held: &[bool], counts: &(dyn Fn(usize) -> bool + Sync)) -> Vec<f64> {
        let d = self.features;
        let mut weights: Vec<f64> =
            (0..d).map(|k| if held[k] { rule.floor } else { rule.prior[k] }).collect();
        let free: Vec<usize> = (0..d).filter(|&k| !held[k]).collect();
        let mut sums = self.sums(&weights, rule, counts);
        for _ in 0..MOST_STEPS {
            let p = free.len();
            let mut hessian = vec![0.0; p * p];
            for (a, &row) in free.iter().enumerate() {
                for (b, &column) in free.iter().enumerate() {
                    hessian[a * p + b] = sums.curvature[row * d + column];
                }
            }
            let mut step: Vec<f64> = free.iter().map(|&k| sums.gradient[k]).collect();
            cholesky(&mut hessian, p);
            substitute(&hessian, &mut step, p, 1);
            // Far from the maximum a whole step may overshoot.
            let mut share = 1.0;
            let better = loop {
                let mut tried = weights.clone();
                free.iter().zip(&step).for_each(|(&k, step)| tried[k] += share * step);
                let found = self.sums(&tried, rule, counts);
                if found.value > sums.value {
                    break Some((tried, found));
                }
                share /= 2.0;
                if share < 1e-6 {
                    break None;
                }
            };
            let Some((tried, found)) = better else { break };
            let gain = found.value - sums.value;
            (weights, sums) = (tried, found);
            if gain < LEAST_GAIN {
                break;
            }
        }
        weights
    }

    fn sums(&self, weights: &[f64], rule: &Rule<'_>, counts: &(dyn Fn(usize) -> bool + Sync)) -> Sums {
        let d = self.features;
        let all: Vec<usize> = (0..self.len()).filter(|&n| counts(n)).collect();
        let parts: Vec<Sums> = all
            .par_chunks(CHUNK)
            .map(|chunk| {
                let mut sums = Sums::zero(d);
                let mut scores = Vec::new();
                chunk.iter().for_each(|&n| sums.add_choice(self.choice(n), weights, &mut scores));
                sums
            })
            .collect();
        let mut sums = parts.iter().fold(Sums::zero(d), Sums::plus);
        sums.scale(1.0 / all.len().max(1) as f64);
        let penalty = rule.precision / all.len().max(1) as f64;
        for k in 0..d {
            let off = weights[k] - rule.prior[k];
            sums.value -= penalty / 2.0 * off * off;
            sums.gradient[k] -= penalty * off;
            sums.curvature[k * d + k] += penalty;
        }
        sums
    }
}

/// One over the variance of the weights of branches and of sources, which lie within a few tenths of what is usual.
pub const PRECISION: f64 = 20.0;

/// Alternatives of a choice among which the weights of branches and of sources are fitted in the end.
pub const HEAD: usize = 30;

/// What weights are drawn to and may be.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// D weights that stand where the choices say nothing: the means of a normal prior.
    pub prior: &'a [f64],
    /// One over its variance: how much it says does not grow with the choices, so that it decides where they are few.
    pub precision: f64,
    /// Features whose weights have a lower bound.
    pub positive: &'a [usize],
    /// That bound.
    pub floor: f64,
}

fn score(row: &[f32], weights: &[f64]) -> f64 {
    row.iter().zip(weights).map(|(&x, w)| f64::from(x) * w).sum()
}

/// Log-likelihood with its gradient and negative Hessian.
struct Sums {
    value: f64,
    gradient: Vec<f64>,
    curvature: Vec<f64>,
}

impl Sums {
    fn zero(d: usize) -> Self {
        Self { value: 0.0, gradient: vec![0.0; d], curvature: vec![0.0; d * d] }
    }

    fn add_choice(&mut self, x_cd: &[f32], weights: &[f64], scores: &mut Vec<f64>) {
        let d = weights.len();
        scores.clear();
        scores.extend(x_cd.chunks_exact(d).map(|row| score(row, weights)));
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let first = scores[0] - most;
        let mut total = 0.0;
        for score in scores.iter_mut() {
            *score = (*score - most).exp();
            total += *score;
        }
        self.value += first - total.ln();
        let mut mean = vec![0.0; d];
        for (row, score) in x_cd.chunks_exact(d).zip(scores.iter()) {
            let p = score / total;
            for a in 0..d {
                let x = p * f64::from(row[a]);
                mean[a] += x;
                for b in 0..=a {
                    self.curvature[a * d + b] += x * f64::from(row[b]);
                }
            }
        }
        for a in 0..d {
            self.gradient[a] += f64::from(x_cd[a]) - mean[a];
            for b in 0..=a {
                self.curvature[a * d + b] -= mean[a] * mean[b];
            }
        }
    }

    fn plus(mut self, other: &Self) -> Self {
        self.value += other.value;
        self.gradient.iter_mut().zip(&other.gradient).for_each(|(a, b)| *a += b);
        self.curvature.iter_mut().zip(&other.curvature).for_each(|(a, b)| *a += b);
        self
    }

    /// Also fills in what stands above the diagonal.
    fn scale(&mut self, by: f64) {
        let d = self.gradient.len();
        self.value *= by;
        self.gradient.iter_mut().for_each(|g| *g *= by);
        for a in 0..d {
            for b in 0..=a {
                self.curvature[a * d + b] *= by;
                self.curvature[b * d + a] = self.curvature[a * d + b];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Rule<'static> = Rule { prior: &[0.0, 0.0], precision: 0.05, positive: &[], floor: 0.0 };

    /// Pseudo-random choices under known weights: alternatives' features are hashes, the choice is drawn by its probability.
    fn drawn(weights: [f64; 2], n: usize) -> Choices {
        let mut choices = Choices::new(2);
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        for _ in 0..n {
            let mut rows: Vec<[f32; 2]> =
                (0..5).map(|_| [(4.0 * next() - 2.0) as f32, next() as f32]).collect();
            let mass: Vec<f64> = rows
                .iter()
                .map(|r| (weights[0] * f64::from(r[0]) + weights[1] * f64::from(r[1])).exp())
                .collect();
            let mut left = next() * mass.iter().sum::<f64>();
            let chosen = mass
                .iter()
                .position(|m| {
                    left -= m;
                    left < 0.0
                })
                .unwrap_or(4);
            rows.swap(0, chosen);
            choices.push(&rows.concat());
        }
        choices
    }

    #[test]
    fn planted_weights_come_back() {
        let choices = drawn([1.5, -2.0], 20_000);
        let found = choices.fit(&FREE, &|_| true);
        assert!((found[0] - 1.5).abs() < 0.05 && (found[1] + 2.0).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn the_gradient_is_zero_at_the_fit_by_finite_differences() {
        let choices = drawn([0.7, 0.4], 300);
        let rule = Rule { prior: &[1.0, 0.0], precision: 20.0, ..FREE };
        let found = choices.fit(&rule, &|n| n % 3 > 0);
        let value = |w: &[f64]| choices.sums(w, &rule, &|n| n % 3 > 0).value;
        for k in 0..2 {
            let [mut up, mut down] = [found.clone(), found.clone()];
            up[k] += 1e-4;
            down[k] -= 1e-4;
            assert!(((value(&up) - value(&down)) / 2e-4).abs() < 1e-6);
            assert!(value(&up) < value(&found) && value(&down) < value(&found));
        }
    }

    #[test]
    fn a_weight_below_its_bound_stands_there_and_the_others_are_fitted_around_it() {
        let choices = drawn([1.5, -2.0], 2_000);
        let bound = Rule { positive: &[0, 1], floor: 0.01, ..FREE };
        let found = choices.fit(&bound, &|_| true);
        assert_eq!(found[1], 0.01);
        let alone = Rule { prior: &[0.0, 0.01], ..FREE };
        let value = |w: f64| choices.sums(&[w, 0.01], &alone, &|_| true).value;
        assert!(value(found[0]) > value(found[0] + 0.01) && value(found[0]) > value(found[0] - 0.01));
    }

    #[test]
    fn the_second_fit_is_that_of_the_foremost_alternatives() {
        let choices = drawn([1.5, -2.0], 500);
        let first = choices.fit(&FREE, &|n| n < 300);
        let mut heads = Choices::new(2);
        for n in 0..300 {
            let (chosen, others) = choices.choice(n).split_at(2);
            let mut others: Vec<&[f32]> = others.chunks_exact(2).collect();
            others.sort_by(|a, b| score(b, &first).total_cmp(&score(a, &first)));
            if score(others[1], &first) <= score(chosen, &first) {
                heads.push(&[chosen, others[0]].concat());
            }
        }
        assert!(heads.len() > 100 && heads.len() < 300);
        assert_eq!(choices.fit_head(&FREE, &|n| n < 300, 2), heads.fit(&FREE, &|_| true));
        // With all alternatives it is the first fit again.
        let all = choices.fit_head(&FREE, &|_| true, 5);
        let once = choices.fit(&FREE, &|_| true);
        assert!(all.iter().zip(once).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn without_choices_the_prior_stands() {
        let rule = Rule { prior: &[0.25, 3.0], ..FREE };
        assert_eq!(Choices::new(2).fit(&rule, &|_| true), [0.25, 3.0]);
        assert_eq!(drawn([1.0, 1.0], 9).fit(&rule, &|_| false), [0.25, 3.0]);
    }
}
