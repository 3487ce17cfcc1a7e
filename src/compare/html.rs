//! The comparison as a self-contained HTML page, without scripts or external resources.

use std::fmt::Write as _;

use super::Comparison;
use super::preface::Preface;
use super::slices::Slice;
use super::svg::{self, Axis, Series, Whisker, escape};
use super::table::{percent, sentence, signed};
use crate::stats::Verdict;
use crate::table::Table;

const STYLE: &str = include_str!("style.css");

impl Comparison {
    /// The whole page.
    pub fn html(&self) -> String {
        let labels: Vec<&str> = self.groups.iter().map(|g| g.label.as_str()).collect();
        self.page(&labels.join(" · "), &self.verdict_cards())
    }

    /// As [`Comparison::html`], with the sections of a larger report before it.
    pub fn html_after(&self, preface: &Preface) -> String {
        let mut lead =
            if preface.alarm.is_empty() { String::new() } else { paragraph(&format!("{}.", preface.alarm)) };
        for one in &preface.sections {
            let mut body = String::new();
            if !one.items.is_empty() {
                body.push_str("<ul class=\"verdicts\">\n");
                one.items.iter().for_each(|item| body.push_str(&card(item.verdict, &item.lead, &item.text)));
                body.push_str("</ul>\n");
            }
            one.tables.iter().for_each(|own| body.push_str(&table(own)));
            if !one.note.is_empty() {
                body.push_str(&paragraph(&one.note));
            }
            lead.push_str(&section(&one.title, &body));
        }
        self.page(&preface.title, &lead)
    }

    fn page(&self, title: &str, lead: &str) -> String {
        let title = escape(title);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<p class=\"quiet\">{}</p>\n",
            escape(&self.protocol)
        );
        page.push_str(lead);
        page.push_str(&section(
            "Figures",
            &(table(&self.figures()) + &table(&self.verdicts()) + &paragraph(&self.notes())),
        ));
        self.failures(&mut page);
        self.plots(&mut page);
        let given = paragraph("Over users only; another training may differ.") + &table(&self.given_models());
        page.push_str(&section("Given these trained models", &given));
        let mut slices = paragraph(&self.slice_note());
        for (title, sliced) in self.sliced() {
            let _ = write!(slices, "<h3>{title}</h3>\n{}", table(&sliced));
        }
        page.push_str(&section(&format!("{} by slice", self.options.metric), &slices));
        self.runs(&mut page);
        let _ = write!(
            page,
            "<footer>codistill {}, {} bootstrap draws, seed {}</footer>\n</main>\n</body>\n</html>\n",
            env!("CARGO_PKG_VERSION"),
            self.options.draws,
            self.options.seed
        );
        page
    }

    fn verdict_cards(&self) -> String {
        let cards = self.contrasts.iter().map(|contrast| {
            card(contrast.verdict, &contrast.verdict.to_string(), &sentence(contrast, &self.options))
        });
        format!("<ul class=\"verdicts\">\n{}</ul>\n", cards.collect::<String>())
    }

    fn failures(&self, page: &mut String) {
        if !self.failed.is_empty() {
            let each = self.failed.iter().map(|f| {
                let run = escape(&f.run.display().to_string());
                format!("<li><code>{run}</code> ({}): {}</li>\n", escape(&f.group), escape(&f.reason))
            });
            let list = format!("<ul class=\"failed\">\n{}</ul>\n", each.collect::<String>());
            page.push_str(&section("Runs without figures", &list));
        }
        if !self.warnings.is_empty() {
            let each = self.warnings.iter().map(|w| format!("<li>{}</li>\n", escape(w)));
            page.push_str(&section("To keep in mind", &format!("<ul>\n{}</ul>\n", each.collect::<String>())));
        }
    }

    fn plots(&self, page: &mut String) {
        let metric = self.options.metric.to_string();
        let mut plots = self.legend() + "<div class=\"plots\">\n";
        let mut add = |title: &str, svg: String| {
            if !svg.is_empty() {
                let _ =
                    write!(plots, "<figure>\n<figcaption>{}</figcaption>\n{svg}</figure>\n", escape(title));
            }
        };
        let title = format!(
            "Difference to {}, {} interval",
            self.groups[0].label,
            percent(self.options.rule.confidence, 0)
        );
        let margin = self.contrasts.first().map_or(0.0, |c| c.margin);
        add(&title, svg::whiskers(&title, &metric, &self.difference_rows(), margin));
        let title = format!("{metric} on validation by epoch");
        add(&title, svg::lines(&title, "epoch", &metric, &self.curves(), &Axis::Numbers, false));
        for (name, slices) in self.slices.titled() {
            let names: Vec<(String, String)> =
                slices.iter().map(|s| (s.range.clone(), format!("n {}", s.targets))).collect();
            let title = format!("{metric} by {}", lower_first(name));
            add(
                &title,
                svg::lines(&title, name, &metric, &self.slice_series(slices), &Axis::Names(&names), true),
            );
        }
        for (place, contrast) in self.contrasts.iter().enumerate() {
            for (name, slices) in
                [("item frequency", &self.slices.item_count), ("user length", &self.slices.user_length)]
            {
                let rows = difference_by_slice(slices, place);
                let title = format!("{} minus {} by {name}", contrast.condition, contrast.reference);
                add(&title, svg::whiskers(&title, &format!("difference of {metric}"), &rows, 0.0));
            }
        }
        plots.push_str("</div>\n");
        page.push_str(&section("Plots", &plots));
    }

    fn legend(&self) -> String {
        let each = self.groups.iter().enumerate();
        let keys = each.map(|(place, g)| format!("<li>{}{}</li>", svg::key(place), escape(&g.label)));
        format!("<ul class=\"legend\">{}</ul>\n", keys.collect::<String>())
    }

    fn difference_rows(&self) -> Vec<Whisker> {
        let row = |(place, c): (usize, &super::Contrast)| Whisker {
            label: format!("{}: {}", c.condition, c.verdict),
            group: place + 1,
            effect: c.estimate.effect,
            low: c.interval.low,
            high: c.interval.high,
            title: sentence(c, &self.options),
        };
        self.contrasts.iter().enumerate().map(row).collect()
    }

    fn curves(&self) -> Vec<Series> {
        let series = |(group, summary): (usize, &super::Summary)| -> Vec<Series> {
            let runs = summary.progress.iter().filter(|points| !points.is_empty());
            runs.map(|points| Series {
                group,
                points: points.iter().map(|&(epoch, value)| (epoch as f64, value)).collect(),
            })
            .collect()
        };
        self.groups.iter().enumerate().flat_map(series).collect()
    }

    fn slice_series(&self, slices: &[Slice]) -> Vec<Series> {
        let points =
            |group: usize| slices.iter().enumerate().map(|(x, s)| (x as f64, s.means[group])).collect();
        (0..self.groups.len()).map(|group| Series { group, points: points(group) }).collect()
    }

    fn runs(&self, page: &mut String) {
        let header = ["group", "run", "seed", &self.options.metric.to_string()].map(str::to_owned).to_vec();
        let mut rows = Vec::new();
        for group in &self.groups {
            for ((run, seed), value) in group.runs.iter().zip(&group.seeds).zip(&group.run_means) {
                let seed = if group.trained { seed.to_string() } else { "-".to_owned() };
                rows.push(vec![group.label.clone(), run.display().to_string(), seed, format!("{value:.4}")]);
            }
        }
        page.push_str(&section("Runs", &table(&Table { header, rows })));
    }
}

fn difference_by_slice(slices: &[Slice], contrast: usize) -> Vec<Whisker> {
    let row = |slice: &Slice| {
        let d = slice.differences.get(contrast).copied().flatten()?;
        Some(Whisker {
            label: format!("{}  (n {})", slice.range, slice.targets),
            group: contrast + 1,
            effect: d.effect,
            low: d.interval.low,
            high: d.interval.high,
            title: format!(
                "{} ({} to {})",
                signed(d.effect),
                signed(d.interval.low),
                signed(d.interval.high)
            ),
        })
    };
    slices.iter().filter_map(row).collect()
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// A line with a verdict; colour never stands alone.
fn card(verdict: Verdict, lead: &str, text: &str) -> String {
    let (class, sign) = match verdict {
        Verdict::Helps => ("good", "▲"),
        Verdict::Hurts => ("bad", "▼"),
        Verdict::Equivalent | Verdict::Identical => ("equal", "="),
        Verdict::NoEvidence | Verdict::SingleRun | Verdict::TooFewUsers => ("open", "?"),
    };
    format!(
        "<li class=\"{class}\"><b><span aria-hidden=\"true\">{sign}</span> {}</b> {}</li>\n",
        escape(lead),
        escape(text)
    )
}

fn section(title: &str, body: &str) -> String {
    format!("<section>\n<h2>{}</h2>\n{body}</section>\n", escape(title))
}

fn paragraph(text: &str) -> String {
    format!("<p class=\"quiet\">{}</p>\n", escape(text))
}

/// A table that scrolls by itself where the window is narrow.
fn table(table: &Table) -> String {
    let row = |cells: &[String], tag: &str| {
        let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect::<String>();
        format!("<tr>{cells}</tr>\n")
    };
    let body: String = table.rows.iter().map(|cells| row(cells, "td")).collect();
    let head = row(&table.header, "th");
    format!(
        "<div class=\"scroll\"><table>\n<thead>\n{head}</thead>\n<tbody>\n{body}</tbody>\n</table></div>\n"
    )
}
