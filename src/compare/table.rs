//! The comparison as text: for the terminal, and as Markdown.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::preface::Preface;
use super::{Basis, Comparison, Contrast, Options, Summary};
use crate::stats::{Interval, MIN_USERS, Verdict};
use crate::table::Table;

/// One plain sentence with the verdict, the interval and its basis.
pub fn sentence(contrast: &Contrast, options: &Options) -> String {
    let c = contrast;
    let (metric, level) = (options.metric, percent(options.rule.confidence, 0));
    let interval = bounds(&relative_interval(c).unwrap_or(c.interval), c.relative.is_some());
    let change = c.relative.map_or_else(|| signed(c.estimate.effect), signed_percent);
    let seen = detectable(c);
    let noise = match c.basis {
        Basis::UsersAndSeeds => format!("users and {} seeds", c.seeds),
        Basis::Users => "users; nothing was trained".to_owned(),
        Basis::SingleRun => "users of one training each".to_owned(),
    };
    let statement = match c.verdict {
        Verdict::Helps => format!("is better than {}", c.reference),
        Verdict::Hurts => format!("is worse than {}", c.reference),
        Verdict::Equivalent => {
            format!("is as good as {} within ±{}", c.reference, percent(options.rule.margin, 1))
        }
        Verdict::NoEvidence => format!(
            "against {}: no evidence of a difference, nor of its absence; the smallest this comparison could \
             see is {seen}",
            c.reference
        ),
        Verdict::Identical => format!("ranks every target as {} does", c.reference),
        Verdict::SingleRun => format!(
            "against {}: single run, training noise unknown, no verdict; between these two models {seen} could \
             be seen",
            c.reference
        ),
        Verdict::TooFewUsers => format!(
            "against {}: {} users are too few for a verdict ({MIN_USERS} are needed); the smallest difference \
             they could show is {seen}",
            c.reference, c.users
        ),
    };
    format!("{} {statement}: {metric} {change}, {level} interval {interval} ({noise})", c.condition)
}

/// The minimum detectable effect, as a share of the reference where there is one.
pub fn detectable(c: &Contrast) -> String {
    if c.reference_mean == 0.0 {
        return format!("{:.4}", c.minimum_detectable);
    }
    percent(c.minimum_detectable / c.reference_mean, 1)
}

/// The interval as shares of the reference's mean.
pub fn relative_interval(c: &Contrast) -> Option<Interval> {
    let mean = c.reference_mean;
    (mean != 0.0).then(|| Interval { low: c.interval.low / mean, high: c.interval.high / mean })
}

pub(crate) fn percent(share: f64, digits: usize) -> String {
    format!("{:.digits$} %", 100.0 * share)
}

fn signed_percent(share: f64) -> String {
    format!("{:+.1} %", 100.0 * share)
}

pub(super) fn signed(value: f64) -> String {
    format!("{value:+.4}")
}

fn bounds(interval: &Interval, relative: bool) -> String {
    let one = |v: f64| if relative { signed_percent(v) } else { signed(v) };
    format!("{} to {}", one(interval.low), one(interval.high))
}

/// A p value: four digits, never 0.
pub(crate) fn p_value(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}

impl Comparison {
    /// Figures of the groups.
    pub fn figures(&self) -> Table {
        let mut header = vec!["group".to_owned(), "score".to_owned(), "seeds".to_owned()];
        header.extend(
            self.groups
                .iter()
                .max_by_key(|g| g.metrics.len())
                .into_iter()
                .flat_map(|g| g.metrics.iter().map(|(name, _)| name.clone())),
        );
        let row = |(place, group): (usize, &Summary)| {
            let mark = if place == 0 { " (reference)" } else { "" };
            // How many, not which: under this head a single run of seed 42 read as forty-two of them.
            let seeds = BTreeSet::from_iter(&group.seeds).len();
            let seeds = if group.trained { seeds.to_string() } else { "-".to_owned() };
            let mut cells = vec![format!("{}{mark}", group.label), group.score.clone(), seeds];
            cells.extend(header[3..].iter().map(|name| {
                let found = group.metrics.iter().find(|(own, _)| own == name);
                found.map_or_else(|| "-".to_owned(), |(_, value)| format!("{value:.4}"))
            }));
            cells
        };
        let rows = self.groups.iter().enumerate().map(row).collect();
        Table { header, rows }
    }

    /// Differences, intervals and verdicts.
    pub fn verdicts(&self) -> Table {
        let header = ["difference", "relative", "interval", "p (Holm)", "p (equal)", "could see", "verdict"];
        let row = |c: &Contrast| {
            vec![
                c.condition.clone(),
                signed(c.estimate.effect),
                c.relative.map_or_else(|| "-".to_owned(), signed_percent),
                bounds(&c.interval, false),
                if c.basis == Basis::SingleRun { "-".to_owned() } else { p_value(c.p_holm) },
                if c.basis == Basis::SingleRun { "-".to_owned() } else { p_value(c.p_equivalence) },
                detectable(c),
                c.verdict.to_string(),
            ]
        };
        let first = format!("{} against {}", self.options.metric, self.groups[0].label);
        let header = std::iter::once(first).chain(header.map(str::to_owned)).collect();
        Table { header, rows: self.contrasts.iter().map(row).collect() }
    }

    /// Tests that hold for the trained models as they are.
    pub fn given_models(&self) -> Table {
        let header =
            ["", "bootstrap interval", "p (sign flips)", "p (t)", "p (Wilcoxon)", "difference by seed"];
        let row = |c: &Contrast| {
            let given = &c.given_these_models;
            vec![
                c.condition.clone(),
                bounds(&given.bootstrap, false),
                p_value(given.p_sign_flips),
                p_value(given.p_t),
                p_value(given.wilcoxon.p),
                c.pair_effects.iter().map(|d| signed(*d)).collect::<Vec<_>>().join(" "),
            ]
        };
        Table { header: header.map(str::to_owned).to_vec(), rows: self.contrasts.iter().map(row).collect() }
    }

    /// Means of the primary metric by item frequency, item age and user length, under their titles.
    pub fn sliced(&self) -> Vec<(&'static str, Table)> {
        let titled = self.slices.titled().into_iter().filter(|(_, slices)| !slices.is_empty());
        titled
            .map(|(title, slices)| {
                let mut header = vec![String::new(), "targets".to_owned()];
                header.extend(self.groups.iter().map(|g| g.label.clone()));
                let row = |slice: &super::slices::Slice| {
                    let mut cells = vec![slice.range.clone(), slice.targets.to_string()];
                    cells.push(format!("{:.4}", slice.means[0]));
                    for (mean, difference) in slice.means[1..].iter().zip(&slice.differences) {
                        let sure = difference.is_some_and(|d| d.interval.low > 0.0 || d.interval.high < 0.0);
                        cells.push(format!("{mean:.4}{}", if sure { " *" } else { "" }));
                    }
                    cells
                };
                (title, Table { header, rows: slices.iter().map(row).collect() })
            })
            .collect()
    }

    /// How to read the figures.
    pub fn notes(&self) -> String {
        let rule = &self.options.rule;
        let all = self.contrasts.len();
        let correction = self.correction.clone().unwrap_or_else(|| {
            format!("p is corrected by Holm over {all} contrast{}", if all == 1 { "" } else { "s" })
        });
        format!(
            "Differences are condition minus reference, paired by user. Intervals hold with {} confidence and \
             contain users and training seeds where there are several; {correction}; \
             equivalence means a difference within ±{} of the reference; \"could see\" is the effect that would be \
             found {} of the time.",
            percent(rule.confidence, 0),
            percent(rule.margin, 1),
            percent(rule.power, 0)
        )
    }

    /// The comparison for the terminal.
    pub fn plain(&self) -> String {
        let mut text = self.tables();
        for contrast in &self.contrasts {
            let _ = writeln!(text, "{}", sentence(contrast, &self.options));
        }
        text + &self.failed_lines()
    }

    /// As [`Comparison::plain`], with the sections of a larger report before it in place of the sentences.
    pub fn plain_after(&self, preface: &Preface) -> String {
        preface.plain() + &self.tables() + &self.failed_lines()
    }

    fn tables(&self) -> String {
        format!("{}\n\n{}\n{}\n", self.protocol, self.figures().plain(), self.verdicts().plain())
    }

    fn failed_lines(&self) -> String {
        let line = |failed: &super::Failed| format!("FAILED {}: {}\n", failed.run.display(), failed.reason);
        self.failed.iter().map(line).collect()
    }

    pub fn markdown(&self) -> String {
        let labels: Vec<&str> = self.groups.iter().map(|g| g.label.as_str()).collect();
        let mut text = format!("# {}\n\n{}.\n\n", labels.join(", "), self.protocol);
        for contrast in &self.contrasts {
            let _ = writeln!(text, "- **{}**: {}.", contrast.verdict, sentence(contrast, &self.options));
        }
        self.markdown_below(text)
    }

    /// As [`Comparison::markdown`], with the sections of a larger report before it.
    pub fn markdown_after(&self, preface: &Preface) -> String {
        self.markdown_below(preface.markdown() + &format!("\n## All conditions\n\n{}.\n", self.protocol))
    }

    fn markdown_below(&self, mut text: String) -> String {
        let _ = write!(
            text,
            "\n{}\n{}\n{}\n",
            self.figures().markdown(),
            self.verdicts().markdown(),
            self.notes()
        );
        if !self.failed.is_empty() {
            text.push_str("\n## Runs without figures\n\n");
            for failed in &self.failed {
                let _ = writeln!(text, "- `{}` ({}): {}", failed.run.display(), failed.group, failed.reason);
            }
        }
        if !self.warnings.is_empty() {
            text.push_str("\n## To keep in mind\n\n");
            self.warnings.iter().for_each(|warning| text.push_str(&format!("- {warning}\n")));
        }
        let _ = write!(
            text,
            "\n## Given these trained models\n\nOver users only; another training may differ.\n\n{}",
            self.given_models().markdown()
        );
        let _ = write!(text, "\n## Where the difference comes from\n\n{}\n", self.slice_note());
        for (title, table) in self.sliced() {
            let _ = write!(text, "\n{title}, {}:\n\n{}", self.options.metric, table.markdown());
        }
        text
    }

    pub(super) fn slice_note(&self) -> String {
        format!(
            "Exploratory: `*` marks slices whose {} interval over users excludes 0, without correction.",
            percent(self.options.rule.confidence, 0)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_p_value_is_never_shown_as_zero() {
        assert_eq!((p_value(0.0), p_value(0.0312)), ("< 0.0001".to_owned(), "0.0312".to_owned()));
    }
}
