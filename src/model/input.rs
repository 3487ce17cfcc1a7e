//! Model input on the host: a block of items, grouped by token count.
//!
//! Padding tokens cost as much as real ones. Instead of packing and unpacking them on the device, items of similar
//! token counts form a dense group of their own (docs/odmt.md, section 7, saving 5); the concatenated outputs of the
//! groups are the block.

use std::sync::Arc;

use crate::features::FeatureStore;

/// Where a view's tokens come from: nothing for an ID view.
#[derive(Clone)]
pub struct ViewSource {
    pub store: Arc<FeatureStore>,
    /// Most tokens read per item.
    pub max_tokens: usize,
}

/// The views that an item is read without, though it may have them; by their numbers in the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Without(u64);

impl Without {
    /// Views with a number below this can be in it.
    pub const VIEWS: usize = 64;

    /// # Panics
    /// `view` is not below [`Self::VIEWS`].
    pub fn insert(&mut self, view: usize) {
        assert!(view < Self::VIEWS, "view {view} of {}", Self::VIEWS);
        self.0 |= 1 << view;
    }

    pub fn contains(self, view: usize) -> bool {
        view < Self::VIEWS && self.0 >> view & 1 == 1
    }

    /// Nothing is left out.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// An item, and the views that it is read without.
pub type Copied = (u32, Without);

/// Tokens of one view for the items of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupTokens {
    /// `[N, T, F]`, zero behind each item's length.
    pub values: Vec<f32>,
    /// T: the longest of the group, at least 1.
    pub count: usize,
    /// F
    pub width: usize,
    /// Valid tokens per item; 0 for an item without this view, whose token 0 is the learned missing token.
    pub lengths: Vec<usize>,
}

impl GroupTokens {
    /// Tokens that attention may read: a missing item has one.
    pub fn readable(&self, item: usize) -> usize {
        self.lengths[item].max(1)
    }
}

/// Items with similar token counts.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemGroup {
    /// First item's place in the block.
    pub start: usize,
    pub count: usize,
    /// One entry per configured view; `None` for ID views.
    views: Vec<Option<GroupTokens>>,
}

impl ItemGroup {
    pub fn view(&self, v: usize) -> Option<&GroupTokens> {
        self.views[v].as_ref()
    }
}

/// Where an item stands among those of an [`ItemBlock`], from 0: the row of its vector, and the column of its scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Column(pub u32);

impl From<Column> for u32 {
    fn from(column: Column) -> Self {
        column.0
    }
}

/// Distinct items (or occurrences) in the order in which their vectors will come out.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemBlock {
    pub items: Vec<u32>,
    pub groups: Vec<ItemGroup>,
}

impl ItemBlock {
    /// Orders `items` by token counts, cuts them into at most `max_groups` groups, and gathers tokens.
    pub fn build(items: Vec<u32>, views: &[Option<ViewSource>], max_groups: usize) -> Self {
        Self::build_with_noise(items, views, max_groups, 0)
    }

    /// [`ItemBlock::build`] in the batch with this key, on which only features depend that are noise, drawn anew in each batch.
    pub fn build_with_noise(
        items: Vec<u32>,
        views: &[Option<ViewSource>],
        max_groups: usize,
        noise_key: u64,
    ) -> Self {
        let whole: Vec<Copied> = items.into_iter().map(|item| (item, Without::default())).collect();
        Self::build_copies(&whole, views, max_groups, noise_key).0
    }

    /// A block of copies of items, each read without some views, as if the item lacked them; and the column of each copy.
    /// See [`ItemBlock::build_with_noise`].
    pub fn build_copies(
        copies: &[Copied],
        views: &[Option<ViewSource>],
        max_groups: usize,
        noise_key: u64,
    ) -> (Self, Vec<Column>) {
        let key = |copy: Copied| -> Vec<usize> {
            let sources = views.iter().enumerate();
            sources.filter_map(|(number, v)| Some(v.as_ref()?.copy_length(number, copy))).collect()
        };
        let mut order: Vec<u32> = (0..copies.len() as u32).collect();
        order.sort_by_cached_key(|&place| (key(copies[place as usize]), copies[place as usize]));
        let mut columns = vec![Column(0); copies.len()];
        (0..).zip(&order).for_each(|(column, &place)| columns[place as usize] = Column(column));
        let sorted: Vec<Copied> = order.iter().map(|&place| copies[place as usize]).collect();
        let keys: Vec<Vec<usize>> = sorted.iter().map(|&copy| key(copy)).collect();
        let mut start = 0;
        let mut groups = Vec::new();
        for count in group_sizes(&keys, max_groups.max(1)) {
            let own = &sorted[start..start + count];
            let gathered = |(number, view): (usize, &Option<ViewSource>)| {
                view.as_ref().map(|view| gather(view, number, own, noise_key))
            };
            groups.push(ItemGroup { start, count, views: views.iter().enumerate().map(gathered).collect() });
            start += count;
        }
        (Self { items: sorted.into_iter().map(|(item, _)| item).collect(), groups }, columns)
    }
}

impl ViewSource {
    /// Tokens read of a copy in the view with this number.
    fn copy_length(&self, number: usize, (item, without): Copied) -> usize {
        if without.contains(number) { 0 } else { self.store.length(item).min(self.max_tokens) }
    }
}

fn gather(view: &ViewSource, number: usize, copies: &[Copied], noise_key: u64) -> GroupTokens {
    let lengths: Vec<usize> = copies.iter().map(|&copy| view.copy_length(number, copy)).collect();
    let count = lengths.iter().copied().max().unwrap_or(0).max(1);
    let width = view.store.width();
    let mut values = vec![0.0; copies.len() * count * width];
    for ((&(item, _), &length), row) in
        copies.iter().zip(&lengths).zip(values.chunks_exact_mut(count * width))
    {
        if length > 0 {
            view.store.gather_with_noise(item, length, noise_key, &mut row[..length * width]);
        }
    }
    GroupTokens { values, count, width, lengths }
}

/// Sizes of at most `max_groups` consecutive groups that together hold the fewest tokens.
///
/// `keys` are sorted. Exact, by dynamic programming over the distinct keys.
pub(super) fn group_sizes(keys: &[Vec<usize>], max_groups: usize) -> Vec<usize> {
    let mut kinds: Vec<(&[usize], usize)> = Vec::new();
    for key in keys {
        match kinds.last_mut() {
            Some((last, n)) if *last == key.as_slice() => *n += 1,
            _ => kinds.push((key, 1)),
        }
    }
    let n = kinds.len();
    if n <= max_groups {
        return kinds.iter().map(|&(_, count)| count).collect();
    }
    // cost[j] = fewest tokens for kinds 0..j with the groups used so far; cut[g][j] = where the last begins.
    let mut cost = vec![usize::MAX; n + 1];
    cost[0] = 0;
    let mut cuts = Vec::new();
    for _ in 0..max_groups {
        let mut next = vec![usize::MAX; n + 1];
        let mut cut = vec![0; n + 1];
        for end in 1..=n {
            let mut longest = vec![0; kinds[0].0.len()];
            let mut count = 0;
            for start in (0..end).rev() {
                count += kinds[start].1;
                for (most, &length) in longest.iter_mut().zip(kinds[start].0) {
                    *most = (*most).max(length.max(1));
                }
                // One more for the ID token, so that a group of its own is never free.
                let tokens = count * (1 + longest.iter().sum::<usize>());
                let total = cost[start].saturating_add(tokens);
                if total < next[end] {
                    (next[end], cut[end]) = (total, start);
                }
            }
        }
        next[0] = 0;
        cost = next;
        cuts.push(cut);
    }
    let mut sizes = Vec::new();
    let mut end = n;
    for cut in cuts.iter().rev() {
        if end == 0 {
            break;
        }
        let start = cut[end];
        sizes.push(kinds[start..end].iter().map(|&(_, count)| count).sum());
        end = start;
    }
    sizes.reverse();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens_of(keys: &[Vec<usize>], sizes: &[usize]) -> usize {
        let mut start = 0;
        sizes
            .iter()
            .map(|&size| {
                let group = &keys[start..start + size];
                start += size;
                let width: usize =
                    (0..group[0].len()).map(|v| group.iter().map(|k| k[v].max(1)).max().unwrap()).sum();
                size * (1 + width)
            })
            .sum()
    }

    fn best_by_trying_all(keys: &[Vec<usize>], groups: usize) -> usize {
        if groups == 1 || keys.len() <= 1 {
            return tokens_of(keys, &[keys.len()]);
        }
        (1..keys.len())
            .map(|cut| tokens_of(&keys[..cut], &[cut]) + best_by_trying_all(&keys[cut..], groups - 1))
            .min()
            .unwrap()
            .min(tokens_of(keys, &[keys.len()]))
    }

    proptest::proptest! {
        #[test]
        fn groups_cover_all_items_and_hold_the_fewest_tokens(
            mut keys in proptest::collection::vec(proptest::collection::vec(0usize..5, 2), 1..9),
            groups in 1usize..4,
        ) {
            keys.sort();
            let sizes = group_sizes(&keys, groups);
            proptest::prop_assert!(sizes.len() <= groups);
            proptest::prop_assert_eq!(sizes.iter().sum::<usize>(), keys.len());
            proptest::prop_assert_eq!(tokens_of(&keys, &sizes), best_by_trying_all(&keys, groups));
        }
    }

    #[test]
    fn items_without_token_views_form_one_group() {
        let block = ItemBlock::build(vec![3, 1, 2], &[None], 4);
        assert_eq!(block.items, [1, 2, 3]);
        assert_eq!((block.groups.len(), block.groups[0].count), (1, 3));
    }
}
