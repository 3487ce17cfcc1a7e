//! A verdict on each view, in one line: whether it helps, and how certain that is.

use serde::Serialize;

use crate::compare::table::{detectable, p_value, percent};
use crate::compare::{Contrast, Options, contrast};
use crate::stats::Verdict;

/// The verdict on a view, from the models without it.
#[derive(Clone, Debug, Serialize)]
pub struct ViewVerdict {
    pub view: String,
    /// The view helps if the model without it is worse.
    pub verdict: Verdict,
    /// The view's contribution to the full model's figure, as a share of that; absent where the figure is 0.
    pub worth: Option<f64>,
    pub worth_low: Option<f64>,
    pub worth_high: Option<f64>,
    /// Figures of the model without it and of the full model.
    pub without: f64,
    pub full: f64,
    pub p_holm: f64,
    pub seeds: usize,
    /// The smallest effect that the study would have found, as a share of the full model's figure.
    pub minimum_detectable: f64,
    /// The verdict of the clean control, the model with the view's features shuffled.
    pub control: Option<Verdict>,
    pub line: String,
}

/// The verdict on a view from the verdict on the model without it.
fn invert(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Helps => Verdict::Hurts,
        Verdict::Hurts => Verdict::Helps,
        other => other,
    }
}

impl ViewVerdict {
    /// `removal` is the contrast of the model without the view, `control` that of the model with it shuffled.
    pub fn new(
        view: &str,
        removal: &Contrast,
        control: Option<&Contrast>,
        declared: usize,
        options: &Options,
    ) -> Self {
        let c = removal;
        let share = |difference: f64| (c.reference_mean != 0.0).then(|| -difference / c.reference_mean);
        let mut verdict = Self {
            view: view.to_owned(),
            verdict: invert(c.verdict),
            worth: share(c.estimate.effect),
            worth_low: share(c.interval.high),
            worth_high: share(c.interval.low),
            without: c.condition_mean,
            full: c.reference_mean,
            p_holm: c.p_holm,
            seeds: c.seeds,
            minimum_detectable: c.minimum_detectable / c.reference_mean.abs().max(f64::MIN_POSITIVE),
            control: control.map(|c| invert(c.verdict)),
            line: String::new(),
        };
        verdict.line = verdict.sentence(c, control, declared, options);
        verdict
    }

    fn sentence(
        &self,
        c: &Contrast,
        control: Option<&Contrast>,
        declared: usize,
        options: &Options,
    ) -> String {
        let metric = options.metric;
        let signed =
            |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |s| format!("{:+.1} %", 100.0 * s));
        let mut text = match self.verdict {
            Verdict::Helps => format!("{} helps", self.view),
            Verdict::Hurts => format!("{} hurts", self.view),
            Verdict::Equivalent => {
                format!("{} makes no difference beyond ±{}", self.view, percent(options.rule.margin, 1))
            }
            Verdict::NoEvidence => format!("{}: no evidence (MDE = {})", self.view, detectable(c)),
            Verdict::SingleRun => {
                format!("{}: single run, users resampled, training noise unknown, no verdict", self.view)
            }
            Verdict::TooFewUsers => {
                format!(
                    "{}: {} users are too few for a verdict (MDE = {})",
                    self.view,
                    c.users,
                    detectable(c)
                )
            }
            Verdict::Identical => format!("{}: the model without it ranks alike, no verdict", self.view),
        };
        text.push_str(&format!(
            "; it adds {} of {metric} ({} interval {} to {}), {:.4} with and {:.4} without it",
            signed(self.worth),
            percent(options.rule.confidence, 0),
            signed(self.worth_low),
            signed(self.worth_high),
            self.full,
            self.without
        ));
        if self.verdict.claims() || self.verdict == Verdict::NoEvidence {
            let p = p_value(self.p_holm);
            text.push_str(&format!("; {} seeds, p {p} after Holm over {declared}", c.seeds));
        }
        if self.verdict.claims() {
            text.push_str(&format!(", MDE = {}", detectable(c)));
        }
        if let Some(control) = control {
            let change = control.relative.map_or_else(|| "-".to_owned(), |r| format!("{:+.1} %", 100.0 * r));
            text.push_str(&format!("; clean control ({}): {change}, {}", control.condition, control.verdict));
        }
        text
    }
}

/// Corrects the contrasts chosen by `family` over themselves alone.
pub fn settle_family(contrasts: &mut [Contrast], family: &dyn Fn(&Contrast) -> bool, options: &Options) {
    let places: Vec<usize> = (0..contrasts.len()).filter(|&i| family(&contrasts[i])).collect();
    let mut family: Vec<Contrast> = places.iter().map(|&i| contrasts[i].clone()).collect();
    for contrast in &mut family {
        if contrast.verdict.claims() {
            contrast.verdict = Verdict::NoEvidence;
        }
    }
    contrast::settle(&mut family, options);
    for (place, contrast) in places.into_iter().zip(family) {
        contrasts[place] = contrast;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_helps_where_the_model_without_it_is_worse() {
        assert_eq!(invert(Verdict::Hurts), Verdict::Helps);
        assert_eq!(invert(Verdict::Helps), Verdict::Hurts);
        for same in [Verdict::Equivalent, Verdict::NoEvidence, Verdict::SingleRun, Verdict::TooFewUsers] {
            assert_eq!(invert(same), same);
        }
    }
}
