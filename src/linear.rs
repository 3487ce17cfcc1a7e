//! Small systems of linear equations, in 64 bits.

/// Replaces a positive definite matrix, `[p, p]` row-major, by its lower Cholesky factor L, L Lᵀ = matrix. What stands above the
/// diagonal stays as it is.
pub fn cholesky(matrix: &mut [f64], p: usize) {
    for row in 0..p {
        for column in 0..=row {
            let (a, b) = (&matrix[row * p..row * p + column], &matrix[column * p..column * p + column]);
            let rest = matrix[row * p + column] - dot(a, b);
            matrix[row * p + column] =
                if row == column { rest.max(1e-300).sqrt() } else { rest / matrix[column * p + column] };
        }
    }
}

/// Sums of eight lanes, which the compiler turns into vector instructions; a sum in order it may not.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f64>() + rest
}

/// Solves L Lᵀ w = b in place for the columns of `b`, `[p, f]`, where `lower` is what [`cholesky`] made.
pub fn substitute(lower: &[f64], b: &mut [f64], p: usize, f: usize) {
    for row in 0..p {
        let (done, rest) = b.split_at_mut(row * f);
        let own = &mut rest[..f];
        for (other, values) in done.chunks_exact(f).enumerate() {
            own.iter_mut().zip(values).for_each(|(o, v)| *o -= lower[row * p + other] * v);
        }
        own.iter_mut().for_each(|o| *o /= lower[row * p + row]);
    }
    for row in (0..p).rev() {
        let (rest, done) = b.split_at_mut((row + 1) * f);
        let own = &mut rest[row * f..];
        for (values, other) in done.chunks_exact(f).zip(row + 1..) {
            own.iter_mut().zip(values).for_each(|(o, v)| *o -= lower[other * p + row] * v);
        }
        own.iter_mut().for_each(|o| *o /= lower[row * p + row]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_solution_satisfies_the_equations() {
        let matrix = [4.0, 2.0, -1.0, 2.0, 5.0, 0.5, -1.0, 0.5, 3.0];
        let b = [1.0, -2.0, 0.0, 3.0, 2.0, 0.25];
        let (mut lower, mut x) = (matrix.to_vec(), b.to_vec());
        cholesky(&mut lower, 3);
        substitute(&lower, &mut x, 3, 2);
        for row in 0..3 {
            for column in 0..2 {
                let sum: f64 = (0..3).map(|k| matrix[row * 3 + k] * x[k * 2 + column]).sum();
                assert!((sum - b[row * 2 + column]).abs() < 1e-12, "{row} {column}: {sum}");
            }
        }
    }
}
