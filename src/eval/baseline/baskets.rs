//! Which items the same users had.

use rayon::prelude::*;

/// Added to the cosine's denominator, so that two items with one common user are no twins (docs/studies.md, section 3).
pub const SHRINKAGE: f64 = 10.0;

/// Distinct items by user and users by item.
#[derive(Debug)]
pub struct Baskets {
    /// By user: ascending distinct items.
    items: Vec<Vec<u32>>,
    /// By item, entry 0 is padding: ascending users.
    users: Vec<Vec<u32>>,
}

impl Baskets {
    /// `history` gives a user's interactions, of items up to `items`. Memory: the interactions twice.
    pub fn new<'a>(users: usize, items: usize, history: impl Fn(usize) -> &'a [u32] + Sync) -> Self {
        let distinct = |u: usize| {
            let mut items = history(u).to_vec();
            items.sort_unstable();
            items.dedup();
            items
        };
        let baskets: Vec<Vec<u32>> = (0..users).into_par_iter().map(distinct).collect();
        let mut owners = vec![Vec::new(); items + 1];
        for (u, basket) in baskets.iter().enumerate() {
            basket.iter().for_each(|&item| owners[item as usize].push(u as u32));
        }
        Self { items: baskets, users: owners }
    }

    /// Number of items and 1 for padding.
    pub fn width(&self) -> usize {
        self.users.len()
    }

    /// Ascending users of an item.
    pub fn users(&self, item: usize) -> &[u32] {
        &self.users[item]
    }

    /// Every other item that shares a user with `item`, with the number of common users, in the order of the first of them.
    /// `common` has [`Self::width`] entries, all zeros before and after.
    pub fn sharing(&self, item: usize, common: &mut [u32]) -> Vec<(u32, u32)> {
        let mut met = Vec::new();
        for &user in &self.users[item] {
            for &other in &self.items[user as usize] {
                if common[other as usize] == 0 {
                    met.push(other);
                }
                common[other as usize] += 1;
            }
        }
        let others = met.iter().filter(|&&other| other as usize != item);
        let counted = others.map(|&other| (other, common[other as usize])).collect();
        met.iter().for_each(|&other| common[other as usize] = 0);
        counted
    }

    /// Cosine of the binary user columns of two items with `common` users in common, with shrinkage 10.
    pub fn similarity(&self, a: usize, b: usize, common: u32) -> f64 {
        let norm = (self.users[a].len() as f64 * self.users[b].len() as f64).sqrt();
        f64::from(common) / (norm + SHRINKAGE)
    }

    /// Number of common users of two items.
    pub fn common(&self, a: usize, b: usize) -> u32 {
        let (short, long) = if self.users[a].len() < self.users[b].len() { (a, b) } else { (b, a) };
        self.users[short].iter().filter(|user| self.users[long].binary_search(user).is_ok()).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_users_are_counted_once_each() {
        let histories: [&[u32]; 3] = [&[2, 1, 2], &[1, 3], &[3, 1, 2]];
        let baskets = Baskets::new(3, 3, |u| histories[u]);
        let mut common = vec![0; baskets.width()];
        assert_eq!(baskets.users(1), [0, 1, 2]);
        assert_eq!(baskets.sharing(1, &mut common), [(2, 2), (3, 2)]);
        assert_eq!((baskets.common(2, 3), baskets.common(1, 2)), (1, 2));
        assert_eq!(baskets.similarity(1, 2, 2), 2.0 / (6.0f64.sqrt() + 10.0));
        assert!(common.iter().all(|&n| n == 0));
    }
}
