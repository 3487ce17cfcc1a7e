//! Plots as inline SVG. Colours come from the page's style, for light and dark alike; series also differ by marker and
//! dash.

use std::fmt::Write as _;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;
/// Number of series styles that the page defines.
const STYLES: usize = 6;

/// A line of points, drawn in the style of its group.
pub struct Series {
    pub group: usize,
    /// Finite; x ascending.
    pub points: Vec<(f64, f64)>,
}

/// One row of the interval plot.
pub struct Whisker {
    pub label: String,
    pub group: usize,
    pub effect: f64,
    pub low: f64,
    pub high: f64,
    /// Tooltip.
    pub title: String,
}

/// Escapes text for XML.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML allows no other control characters.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// About `wanted` round values between `low` and `high`.
pub fn ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let span = high - low;
    if !(span > 0.0 && span.is_finite()) {
        return vec![low];
    }
    let rough = span / wanted.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough).unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A tick's label, with as few digits as distinguish the ticks.
fn label(value: f64, all: &[f64]) -> String {
    let step = all.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
    let digits = if step.is_finite() { (-step.log10().floor()).clamp(0.0, 8.0) as usize } else { 3 };
    // -0.000 is 0.
    let value = if value.abs() < step.min(1.0) / 2.0 { 0.0 } else { value };
    format!("{value:.digits$}")
}

struct Scale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Scale {
    fn place(&self, value: f64) -> f64 {
        let span = self.high - self.low;
        let share = if span > 0.0 { (value - self.low) / span } else { 0.5 };
        self.start + share * (self.end - self.start)
    }
}

fn open(height: f64, title: &str) -> String {
    let title = escape(title);
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>\n"
    )
}

fn marker(group: usize, x: f64, y: f64, title: &str) -> String {
    let style = group % STYLES;
    let shape = match style {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\""),
        1 => format!("<rect x=\"{:.1}\" y=\"{:.1}\" width=\"6\" height=\"6\"", x - 3.0, y - 3.0),
        2 => format!("<path d=\"M{x:.1} {:.1}l4 7h-8z\"", y - 4.2),
        3 => format!("<path d=\"M{x:.1} {:.1}l4.2 4.2-4.2 4.2-4.2-4.2z\"", y - 4.2),
        4 => format!("<path d=\"M{x:.1} {:.1}l4 -7h-8z\"", y + 4.2),
        _ => format!("<rect x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"4\"", x - 4.0, y - 2.0),
    };
    // From the seventh group on, styles repeat with hollow markers.
    let hollow = if group / STYLES % 2 == 1 { " hollow" } else { "" };
    format!("{shape} class=\"m s{style}{hollow}\"><title>{}</title></{}>\n", escape(title), tag(&shape))
}

fn tag(shape: &str) -> &str {
    shape.trim_start_matches('<').split(' ').next().unwrap_or("path")
}

/// A small drawing of a group's marker and line, for the legend.
pub fn key(group: usize) -> String {
    let line = format!("<path d=\"M1 7H27\" class=\"l s{}\"/>", group % STYLES);
    format!(
        "<svg class=\"key\" viewBox=\"0 0 28 14\" aria-hidden=\"true\">{line}{}</svg>",
        marker(group, 14.0, 7.0, "")
    )
}

/// Labels of the x axis.
pub enum Axis<'a> {
    Numbers,
    /// Points at 0, 1, 2, …, each with a name and a second line.
    Names(&'a [(String, String)]),
}

/// Lines with markers; y starts at 0 if `zero_based`. Empty without points.
pub fn lines(
    title: &str,
    x_title: &str,
    y_title: &str,
    series: &[Series],
    axis: &Axis<'_>,
    zero_based: bool,
) -> String {
    let Some((x, y)) = scales(series, axis, zero_based) else { return String::new() };
    let mut svg = open(HEIGHT, title);
    draw_rows(&mut svg, &y);
    draw_axis(&mut svg, &x, axis);
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"mid\">{}</text>",
        f64::midpoint(LEFT, WIDTH - RIGHT),
        HEIGHT - 5.0,
        escape(x_title)
    );
    for one in series {
        draw_series(&mut svg, one, &x, &y, y_title);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The scales of x and y over all points; none where there are no points.
fn scales(series: &[Series], axis: &Axis<'_>, zero_based: bool) -> Option<(Scale, Scale)> {
    let points = || series.iter().flat_map(|s| &s.points);
    let bound = |pick: fn(&(f64, f64)) -> f64| {
        points().map(pick).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
    };
    let ((x_low, x_high), (y_low, y_high)) = (bound(|p| p.0), bound(|p| p.1));
    if !(x_low.is_finite() && y_low.is_finite()) {
        return None;
    }
    let (x_low, x_high) = match axis {
        Axis::Names(names) => (-0.5, names.len() as f64 - 0.5),
        Axis::Numbers if x_low < x_high => (x_low, x_high),
        Axis::Numbers => (x_low - 1.0, x_high + 1.0),
    };
    let margin = 0.06 * (y_high - y_low).max(1e-9);
    let y_low = if zero_based { 0f64.min(y_low) } else { y_low - margin };
    let x = Scale { low: x_low, high: x_high, start: LEFT, end: WIDTH - RIGHT };
    let y = Scale { low: y_low, high: y_high + margin, start: HEIGHT - BOTTOM, end: TOP };
    Some((x, y))
}

/// The grid and labels of the y axis.
fn draw_rows(svg: &mut String, y: &Scale) {
    let rows = ticks(y.low, y.high, 5);
    for &tick in &rows {
        let position = y.place(tick);
        let _ = writeln!(svg, "<path d=\"M{LEFT} {position:.1}H{:.1}\" class=\"grid\"/>", WIDTH - RIGHT);
        let text = label(tick, &rows);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" class=\"end\">{text}</text>",
            LEFT - 6.0,
            position + 4.0
        );
    }
}

/// The labels of the x axis.
fn draw_axis(svg: &mut String, x: &Scale, axis: &Axis<'_>) {
    let base = HEIGHT - BOTTOM;
    match axis {
        Axis::Numbers => {
            let columns = ticks(x.low, x.high, 8);
            for &tick in columns.iter().filter(|t| t.fract() == 0.0) {
                let (position, baseline) = (x.place(tick), base + 16.0);
                let _ = writeln!(
                    svg,
                    "<text x=\"{position:.1}\" y=\"{baseline:.1}\" class=\"mid\">{tick:.0}</text>"
                );
            }
        }
        Axis::Names(names) => {
            for (place, (name, baseline)) in names.iter().enumerate() {
                let position = x.place(place as f64);
                let (first, second) = (base + 15.0, base + 27.0);
                let _ = writeln!(
                    svg,
                    "<text x=\"{position:.1}\" y=\"{first:.1}\" class=\"mid\">{}</text>\
                     <text x=\"{position:.1}\" y=\"{second:.1}\" class=\"mid small\">{}</text>",
                    escape(name),
                    escape(baseline)
                );
            }
        }
    }
}

/// One line with its markers.
fn draw_series(svg: &mut String, one: &Series, x: &Scale, y: &Scale, y_title: &str) {
    let style = one.group % STYLES;
    let path: Vec<String> =
        one.points.iter().map(|(a, b)| format!("{:.1} {:.1}", x.place(*a), y.place(*b))).collect();
    if path.len() > 1 {
        let _ = writeln!(svg, "<path d=\"M{}\" class=\"l s{style}\"/>", path.join("L"));
    }
    for (a, b) in &one.points {
        svg.push_str(&marker(one.group, x.place(*a), y.place(*b), &format!("{y_title} {b:.4}")));
    }
}

/// Differences with their intervals, one row each, with 0 and the margin of equivalence.
pub fn whiskers(title: &str, x_title: &str, rows: &[Whisker], margin: f64) -> String {
    const ROW: f64 = 40.0;
    if rows.is_empty() {
        return String::new();
    }
    let ends = rows.iter().flat_map(|r| [r.low, r.high, r.effect]).filter(|v| v.is_finite());
    let (low, high) = ends.chain([0.0, -margin, margin]).fold((0f64, 0f64), |(l, h), v| (l.min(v), h.max(v)));
    let slack = 0.05 * (high - low).max(1e-9);
    let x = Scale { low: low - slack, high: high + slack, start: 14.0, end: WIDTH - 14.0 };
    let bottom = TOP + ROW * rows.len() as f64;
    let mut svg = open(bottom + BOTTOM, title);
    if margin > 0.0 {
        let (start, end) = (x.place(-margin), x.place(margin));
        let _ = writeln!(
            svg,
            "<rect x=\"{start:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" class=\"band\">\
             <title>margin of equivalence</title></rect>",
            end - start,
            bottom - TOP
        );
    }
    let columns = ticks(x.low, x.high, 6);
    for &tick in &columns {
        let position = x.place(tick);
        let class = if tick == 0.0 { "zero" } else { "grid" };
        let _ = writeln!(svg, "<path d=\"M{position:.1} {TOP}V{bottom:.1}\" class=\"{class}\"/>");
        let text = label(tick, &columns);
        let _ =
            writeln!(svg, "<text x=\"{position:.1}\" y=\"{:.1}\" class=\"mid\">{text}</text>", bottom + 16.0);
    }
    for (place, row) in rows.iter().enumerate() {
        let middle = TOP + ROW * (place as f64 + 0.68);
        let style = row.group % STYLES;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x.start,
            middle - 10.0,
            escape(&row.label)
        );
        if row.low.is_finite() && row.high.is_finite() {
            let (start, end) = (x.place(row.low), x.place(row.high));
            let _ = writeln!(
                svg,
                "<path d=\"M{start:.1} {middle:.1}H{end:.1}M{start:.1} {:.1}v8M{end:.1} {:.1}v8\" class=\"w s{style}\"/>",
                middle - 4.0,
                middle - 4.0
            );
        }
        svg.push_str(&marker(row.group, x.place(row.effect), middle, &row.title));
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"mid\">{}</text>\n</svg>",
        WIDTH / 2.0,
        bottom + BOTTOM - 8.0,
        escape(x_title)
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.600_000_000_000_000_1, 0.8, 1.0]);
        assert_eq!(ticks(-0.013, 0.004, 4), [-0.01, -0.005, 0.0]);
        assert_eq!(ticks(2.0, 2.0, 4), [2.0]);
        assert_eq!(label(-0.0, &[-0.01, -0.0]), "0.00");
    }

    #[test]
    fn nothing_breaks_out_of_the_page() {
        let series = [Series { group: 9, points: vec![(0.0, 0.5)] }];
        let names = [("<b>".to_owned(), "\"&'".to_owned())];
        let svg = lines("<script>", "x", "y", &series, &Axis::Names(&names), true);
        assert!(!svg.contains("<script>") && !svg.contains("<b>") && svg.contains("&lt;b&gt;"), "{svg}");
        assert_eq!(escape("a\u{0}b"), "a b");
    }

    #[test]
    fn plots_without_points_are_empty_and_single_points_are_finite() {
        assert_eq!(lines("t", "x", "y", &[], &Axis::Numbers, false), "");
        assert_eq!(whiskers("t", "x", &[], 0.1), "");
        let one = [Series { group: 0, points: vec![(3.0, 0.0)] }];
        assert!(!lines("t", "x", "y", &one, &Axis::Numbers, true).contains("NaN"));
        let row =
            Whisker { label: "a".into(), group: 0, effect: 0.0, low: 0.0, high: 0.0, title: String::new() };
        assert!(!whiskers("t", "x", &[row], 0.0).contains("NaN"));
    }
}
