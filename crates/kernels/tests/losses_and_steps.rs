//! The loss, the optimiser steps, running statistics, and what NaN and infinity do, against numbers in f64.

use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use retrial_kernels::{
    Activation, Adam, Conv2d, Graph, Pool2d, RunningStatistics, Sgd, Simd, Value, softmax_cross_entropy,
};

fn random(rng: &mut ChaCha8Rng, n: usize, from: f32, to: f32) -> Vec<f32> {
    (0..n).map(|_| rng.random_range(from..to)).collect()
}

fn tensor(data: &[f32], dims: &[usize]) -> Tensor {
    Tensor::from_vec(data.to_vec(), dims, &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Errors relative to the largest element.
fn close(a: &[f32], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1e-3f64, |m, v| v.abs().max(m));
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((f64::from(*a) - b).abs() <= tolerance * scale, "element {i}: {a} instead of {b}");
    }
}

/// Cross-entropy of one row, and its gradient.
fn cross_entropy(logits: &[f32], shares: &[f64]) -> (f64, Vec<f64>) {
    let logits: Vec<f64> = logits.iter().map(|v| f64::from(*v)).collect();
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|v| (v - max).exp()).sum();
    let loss = logits.iter().zip(shares).map(|(v, t)| t * (sum.ln() + max - v)).sum();
    let mass: f64 = shares.iter().sum();
    (loss, logits.iter().zip(shares).map(|(v, t)| mass * (v - max).exp() / sum - t).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn softmax_cross_entropies(
        n in 1..9usize, classes in 1..40usize, hard: bool, weighted: bool, spread in 0.1f32..30., seed: u64,
    ) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let logits = random(rng, n * classes, -spread, spread);
        let class: Vec<u32> = (0..n).map(|_| rng.random_range(0..classes as u32)).collect();
        let shares = random(rng, n * classes, 0., 1.);
        let weights = random(rng, n, 0., 2.);
        let (mut losses, mut gradients) = (vec![], vec![]);
        for i in 0..n {
            let row = i * classes..(i + 1) * classes;
            let target: Vec<f64> = match hard {
                true => (0..classes).map(|k| f64::from(u8::from(k == class[i] as usize))).collect(),
                false => shares[row.clone()].iter().map(|v| f64::from(*v)).collect(),
            };
            let weight = if weighted { f64::from(weights[i]) } else { 1. };
            let (loss, gradient) = cross_entropy(&logits[row], &target);
            losses.push(weight * loss);
            // The square of the loss is what is differentiated below.
            gradients.extend(gradient.iter().map(|g| 2. * weight * loss * weight * g));
        }
        let targets = match hard {
            true => Tensor::from_vec(class, n, &Device::Cpu).unwrap(),
            false => tensor(&shares, &[n, classes]),
        };
        let weights = tensor(&weights, &[n]);
        for dtype in [DType::F32, DType::F64] {
            let targets = if hard { targets.clone() } else { targets.to_dtype(dtype).unwrap() };
            let logits = Var::from_tensor(&tensor(&logits, &[n, classes]).to_dtype(dtype).unwrap()).unwrap();
            let weights = weights.to_dtype(dtype).unwrap();
            let found = softmax_cross_entropy(&logits, &targets, weighted.then_some(&weights)).unwrap();
            close(&numbers(&found.to_dtype(DType::F32).unwrap()), &losses, 1e-5);
            let store = found.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            close(&numbers(&store.get(&logits).unwrap().to_dtype(DType::F32).unwrap()), &gradients, 1e-4);
        }
    }

    #[test]
    fn sgd_steps(n in 1..300usize, momentum in 0f64..0.95, nesterov: bool, decay in 0f64..0.1, seed: u64) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let momentum = if momentum < 0.1 { 0. } else { momentum };
        let start = random(rng, n, -1., 1.);
        let mut p: Vec<f64> = start.iter().map(|v| f64::from(*v)).collect();
        let mut v = vec![0f64; n];
        let optimiser = Sgd { rate: 0.1, momentum, nesterov, weight_decay: decay };
        let parameter = Var::from_tensor(&tensor(&start, &[n])).unwrap();
        let mut velocity = None;
        for _ in 0..4 {
            let g = random(rng, n, -1., 1.);
            optimiser.step(&parameter, &tensor(&g, &[n]), &mut velocity).unwrap();
            for i in 0..n {
                let g = f64::from(g[i]) + decay * p[i];
                v[i] = momentum * v[i] + g;
                p[i] -= 0.1 * if nesterov { g + momentum * v[i] } else { v[i] };
            }
        }
        close(&numbers(&parameter), &p, 1e-5);
    }

    #[test]
    fn adam_steps(n in 1..300usize, decoupled: bool, decay in 0f64..0.1, seed: u64) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let start = random(rng, n, -1., 1.);
        let mut p: Vec<f64> = start.iter().map(|v| f64::from(*v)).collect();
        let (mut m, mut s) = (vec![0f64; n], vec![0f64; n]);
        let optimiser =
            Adam { rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: decay, decoupled };
        let parameter = Var::from_tensor(&tensor(&start, &[n])).unwrap();
        let mut state = None;
        for step in 1..5 {
            let g = random(rng, n, -1., 1.);
            optimiser.step(&parameter, &tensor(&g, &[n]), &mut state, step as u64).unwrap();
            for i in 0..n {
                let mut g = f64::from(g[i]);
                if decoupled {
                    p[i] -= 0.01 * decay * p[i];
                } else {
                    g += decay * p[i];
                }
                m[i] = 0.9 * m[i] + 0.1 * g;
                s[i] = 0.999 * s[i] + 0.001 * g * g;
                let (m, s) = (m[i] / (1. - 0.9f64.powi(step)), s[i] / (1. - 0.999f64.powi(step)));
                p[i] -= 0.01 * m / (s.sqrt() + 1e-8);
            }
        }
        close(&numbers(&parameter), &p, 1e-5);
    }
}

#[test]
fn targets_that_do_not_fit_are_errors() {
    let logits = tensor(&[0.; 6], &[2, 3]);
    let classes = |c: &[u32]| Tensor::new(c, &Device::Cpu).unwrap();
    assert!(softmax_cross_entropy(&logits, &classes(&[0, 2]), None).is_ok());
    assert!(softmax_cross_entropy(&logits, &classes(&[0, 3]), None).is_err());
    assert!(softmax_cross_entropy(&logits, &classes(&[0]), None).is_err());
    assert!(softmax_cross_entropy(&logits, &tensor(&[0.; 4], &[2, 2]), None).is_err());
}

#[test]
fn running_statistics_follow_the_batches() -> Result<()> {
    let running = RunningStatistics {
        mean: Var::from_tensor(&tensor(&[1., 2.], &[2]))?,
        variance: Var::from_tensor(&tensor(&[3., 4.], &[2]))?,
        momentum: 0.1,
    };
    // Means 2 and 20, unbiased variances 1 and 100.
    let x = tensor(&[1., 10., 2., 20., 3., 30.], &[3, 2]);
    let (gamma, beta) = (tensor(&[1., 1.], &[2]), tensor(&[0., 0.], &[2]));
    let pass = |graph: &mut Graph| -> Result<Vec<f32>> {
        let (x, gamma, beta) = (graph.input(&x), graph.input(&gamma), graph.input(&beta));
        Ok(numbers(graph.batch_norm(&x, &gamma, &beta, &running, 0., Activation::Identity)?.tensor()))
    };
    pass(&mut Graph::training().with_batch_statistics())?;
    assert_eq!(numbers(&running.mean), [1., 2.], "these batches are not to be followed");
    pass(&mut Graph::training())?;
    close(&numbers(&running.mean), &[1.1, 3.8], 1e-6);
    close(&numbers(&running.variance), &[2.8, 13.6], 1e-6);
    let y = pass(&mut Graph::inference())?;
    close(&y[..2], &[(1. - 1.1) / 2.8f64.sqrt(), (10. - 3.8) / 13.6f64.sqrt()], 1e-6);
    Ok(())
}

#[test]
fn no_gradient_is_computed_for_inputs() -> Result<()> {
    let w = Var::from_tensor(&tensor(&[1.; 12], &[2, 2, 1, 3]))?;
    let image = tensor(&[1.; 9], &[1, 3, 3, 1]);
    let mut graph = Graph::training();
    let (x, w_value) = (graph.input(&image), graph.parameter(&w));
    let y = graph.conv2d(&x, &w_value, None, Conv2d { stride: 1, padding: 0 }, Activation::Identity)?;
    assert!(!x.needs_gradient() && y.needs_gradient());
    let loss = graph.output(&y)?.sum_all()?;
    assert_eq!(numbers(graph.backward(&loss)?.get(&w).unwrap()), [4.; 12]);
    Ok(())
}

/// Part of a join may be data; the others take the same gradient as if it were not.
#[test]
fn parts_of_a_join_without_gradient() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(5);
    let [a, b] = [3, 2].map(|c| Var::from_tensor(&tensor(&random(rng, 8 * c, -1., 1.), &[2, 2, 2, c])).unwrap());
    let [gamma, beta] = [(); 2].map(|()| tensor(&random(rng, 5, 0.5, 1.), &[5]));
    let cotangent = tensor(&random(rng, 40, -1., 1.), &[2, 2, 2, 5]);
    let gradient = |data: bool| -> Result<Vec<f32>> {
        let mut graph = Graph::training();
        let a_value = if data { graph.input(&a) } else { graph.parameter(&a) };
        let b_value = graph.parameter(&b);
        let joined = graph.concat(&a_value, &b_value)?;
        let var = |v: f32| Var::from_tensor(&Tensor::full(v, 5, &Device::Cpu)?);
        let running = RunningStatistics { mean: var(0.)?, variance: var(1.)?, momentum: 0.1 };
        let (gamma, beta) = (graph.input(&gamma), graph.input(&beta));
        let y = graph.batch_norm(&joined, &gamma, &beta, &running, 1e-5, Activation::Identity)?;
        let gradients = graph.backward_from(&y, &cotangent)?;
        assert_eq!(gradients.get(&a).is_none(), data);
        Ok(numbers(gradients.get(&b).unwrap()))
    };
    assert_eq!(gradient(true)?, gradient(false)?);
    Ok(())
}

/// Everything that a NaN or an infinity reaches by the definition of the op must show it.
#[test]
fn nan_and_infinity_propagate() -> Result<()> {
    type Op = fn(&mut Graph, &Value) -> Result<Value>;
    let ops: [(&str, Op); 9] = [
        ("relu", |g, x| g.activate(x, Activation::Relu)),
        ("max pool", |g, x| g.max_pool2d(x, Pool2d { size: 2, stride: 1, padding: 0 })),
        ("average pool", |g, x| g.avg_pool2d(x, Pool2d { size: 2, stride: 1, padding: 0 })),
        ("global pool", |g, x| g.global_avg_pool(x)),
        ("add", |g, x| g.add(x, x, Activation::Relu)),
        ("convolution", |g, x| {
            let w = g.input(&tensor(&[0.5; 2 * 2 * 3 * 20], &[2, 2, 3, 20]));
            g.conv2d(x, &w, None, Conv2d { stride: 1, padding: 1 }, Activation::Relu)
        }),
        ("linear", |g, x| {
            let w = g.input(&tensor(&[0.5; 27 * 20], &[27, 20]));
            let x = g.flatten(x)?;
            g.linear(&x, &w, None, Activation::Relu)
        }),
        ("layer norm", |g, x| {
            let (gamma, beta) = (g.input(&tensor(&[1.; 3], &[3])), g.input(&tensor(&[0.; 3], &[3])));
            g.layer_norm(x, &gamma, &beta, 1e-5, Activation::Relu)
        }),
        ("batch norm", |g, x| {
            let (gamma, beta) = (g.input(&tensor(&[1.; 3], &[3])), g.input(&tensor(&[0.; 3], &[3])));
            let var = |v: f32| Var::from_tensor(&tensor(&[v; 3], &[3]));
            let running = RunningStatistics { mean: var(0.)?, variance: var(1.)?, momentum: 0.1 };
            g.batch_norm(x, &gamma, &beta, &running, 1e-5, Activation::Relu)
        }),
    ];
    for simd in Simd::available() {
        for (name, op) in ops {
            for bad in [f32::NAN, f32::INFINITY] {
                let mut data: Vec<f32> = (0..27).map(|i| (i as f32 * 0.7).sin()).collect();
                data[13] = bad;
                let mut graph = Graph::training();
                let x = graph.input(&tensor(&data, &[1, 3, 3, 3]));
                let y = simd.force(|| op(&mut graph, &x))?;
                let shown = numbers(y.tensor()).iter().any(|v| !v.is_finite());
                assert!(shown, "{simd:?}: {name} hid {bad}");
                // And backwards: a gradient that is not finite reaches the input.
                let mut graph = Graph::training();
                let x = Var::from_tensor(&tensor(
                    &(0..27).map(|i| (i as f32 * 0.7).sin() + 2.).collect::<Vec<_>>(),
                    &[1, 3, 3, 3],
                ))?;
                let x_value = graph.parameter(&x);
                let y = simd.force(|| op(&mut graph, &x_value))?;
                let mut dy = vec![0.1f32; y.tensor().elem_count()];
                let open = numbers(y.tensor()).iter().position(|v| *v > 0.).unwrap();
                dy[open] = bad;
                let gradients = graph.backward_from(&y, &tensor(&dy, y.dims()))?;
                let shown = numbers(gradients.get(&x).unwrap()).iter().any(|v| !v.is_finite());
                assert!(shown, "{simd:?}: {name} hid the gradient {bad}");
            }
        }
    }
    Ok(())
}
