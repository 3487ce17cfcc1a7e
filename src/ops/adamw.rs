//! AdamW update of a parameter, or of some rows of a table, in a single pass.
//!
//! Composed of tensor operations, the update reads and writes the parameter about twenty times, which for an ID table
//! takes longer than the rest of the step. The CPU kernel does the same arithmetic in the same order, in place: values
//! are copied only if another handle shares them.
//!
//! Shapes: `V` rows of a table, `U` rows that are updated, `F` width.

use burn::backend::Flex;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};
use rayon::prelude::*;

use super::{cpu_handle, simd, use_kernels};

/// Values of a parameter and its moments, flat.
#[derive(Clone, Debug)]
pub struct Entries {
    pub value: Tensor<1>,
    /// Running mean of the gradient.
    pub first: Tensor<1>,
    /// Running mean of its square.
    pub second: Tensor<1>,
}

/// Factors of an update.
#[derive(Clone, Copy, Debug)]
pub struct Factors {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    /// Learning rate over the correction of the first moment's bias.
    pub rate: f64,
    /// Divisor that corrects the second moment's bias.
    pub correction: f64,
    /// Share of the value that decay leaves.
    pub keep: f64,
    /// Multiplies the gradient.
    pub scale: f64,
}

/// Entries of a task; the result does not depend on it.
const CHUNK: usize = 1 << 14;

/// The entries after one update.
pub fn adamw(entries: Entries, grad: Tensor<1>, factors: &Factors) -> Entries {
    if use_kernels(&entries.value.device()) {
        kernel(entries, grad, factors)
    } else {
        composed(entries, grad, factors)
    }
}

/// The entries of a table after one update of some of its rows; the others stay as they are, bit for bit.
///
/// # Shapes
/// - entries: `[V * F]`
/// - rows: U different rows
/// - grad: `[U, F]`
pub fn adamw_rows(entries: Entries, rows: &[u32], grad: Tensor<2>, factors: &Factors) -> Entries {
    if use_kernels(&entries.value.device()) {
        kernel_rows(entries, rows, grad, factors)
    } else {
        composed_rows(entries, rows, grad, factors)
    }
}

fn composed(Entries { value, first, second }: Entries, grad: Tensor<1>, f: &Factors) -> Entries {
    let grad = grad * f.scale;
    let square = grad.clone().square();
    let first = first * f.beta1 + grad * (1.0 - f.beta1);
    let second = second * f.beta2 + square * (1.0 - f.beta2);
    let root = (second.clone() / f.correction).sqrt() + f.eps;
    let value = value * f.keep - first.clone() / root * f.rate;
    Entries { value, first, second }
}

/// Rows are written by adding their changes. No row occurs twice, so that the order of additions, which devices don't
/// fix, makes no difference.
fn composed_rows(entries: Entries, rows: &[u32], grad_uf: Tensor<2>, f: &Factors) -> Entries {
    let [u, width] = grad_uf.dims();
    let index: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
    let index_u = Tensor::<1, Int>::from_data(TensorData::new(index, [u]), &grad_uf.device());
    let index_uf = index_u.clone().reshape([u, 1]).expand([u, width]);
    let as_table = |x: Tensor<1>| {
        let [n] = x.dims();
        x.reshape([n / width, width])
    };
    let picked = |x: &Tensor<1>| as_table(x.clone()).select(0, index_u.clone()).reshape([u * width]);
    let old = Entries {
        value: picked(&entries.value),
        first: picked(&entries.first),
        second: picked(&entries.second),
    };
    let new = composed(old.clone(), grad_uf.reshape([u * width]), f);
    let write = |x: Tensor<1>, old: Tensor<1>, new: Tensor<1>| {
        let [n] = x.dims();
        let change_uf = (new - old).reshape([u, width]);
        as_table(x).scatter(0, index_uf.clone(), change_uf, IndexingUpdateOp::Add).reshape([n])
    };
    Entries {
        value: write(entries.value, old.value, new.value),
        first: write(entries.first, old.first, new.first),
        second: write(entries.second, old.second, new.second),
    }
}

fn kernel(entries: Entries, grad: Tensor<1>, f: &Factors) -> Entries {
    let [mut value, mut first, mut second] = [entries.value, entries.first, entries.second].map(cpu_handle);
    let grad = cpu_handle(grad);
    let update = Update::new(f);
    value
        .storage_mut::<f32>()
        .par_chunks_mut(CHUNK)
        .zip(first.storage_mut::<f32>().par_chunks_mut(CHUNK))
        .zip(second.storage_mut::<f32>().par_chunks_mut(CHUNK))
        .zip(grad.storage::<f32>().par_chunks(CHUNK))
        .for_each(|(((value, first), second), grad)| update.run(value, first, second, grad));
    let [value, first, second] = [value, first, second].map(Tensor::from_primitive::<Flex>);
    Entries { value, first, second }
}

fn kernel_rows(entries: Entries, rows: &[u32], grad_uf: Tensor<2>, f: &Factors) -> Entries {
    let [mut value, mut first, mut second] = [entries.value, entries.first, entries.second].map(cpu_handle);
    let [_, width] = grad_uf.dims();
    let grad = cpu_handle(grad_uf);
    let grad = grad.storage::<f32>();
    let update = Update::new(f);
    let mut ascending: Vec<usize> = (0..rows.len()).collect();
    ascending.sort_unstable_by_key(|&place| rows[place]);
    let values = rows_mut(value.storage_mut(), rows, &ascending, width);
    let firsts = rows_mut(first.storage_mut(), rows, &ascending, width);
    let seconds = rows_mut(second.storage_mut(), rows, &ascending, width);
    let places = values.into_par_iter().zip(firsts).zip(seconds).zip(&ascending);
    places.with_min_len((CHUNK / width.max(1)).max(1)).for_each(|(((value, first), second), &place)| {
        update.run(value, first, second, &grad[place * width..(place + 1) * width]);
    });
    let [value, first, second] = [value, first, second].map(Tensor::from_primitive::<Flex>);
    Entries { value, first, second }
}

/// The rows `rows[ascending[..]]` of a table as separate slices, for threads to write to.
fn rows_mut<'a>(table: &'a mut [f32], rows: &[u32], ascending: &[usize], width: usize) -> Vec<&'a mut [f32]> {
    let mut rest = table;
    let mut start = 0;
    let mut parts = Vec::with_capacity(rows.len());
    for &place in ascending {
        let row = rows[place] as usize;
        let (part, behind) = std::mem::take(&mut rest)[(row - start) * width..].split_at_mut(width);
        parts.push(part);
        rest = behind;
        start = row + 1;
    }
    parts
}

/// [`Factors`] in float32, for the kernel.
#[derive(Clone, Copy)]
struct Update {
    beta1: f32,
    new1: f32,
    beta2: f32,
    new2: f32,
    eps: f32,
    rate: f32,
    correction: f32,
    keep: f32,
    scale: f32,
}

impl Update {
    fn new(f: &Factors) -> Self {
        Self {
            beta1: f.beta1 as f32,
            new1: (1.0 - f.beta1) as f32,
            beta2: f.beta2 as f32,
            new2: (1.0 - f.beta2) as f32,
            eps: f.eps as f32,
            rate: f.rate as f32,
            correction: f.correction as f32,
            keep: f.keep as f32,
            scale: f.scale as f32,
        }
    }

    /// Entries of one length.
    fn run(self, value: &mut [f32], first: &mut [f32], second: &mut [f32], grad: &[f32]) {
        simd::dispatch(
            #[inline(always)]
            || {
                let n = value.len();
                let (first, second, grad) = (&mut first[..n], &mut second[..n], &grad[..n]);
                for i in 0..n {
                    let g = grad[i] * self.scale;
                    first[i] = first[i] * self.beta1 + g * self.new1;
                    second[i] = second[i] * self.beta2 + g * g * self.new2;
                    let root = (second[i] / self.correction).sqrt() + self.eps;
                    value[i] = value[i] * self.keep - first[i] / root * self.rate;
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::host;
    use burn::tensor::Device;

    fn tensor(n: usize, f: fn(f32) -> f32) -> Tensor<1> {
        let values: Vec<f32> = (0..n).map(|i| f(i as f32 * 0.37)).collect();
        Tensor::from_data(values.as_slice(), &Device::flex())
    }

    fn entries(n: usize) -> Entries {
        Entries {
            value: tensor(n, f32::sin),
            first: tensor(n, |x| x.cos() * 0.1),
            second: tensor(n, |x| x.sin().powi(2) * 0.01 + 1e-4),
        }
    }

    fn factors(updates: i32) -> Factors {
        Factors {
            beta1: 0.9,
            beta2: 0.98,
            eps: 1e-8,
            rate: 1e-3 / (1.0 - 0.9f64.powi(updates)),
            correction: 1.0 - 0.98f64.powi(updates),
            keep: 1.0 - 1e-4,
            scale: 0.8,
        }
    }

    fn read(entries: &Entries) -> [Vec<f32>; 3] {
        [&entries.value, &entries.first, &entries.second].map(|x| host(x.clone()))
    }

    /// Value and moments after an update, in f64.
    fn expected_update([w, m, v]: [f64; 3], g: f64, f: &Factors) -> [f64; 3] {
        let g = g * f.scale;
        let (m, v) = (f.beta1 * m + (1.0 - f.beta1) * g, f.beta2 * v + (1.0 - f.beta2) * g * g);
        [w * f.keep - f.rate * m / ((v / f.correction).sqrt() + f.eps), m, v]
    }

    #[test]
    fn kernel_and_composed_body_agree_to_rounding_and_follow_the_formula() {
        let n = 40_000;
        let (entries, f) = (entries(n), factors(3));
        let grad = tensor(n, |x| (x * 1.7).sin());
        let (old, grads) = (read(&entries), host(grad.clone()));
        let fast = read(&kernel(entries.clone(), grad.clone(), &f));
        let slow = read(&composed(entries, grad, &f));
        for (fast, slow) in fast.iter().flatten().zip(slow.iter().flatten()) {
            assert!((fast - slow).abs() <= 2e-7 * slow.abs().max(1e-3), "{fast} {slow}");
        }
        for i in (0..n).step_by(97) {
            let [expected, ..] =
                expected_update([0, 1, 2].map(|k| f64::from(old[k][i])), grads[i].into(), &f);
            assert!((f64::from(fast[0][i]) - expected).abs() < 1e-6, "{i}: {} {expected}", fast[0][i]);
        }
    }

    const WIDTH: usize = 5;
    const ROWS: usize = 9;

    #[test]
    fn updates_of_rows_follow_the_formula_and_leave_the_others_alone_to_the_bit() {
        for run in [kernel_rows, composed_rows] {
            let mut entries = entries(ROWS * WIDTH);
            let old = read(&entries);
            let mut expected: Vec<[f64; 3]> =
                (0..ROWS * WIDTH).map(|i| [0, 1, 2].map(|k| f64::from(old[k][i]))).collect();
            for (step, rows) in [&[7u32, 2, 3][..], &[3], &[8, 7, 3, 2, 0]].into_iter().enumerate() {
                let f = factors(step as i32 + 1);
                let grad = tensor(rows.len() * WIDTH, |x| (x * 1.7 + 1.0).sin());
                for (place, g) in host(grad.clone()).into_iter().enumerate() {
                    let entry = rows[place / WIDTH] as usize * WIDTH + place % WIDTH;
                    expected[entry] = expected_update(expected[entry], g.into(), &f);
                }
                entries = run(entries, rows, grad.reshape([rows.len(), WIDTH]), &f);
            }
            let new = read(&entries);
            for (i, expected) in expected.iter().enumerate() {
                for k in 0..3 {
                    if [1, 4, 5, 6].contains(&(i / WIDTH)) {
                        assert_eq!(new[k][i].to_bits(), old[k][i].to_bits(), "row {}", i / WIDTH);
                    }
                    assert!((f64::from(new[k][i]) - expected[k]).abs() < 1e-6, "{i}: {new:?}");
                }
            }
        }
    }

    #[test]
    fn an_update_of_every_row_is_the_update_of_the_table() {
        let n = ROWS * WIDTH;
        let (mut by_rows, mut whole_table) = (entries(n), entries(n));
        let rows: Vec<u32> = (0..ROWS as u32).collect();
        for updates in 1..5 {
            let (f, grad) = (factors(updates), tensor(n, |x| (x * 1.3).cos()));
            by_rows = kernel_rows(by_rows, &rows, grad.clone().reshape([ROWS, WIDTH]), &f);
            whole_table = kernel(whole_table, grad, &f);
        }
        assert_eq!(read(&by_rows), read(&whole_table));
    }

    #[test]
    fn the_kernels_write_in_place() {
        let address = |x: &Tensor<1>| {
            let handle = x.clone().try_into_primitive::<Flex>().unwrap();
            handle.storage::<f32>().as_ptr() as usize
        };
        let addresses = |e: &Entries| [&e.value, &e.first, &e.second].map(address);
        let entries = entries(ROWS * WIDTH);
        let old = addresses(&entries);
        let entries = kernel(entries, tensor(ROWS * WIDTH, f32::cos), &factors(1));
        let entries = kernel_rows(entries, &[4], tensor(WIDTH, f32::cos).reshape([1, WIDTH]), &factors(2));
        assert_eq!(addresses(&entries), old);
    }
}
