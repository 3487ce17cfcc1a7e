//! Which column holds what: the names asked for, or those that such files usually have.
//!
//! Names are compared without letter case and punctuation, so that `UserId`, `user_id` and `User ID` are one. What was
//! chosen, whether it was asked for or guessed, and what is not read goes into the [`SourcePlan`].

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Columns, Format, SourceError, SourcePlan};

/// What a column is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    User,
    Item,
    Time,
    Value,
    /// Which part of a given split a row belongs to.
    Part,
    Title,
    Text,
    Category,
    Image,
    /// Kept in the data set as it stands, for `--filter`.
    Kept,
}

impl Role {
    /// The name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Item => "item",
            Self::Time => "time",
            Self::Value => "value",
            Self::Part => "part",
            Self::Title => "title",
            Self::Text => "text",
            Self::Category => "category",
            Self::Image => "image",
            Self::Kept => "kept",
        }
    }

    /// Usual names without case and punctuation, best first.
    pub(super) fn usual(self) -> &'static [&'static str] {
        match self {
            Self::User => USER,
            Self::Item => ITEM,
            Self::Time => TIME,
            Self::Value => VALUE,
            // Named only: a column called `split` may be about anything.
            Self::Part | Self::Kept => &[],
            Self::Title => TITLE,
            Self::Text => TEXT,
            Self::Category => CATEGORY,
            Self::Image => IMAGE,
        }
    }
}

const USER: &[&str] = &[
    "userid",
    "user",
    "uid",
    "reviewerid",
    "customerid",
    "customer",
    "custid",
    "clientid",
    "client",
    "visitorid",
    "visitor",
    "memberid",
    "member",
    "buyerid",
    "buyer",
    "accountid",
    "shopperid",
    "personid",
    "profileid",
    "viewerid",
    "listenerid",
    "sessionid",
    "session",
];
const ITEM: &[&str] = &[
    "itemid",
    "item",
    "movieid",
    "parentasin",
    "asin",
    "productid",
    "product",
    "articleid",
    "article",
    "sku",
    "skuid",
    "productsku",
    "itemsku",
    "iid",
    "pid",
    "bookid",
    "isbn",
    "songid",
    "trackid",
    "artistid",
    "newsid",
    "businessid",
    "gameid",
    "appid",
    "videoid",
    "filmid",
    "showid",
    "recipeid",
    "goodsid",
    "adid",
    "offerid",
    "listingid",
    "contentid",
    "documentid",
    "docid",
    "placeid",
    "venueid",
    "poiid",
];
/// Names that hold the item's id in a catalogue, and a row's number or an order in a log.
const CATALOGUE_ITEM: &[&str] = &["id", "code"];
const TIME: &[&str] = &[
    "timestamp",
    "time",
    "ts",
    "datetime",
    "unixtime",
    "unixtimestamp",
    "epoch",
    "unixreviewtime",
    "timestampms",
    "timems",
    "sorttimestamp",
    "eventtime",
    "eventtimestamp",
    "eventdate",
    "eventts",
    "createdat",
    "createdtime",
    "createdate",
    "creationdate",
    "createtime",
    "purchasedat",
    "purchasedate",
    "purchasetime",
    "purchasetimestamp",
    "orderedat",
    "orderdate",
    "ordertime",
    "boughtat",
    "viewedat",
    "clickedat",
    "clicktime",
    "ratedat",
    "playedat",
    "listenedat",
    "watchedat",
    "reviewedat",
    "reviewdate",
    "reviewtime",
    "occurredat",
    "happenedat",
    "transactiondate",
    "transactiontime",
    "invoicedate",
    "tdat",
    "date",
    "when",
    "day",
];
const VALUE: &[&str] = &["rating", "value", "overall", "stars", "star", "score", "ratings", "ratingscore"];
const TITLE: &[&str] = &[
    "title",
    "movietitle",
    "producttitle",
    "itemtitle",
    "name",
    "productname",
    "prodname",
    "itemname",
    "productdisplayname",
    "articlename",
    "originaltitle",
    "headline",
];
const TEXT: &[&str] = &[
    "text",
    "description",
    "plot",
    "overview",
    "abstract",
    "summary",
    "detaildesc",
    "productdescription",
    "desc",
];
/// Fields of Amazon's metadata that say in words what an item is; most items have some of them only.
const AMAZON_TEXT: &[&str] =
    &["brand", "feature", "features", "description", "store", "subtitle", "author", "details"];
const CATEGORY: &[&str] = &[
    "genres",
    "genre",
    "category",
    "categories",
    "class",
    "maincategory",
    "maincat",
    "producttype",
    "producttypename",
    "categoryid",
    "department",
    "productgroupname",
];
const IMAGE: &[&str] = &[
    "image",
    "poster",
    "picture",
    "imagepath",
    "imagefile",
    "imageurlhighres",
    "imageurl",
    "imurl",
    "images",
    "img",
    "imgurl",
    "pictureurl",
    "picturepath",
    "photo",
    "photourl",
    "posterpath",
    "thumbnail",
    "thumbnailurl",
    "cover",
    "coverurl",
];

/// A name without letter case and punctuation.
pub(crate) fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether a column of this name usually holds items' ids.
pub fn is_item_column(name: &str) -> bool {
    let name = plain(name);
    ITEM.contains(&name.as_str()) || CATALOGUE_ITEM.contains(&name.as_str())
}

/// Whether a name that is not among the usual ones speaks of a moment: `basket_date`, `listenedAt`, `ts_server`.
fn speaks_of_time(name: &str) -> bool {
    let words = words(name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    // Spans, zones and birthdays are no moments of an event.
    const OTHER: &[&str] = &[
        "spent", "zone", "duration", "watch", "watching", "play", "playing", "dwell", "run", "running",
        "life", "birth", "delivery", "reading", "total", "avg", "mean", "per", "of", "length", "times",
        "update", "updated", "release", "released", "expiry", "end", "modified", "deleted",
    ];
    let moment = has(&["time", "date", "timestamp", "datetime", "ts", "epoch", "unix"])
        || words.last().is_some_and(|word| word == "at") && words.len() > 1;
    moment && !has(OTHER)
}

/// `eventDate`, `event_date` and `Event Date` as their words in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut open, mut lower) = (false, false);
    for c in name.chars() {
        if !c.is_alphanumeric() {
            open = false;
            continue;
        }
        if !open || (lower && c.is_uppercase()) {
            words.push(String::new());
        }
        (open, lower) = (true, c.is_lowercase());
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    words
}

/// A column that was taken for a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenColumn {
    pub role: Role,
    pub column: String,
    /// By its name; otherwise it was asked for.
    pub guessed: bool,
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
    /// Places that are read where the chosen ones are empty.
    further: Vec<usize>,
}

impl<'a> Chooser<'a> {
    fn new(path: &'a Path, header: &'a [String], columns: &'a Columns, catalogue: bool) -> Self {
        Self { path, header, columns, catalogue, chosen: Vec::new(), further: Vec::new() }
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
        let plain: Vec<String> = self.header.iter().map(|name| plain(name)).collect();
        let own: &[&str] = if self.catalogue && role == Role::Item { CATALOGUE_ITEM } else { &[] };
        let free = |place: &usize| self.chosen.iter().all(|(taken, _)| taken != place);
        let mut places: Vec<usize> = role
            .usual()
            .iter()
            .chain(own)
            .flat_map(|usual| (0..plain.len()).filter(|&n| plain[n] == *usual))
            .filter(free)
            .collect();
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
        self.chosen.push((place, ChosenColumn { role, column, guessed }));
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
        let mut taken: Vec<usize> = self.chosen.iter().map(|(place, _)| *place).collect();
        taken.extend(&self.further);
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

fn split(places: Vec<usize>) -> (Option<usize>, Vec<usize>) {
    match places.split_first() {
        Some((&first, rest)) => (Some(first), rest.to_vec()),
        None => (None, Vec::new()),
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
        let (user, user_else) = split(choose.find_all(Role::User, &columns.user)?);
        let user = user.ok_or_else(|| choose.missing(Role::User.name(), &columns.user))?;
        let items = choose.find_all(Role::Item, &columns.item)?;
        let Some((&item, item_else)) = items.split_first() else {
            return Err(choose.missing(Role::Item.name(), &columns.item));
        };
        choose.further.extend(item_else);
        let (time, time_else) = split(choose.find_all(Role::Time, &columns.time)?);
        let (value, value_else) = split(choose.find_all(Role::Value, &columns.value)?);
        // Only objects differ from line to line in what they hold.
        let objects = plan.format == Format::JsonLines;
        let [user_else, time_else, value_else] =
            [user_else, time_else, value_else].map(|further| if objects { further } else { Vec::new() });
        choose.further.extend(user_else.iter().chain(&time_else).chain(&value_else));
        let places = Self {
            user,
            item,
            item_else: item_else.to_vec(),
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
        let Some((&id, id_else)) = ids.split_first() else {
            return Err(choose.missing(Role::Item.name(), &columns.item));
        };
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
        let (category, category_else) = split(choose.find_all(Role::Category, &columns.category)?);
        let (image, image_else) = split(choose.find_all(Role::Image, &columns.image)?);
        choose.further.extend(id_else.iter().chain(&category_else).chain(&image_else));
        let mut kept = Vec::new();
        for asked in &columns.kept {
            let place = choose.named("kept", asked)?;
            choose.take(Role::Kept, place, false);
            kept.push(place);
        }
        let places = Self {
            id,
            id_else: id_else.to_vec(),
            title,
            text,
            category,
            category_else,
            image,
            image_else,
            kept,
        };
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
