//! The roles that columns play, and the usual names of columns in each role.
//!
//! Names are compared without letter case and punctuation, so that `UserId`, `user_id` and `User ID` are one.

use serde::{Deserialize, Serialize};

/// The role of a column.
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
            Self::Part => PART,
            Self::Kept => &[],
            Self::Title => TITLE,
            Self::Text => TEXT,
            Self::Category => CATEGORY,
            Self::Image => IMAGE,
        }
    }
}

/// Groups of names with one meaning, one or the other of which occurs in files of different years or sources.
pub(super) const SYNONYMS: [&[&str]; 4] = [
    &["parentasin", "asin"],
    &["userid", "reviewerid"],
    &["timestamp", "unixreviewtime", "sorttimestamp"],
    &["rating", "overall"],
];

/// MMRec's name only: a column called `split` may hold anything.
const PART: &[&str] = &["xlabel"];

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
/// Names of the item's id in a catalogue; in a log they mean a row's number or an order.
pub(super) const CATALOGUE_ITEM: &[&str] = &["id", "code"];
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
/// Fields of Amazon's metadata that describe an item in words; most items have only some of them.
pub(super) const AMAZON_TEXT: &[&str] =
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

/// A name in lower case without punctuation.
pub(crate) fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether a column of this name usually holds items' ids.
pub fn is_item_column(name: &str) -> bool {
    let name = plain(name);
    ITEM.contains(&name.as_str()) || CATALOGUE_ITEM.contains(&name.as_str())
}

/// Whether a column of this name may hold the parts of a split.
pub fn may_name_parts(name: &str) -> bool {
    ["split", "part", "subset", "fold", "splitlabel", "splitset", "datasplit", "set", "trainvalidtest"]
        .contains(&plain(name).as_str())
}

/// Whether a name that isn't a usual one may mean a moment: `basket_date`, `listenedAt`, `ts_server`.
pub(super) fn may_name_times(name: &str) -> bool {
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

/// The words of `eventDate`, `event_date` or `Event Date`, in lower case.
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
