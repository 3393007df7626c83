//! Fisher information of the weights (section 3): `tr F = E_x E_y |grad log p(y|x)|^2` with clean training images x and
//! labels y drawn from the network itself, never the given ones.
//!
//! Scores have mean zero under the network's own labels, so the scores of different images are uncorrelated and
//! `E |mean of B scores|^2 = tr F / B`. One backward pass for B images therefore gives an unbiased reading of the trace, of
//! every layer and every weight, without a gradient for each image. Batch norm uses its running statistics, or images of a
//! batch would depend on one another.

use candle_core::{Result, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use retrial_core::model::{Model, Parameter};
use retrial_core::train::cross_entropy;
use retrial_kernels::Graph;

/// The trace over one layer's weights.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerTrace {
    /// Name of the layer.
    pub layer: String,
    /// Number of weights.
    pub weights: usize,
    /// Sum of the diagonal of F over them.
    pub trace: f64,
    /// Its Monte-Carlo standard error over batches; none with fewer than two.
    pub standard_error: Option<f64>,
    /// Squared norm of the weights. With batch norm the loss does not depend on it and the trace goes as its inverse, so
    /// the product of the two is what weight decay cannot move.
    pub square_norm: f64,
}

/// A reading of the Fisher information.
#[derive(Clone, Debug, PartialEq)]
pub struct Fisher {
    /// In the order of names: every parameter called `weight`, norms and biases left out.
    pub layers: Vec<LayerTrace>,
    /// Mean entropy of the predictions in nats. F vanishes as it does.
    pub entropy: f64,
}

impl Fisher {
    /// Reads a network at `images` samples, `batch` at a time; `inputs` gives those of a range. Images that fill no batch
    /// are left out.
    ///
    /// # Errors
    /// If there is no full batch, or what the network reports.
    pub fn read(
        model: &Model,
        images: usize,
        batch: usize,
        stream: &mut ChaCha8Rng,
        mut inputs: impl FnMut(std::ops::Range<usize>) -> Result<Tensor>,
    ) -> Result<Self> {
        let layers: Vec<_> = model.parameters.trainable.iter().filter(|(name, _)| name.ends_with(".weight")).collect();
        let batches = images.checked_div(batch).unwrap_or(0);
        if batches == 0 {
            candle_core::bail!("{images} images make no batch of {batch}")
        }
        let mut readings: Vec<Vec<f64>> = vec![Vec::with_capacity(batches); layers.len()];
        let mut entropy = 0.;
        for b in 0..batches {
            let mut graph = Graph::training().with_running_statistics();
            let value = model.forward(&mut graph, &inputs(b * batch..(b + 1) * batch)?)?;
            let mut labels = Vec::with_capacity(batch);
            for logits in value.tensor().to_dtype(candle_core::DType::F64)?.to_vec2::<f64>()? {
                let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = logits.iter().map(|z| (z - top).exp()).collect();
                let total: f64 = weights.iter().sum();
                let mut left = stream.random::<f64>() * total;
                let drawn = weights.iter().position(|w| {
                    left -= w;
                    left < 0.
                });
                labels.push(drawn.unwrap_or(weights.len() - 1) as u32);
                let plogp = |w: &f64| if *w > 0. { w / total * (w / total).ln() } else { 0. };
                entropy -= weights.iter().map(plogp).sum::<f64>();
            }
            let loss = cross_entropy(&graph.output(&value)?, &labels)?.mean_all()?;
            let gradients = graph.backward(&loss)?;
            for (readings, (name, parameter)) in readings.iter_mut().zip(&layers) {
                let Some(gradient) = gradients.get(&parameter.var) else {
                    candle_core::bail!("the loss does not depend on {name}")
                };
                readings.push(batch as f64 * square_norm(gradient)?);
            }
        }
        let layer = |((name, parameter), readings): (&(&String, &Parameter), Vec<f64>)| -> Result<LayerTrace> {
            let n = readings.len() as f64;
            let trace = readings.iter().sum::<f64>() / n;
            let squares: f64 = readings.iter().map(|r| (r - trace).powi(2)).sum();
            Ok(LayerTrace {
                layer: name.trim_end_matches(".weight").to_string(),
                weights: parameter.var.elem_count(),
                trace,
                standard_error: (readings.len() > 1).then(|| (squares / (n - 1.) / n).sqrt()),
                square_norm: square_norm(parameter.var.as_tensor())?,
            })
        };
        let layers = layers.iter().zip(readings).map(layer).collect::<Result<_>>()?;
        Ok(Self { layers, entropy: entropy / (batches * batch) as f64 })
    }
}

/// Sum of squares, in double precision.
fn square_norm(tensor: &Tensor) -> Result<f64> {
    let values = tensor.flatten_all()?.to_dtype(candle_core::DType::F32)?.to_vec1::<f32>()?;
    Ok(values.into_iter().map(|x| f64::from(x).powi(2)).sum())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand_distr::{Distribution, StandardNormal};
    use retrial_core::Seed;
    use retrial_core::model::{Architecture, InputShape};

    use super::*;

    /// Softmax regression: the score of the weight is `x (e_y - p)^T`, so its trace is `|x|^2 (1 - |p|^2)`, exactly.
    #[test]
    fn trace_of_a_softmax_regression_is_the_exact_one() {
        let (n, dim, classes) = (2_000, 6, 4);
        let mut stream = Seed(1).stream("x");
        let x: Vec<f32> = (0..n * dim).map(|_| StandardNormal.sample(&mut stream)).collect();
        let x = Tensor::from_vec(x, (n, dim), &Device::Cpu).unwrap();
        let model = Architecture::Linear.build(&InputShape::Vector { dim }, classes, Seed(2), &Device::Cpu).unwrap();
        let logits = model.forward(&mut Graph::inference(), &x).unwrap().tensor().to_vec2::<f32>().unwrap();
        let (mut exact, mut entropy) = (0., 0.);
        for (x, z) in x.to_vec2::<f32>().unwrap().iter().zip(&logits) {
            let total: f64 = z.iter().map(|&z| f64::from(z).exp()).sum();
            let p: Vec<f64> = z.iter().map(|&z| f64::from(z).exp() / total).collect();
            let norm: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
            exact += norm * (1. - p.iter().map(|p| p * p).sum::<f64>()) / n as f64;
            entropy -= p.iter().map(|p| p * p.ln()).sum::<f64>() / n as f64;
        }
        for batch in [1, 10] {
            let mut labels = Seed(3).stream("labels");
            let fisher =
                Fisher::read(&model, n, batch, &mut labels, |range| x.narrow(0, range.start, range.len())).unwrap();
            let [layer] = &fisher.layers[..] else { panic!("one layer") };
            let error = layer.standard_error.unwrap();
            assert!((layer.trace - exact).abs() < 4. * error, "{batch}: {} not {exact}, error {error}", layer.trace);
            assert!(error < 0.1 * exact);
            assert_eq!((layer.layer.as_str(), layer.weights), ("output", dim * classes));
            assert!((fisher.entropy - entropy).abs() < 1e-5);
        }
    }

    /// Through convolutions and batch norm (running statistics): scores by central differences, the sum over labels weighted
    /// by their probabilities instead of drawn.
    #[test]
    fn trace_of_a_convolutional_network_is_that_of_finite_differences() {
        let (n, side, classes) = (3, 8, 10);
        let shape = InputShape::Image { height: side, width: side, channels: 3 };
        let model = Architecture::AllCnn { width: 6 }.build(&shape, classes, Seed(4), &Device::Cpu).unwrap();
        for (name, buffer) in &model.parameters.buffers {
            // Means below zero keep most units awake.
            let (scale, shift) = if name.ends_with("variance") { (0.3, 0.) } else { (0., -0.2) };
            buffer.set(&buffer.ones_like().unwrap().affine(scale, shift).unwrap()).unwrap();
        }
        let mut stream = Seed(5).stream("x");
        let x: Vec<f32> = (0..n * side * side * 3).map(|_| StandardNormal.sample(&mut stream)).collect();
        let x = Tensor::from_vec(x, (n, side, side, 3), &Device::Cpu).unwrap();
        let log_probabilities = || -> Vec<Vec<f64>> {
            let logits = model.forward(&mut Graph::inference(), &x).unwrap().tensor().to_vec2::<f32>().unwrap();
            let row = |z: &Vec<f32>| {
                let total: f64 = z.iter().map(|&z| f64::from(z).exp()).sum();
                z.iter().map(|&z| f64::from(z) - total.ln()).collect()
            };
            logits.iter().map(row).collect()
        };
        let now = log_probabilities();
        let by_differences = |name: &str| {
            let var = &model.parameters.trainable[name].var;
            let (dims, start) = (var.dims().to_vec(), var.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            let mut trace = 0.;
            for i in 0..start.len() {
                let step = 5e-3;
                let moved = |by: f32| {
                    let mut weights = start.clone();
                    weights[i] += by;
                    var.set(&Tensor::from_vec(weights, dims.clone(), &Device::Cpu).unwrap()).unwrap();
                    log_probabilities()
                };
                let (up, down) = (moved(step), moved(-step));
                for (image, p) in now.iter().enumerate() {
                    for y in 0..classes {
                        let score = (up[image][y] - down[image][y]) / (2. * f64::from(step));
                        trace += p[y].exp() * score.powi(2) / n as f64;
                    }
                }
            }
            var.set(&Tensor::from_vec(start, dims, &Device::Cpu).unwrap()).unwrap();
            trace
        };
        // Each image many times: the same mean, with little left of the draws.
        let again = |range: std::ops::Range<usize>| {
            let chosen: Vec<u32> = range.map(|i| (i % n) as u32).collect();
            x.index_select(&Tensor::new(chosen, &Device::Cpu)?, 0)
        };
        let fisher = Fisher::read(&model, 3_000, 1, &mut Seed(6).stream("labels"), again).unwrap();
        for layer in ["conv1", "conv3", "conv8", "output"] {
            let read = fisher.layers.iter().find(|l| l.layer == layer).unwrap();
            let (exact, error) = (by_differences(&format!("{layer}.weight")), read.standard_error.unwrap());
            // A kink of ReLU within the step is all that differences get wrong.
            let allowed = 4. * error + 0.02 * exact;
            assert!((read.trace - exact).abs() < allowed, "{layer}: {} not {exact}, error {error}", read.trace);
            assert!(error < 0.1 * exact, "{layer}: error {error} of {exact}");
        }
    }
}
