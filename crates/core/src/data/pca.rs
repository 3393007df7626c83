//! Principal components of images: a short input for small networks.

use candle_core::{Device, Tensor};
use rand::RngExt;
use rand_distr::StandardNormal;

use super::{Dataset, Error, Inputs, Normalisation, Split};
use crate::Seed;

/// Rows that are multiplied at once: bounds the memory, changes no result.
const ROWS: usize = 4_096;
/// Multiplications by the covariance. With a quarter more directions than are asked for, the variance along the last of
/// 256 components of photographs is then right to two parts in a hundred thousand, along the first ones to rounding.
const ITERATIONS: usize = 12;

/// Principal components of a training split, to reduce any split with.
///
/// The covariance of bytes is a sum of integers and therefore exact; its leading eigenvectors are found by orthogonal
/// iteration with a Rayleigh-Ritz step (Golub and Van Loan, Matrix Computations, section 8.3.7) from a fixed start. Of
/// each component the largest entry is positive, so that the same data give the same numbers.
#[derive(Clone, Debug)]
pub struct Pca {
    /// `[dim]`, in the units of the input.
    mean: Vec<f64>,
    /// `[dim, components]`, orthonormal columns.
    components: Tensor,
    /// Variance along each component, in descending order.
    variances: Vec<f64>,
}

impl Pca {
    /// Fits `components` components to `train`.
    pub fn fit(train: &Split, components: usize) -> Result<Pca, Error> {
        let (n, dim) = (train.len(), train.input_shape().iter().product::<usize>());
        let most = dim.min(n.saturating_sub(1));
        if components == 0 || components > most {
            return Err(Error::Invalid(format!(
                "{components} principal components are asked for, but {n} samples of {dim} numbers have 1 to {most}"
            )));
        }
        let (mean, covariance) = covariance(train, dim)?;
        let width = (components + (components / 4).max(32)).min(dim);
        let mut stream = Seed(0).stream("pca");
        let start: Vec<f64> = (0..dim * width).map(|_| stream.sample(StandardNormal)).collect();
        let mut basis = orthonormal(&Tensor::from_vec(start, (dim, width), &Device::Cpu)?)?;
        for _ in 0..ITERATIONS {
            basis = orthonormal(&covariance.matmul(&basis)?)?;
        }
        basis = orthonormal(&basis)?;

        let ritz = basis.t()?.matmul(&covariance.matmul(&basis)?)?;
        let (values, vectors) = eigen(ritz.flatten_all()?.to_vec1()?, width);
        let mut by_size: Vec<usize> = (0..width).collect();
        by_size.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        by_size.truncate(components);
        let variances: Vec<f64> = by_size.iter().map(|&i| values[i]).collect();
        if let Some(rank) = variances.iter().position(|&variance| variance <= 1e-12 * variances[0]) {
            return Err(Error::Invalid(format!(
                "{components} principal components are asked for, but the {n} samples vary in {rank} directions only"
            )));
        }
        let chosen: Vec<f64> = (0..width)
            .flat_map(|row| by_size.iter().map(move |&i| (row, i)))
            .map(|(row, i)| vectors[row * width + i])
            .collect();
        let chosen = basis.matmul(&Tensor::from_vec(chosen, (width, components), &Device::Cpu)?)?;
        Ok(Pca { mean, components: with_fixed_signs(&chosen)?, variances })
    }

    /// Variance of the training split along each component, in descending order, of pixels in `[0, 1]`.
    pub fn variances(&self) -> &[f64] {
        &self.variances
    }

    /// Components of each sample: `[n, components]`, all divided by one number, so that their mean variance over the
    /// training split is one and distances keep their proportions.
    pub fn transform(&self, split: &Split) -> Result<Split, Error> {
        let (dim, components) = self.components.dims2()?;
        if split.input_shape().iter().product::<usize>() != dim {
            return Err(Error::Invalid(format!(
                "principal components of {dim} numbers cannot reduce inputs of shape {:?}",
                split.input_shape()
            )));
        }
        let scale = (self.variances.iter().sum::<f64>() / components as f64).sqrt();
        let mut values = Vec::with_capacity(split.len() * components);
        for start in (0..split.len()).step_by(ROWS) {
            let mut rows = rows(split, start..(start + ROWS).min(split.len()));
            for row in rows.chunks_exact_mut(dim) {
                row.iter_mut().zip(&self.mean).for_each(|(x, mean)| *x -= mean);
            }
            let rows = Tensor::from_vec(rows, ((split.len() - start).min(ROWS), dim), &Device::Cpu)?;
            let reduced: Vec<f64> = rows.matmul(&self.components)?.flatten_all()?.to_vec1()?;
            values.extend(reduced.into_iter().map(|x| (x * unit(split) / scale) as f32));
        }
        Ok(Split { inputs: Inputs::Vectors { values, dim: components }, labels: split.labels.clone() })
    }
}

impl Dataset {
    /// This data set reduced to the principal components of its training split.
    pub fn reduced(&self, components: usize) -> Result<Dataset, Error> {
        let pca = Pca::fit(&self.train, components)?;
        Ok(Dataset {
            name: format!("{}-pca{components}", self.name),
            classes: self.classes,
            train: pca.transform(&self.train)?,
            test: pca.transform(&self.test)?,
            normalisation: Normalisation::UnitInterval,
        })
    }
}

/// One step of the numbers that [`rows`] gives, in the units of the result: pixels are bytes there, `[0, 1]` here.
fn unit(split: &Split) -> f64 {
    match split.inputs {
        Inputs::Images { .. } => 1.0 / 255.0,
        Inputs::Vectors { .. } => 1.0,
    }
}

/// Samples as f64 `[rows, dim]`; bytes minus 128, which keeps their products small.
fn rows(split: &Split, range: std::ops::Range<usize>) -> Vec<f64> {
    let row = split.input_shape().iter().product::<usize>();
    let range = range.start * row..range.end * row;
    match &split.inputs {
        Inputs::Images { pixels, .. } => pixels[range].iter().map(|&byte| f64::from(byte) - 128.0).collect(),
        Inputs::Vectors { values, .. } => values[range].iter().map(|&x| x.into()).collect(),
    }
}

/// Mean in the units of [`rows`], and covariance `[dim, dim]` in those of the result.
fn covariance(split: &Split, dim: usize) -> Result<(Vec<f64>, Tensor), Error> {
    let n = split.len();
    let mut mean = vec![0.0; dim];
    let mut squares = Tensor::zeros((dim, dim), candle_core::DType::F64, &Device::Cpu)?;
    for start in (0..n).step_by(ROWS) {
        let rows = rows(split, start..(start + ROWS).min(n));
        for row in rows.chunks_exact(dim) {
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        let rows = Tensor::from_vec(rows, ((n - start).min(ROWS), dim), &Device::Cpu)?;
        squares = (squares + rows.t()?.matmul(&rows)?)?;
    }
    mean.iter_mut().for_each(|sum| *sum /= n as f64);
    let column = Tensor::from_slice(&mean, (dim, 1), &Device::Cpu)?;
    let of_means = (column.matmul(&column.t()?)? * n as f64)?;
    let covariance = ((squares - of_means)? * (unit(split) * unit(split) / (n as f64 - 1.0)))?;
    Ok((mean, covariance))
}

/// An orthonormal basis of the columns: Cholesky's factor of their products undoes their scales and angles.
///
/// Columns that depend on one another are told apart by a shift far below their length; the next call repairs the rest.
fn orthonormal(columns: &Tensor) -> Result<Tensor, Error> {
    let (_, n) = columns.dims2()?;
    let products: Vec<f64> = columns.t()?.matmul(columns)?.flatten_all()?.to_vec1()?;
    let length = |i: usize| if products[i * n + i] > 0.0 { products[i * n + i].sqrt() } else { 1.0 };
    let lengths: Vec<f64> = (0..n).map(length).collect();

    // Upper factor R of the scaled products, row by row.
    let mut factor = vec![0.0; n * n];
    for i in 0..n {
        for j in i..n {
            let shift = if i == j { 1e-13 } else { 0.0 };
            let above: f64 = (0..i).map(|k| factor[k * n + i] * factor[k * n + j]).sum();
            let rest = products[i * n + j] / (lengths[i] * lengths[j]) + shift - above;
            factor[i * n + j] = if i == j { rest.max(1e-14).sqrt() } else { rest / factor[i * n + i] };
        }
    }
    // Its inverse, column by column.
    let mut inverse = vec![0.0; n * n];
    for j in 0..n {
        inverse[j * n + j] = 1.0 / factor[j * n + j];
        for i in (0..j).rev() {
            let sum: f64 = (i + 1..=j).map(|k| factor[i * n + k] * inverse[k * n + j]).sum();
            inverse[i * n + j] = -sum / factor[i * n + i];
        }
    }
    for (row, length) in inverse.chunks_exact_mut(n).zip(&lengths) {
        row.iter_mut().for_each(|x| *x /= length);
    }
    Ok(columns.matmul(&Tensor::from_vec(inverse, (n, n), &Device::Cpu)?)?)
}

/// Eigenvalues and eigenvectors (columns of `[n, n]`) of a symmetric matrix by Jacobi's rotations.
fn eigen(mut matrix: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    // Rows of `vectors` are eigenvectors until the end: rotations then touch whole rows.
    let mut vectors = vec![0.0; n * n];
    for i in 0..n {
        vectors[i * n + i] = 1.0;
    }
    let total: f64 = matrix.iter().map(|x| x * x).sum();
    for _sweep in 0..60 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| i * n + j)).map(|k| matrix[k] * matrix[k]).sum();
        if off <= 1e-30 * total {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let coupling = matrix[p * n + q];
                if coupling * coupling <= 1e-36 * total {
                    continue;
                }
                let theta = (matrix[q * n + q] - matrix[p * n + p]) / (2.0 * coupling);
                let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let sine = tangent * cosine;
                for k in 0..n {
                    let (a, b) = (matrix[k * n + p], matrix[k * n + q]);
                    matrix[k * n + p] = cosine * a - sine * b;
                    matrix[k * n + q] = sine * a + cosine * b;
                }
                rotate(&mut matrix, n, p, q, cosine, sine);
                rotate(&mut vectors, n, p, q, cosine, sine);
            }
        }
    }
    let values = (0..n).map(|i| matrix[i * n + i]).collect();
    let columns = (0..n * n).map(|k| vectors[k % n * n + k / n]).collect();
    (values, columns)
}

/// Rotates rows p and q, p below q.
fn rotate(matrix: &mut [f64], n: usize, p: usize, q: usize, cosine: f64, sine: f64) {
    let (above, below) = matrix.split_at_mut(q * n);
    for (a, b) in above[p * n..][..n].iter_mut().zip(&mut below[..n]) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
}

/// Columns with their largest entry (the first of equals) made positive.
fn with_fixed_signs(columns: &Tensor) -> Result<Tensor, Error> {
    let (rows, n) = columns.dims2()?;
    let mut values: Vec<f64> = columns.flatten_all()?.to_vec1()?;
    for j in 0..n {
        let largest = (0..rows).fold(0.0f64, |best, i| {
            let x = values[i * n + j];
            if x.abs() > best.abs() { x } else { best }
        });
        if largest < 0.0 {
            values.iter_mut().skip(j).step_by(n).for_each(|x| *x = -*x);
        }
    }
    Ok(Tensor::from_vec(values, (rows, n), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use approx::{assert_abs_diff_eq, assert_relative_eq};

    use super::*;
    use crate::data::DatasetId;

    fn values(split: &Split) -> &[f32] {
        match &split.inputs {
            Inputs::Vectors { values, .. } => values,
            Inputs::Images { .. } => unreachable!("a reduction gives vectors"),
        }
    }

    // import numpy as np
    // from PIL import Image
    // a = np.asarray(Image.open("data/embedded/cifar-10-subset/test.png")); rows = a.shape[0] // 32
    // x = a.reshape(rows, 32, 100, 32, 3).transpose(0, 2, 4, 1, 3).reshape(rows * 100, -1)[:500] / 255.0
    // mean = x.mean(0); u, s, v = np.linalg.svd(x - mean, full_matrices=False)
    // variance = s**2 / (len(x) - 1); print(variance[[0, 1, 9, 39]])
    // w = v[:40]; w = w * np.sign(w[np.arange(40), np.abs(w).argmax(1)])[:, None]
    // z = (x - mean) @ w.T / np.sqrt(variance[:40].mean()); print(z[0, :4], z[499, :4], (z**2).sum())
    #[test]
    fn components_are_those_of_a_singular_value_decomposition() {
        let data = Dataset::load(DatasetId::Cifar10Subset, None).unwrap();
        let images = data.test.select(&(0..500).collect::<Vec<_>>());
        let pca = Pca::fit(&images, 40).unwrap();
        for (index, expected) in
            [(0, 58.10319889877545), (1, 21.52637927322243), (9, 3.1866588102861257), (39, 0.5137154342875548)]
        {
            assert_relative_eq!(pca.variances()[index], expected, max_relative = 1e-5);
        }
        let reduced = pca.transform(&images).unwrap();
        assert_eq!(reduced.labels, images.labels);
        let z = values(&reduced);
        let first = [-2.1982805324482904, 0.6815187462548139, 0.6905100374257255, 1.7736115966422012];
        let last = [8.29519462879221, 3.8945901860571404, 1.5113964626040588, -0.6624643732039454];
        for (found, expected) in z[..4].iter().chain(&z[499 * 40..][..4]).zip(first.iter().chain(&last)) {
            assert_abs_diff_eq!(f64::from(*found), expected, epsilon = 1e-5);
        }
        let squares: f64 = z.iter().map(|&z| f64::from(z) * f64::from(z)).sum();
        assert_relative_eq!(squares, 19_960.0, max_relative = 1e-5);
        // The same data, the same bytes.
        assert_eq!(Pca::fit(&images, 40).unwrap().transform(&images).unwrap(), reduced);
    }

    #[test]
    fn all_components_together_keep_every_distance() {
        let (n, dim) = (60, 12);
        let mut stream = Seed(4).stream("test");
        let values_of: Vec<f32> =
            (0..n * dim).map(|i| (i % dim + 1) as f32 * stream.sample::<f32, _>(StandardNormal)).collect();
        let split = Split { inputs: Inputs::Vectors { values: values_of.clone(), dim }, labels: vec![0; n] };
        let pca = Pca::fit(&split, dim).unwrap();
        assert!(pca.variances().windows(2).all(|pair| pair[0] >= pair[1]));
        let scale = (pca.variances().iter().sum::<f64>() / dim as f64).sqrt();
        let reduced = pca.transform(&split).unwrap();
        let distance = |rows: &[f32], i: usize, j: usize| {
            let pairs = rows[i * dim..][..dim].iter().zip(&rows[j * dim..][..dim]);
            pairs.map(|(a, b)| f64::from(a - b) * f64::from(a - b)).sum::<f64>().sqrt()
        };
        for (i, j) in [(0, 1), (5, 40), (59, 3)] {
            assert_relative_eq!(
                distance(values(&reduced), i, j) * scale,
                distance(&values_of, i, j),
                max_relative = 1e-5
            );
        }
    }

    #[test]
    fn more_components_than_directions_are_refused() {
        let inputs = |values: Vec<f32>, dim| Inputs::Vectors { values, dim };
        let few = Split { inputs: inputs(vec![0.0; 12], 4), labels: vec![0; 3] };
        assert!(Pca::fit(&few, 3).unwrap_err().to_string().contains("3 samples of 4 numbers have 1 to 2"));
        // Six points on a line.
        let line = (0..6).flat_map(|i| [i as f32, 2.0 * i as f32, 1.0]).collect();
        let line = Split { inputs: inputs(line, 3), labels: vec![0; 6] };
        assert!(Pca::fit(&line, 1).is_ok());
        assert!(Pca::fit(&line, 2).unwrap_err().to_string().contains("vary in 1 directions only"));
        assert!(Pca::fit(&line, 1).unwrap().transform(&few).is_err());
    }
}
