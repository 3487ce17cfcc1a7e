//! Real rows of a padded `[N, L, D]` tensor, and their distribution over threads for the fused kernels.
//!
//! Shapes: `N` sequences, `L` positions, `D` width.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

/// The real positions of N sequences: all of them, or the last ones of each (left padding).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// N
    pub sequences: usize,
    /// L
    pub positions: usize,
    /// `[N]`: real positions of each sequence; `None` where all are. An empty sequence keeps its last position.
    pub lengths: Option<Arc<Vec<u32>>>,
}

/// Fewest and most rows of a chunk, which a thread holds in its cache. Weights are packed again for every chunk, so that
/// smaller ones don't pay.
const CHUNK_ROWS: (usize, usize) = (64, 256);
/// The same for wide rows, whose weights don't stay in the cache.
const WIDE_CHUNK_ROWS: (usize, usize) = (384, 768);
/// Number of chunks that small batches are cut into, to occupy all threads.
const CHUNKS: usize = 8;
const WIDE: usize = 256;
/// Most partial gradient sums, and the memory they may take together (bytes).
const MOST_LANES: usize = 16;
const LANE_BYTES: usize = 128 << 20;

/// Consecutive sequences that one thread works on at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Index among the tensor's chunks.
    pub number: usize,
    pub sequences: Range<usize>,
    /// Real rows of these sequences.
    pub rows: usize,
}

impl Rows {
    pub fn all(sequences: usize, positions: usize) -> Self {
        Self { sequences, positions, lengths: None }
    }

    /// Sequences of the given lengths, padded on the left.
    pub fn padded(lengths: Vec<u32>, positions: usize) -> Self {
        Self { sequences: lengths.len(), positions, lengths: Some(Arc::new(lengths)) }
    }

    /// Real rows of sequence `n`, as row numbers of the whole tensor.
    #[inline]
    pub fn range(&self, n: usize) -> Range<usize> {
        let end = (n + 1) * self.positions;
        let real = match &self.lengths {
            Some(lengths) => (lengths[n] as usize).clamp(1, self.positions),
            None => self.positions,
        };
        end - real..end
    }

    /// For each sequence of `chunk`: its number, its real rows, and the place of the first of them in the packed chunk.
    pub fn packed<'a>(&'a self, chunk: &'a Chunk) -> impl Iterator<Item = (usize, Range<usize>, usize)> + 'a {
        let mut next = 0;
        chunk.sequences.clone().map(move |n| {
            let rows = self.range(n);
            let start = next;
            next += rows.len();
            (n, rows, start)
        })
    }

    /// Copies the chunk's real rows of `values` (`[N, L, D]`) into a dense matrix.
    pub fn pack(&self, chunk: &Chunk, values: &[f32], width: usize, out: &mut Vec<f32>) {
        out.clear();
        for (_, rows, _) in self.packed(chunk) {
            out.extend_from_slice(&values[rows.start * width..rows.end * width]);
        }
    }

    /// The reverse of [`Self::pack`]; `out` is the part of the tensor that holds the chunk's sequences.
    pub fn unpack(&self, chunk: &Chunk, packed: &[f32], width: usize, out: &mut [f32]) {
        let first = chunk.sequences.start * self.positions;
        for (_, rows, start) in self.packed(chunk) {
            let place = (rows.start - first) * width;
            let values = &packed[start * width..(start + rows.len()) * width];
            out[place..place + values.len()].copy_from_slice(values);
        }
    }

    /// Chunks of about equal work. Chunks and lanes depend on the shapes alone, not on the number of threads, so that
    /// gradients are summed in the same order everywhere.
    pub fn chunks(&self, width: usize) -> Vec<Chunk> {
        let (least, most) = if width >= WIDE { WIDE_CHUNK_ROWS } else { CHUNK_ROWS };
        let total: usize = (0..self.sequences).map(|n| self.range(n).len()).sum();
        let target = (total / CHUNKS).clamp(least, most);
        let mut chunks: Vec<Chunk> = Vec::new();
        for n in 0..self.sequences {
            let rows = self.range(n).len();
            match chunks.last_mut() {
                Some(last) if last.rows + rows <= target => {
                    last.sequences.end = n + 1;
                    last.rows += rows;
                }
                _ => chunks.push(Chunk { number: chunks.len(), sequences: n..n + 1, rows }),
            }
        }
        chunks
    }
}

/// Distributes consecutive chunks over at most [`MOST_LANES`] lanes, each with a gradient sum of `bytes`.
fn lanes(chunks: &[Chunk], bytes: usize) -> Vec<&[Chunk]> {
    let lanes = (LANE_BYTES / bytes.max(1)).clamp(2, MOST_LANES).min(chunks.len().max(1));
    let mut rest = chunks;
    let mut cut = Vec::with_capacity(lanes);
    for lane in 0..lanes {
        let (own, others) = rest.split_at(rest.len() / (lanes - lane));
        cut.push(own);
        rest = others;
    }
    cut.retain(|own| !own.is_empty());
    cut
}

/// Calls `run` for every chunk with the chunk's part of every output, and returns the sum of what it accumulates.
///
/// `outputs` are tensors' values with the number of values a sequence. A lane keeps its scratch and its partial sum,
/// `sums` long, from chunk to chunk; the partial sums are added in the order of the lanes.
pub fn for_each_chunk<S: Default, const O: usize>(
    chunks: &[Chunk],
    outputs: [(&mut [f32], usize); O],
    sums: usize,
    run: impl Fn(&Chunk, [&mut [f32]; O], &mut [f32], &mut S) + Sync,
) -> Vec<f32> {
    let lanes = lanes(chunks, sums * size_of::<f32>());
    let mut parts: Vec<[&mut [f32]; O]> = Vec::with_capacity(lanes.len());
    let mut rest = outputs;
    for lane in &lanes {
        let own = lane.iter().map(|chunk| chunk.sequences.len()).sum::<usize>();
        parts.push(rest.each_mut().map(|output| cut(output, own)));
    }
    let lane_sums: Vec<Vec<f32>> = lanes
        .into_par_iter()
        .zip(parts)
        .map(|(lane, part)| {
            let mut scratch = S::default();
            let mut total = vec![0.0f32; sums];
            let sequences = lane.iter().map(|chunk| chunk.sequences.len()).sum::<usize>().max(1);
            let mut rest = part.map(|values| {
                let sequence_len = values.len() / sequences;
                (values, sequence_len)
            });
            for chunk in lane {
                let own = rest.each_mut().map(|output| cut(output, chunk.sequences.len()));
                run(chunk, own, &mut total, &mut scratch);
            }
            total
        })
        .collect();
    add_up(lane_sums, sums)
}

/// Takes the values of the next `sequences` sequences.
fn cut<'a>((values, sequence_len): &mut (&'a mut [f32], usize), sequences: usize) -> &'a mut [f32] {
    let (own, rest) = std::mem::take(values).split_at_mut(sequences * *sequence_len);
    *values = rest;
    own
}

/// Sum of parts of length `len`, added in their order.
pub fn add_up(parts: Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_else(|| vec![0.0; len]);
    let parts: Vec<Vec<f32>> = parts.collect();
    const CHUNK: usize = 1 << 14;
    total.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, total)| {
        for part in &parts {
            for (sum, x) in total.iter_mut().zip(&part[chunk * CHUNK..]) {
                *sum += x;
            }
        }
    });
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn lanes_hold_every_sequence_once_and_in_order(
            lengths in proptest::collection::vec(0u32..40, 1..120),
            width in 1usize..512,
            bytes in 1usize..(1 << 28),
        ) {
            let rows = Rows { sequences: lengths.len(), positions: 40, lengths: Some(Arc::new(lengths)) };
            let chunks = rows.chunks(width);
            let cut = lanes(&chunks, bytes);
            proptest::prop_assert!(cut.len() <= MOST_LANES);
            let mut next = 0;
            for chunk in cut.iter().copied().flatten() {
                proptest::prop_assert_eq!(chunk.sequences.start, next);
                next = chunk.sequences.end;
                let real: usize = chunk.sequences.clone().map(|n| rows.range(n).len()).sum();
                proptest::prop_assert_eq!(chunk.rows, real);
            }
            proptest::prop_assert_eq!(next, rows.sequences);
        }
    }
}
