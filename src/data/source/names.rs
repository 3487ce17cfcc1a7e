//! Which column holds what: the names asked for, or those that such files usually have ([`super::roles`]).
//!
//! What was chosen, whether it was asked for or guessed, and what is not read goes into the [`SourcePlan`].

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::folder::FOLDER;
use super::roles::{AMAZON_TEXT, CATALOGUE_ITEM, Role, SYNONYMS, plain, speaks_of_time};
use super::{Columns, Format, SourceError, SourcePlan};

/// The name of a folder's key that the file's own columns have too, without what tells them apart.
fn own_name(name: &str) -> &str {
    name.strip_suffix(FOLDER).unwrap_or(name)
}

/// A column that was taken for a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenColumn {
    pub role: Role,
    pub column: String,
    /// By its name; otherwise it was asked for.
    pub guessed: bool,
    /// Read where the first column of the role is empty.
    #[serde(default)]
    pub further: bool,
}

/// Chooses columns of one header.
pub(super) struct Chooser<'a> {
    path: &'a Path,
    header: &'a [String],
    columns: &'a Columns,
    /// Names are those of a catalogue.
    catalogue: bool,
    /// Places that are taken, with what is said of them.
    chosen: Vec<(usize, ChosenColumn)>,
}

impl<'a> Chooser<'a> {
    fn new(path: &'a Path, header: &'a [String], columns: &'a Columns, catalogue: bool) -> Self {
        Self { path, header, columns, catalogue, chosen: Vec::new() }
    }

    /// The column of `role`, `asked` or usual; absent where there is none or the role is not to be read.
    fn find(&mut self, role: Role, asked: &str) -> Result<Option<usize>, SourceError> {
        Ok(self.find_all(role, asked)?.first().copied())
    }

    /// All columns of usual names, best first, or the one that was asked for.
    fn find_all(&mut self, role: Role, asked: &str) -> Result<Vec<usize>, SourceError> {
        if !asked.is_empty() {
            match self.named(role.name(), asked) {
                Ok(place) => {
                    self.take(role, place, false);
                    return Ok(vec![place]);
                }
                Err(_) if role == Role::Item && self.columns.item_or_usual => {}
                Err(missing) => return Err(missing),
            }
        }
        if self.columns.without.contains(&role) || self.columns.no_header {
            return Ok(Vec::new());
        }
        let plain: Vec<String> = self.header.iter().map(|name| plain(own_name(name))).collect();
        let own: &[&str] = if self.catalogue && role == Role::Item { CATALOGUE_ITEM } else { &[] };
        let free = |place: &usize| self.chosen.iter().all(|(taken, _)| taken != place);
        let mut places: Vec<usize> = role
            .usual()
            .iter()
            .chain(own)
            .flat_map(|usual| (0..plain.len()).filter(|&n| plain[n] == *usual))
            .filter(free)
            .collect();
        // The last of three columns that make a date together.
        if role == Role::Time && plain.iter().any(|name| matches!(name.as_str(), "month" | "year")) {
            places.retain(|&place| plain[place] != "day");
        }
        if places.is_empty() && role == Role::Time {
            places =
                (0..self.header.len()).filter(|&n| speaks_of_time(&self.header[n])).filter(free).collect();
            if places.len() > 1 {
                let found = places.iter().map(|&n| self.header[n].clone()).collect();
                return Err(SourceError::Ambiguous { path: self.path.to_owned(), role: role.name(), found });
            }
        }
        if let Some(&first) = places.first() {
            self.take(role, first, true);
        }
        Ok(places)
    }

    /// All columns that have one of `names`, in the order of these.
    fn all_of(&mut self, role: Role, names: &[&str]) -> Vec<usize> {
        let places: Vec<usize> = names
            .iter()
            .flat_map(|name| (0..self.header.len()).filter(|&n| plain(&self.header[n]) == *name))
            .filter(|place| self.chosen.iter().all(|(taken, _)| taken != place))
            .collect();
        places.iter().for_each(|&place| self.take(role, place, true));
        places
    }

    /// The place of a column that was asked for: by its very name, or by a name that differs in case or punctuation
    /// from that of just one column; by its number where there is no header.
    fn named(&self, role: &str, asked: &str) -> Result<usize, SourceError> {
        if self.columns.no_header {
            let place = asked.parse::<usize>().ok().filter(|n| (1..=self.header.len()).contains(n));
            return place.map(|n| n - 1).ok_or_else(|| self.missing(role, asked));
        }
        if let Some(place) = self.header.iter().position(|name| name == asked) {
            return Ok(place);
        }
        let alike = |n: &usize| plain(&self.header[*n]) == plain(asked);
        let mut places = (0..self.header.len()).filter(alike);
        match (places.next(), places.next()) {
            (Some(place), None) if !plain(asked).is_empty() => Ok(place),
            _ => Err(self.missing(role, asked)),
        }
    }

    fn take(&mut self, role: Role, place: usize, guessed: bool) {
        let column = self.header[place].clone();
        self.chosen.push((place, ChosenColumn { role, column, guessed, further: false }));
    }

    /// The first of `places` and those that are read where it is empty. Of ids, times and ratings only names that mean
    /// one thing stand in for each other: another column's id would be another thing.
    fn first_and_further(&mut self, role: Role, places: Vec<usize>) -> (Option<usize>, Vec<usize>) {
        let Some((&first, rest)) = places.split_first() else { return (None, Vec::new()) };
        let name = |place: usize| plain(own_name(&self.header[place]));
        let own = name(first);
        let stands_in = |&place: &usize| match role {
            Role::Category | Role::Image => true,
            _ if own_name(&self.header[place]) == self.header[first] => true,
            _ => {
                SYNONYMS.iter().any(|group| [&own, &name(place)].iter().all(|n| group.contains(&n.as_str())))
            }
        };
        let further: Vec<usize> = rest.iter().copied().filter(stands_in).collect();
        for &place in &further {
            let column = self.header[place].clone();
            self.chosen.push((place, ChosenColumn { role, column, guessed: true, further: true }));
        }
        (Some(first), further)
    }

    fn missing(&self, role: &str, asked: &str) -> SourceError {
        let wanted = if asked.is_empty() { format!("for the {role}") } else { asked.to_owned() };
        SourceError::MissingColumn {
            path: self.path.to_owned(),
            role: role.to_owned(),
            wanted,
            found: self.header.to_vec(),
            catalogue: self.catalogue,
        }
    }

    /// Notes what was chosen. The parts of a folder say the same again.
    fn done(self, plan: &mut SourcePlan) {
        plan.without.clone_from(&self.columns.without);
        let taken: Vec<usize> = self.chosen.iter().map(|(place, _)| *place).collect();
        for (_, chosen) in self.chosen {
            if !plan.columns.contains(&chosen) {
                plan.columns.push(chosen);
            }
        }
        for (n, name) in self.header.iter().enumerate() {
            if !taken.contains(&n) && !plan.unread.contains(name) {
                plan.unread.push(name.clone());
            }
        }
    }
}

/// Where an interaction's fields are in a row.
#[derive(Clone, Debug)]
pub(super) struct InteractionPlaces {
    pub user: usize,
    pub item: usize,
    /// Further columns of usual names, to look at where the item's own is empty.
    pub item_else: Vec<usize>,
    pub time: Option<usize>,
    pub value: Option<usize>,
    /// The same of the others, for files whose rows are of several layouts: lines of JSON.
    pub user_else: Vec<usize>,
    pub time_else: Vec<usize>,
    pub value_else: Vec<usize>,
    pub part: Option<usize>,
}

impl InteractionPlaces {
    /// # Errors
    /// A column that was asked for, or one for users or items, is missing.
    pub fn new(
        columns: &Columns,
        path: &Path,
        header: &[String],
        plan: &mut SourcePlan,
    ) -> Result<Self, SourceError> {
        let mut choose = Chooser::new(path, header, columns, false);
        let users = choose.find_all(Role::User, &columns.user)?;
        let (user, user_else) = choose.first_and_further(Role::User, users);
        let user = user.ok_or_else(|| choose.missing(Role::User.name(), &columns.user))?;
        let items = choose.find_all(Role::Item, &columns.item)?;
        let (item, item_else) = choose.first_and_further(Role::Item, items);
        let item = item.ok_or_else(|| choose.missing(Role::Item.name(), &columns.item))?;
        let times = choose.find_all(Role::Time, &columns.time)?;
        let values = choose.find_all(Role::Value, &columns.value)?;
        // Only objects differ from line to line in what they hold.
        let objects = plan.format == Format::JsonLines;
        let first =
            |places: Vec<usize>| places.into_iter().take(if objects { usize::MAX } else { 1 }).collect();
        let (time, time_else) = choose.first_and_further(Role::Time, first(times));
        let (value, value_else) = choose.first_and_further(Role::Value, first(values));
        let places = Self {
            user,
            item,
            item_else,
            time,
            value,
            user_else,
            time_else,
            value_else,
            part: choose.find(Role::Part, &columns.part)?,
        };
        choose.done(plan);
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

/// Where an item's fields are in a row.
#[derive(Clone, Debug)]
pub(super) struct ItemPlaces {
    pub id: usize,
    /// Further columns of usual names, to look at where the first is empty; so are those of the next fields.
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
    /// # Errors
    /// A column that was asked for, or that of the ids, is missing.
    pub fn new(
        columns: &Columns,
        path: &Path,
        header: &[String],
        plan: &mut SourcePlan,
    ) -> Result<Self, SourceError> {
        let mut choose = Chooser::new(path, header, columns, true);
        // Named ones first, so that a guess never takes a column that was asked for something else.
        let ids = choose.find_all(Role::Item, &columns.item)?;
        let (id, id_else) = choose.first_and_further(Role::Item, ids);
        let id = id.ok_or_else(|| choose.missing(Role::Item.name(), &columns.item))?;
        let mut text = Vec::new();
        for asked in &columns.text {
            let place = choose.named("text", asked)?;
            choose.take(Role::Text, place, false);
            text.push(place);
        }
        let title = choose.find(Role::Title, &columns.title)?;
        if columns.text.is_empty() {
            let amazon = matches!(plan.format, Format::JsonLines | Format::Parquet)
                && matches!(plain(&header[id]).as_str(), "asin" | "parentasin");
            if amazon && !columns.without.contains(&Role::Text) {
                text.extend(choose.all_of(Role::Text, AMAZON_TEXT));
            } else {
                text.extend(choose.find(Role::Text, "")?);
            }
        }
        let categories = choose.find_all(Role::Category, &columns.category)?;
        let (category, category_else) = choose.first_and_further(Role::Category, categories);
        let images = choose.find_all(Role::Image, &columns.image)?;
        let (image, image_else) = choose.first_and_further(Role::Image, images);
        let mut kept = Vec::new();
        for asked in &columns.kept {
            let place = choose.named("kept", asked)?;
            choose.take(Role::Kept, place, false);
            kept.push(place);
        }
        let places = Self { id, id_else, title, text, category, category_else, image, image_else, kept };
        choose.done(plan);
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
