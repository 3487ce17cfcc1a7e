//! What became of the items of a data set that another one replaces.

use std::collections::HashMap;

use super::Items;

/// Counts the items of both catalogues whose title, text or picture differs. Features that were made from the old ones
/// stand for the old ones.
pub fn changed_items(old: &Items, new: &Items) -> usize {
    let about = |items: &Items, n: usize| {
        [&items.titles, &items.texts, &items.images].map(|column| column[n].clone())
    };
    let before: HashMap<&str, [String; 3]> =
        (1..=old.count()).map(|n| (old.ids[n].as_str(), about(old, n))).collect();
    let changed = |&n: &usize| before.get(new.ids[n].as_str()).is_some_and(|then| *then != about(new, n));
    (1..=new.count()).filter(changed).count()
}
