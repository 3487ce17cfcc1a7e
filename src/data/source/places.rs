//! The places of the fields of interactions and items in the rows of a table.
//!
//! Readers of tables, objects and Parquet files make one for each header that they meet.

use std::path::Path;

use super::names::Chooser;
use super::roles::{AMAZON_TEXT, Role, plain};
use super::{Columns, Format, SourceError, SourcePlan};

/// The places of an interaction's fields in a row.
#[derive(Clone, Debug)]
pub(super) struct InteractionPlaces {
    pub user: usize,
    pub item: usize,
    /// Further columns of usual names, read where the first is empty.
    pub item_else: Vec<usize>,
    pub time: Option<usize>,
    pub value: Option<usize>,
    /// Further columns of the other fields, for files whose rows have several layouts (lines of JSON).
    pub user_else: Vec<usize>,
    pub time_else: Vec<usize>,
    pub value_else: Vec<usize>,
    pub part: Option<usize>,
}

impl InteractionPlaces {
    /// Finds the columns in a header, and records them in the plan.
    ///
    /// # Errors
    /// A column that was asked for, or one for users or items, is missing.
    pub fn new(
        columns: &Columns,
        path: &Path,
        header: &[String],
        plan: &mut SourcePlan,
    ) -> Result<Self, SourceError> {
        let mut chooser = Chooser::new(path, header, columns, false);
        let users = chooser.find_all(Role::User, &columns.user)?;
        let (user, user_else) = chooser.first_and_further(Role::User, users);
        let user = user.ok_or_else(|| chooser.missing(Role::User.name(), &columns.user))?;
        let items = chooser.find_all(Role::Item, &columns.item)?;
        let (item, item_else) = chooser.first_and_further(Role::Item, items);
        let item = item.ok_or_else(|| chooser.missing(Role::Item.name(), &columns.item))?;
        let times = chooser.find_all(Role::Time, &columns.time)?;
        let values = chooser.find_all(Role::Value, &columns.value)?;
        // Only objects differ from line to line in what they hold.
        let objects = plan.format == Format::JsonLines;
        let first =
            |places: Vec<usize>| places.into_iter().take(if objects { usize::MAX } else { 1 }).collect();
        let (time, time_else) = chooser.first_and_further(Role::Time, first(times));
        let (value, value_else) = chooser.first_and_further(Role::Value, first(values));
        let places = Self {
            user,
            item,
            item_else,
            time,
            value,
            user_else,
            time_else,
            value_else,
            part: chooser.find(Role::Part, &columns.part)?,
        };
        chooser.done(plan);
        for &(role, option) in &columns.needed {
            if plan.column(role).is_none() {
                return Err(SourceError::Needed {
                    path: path.to_owned(),
                    role: role.name(),
                    option,
                    unread: plan.unread.clone(),
                });
            }
        }
        Ok(places)
    }
}

/// The places of an item's fields in a row.
#[derive(Clone, Debug)]
pub(super) struct ItemPlaces {
    pub id: usize,
    /// Further columns of usual names, read where the first is empty, here and in the other fields.
    pub id_else: Vec<usize>,
    pub title: Option<usize>,
    pub text: Vec<usize>,
    pub category: Option<usize>,
    pub category_else: Vec<usize>,
    pub image: Option<usize>,
    pub image_else: Vec<usize>,
    pub kept: Vec<usize>,
}

impl ItemPlaces {
    /// Finds the columns in a header, and records them in the plan.
    ///
    /// # Errors
    /// A column that was asked for, or that of the ids, is missing.
    pub fn new(
        columns: &Columns,
        path: &Path,
        header: &[String],
        plan: &mut SourcePlan,
    ) -> Result<Self, SourceError> {
        let mut chooser = Chooser::new(path, header, columns, true);
        // Named ones first, so that a guess never takes a column that was asked for something else.
        let ids = chooser.find_all(Role::Item, &columns.item)?;
        let (id, id_else) = chooser.first_and_further(Role::Item, ids);
        let id = id.ok_or_else(|| chooser.missing(Role::Item.name(), &columns.item))?;
        let mut text = Vec::new();
        for asked in &columns.text {
            let place = chooser.named("text", asked)?;
            chooser.take(Role::Text, place, false);
            text.push(place);
        }
        let title = chooser.find(Role::Title, &columns.title)?;
        if columns.text.is_empty() {
            let amazon = matches!(plan.format, Format::JsonLines | Format::Parquet)
                && matches!(plain(&header[id]).as_str(), "asin" | "parentasin");
            if amazon && !columns.without.contains(&Role::Text) {
                text.extend(chooser.find_each(Role::Text, AMAZON_TEXT));
            } else {
                text.extend(chooser.find(Role::Text, "")?);
            }
        }
        let categories = chooser.find_all(Role::Category, &columns.category)?;
        let (category, category_else) = chooser.first_and_further(Role::Category, categories);
        let images = chooser.find_all(Role::Image, &columns.image)?;
        let (image, image_else) = chooser.first_and_further(Role::Image, images);
        let mut kept = Vec::new();
        for asked in &columns.kept {
            let place = chooser.named("kept", asked)?;
            chooser.take(Role::Kept, place, false);
            kept.push(place);
        }
        let places = Self { id, id_else, title, text, category, category_else, image, image_else, kept };
        chooser.done(plan);
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(header: &[&str], columns: &Columns) -> Result<(InteractionPlaces, SourcePlan), SourceError> {
        let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
        let mut plan = SourcePlan::default();
        InteractionPlaces::new(columns, Path::new("log.csv"), &header, &mut plan).map(|places| (places, plan))
    }

    #[test]
    fn every_spelling_of_a_time_column_is_seen() {
        for name in [
            "timestamp",
            "Timestamp",
            "TIMESTAMP",
            "time",
            "ts",
            "date",
            "Date",
            "created_at",
            "createdAt",
            "purchased_at",
            "unixReviewTime",
            "event_time",
            "EventTime",
            "t_dat",
            "Order Date",
            "datetime",
            "timestamp:float",
            "basket_date",
            "listened-at",
            "shop_ts",
            "InvoiceDate",
            "timestamp_ms",
        ] {
            let (found, plan) = places(&["UserID", "itemID", "price", name], &Columns::default()).unwrap();
            // RecBole's types are taken off before names are looked at.
            if name.contains(':') {
                continue;
            }
            assert_eq!(found.time, Some(3), "{name}");
            let time = plan.columns.iter().find(|chosen| chosen.role == Role::Time).unwrap();
            assert!(time.guessed && time.column == name);
        }
    }

    #[test]
    fn spans_and_other_moments_are_no_time_of_an_event() {
        for name in [
            "time_spent",
            "watch_time",
            "timezone",
            "playtime",
            "update",
            "birth_date",
            "chat",
            "flat",
            "runtime",
        ] {
            let (found, plan) = places(&["user", "item", name], &Columns::default()).unwrap();
            assert_eq!(found.time, None, "{name}");
            assert_eq!(plan.unread, [name]);
        }
    }

    #[test]
    fn two_columns_that_only_look_like_a_time_are_for_the_user_to_choose() {
        let header = ["user", "item", "basket_date", "shipping_date"];
        let error = places(&header, &Columns::default()).unwrap_err();
        assert!(error.to_string().contains("basket_date, shipping_date"), "{error}");
        assert!(error.hint().unwrap().contains("--column time=basket_date"), "{error}");
        let named = Columns { time: "shipping_date".into(), ..Columns::default() };
        assert_eq!(places(&header, &named).unwrap().0.time, Some(3));
        let none = Columns { without: vec![Role::Time], ..Columns::default() };
        assert_eq!(places(&header, &none).unwrap().0.time, None);
    }

    #[test]
    fn a_name_that_was_asked_for_may_differ_in_case_where_that_is_clear() {
        let columns = |user: &str| Columns { user: user.into(), ..Columns::default() };
        assert_eq!(places(&["Kunde", "item"], &columns("kunde")).unwrap().0.user, 0);
        assert!(places(&["Kunde", "kunde_", "item"], &columns("KUNDE")).is_err());
        let error = places(&["Kunde", "item"], &columns("Kinde")).unwrap_err();
        assert!(error.hint().unwrap().contains("Kunde"), "{:?}", error.hint());
    }

    #[test]
    fn places_name_columns_where_there_is_no_header() {
        let header = ["1", "2", "3"];
        let columns = Columns { user: "3".into(), item: "1".into(), no_header: true, ..Columns::default() };
        let (found, plan) = places(&header, &columns).unwrap();
        assert_eq!((found.user, found.item, found.time), (2, 0, None));
        assert_eq!(plan.unread, ["2"]);
        let beyond = Columns { user: "4".into(), ..columns };
        assert!(places(&header, &beyond).is_err());
    }
}
