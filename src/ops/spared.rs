//! Values inside a sublayer that are kept for the backward pass while there is room, which spares it their arithmetic.
//!
//! Without room they are computed again, by the same products: kept or not, every bit of a gradient is the same.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::rows::Chunk;

/// What all sublayers of the process may keep at a time (bytes). Beyond it a step takes a fifth more arithmetic, and no
/// more memory.
const MOST_BYTES: usize = 1 << 30;

/// Taken of [`MOST_BYTES`].
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Held by tests that count on room, or take it all.
#[cfg(test)]
pub static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Values of each chunk of rows.
#[derive(Debug)]
pub struct Spared {
    /// Nothing where there is no room.
    chunks: Vec<OnceLock<Vec<Vec<f32>>>>,
    bytes: usize,
}

impl Spared {
    /// Room for `per_row` numbers of every row, or none.
    pub fn room(chunks: &[Chunk], per_row: usize) -> Self {
        let rows: usize = chunks.iter().map(|chunk| chunk.rows).sum();
        let bytes = rows * per_row * size_of::<f32>();
        let fits = |taken: usize| taken.checked_add(bytes).filter(|&sum| sum <= MOST_BYTES);
        match TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Self { chunks: chunks.iter().map(|_| OnceLock::new()).collect(), bytes },
            Err(_) => Self::none(),
        }
    }

    pub fn none() -> Self {
        Self { chunks: Vec::new(), bytes: 0 }
    }

    /// All the room that is left, so that others get none.
    #[cfg(test)]
    pub fn all_room() -> Self {
        let taken = TAKEN.swap(MOST_BYTES, Ordering::Relaxed);
        Self { chunks: Vec::new(), bytes: MOST_BYTES - taken }
    }

    /// Takes the values of a chunk where there is room.
    pub fn keep<const K: usize>(&self, chunk: &Chunk, values: [&mut Vec<f32>; K]) {
        if let Some(place) = self.chunks.get(chunk.number) {
            // A chunk is computed once.
            let _ = place.set(values.map(std::mem::take).into());
        }
    }

    /// The values of a chunk in the order in which they were kept, if they were.
    pub fn of(&self, chunk: &Chunk) -> Option<&[Vec<f32>]> {
        self.chunks.get(chunk.number)?.get().map(Vec::as_slice)
    }
}

impl Drop for Spared {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_and_given_back() {
        let _alone = ALONE.lock().unwrap();
        let chunk = |number: usize| Chunk { number, sequences: number..number + 1, rows: 10 };
        let chunks = [chunk(0), chunk(1)];
        let most = MOST_BYTES / size_of::<f32>() / 20;
        assert!(Spared::room(&chunks, most + 1).chunks.is_empty());
        {
            let spared = Spared::room(&chunks, 3);
            assert!(TAKEN.load(Ordering::Relaxed) >= 20 * 3 * size_of::<f32>());
            let (mut a, mut b) = (vec![1.0, 2.0], vec![3.0]);
            spared.keep(&chunks[1], [&mut a, &mut b]);
            assert!(a.is_empty() && b.is_empty());
            assert_eq!(spared.of(&chunks[1]), Some([vec![1.0, 2.0], vec![3.0]].as_slice()));
            assert_eq!((spared.of(&chunks[0]), spared.of(&chunk(9))), (None, None));
        }
        let none = Spared::none();
        let mut kept = vec![1.0];
        none.keep(&chunks[0], [&mut kept]);
        assert_eq!((kept, none.of(&chunks[0])), (vec![1.0], None));
    }
}
