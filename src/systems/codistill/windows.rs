//! Which events of the training part are trained on: the windows that are cut from it, and what they leave out.
//!
//! An item's ID vector is trained where a window reads the item. Whether that is so follows from the data set,
//! `data.windows`, `data.max_seq_len` and `data.min_train_len` alone, and is counted here for all who ask.

use std::fmt::Write as _;

use crate::config::{DataConfig, Windows};
use crate::data::Sequences;

/// Share of the training events that no window reads, from which on it is told although every item is read.
const MANY: f64 = 0.1;

/// A run of consecutive training items of one user: the last is a target only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub user: u32,
    /// First item's place in the user's training sequence.
    pub start: u32,
    /// Items, at least 2.
    pub length: u32,
}

/// How windows are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub windows: Windows,
    /// S
    pub max_seq_len: usize,
    /// Users with fewer training items have no window; below 2 there is none in any case.
    pub min_train_len: usize,
}

impl Cut {
    pub fn new(config: &DataConfig) -> Self {
        let DataConfig { windows, max_seq_len, min_train_len, .. } = *config;
        Self { windows, max_seq_len, min_train_len }
    }

    /// The windows, user after user, newest first.
    pub fn windows(&self, sequences: &Sequences) -> Vec<Window> {
        let mut windows = Vec::new();
        for user in 0..sequences.users() {
            let cut = self.spans(sequences.train_of(user).len());
            windows.extend(cut.into_iter().map(|(start, length)| Window {
                user: user as u32,
                start: start as u32,
                length: length as u32,
            }));
        }
        windows
    }

    /// How many training events of each item some window reads, each event once; entry 0 is 0. `items` is I.
    pub fn window_counts(&self, sequences: &Sequences, items: usize) -> Vec<u32> {
        let mut counts = vec![0; items + 1];
        for user in 0..sequences.users() {
            let train = sequences.train_of(user);
            let first = self.spans(train.len()).iter().map(|&(start, _)| start).min();
            train[first.unwrap_or(train.len())..].iter().for_each(|&item| counts[item as usize] += 1);
        }
        counts
    }

    /// (start, length) of the windows of a training sequence of `n` items, newest first.
    fn spans(&self, n: usize) -> Vec<(usize, usize)> {
        if n < self.min_train_len.max(2) { Vec::new() } else { cut(n, self.max_seq_len + 1, self.windows) }
    }
}

fn cut(n: usize, span: usize, windows: Windows) -> Vec<(usize, usize)> {
    let mut cut = Vec::new();
    let mut end = n;
    while end >= 2 {
        let start = end.saturating_sub(span);
        cut.push((start, end - start));
        if windows == Windows::Last {
            break;
        }
        // The first item of a window was no target; as the last of the next one it is.
        end = if start == 0 { 0 } else { start + 1 };
    }
    cut
}

/// Training events that no window reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    cut: Cut,
    /// I
    items: usize,
    /// Items with training events of which no window reads one, by what would mend it.
    old: usize,
    short: usize,
    single: usize,
    /// Events of the training part, and those that no window reads.
    pub events: u64,
    pub unread_events: u64,
}

impl Unread {
    /// What `cut` leaves out of the training part; `items` is I.
    pub fn new(sequences: &Sequences, items: usize, cut: Cut) -> Self {
        let sum = |counts: &[u32]| counts.iter().map(|&n| u64::from(n)).sum::<u64>();
        let mut all = vec![0; items + 1];
        for user in 0..sequences.users() {
            sequences.train_of(user).iter().for_each(|&item| all[item as usize] += 1);
        }
        let read = cut.window_counts(sequences, items);
        let whole = Cut { windows: Windows::All, ..cut }.window_counts(sequences, items);
        let any = Cut { windows: Windows::All, min_train_len: 2, ..cut }.window_counts(sequences, items);
        let (mut old, mut short, mut single) = (0, 0, 0);
        for item in (1..=items).filter(|&item| all[item] > 0 && read[item] == 0) {
            match (whole[item], any[item]) {
                (1.., _) => old += 1,
                (0, 1..) => short += 1,
                (0, 0) => single += 1,
            }
        }
        let events = sum(&all);
        Self { cut, items, old, short, single, events, unread_events: events - sum(&read) }
    }

    /// Items with training events of which no window reads one: their ID vectors keep their random start.
    pub fn items(&self) -> usize {
        self.old + self.short + self.single
    }

    /// Share of the training events that no window reads.
    pub fn share(&self) -> f64 {
        self.unread_events as f64 / self.events.max(1) as f64
    }

    /// What the user should know, a sentence a cause; empty where every item is read.
    pub fn warnings(&self) -> Vec<String> {
        let Cut { max_seq_len, min_train_len, .. } = self.cut;
        let stand = |n: usize| {
            let verb = if n == 1 { "stands" } else { "stand" };
            format!("{n} of {} items {verb} in no training window", self.items)
        };
        let mut said = Vec::new();
        if self.old > 0 {
            said.push(format!(
                "{} (data.windows = \"last\", max_seq_len {max_seq_len} reads the newest {}); --set data.windows=all \
                 trains them",
                stand(self.old),
                max_seq_len + 1
            ));
        }
        if self.short > 0 {
            said.push(format!(
                "{} (their users have fewer than data.min_train_len = {min_train_len} training items); \
                 --set data.min_train_len=2 trains them",
                stand(self.short)
            ));
        }
        if self.single > 0 {
            said.push(format!(
                "{} (their users have one training item each, and a window needs two); prepare with a higher \
                 --min-length to leave such users out",
                stand(self.single)
            ));
        }
        if let Some(last) = said.last_mut() {
            let _ = write!(last, "; {}", self.events_sentence());
        }
        said
    }

    /// What may be meant so, and is still worth a line: many events are read by no window, though every item is.
    pub fn note(&self) -> Option<String> {
        (self.items() == 0 && self.share() >= MANY).then(|| {
            let n = self.cut.max_seq_len;
            format!(
                "{} (data.windows = \"last\", max_seq_len {n} reads the newest {}); --set data.windows=all reads all",
                self.events_sentence(),
                n + 1
            )
        })
    }

    fn events_sentence(&self) -> String {
        format!("no window reads {:.1} % of the training events", 100.0 * self.share())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Part;

    /// Training sequences, each followed by a validation and a test target of item `I`.
    fn sequences(lists: &[&[u32]]) -> Sequences {
        let mut s = Sequences { offsets: vec![0], ..Sequences::default() };
        for list in lists {
            s.items.extend_from_slice(list);
            s.parts.extend(vec![Part::Train; list.len()]);
            s.items.extend([1, 1]);
            s.parts.extend([Part::Valid, Part::Test]);
            s.offsets.push(s.items.len());
        }
        s.times = (0..s.items.len() as i64).collect();
        s
    }

    fn last(max_seq_len: usize) -> Cut {
        Cut { windows: Windows::Last, max_seq_len, min_train_len: 2 }
    }

    #[test]
    fn windows_make_every_transition_a_target_once() {
        for n in 2..40 {
            let mut targets = vec![0; n];
            for (start, length) in cut(n, 6, Windows::All) {
                assert!((2..=6).contains(&length));
                targets[start + 1..start + length].iter_mut().for_each(|t| *t += 1);
            }
            assert_eq!(targets[0], 0);
            assert!(targets[1..].iter().all(|&t| t == 1), "{n}: {targets:?}");
        }
        assert_eq!(cut(9, 6, Windows::Last), [(3, 6)]);
    }

    #[test]
    fn trained_events_are_those_that_some_window_reads_each_once() {
        let s = sequences(&[&[5, 4, 3, 2, 1, 2], &[6, 1], &[7]]);
        assert_eq!(last(2).window_counts(&s, 8), [0, 2, 2, 0, 0, 0, 1, 0, 0]);
        let all = Cut { windows: Windows::All, ..last(2) };
        assert_eq!(all.window_counts(&s, 8), [0, 2, 2, 1, 1, 1, 1, 0, 0]);
        assert_eq!(Cut { min_train_len: 3, ..all }.window_counts(&s, 8), [0, 1, 2, 1, 1, 1, 0, 0, 0]);
        // The counts agree with the windows themselves.
        let mut by_window = [[false; 6]; 3];
        for w in all.windows(&s) {
            (w.start..w.start + w.length).for_each(|place| by_window[w.user as usize][place as usize] = true);
        }
        assert_eq!(by_window.iter().flatten().filter(|&&read| read).count(), 8);
    }

    #[test]
    fn items_that_no_window_reads_are_told_by_what_mends_it() {
        // Old items only in the first five of ten events: half of the events.
        let lists: Vec<Vec<u32>> =
            (0..4).map(|u| (0..10).map(|i| if i < 5 { 10 + i } else { 1 + (i + u) % 9 }).collect()).collect();
        let s = sequences(&lists.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let unread = Unread::new(&s, 20, last(4));
        assert_eq!((unread.items(), unread.events, unread.unread_events), (5, 40, 20));
        assert_eq!(
            unread.warnings(),
            [
                "5 of 20 items stand in no training window (data.windows = \"last\", max_seq_len 4 reads the newest 5); \
              --set data.windows=all trains them; no window reads 50.0 % of the training events"
            ]
        );
        assert_eq!(unread.note(), None);
        // The control: all windows read all.
        let all = Unread::new(&s, 20, Cut { windows: Windows::All, ..last(4) });
        assert_eq!((all.items(), all.unread_events, all.warnings(), all.note()), (0, 0, Vec::new(), None));

        // Item 8 stands in a sequence of two, item 9 alone, item 7 at the start of a long one.
        let s = sequences(&[&[7, 1, 2, 3], &[8, 1], &[9], &[3, 2, 1]]);
        let said = Unread::new(&s, 9, Cut { min_train_len: 3, ..last(2) }).warnings();
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(
            said[0].starts_with("1 of 9 items stands in no training window (data.windows"),
            "{}",
            said[0]
        );
        assert!(
            said[1].contains("fewer than data.min_train_len = 3")
                && said[1].contains("min_train_len=2 trains")
        );
        assert!(
            said[2].contains("one training item each") && said[2].ends_with("40.0 % of the training events")
        );
    }

    #[test]
    fn many_unread_events_are_a_note_where_every_item_is_read() {
        let s = sequences(&[&[1, 2, 3, 1, 2, 3, 1, 2, 3, 1]]);
        let unread = Unread::new(&s, 3, last(3));
        assert!(unread.warnings().is_empty());
        assert!(unread.note().unwrap().starts_with("no window reads 60.0 % of the training events"));
        assert_eq!(Unread::new(&s, 3, last(8)).note().map(|note| note.contains("10.0 %")), Some(true));
        assert_eq!(Unread::new(&s, 3, last(9)).note(), None);
    }

    proptest::proptest! {
        #[test]
        fn read_and_unread_events_make_up_the_training_part(
            lists in proptest::collection::vec(proptest::collection::vec(1u32..12, 0..14), 1..8),
            s in 1usize..8,
            min in 2usize..5,
            all: bool,
        ) {
            let sequences = sequences(&lists.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let windows = if all { Windows::All } else { Windows::Last };
            let cut = Cut { windows, max_seq_len: s, min_train_len: min };
            let unread = Unread::new(&sequences, 11, cut);
            let read: u64 = cut.window_counts(&sequences, 11).iter().map(|&n| u64::from(n)).sum();
            proptest::prop_assert_eq!(unread.events, lists.iter().map(|l| l.len() as u64).sum::<u64>());
            proptest::prop_assert_eq!(read + unread.unread_events, unread.events);
            proptest::prop_assert_eq!(unread.warnings().is_empty(), unread.items() == 0);
        }
    }
}
