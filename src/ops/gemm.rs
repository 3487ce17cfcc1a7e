//! Matrix products of slices on the calling thread, for the fused CPU kernels.
//!
//! Burn's own product takes whole tensors. The kernels need products of a few hundred rows that are in the cache, and
//! distribute their work over threads themselves.

use std::ops::Range;

/// A matrix inside a slice, with any strides.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// A matrix inside a slice that is written to; its rows are contiguous.
#[derive(Debug)]
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a> Mat<'a> {
    /// A matrix of contiguous rows.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A matrix whose rows begin `row_stride` entries apart.
    ///
    /// # Panics
    /// The matrix exceeds the slice.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(spans(data.len(), rows, cols, row_stride), "a matrix beyond its slice");
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    pub fn height(&self) -> usize {
        self.rows
    }

    /// Some of the rows.
    ///
    /// # Panics
    /// There are fewer.
    pub fn rows(self, rows: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows beyond a matrix");
        let start = if rows.is_empty() || self.cols == 0 { 0 } else { rows.start * self.row_stride };
        Self { data: &self.data[start..], rows: rows.len(), ..self }
    }

    /// The transpose.
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }
}

impl<'a> MatMut<'a> {
    /// A matrix of contiguous rows.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A matrix whose rows begin `row_stride` entries apart.
    ///
    /// # Panics
    /// The matrix exceeds the slice, or its rows overlap.
    pub fn strided(data: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(row_stride >= cols, "rows that overlap can't be written");
        assert!(spans(data.len(), rows, cols, row_stride), "a matrix beyond its slice");
        Self { data, rows, cols, row_stride }
    }
}

impl MatMut<'_> {
    /// Some of the rows.
    ///
    /// # Panics
    /// There are fewer.
    pub fn rows(&mut self, rows: Range<usize>) -> MatMut<'_> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows beyond a matrix");
        let start = if rows.is_empty() || self.cols == 0 { 0 } else { rows.start * self.row_stride };
        let (cols, row_stride) = (self.cols, self.row_stride);
        MatMut { data: &mut self.data[start..], rows: rows.len(), cols, row_stride }
    }
}

/// Whether a matrix lies inside a slice of `len` entries. Safe code chooses the numbers, and what is read rests on this:
/// a sum that does not fit is no.
fn spans(len: usize, rows: usize, cols: usize, row_stride: usize) -> bool {
    if rows == 0 || cols == 0 {
        return true;
    }
    let end = (rows - 1).checked_mul(row_stride).and_then(|last| last.checked_add(cols));
    end.is_some_and(|end| end <= len)
}

/// `out = factor · a b`
pub fn product(out: MatMut, a: Mat, b: Mat, factor: f32) {
    multiply(out, a, b, factor, false);
}

/// `out += factor · a b`
pub fn add_product(out: MatMut, a: Mat, b: Mat, factor: f32) {
    multiply(out, a, b, factor, true);
}

#[allow(unsafe_code)]
fn multiply(out: MatMut, a: Mat, b: Mat, factor: f32, add: bool) {
    assert!(a.cols == b.rows && out.rows == a.rows && out.cols == b.cols, "shapes of a product");
    let (m, n, k) = (out.rows, out.cols, a.cols);
    if m == 0 || n == 0 {
        return;
    }
    // SAFETY: constructors have checked that each matrix lies inside its slice (a transpose visits the same entries),
    // `out` borrows its slice alone, and the shapes agree.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.data.as_mut_ptr(),
            1,
            out.row_stride as isize,
            add,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0f32,
            factor,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_strided_and_transposed_parts_equal_sums_in_f64() {
        let (m, k, n, stride) = (7, 5, 9, 11);
        let a: Vec<f32> = (0..k * stride).map(|i| (i as f32 * 0.7).sin()).collect();
        let b: Vec<f32> = (0..n * stride).map(|i| (i as f32 * 0.3).cos()).collect();
        let before: Vec<f32> = (0..m * stride).map(|i| i as f32 * 0.01).collect();
        for add in [false, true] {
            let mut out = before.clone();
            let view = MatMut::strided(&mut out, m, n, stride);
            // a is stored [k, m], b is stored [n, k].
            let (left, right) = (Mat::strided(&a, k, m, stride).t(), Mat::strided(&b, n, k, stride).t());
            if add {
                add_product(view, left, right, 0.5);
            } else {
                product(view, left, right, 0.5);
            }
            for row in 0..m {
                for col in 0..stride {
                    let start = f64::from(before[row * stride + col]);
                    let sum: f64 = (0..k)
                        .map(|i| f64::from(a[i * stride + row]) * f64::from(b[(col % n) * stride + i]))
                        .sum();
                    let expected = match (col < n, add) {
                        (true, true) => start + 0.5 * sum,
                        (true, false) => 0.5 * sum,
                        // Between the rows nothing is touched.
                        (false, _) => start,
                    };
                    assert!((f64::from(out[row * stride + col]) - expected).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "beyond its slice")]
    fn a_matrix_beyond_its_slice_is_refused() {
        let _ = Mat::strided(&[0.0; 10], 3, 4, 4);
    }

    #[test]
    fn sizes_that_wrap_around_are_beyond_every_slice() {
        // (2 - 1) · stride + 4 wraps to 1.
        assert!(!spans(10, 2, 4, usize::MAX - 2));
        assert!(!spans(10, usize::MAX, 1, usize::MAX));
        assert!(!spans(10, usize::MAX / 2 + 2, 4, 2));
        assert!(!spans(10, 1, usize::MAX, 0) && spans(10, 1, 10, usize::MAX));
        // Nothing is read of a matrix without entries.
        assert!(spans(0, usize::MAX, 0, usize::MAX));
        assert_eq!(Mat::strided(&[], usize::MAX, 0, usize::MAX).rows(5..9).height(), 4);
    }
}
