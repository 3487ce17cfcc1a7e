//! What those get of whom the model knows nothing: the items that training saw most.

use super::{Listing, Recommendation};

/// Items by their training interactions, most first, ties by item number; those without any are no part of it.
#[derive(Clone, Debug)]
pub struct Popular {
    order: Vec<(u32, u32)>,
}

impl Popular {
    /// `counts` are the items' training interactions, I + 1 entries; only items that are `offered` are listed.
    pub fn new(counts: &[u32], offered: impl Fn(u32) -> bool) -> Self {
        let mut order: Vec<(u32, u32)> = (0u32..)
            .zip(counts.iter().copied())
            .skip(1)
            .filter(|&(item, n)| n > 0 && offered(item))
            .collect();
        // Stable: equal counts keep the order of the catalogue.
        order.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
        Self { order }
    }

    /// The most popular items for whoever had the items `seen`; the score is the number of training interactions, branches
    /// have none.
    pub fn list(&self, seen: &[u32], listing: &Listing<'_>) -> Vec<Recommendation> {
        let is_candidate = |item: u32| {
            listing.among.is_none_or(|choice| choice.place(item).is_some())
                && (listing.allow_seen || !seen.contains(&item))
        };
        let each = self.order.iter().filter(|(item, _)| is_candidate(*item)).take(listing.k);
        each.map(|&(item, n)| Recommendation { item, score: n as f32, branches: Vec::new() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Choice;

    fn items(list: &[Recommendation]) -> Vec<(u32, u32)> {
        list.iter().map(|r| (r.item, r.score as u32)).collect()
    }

    #[test]
    fn the_most_seen_come_first_and_the_unseen_never() {
        let popular = Popular::new(&[9, 2, 0, 5, 2, 7, 1], |item| item != 5);
        assert_eq!(items(&popular.list(&[], &Listing::best(9))), [(3, 5), (1, 2), (4, 2), (6, 1)]);
        assert_eq!(items(&popular.list(&[], &Listing::best(2))), [(3, 5), (1, 2)]);
        assert_eq!(items(&popular.list(&[3, 4], &Listing::best(2))), [(1, 2), (6, 1)]);
    }

    #[test]
    fn only_chosen_items_are_listed_and_those_of_the_history_where_they_may() {
        let popular = Popular::new(&[0, 2, 0, 5, 2, 7, 1], |_| true);
        let choice = Choice::new(&[false, true, true, false, true, false, true], Vec::new());
        let listing = Listing { k: 3, allow_seen: true, among: Some(&choice) };
        assert_eq!(items(&popular.list(&[4], &listing)), [(1, 2), (4, 2), (6, 1)]);
        let listing = Listing { allow_seen: false, ..listing };
        assert_eq!(items(&popular.list(&[4], &listing)), [(1, 2), (6, 1)]);
    }
}
