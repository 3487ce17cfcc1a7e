//! Warnings of a preparation: what the owner of the data should check before anything is made of it.

use jiff::Timestamp;

use super::report::PrepareReport;
use crate::data::MICROS;
use crate::data::source::{Role, SourcePlan, TimeUnit, may_name_parts};
use crate::data::split::Split;

impl PrepareReport {
    /// Warnings to the owner of the data, which `--strict` turns into errors.
    pub fn warnings(&self) -> Vec<String> {
        let mut found = self.log.warnings.clone();
        found.extend(self.catalogue.iter().flat_map(|plan| plan.warnings.clone()));
        if let (Some(path), None) = (&self.log.catalogue_beside, &self.catalogue) {
            found.push(format!("{0} is not read; --items {0} reads it", path.display()));
        }
        found.extend(self.column_warnings());
        found.extend(self.row_warnings());
        found.extend(self.time_warning());
        found.extend(self.tie_warnings());
        found.extend(self.image_remarks.clone());
        found
    }

    /// A message on the lines that `--skip-bad` skipped; no warning, since they were allowed.
    pub fn passed_over(&self) -> Option<String> {
        let first = self.first_bad_line.as_deref().unwrap_or_default();
        (self.bad_lines > 0)
            .then(|| format!("{} malformed lines passed over; the first: {first}", self.bad_lines))
    }

    /// Warnings about roles without a column.
    fn column_warnings(&self) -> Vec<String> {
        let mut found = Vec::new();
        let unread = |plan: &SourcePlan| {
            if plan.unread.is_empty() {
                return String::new();
            }
            format!(" (not read: {})", plan.unread.join(", "))
        };
        if self.log.column(Role::Time).is_none()
            && self.log.format.names_columns()
            && !self.log.without.contains(&Role::Time)
        {
            found.push(format!(
                "{} has no column that is known as the time, so that the order of the file stands for it{}; name it \
                 with --column time=NAME, or say --column time= if there is none",
                self.log.path.display(),
                unread(&self.log)
            ));
        }
        let part = self.log.unread.iter().find(|name| may_name_parts(name));
        if let Some(name) =
            part.filter(|_| self.split != Split::Given && !self.log.without.contains(&Role::Part))
        {
            found.push(format!(
                "column `{name}` of {} looks like the parts of a split; --column part={name} --split given keeps \
                 them, --column part= says that it is none",
                self.log.path.display()
            ));
        }
        let Some(catalogue) = self.catalogue.as_ref().filter(|plan| plan.format.names_columns()) else {
            return found;
        };
        let lacks = |role| catalogue.column(role).is_none() && !catalogue.without.contains(&role);
        if !catalogue.unread.is_empty() && lacks(Role::Title) && lacks(Role::Text) {
            found.push(format!(
                "{} has no column that is known as a title or text{}; name it with --items-column title=NAME or \
                 --text-column NAME, or say --items-column title= if there is none",
                catalogue.path.display(),
                unread(catalogue)
            ));
        }
        found
    }

    /// Warnings about ids, duplicates, users and catalogue rows.
    fn row_warnings(&self) -> Vec<String> {
        let mut found = Vec::new();
        for null in &self.null_like_ids {
            found.push(format!(
                "{} interactions have the {} {:?}, which looks like a missing value",
                null.interactions,
                null.role.name(),
                null.id
            ));
        }
        if self.exact_duplicates > 0 && self.timed {
            found.push(format!(
                "{} interactions repeat another in user, item and time; --duplicates keep_returns drops such doubles \
                 and keeps true returns",
                self.exact_duplicates
            ));
        }
        if self.users_without_targets > 0 {
            found.push(format!(
                "{} users have no targets, being too short or without events after the cut-off, and only train",
                self.users_without_targets
            ));
        }
        if let Some(misses) = &self.catalogue_misses {
            let remedy = misses.remedy.as_ref().map_or_else(String::new, |remedy| format!("; {remedy}"));
            found.push(format!("{}{remedy}", misses.message));
        }
        if let Some(first) = &self.first_null_title {
            found.push(format!(
                "{} titles such as {first:?} look like missing values and are taken as they stand; leave such cells \
                 empty in the catalogue",
                self.null_titles
            ));
        }
        if let Some(first) = &self.first_markup {
            found.push(format!(
                "{} catalogue rows hold HTML in title or text, such as {first:?}; --strip-html takes it out, \
                 --strip-html=false says that it is meant",
                self.catalogue_markup
            ));
        }
        if self.catalogue_repeated > 0 {
            found.push(format!(
                "{} catalogue lines repeat an item; its first line counts",
                self.catalogue_repeated
            ));
        }
        found
    }

    /// Days of the kept interactions, e.g. `2024-01-05 to 2024-06-30`; absent without times.
    pub fn days(&self) -> Option<String> {
        let day = |micros| Timestamp::from_microsecond(micros).map(|time| time.to_string()[..10].to_owned());
        let [first, last] = self.span?;
        Some(format!("{} to {}", day(first).ok()?, day(last).ok()?))
    }

    /// A warning where the guessed unit of times gives implausible dates.
    fn time_warning(&self) -> Option<String> {
        const YEAR_1980: i64 = 315_532_800 * MICROS;
        const A_YEAR: i64 = 31_622_400 * MICROS;
        let digits = |unit: &TimeUnit| matches!(unit, TimeUnit::Date | TimeUnit::DateTime);
        let unit = self.log.time_unit.filter(|unit| self.log.time_unit_guessed && !digits(unit))?;
        let [_, last] = self.span?;
        let column = &self.log.column(Role::Time)?.column;
        (last < YEAR_1980 || last > Timestamp::now().as_microsecond() + A_YEAR).then(|| {
            format!(
                "`{column}` taken for {unit} gives days from {}: it is a clock of its own, which --time-unit says, dates in \
                 digits, which --time-format reads, or no time, and --column time=NAME names another column",
                self.days().unwrap_or_default()
            )
        })
    }

    /// A warning about the order of equal times.
    fn tie_warnings(&self) -> Vec<String> {
        let mut found = Vec::new();
        let pairs = &self.tied_pairs;
        if self.timed && pairs.tied > 0 && self.ties.is_none() {
            let share = 100.0 * pairs.tied as f64 / pairs.neighbours.max(1) as f64;
            let mut text = format!(
                "{} of {} neighbouring interactions ({share:.0} %) have equal times and stand in the order of the file",
                pairs.tied, pairs.neighbours
            );
            if pairs.is_sorted() {
                let share = 100.0 * pairs.ascending as f64 / pairs.distinct as f64;
                text += &format!(
                    "; {share:.0} % of them ascend by item id (by chance 50 %), so that their order is a sorting and not \
                     time, a pattern that models learn; --ties hash breaks them without one"
                );
            }
            if !pairs.is_sorted() {
                text +=
                    "; --ties source says that this is right, --ties hash takes an order that says nothing";
            }
            found.push(text);
        }
        found
    }
}
