//! The numbers that `reference.py` computes with, too.

use candle_core::{DType, Device, Result, Tensor};

use super::{Parameters, Weights};

/// Uniform in [-0.5, 0.5), from a linear congruential generator.
pub(crate) fn numbers(seed: u32, count: usize) -> Vec<f64> {
    let next = |x: &u32| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(seed), next).skip(1).take(count).map(|x| f64::from(x) / 2f64.powi(32) - 0.5).collect()
}

/// [`numbers`] as a tensor.
pub(crate) fn tensor(seed: u32, scale: f64, shape: &[usize], dtype: DType) -> Result<Tensor> {
    let values = numbers(seed, shape.iter().product()).into_iter().map(|u| scale * u).collect::<Vec<f64>>();
    Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)
}

/// `n` square images.
pub(crate) fn images(n: usize, side: usize, channels: usize) -> Result<Tensor> {
    tensor(2, 2., &[n, side, side, channels], DType::F32)
}

/// Every parameter and running statistic, in the order of names.
pub(crate) fn fill(parameters: &Parameters) -> Result<()> {
    let mut weights: Weights = parameters.weights()?;
    let mut stream = numbers(1, weights.values().map(Tensor::elem_count).sum()).into_iter();
    for (name, tensor) in &mut weights {
        let dims = tensor.dims().to_vec();
        let fan_in: usize = dims[..dims.len() - 1].iter().product();
        let value = |u: f64| match dims.len() {
            1 if name.ends_with("gamma") || name.ends_with("variance") => 1. + 0.2 * u,
            1 => 0.2 * u,
            _ => 2. * u * (3. / fan_in as f64).sqrt(),
        };
        let values: Vec<f64> = stream.by_ref().take(tensor.elem_count()).map(value).collect();
        *tensor = Tensor::from_vec(values, dims.as_slice(), &Device::Cpu)?.to_dtype(tensor.dtype())?;
    }
    parameters.set_weights(&weights)
}
