//! Items that share one picture, text or feature row, which often stands for a missing one.

use serde::Serialize;

/// Smallest suspicious group. Two items are often variants of one product.
pub const MANY: usize = 3;
/// Most ids that are shown.
const SHOWN: usize = 8;

/// Summary of the groups of [`MANY`] items or more that share something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shared {
    pub groups: usize,
    /// Number of items in all groups.
    pub items: usize,
    /// Number of items in the largest group, and the first of their ids.
    pub largest: usize,
    pub examples: Vec<String>,
}

impl Shared {
    /// Summarises `groups` of item numbers; `None` if none has [`MANY`] or more. `ids` are the catalogue's.
    pub fn find(groups: &[Vec<u32>], ids: &[String]) -> Option<Self> {
        let many: Vec<&Vec<u32>> = groups.iter().filter(|group| group.len() >= MANY).collect();
        // The first of the largest groups, so that the result is deterministic.
        let largest = many.iter().rev().max_by_key(|group| group.len())?;
        let examples = largest.iter().take(SHOWN).filter_map(|&item| ids.get(item as usize).cloned());
        Some(Self {
            groups: many.len(),
            items: many.iter().map(|group| group.len()).sum(),
            largest: largest.len(),
            examples: examples.collect(),
        })
    }

    /// Text such as "5 items share one and the same `what` (2 3 5 6 8)", with the number of others.
    pub fn describe(&self, what: &str) -> String {
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
        assert_eq!(Shared::find(&[vec![1, 2], vec![3]], &ids), None);
        let found =
            Shared::find(&[vec![1, 2], vec![2, 3, 5], (6..16).collect(), vec![17, 18, 19]], &ids).unwrap();
        assert_eq!((found.groups, found.items, found.largest), (3, 16, 10));
        assert_eq!(
            found.describe("picture file"),
            "10 items share one and the same picture file (i6 i7 i8 i9 i10 i11 i12 i13 …), 6 more share 2 others"
        );
    }
}
