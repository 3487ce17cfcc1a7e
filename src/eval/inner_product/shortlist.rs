//! The items that may be among the best of one user, collected block by block.

/// An item with two bounds of its score.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub lower: f32,
    pub upper: f32,
    pub item: u32,
}

/// Most entries for which memory is reserved in advance.
const MAX_RESERVED: usize = 256;

/// Every item that may still be among the best k.
#[derive(Debug)]
pub struct Shortlist {
    k: usize,
    entries: Vec<Entry>,
    /// Number of entries at which superfluous ones are dropped.
    full: usize,
    /// At least k items certainly score this much: one that can't isn't among the best.
    threshold: f32,
}

impl Shortlist {
    /// An empty list for the best `k`.
    pub fn new(k: usize) -> Self {
        let threshold = if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Self {
            k,
            entries: Vec::with_capacity(Self::capacity(k).min(MAX_RESERVED)),
            full: Self::capacity(k),
            threshold,
        }
    }

    /// Length at which the list is compacted: four times what it must hold. In random order the list takes twenty times as many
    /// items as it has seen to grow so far, so that it is rarely compacted.
    fn capacity(k: usize) -> usize {
        4 * k
    }

    /// The score below which items aren't among the best.
    #[inline(always)]
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Raises the threshold to a score that k items certainly reach.
    pub fn raise_threshold(&mut self, threshold: f32) {
        self.threshold = self.threshold.max(threshold);
    }

    /// Adds an item that reaches the threshold.
    #[inline(always)]
    pub fn push_candidate(&mut self, entry: Entry) {
        if entry.upper >= self.threshold {
            self.entries.push(entry);
        }
    }

    /// [`Self::compact`] if the list is full. Returns whether it was.
    #[inline(always)]
    pub fn compact_if_full(&mut self) -> bool {
        let full = self.entries.len() >= self.full && self.k > 0;
        if full {
            self.compact();
        }
        full
    }

    /// Raises the threshold to the k-th lower bound and drops entries below it.
    pub fn compact(&mut self) {
        if self.entries.len() > self.k && self.k > 0 {
            let (_, kth, _) =
                self.entries.select_nth_unstable_by(self.k - 1, |a, b| b.lower.total_cmp(&a.lower));
            let threshold = kth.lower;
            self.raise_threshold(threshold);
            self.entries.retain(|entry| entry.upper >= threshold);
        }
        // Entries whose bounds overlap may stay in large numbers; the list is then compacted when it has doubled.
        self.full = Self::capacity(self.k).max(2 * self.entries.len());
    }

    /// The items that may be among the best k, in order of their upper bounds, best first.
    pub fn finish(&mut self) -> &[Entry] {
        self.compact();
        self.entries.sort_unstable_by(|a, b| b.upper.total_cmp(&a.upper));
        &self.entries
    }
}
