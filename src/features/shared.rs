//! Items that have one and the same picture, text or feature: seldom so in truth, often a stand-in for none.

use serde::Serialize;

/// From so many items on, what they share is suspect. Two are often variants of one product.
pub const MANY: usize = 3;
/// Ids that are shown.
const SHOWN: usize = 8;

/// Groups of [`MANY`] items or more that share something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shared {
    pub groups: usize,
    /// Items of all groups.
    pub items: usize,
    /// Items of the largest group, and the ids of the first of them.
    pub largest: usize,
    pub examples: Vec<String>,
}

impl Shared {
    /// What `groups` of item numbers amount to; absent if none is of [`MANY`] or more. `ids` are the catalogue's.
    pub fn of(groups: &[Vec<u32>], ids: &[String]) -> Option<Self> {
        let many: Vec<&Vec<u32>> = groups.iter().filter(|group| group.len() >= MANY).collect();
        // The first of the largest, so that the same input gives the same words.
        let largest = many.iter().rev().max_by_key(|group| group.len())?;
        let examples = largest.iter().take(SHOWN).filter_map(|&item| ids.get(item as usize).cloned());
        Some(Self {
            groups: many.len(),
            items: many.iter().map(|group| group.len()).sum(),
            largest: largest.len(),
            examples: examples.collect(),
        })
    }

    /// "5 items share one and the same `what` (2 3 5 6 8)", and how many others there are.
    pub fn told(&self, what: &str) -> String {
        let more = if self.largest > self.examples.len() { " …" } else { "" };
        let ids = self.examples.join(" ");
        let mut text = format!("{} items share one and the same {what} ({ids}{more})", self.largest);
        if self.groups > 1 {
            let others = self.items - self.largest;
            text += &format!(", {others} more share {} others", self.groups - 1);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_passed_over_and_the_largest_group_is_shown() {
        let ids: Vec<String> = (0..20).map(|n| format!("i{n}")).collect();
        assert_eq!(Shared::of(&[vec![1, 2], vec![3]], &ids), None);
        let found =
            Shared::of(&[vec![1, 2], vec![2, 3, 5], (6..16).collect(), vec![17, 18, 19]], &ids).unwrap();
        assert_eq!((found.groups, found.items, found.largest), (3, 16, 10));
        assert_eq!(
            found.told("picture file"),
            "10 items share one and the same picture file (i6 i7 i8 i9 i10 i11 i12 i13 …), 6 more share 2 others"
        );
    }
}
