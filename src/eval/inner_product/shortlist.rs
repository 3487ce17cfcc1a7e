//! Items that may be among the best, while blocks of the catalogue pass by.

/// An item between two bounds of its score.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub lower: f32,
    pub upper: f32,
    pub item: u32,
}

/// Entries for which memory is set aside at once.
const ROOM: usize = 256;

/// Every item that may still be among the best k.
#[derive(Debug)]
pub struct Shortlist {
    k: usize,
    entries: Vec<Entry>,
    /// So many entries are worth a look for superfluous ones.
    full: usize,
    bar: f32,
}

impl Shortlist {
    pub fn new(k: usize) -> Self {
        let bar = if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Self { k, entries: Vec::with_capacity(Self::room(k).min(ROOM)), full: Self::room(k), bar }
    }

    /// Between two looks the list grows to four times what it must hold: in random order that takes twenty times as
    /// many items as came before, so that looks are few.
    fn room(k: usize) -> usize {
        4 * k
    }

    /// k items surely score this much: what can't is not among the best.
    #[inline(always)]
    pub fn bar(&self) -> f32 {
        self.bar
    }

    /// Tells that k items surely score this much.
    pub fn raise(&mut self, bar: f32) {
        self.bar = self.bar.max(bar);
    }

    #[inline(always)]
    pub fn offer(&mut self, entry: Entry) {
        if entry.upper >= self.bar {
            self.entries.push(entry);
        }
    }

    /// [`Self::prune`] where it is time; whether it was.
    #[inline(always)]
    pub fn tidy(&mut self) -> bool {
        let full = self.entries.len() >= self.full && self.k > 0;
        if full {
            self.prune();
        }
        full
    }

    /// Raises the bar and drops what lies below it.
    pub fn prune(&mut self) {
        if self.entries.len() > self.k && self.k > 0 {
            let (_, kth, _) =
                self.entries.select_nth_unstable_by(self.k - 1, |a, b| b.lower.total_cmp(&a.lower));
            let bar = kth.lower;
            self.raise(bar);
            self.entries.retain(|entry| entry.upper >= bar);
        }
        // Many that the bounds can't tell apart stay, and are not looked at again before they have doubled.
        self.full = Self::room(self.k).max(2 * self.entries.len());
    }

    /// What may be among the best k, in order of its upper bounds, best first.
    pub fn ordered(&mut self) -> &[Entry] {
        self.prune();
        self.entries.sort_unstable_by(|a, b| b.upper.total_cmp(&a.upper));
        &self.entries
    }
}
