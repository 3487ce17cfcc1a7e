//! Intermediate values of a sublayer, saved for the backward pass within a memory budget.
//!
//! Values that don't fit are recomputed by the same products, so that gradients are equal to the bit either way.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::rows::Chunk;

/// Memory budget of all sublayers of the process together, in bytes. Without any, a step takes a fifth more arithmetic.
const MOST_BYTES: usize = 1 << 30;

/// Bytes of [`MOST_BYTES`] that are in use.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Lock for tests that rely on free budget, or use all of it.
#[cfg(test)]
pub static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Saved values of each chunk of rows.
#[derive(Debug)]
pub struct Saved {
    /// Empty where the budget was exceeded.
    chunks: Vec<OnceLock<Vec<Vec<f32>>>>,
    bytes: usize,
}

impl Saved {
    /// Reserves budget for `width` numbers a row; saves nothing where that exceeds the budget.
    pub fn reserve(chunks: &[Chunk], width: usize) -> Self {
        let rows: usize = chunks.iter().map(|chunk| chunk.rows).sum();
        let bytes = rows * width * size_of::<f32>();
        let fits = |taken: usize| taken.checked_add(bytes).filter(|&sum| sum <= MOST_BYTES);
        match TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Self { chunks: chunks.iter().map(|_| OnceLock::new()).collect(), bytes },
            Err(_) => Self::none(),
        }
    }

    /// Saves nothing.
    pub fn none() -> Self {
        Self { chunks: Vec::new(), bytes: 0 }
    }

    /// Reserves the rest of the budget.
    #[cfg(test)]
    pub fn reserve_all() -> Self {
        let taken = TAKEN.swap(MOST_BYTES, Ordering::Relaxed);
        Self { chunks: Vec::new(), bytes: MOST_BYTES - taken }
    }

    /// Moves the values of a chunk into the store, if it has budget.
    pub fn store<const K: usize>(&self, chunk: &Chunk, values: [&mut Vec<f32>; K]) {
        if let Some(place) = self.chunks.get(chunk.number) {
            // A chunk is computed once.
            let _ = place.set(values.map(std::mem::take).into());
        }
    }

    /// The saved values of a chunk, in the order of [`Self::store`].
    pub fn get(&self, chunk: &Chunk) -> Option<&[Vec<f32>]> {
        self.chunks.get(chunk.number)?.get().map(Vec::as_slice)
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_is_reserved_and_released() {
        let _alone = ALONE.lock().unwrap();
        let chunk = |number: usize| Chunk { number, sequences: number..number + 1, rows: 10 };
        let chunks = [chunk(0), chunk(1)];
        let most = MOST_BYTES / size_of::<f32>() / 20;
        assert!(Saved::reserve(&chunks, most + 1).chunks.is_empty());
        {
            let saved = Saved::reserve(&chunks, 3);
            assert!(TAKEN.load(Ordering::Relaxed) >= 20 * 3 * size_of::<f32>());
            let (mut a, mut b) = (vec![1.0, 2.0], vec![3.0]);
            saved.store(&chunks[1], [&mut a, &mut b]);
            assert!(a.is_empty() && b.is_empty());
            assert_eq!(saved.get(&chunks[1]), Some([vec![1.0, 2.0], vec![3.0]].as_slice()));
            assert_eq!((saved.get(&chunks[0]), saved.get(&chunk(9))), (None, None));
        }
        let none = Saved::none();
        let mut kept = vec![1.0];
        none.store(&chunks[0], [&mut kept]);
        assert_eq!((kept, none.get(&chunks[0])), (vec![1.0], None));
    }
}
