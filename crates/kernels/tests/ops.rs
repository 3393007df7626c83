//! Every op against references in f64 that share no code with it: forward values, and gradients by central differences;
//! on every instruction set of the machine, on one to three threads (the same bits), and as candle expressions.

use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use retrial_kernels::{Activation, Conv2d, Graph, Pool2d, RunningStatistics, Simd, Value};

/// A row-major array in f64.
#[derive(Clone, Debug)]
struct Array {
    dims: Vec<usize>,
    data: Vec<f64>,
}

impl Array {
    fn new(dims: &[usize], data: Vec<f64>) -> Self {
        assert_eq!(dims.iter().product::<usize>(), data.len());
        Self { dims: dims.to_vec(), data }
    }

    /// Numbers around `centre` that f32 holds exactly.
    fn random(rng: &mut impl Rng, dims: &[usize], centre: f64) -> Self {
        let data =
            (0..dims.iter().product()).map(|_| f64::from((centre as f32) + rng.random_range(-1f32..1.))).collect();
        Self::new(dims, data)
    }

    fn at(&self, index: &[usize]) -> f64 {
        self.data[index.iter().zip(&self.dims).fold(0, |at, (i, d)| at * d + i)]
    }

    fn tensor(&self, dtype: DType) -> Tensor {
        Tensor::from_vec(self.data.clone(), self.dims.as_slice(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    }
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// An op to test.
struct Case<'a> {
    inputs: Vec<Array>,
    op: &'a (dyn Fn(&mut Graph, &[Value]) -> Result<Value> + Sync),
    /// The op on the inputs, in f64.
    reference: &'a (dyn Fn(&[Array]) -> Array + Sync),
    graph: &'a (dyn Fn() -> Graph + Sync),
}

struct Outcome {
    value: Vec<f64>,
    gradients: Vec<Vec<f64>>,
}

impl Case<'_> {
    fn run(&self, mut graph: Graph, dtype: DType, cotangent: &[f64]) -> Outcome {
        let vars: Vec<Var> = self.inputs.iter().map(|a| Var::from_tensor(&a.tensor(dtype)).unwrap()).collect();
        let values: Vec<Value> = vars.iter().map(|v| graph.parameter(v)).collect();
        let y = (self.op)(&mut graph, &values).unwrap();
        drop(values);
        let value = numbers(y.tensor());
        let dy = Array::new(y.dims(), cotangent.to_vec()).tensor(dtype);
        let gradients = graph.backward_from(&y, &dy).unwrap();
        let gradients = vars.iter().map(|v| numbers(gradients.get(v).expect("every input takes a gradient"))).collect();
        Outcome { value, gradients }
    }

    fn check(&self, seed: u64) {
        // Another stream than the inputs': they must not be equal.
        let mut rng = ChaCha8Rng::seed_from_u64(!seed);
        let wanted = (self.reference)(&self.inputs);
        let cotangent: Vec<f64> = wanted.data.iter().map(|_| f64::from(rng.random_range(-1f32..1.))).collect();

        // The expression in f64: its values, and some of its gradients by central differences.
        let exact = self.run((self.graph)(), DType::F64, &cotangent);
        close("expression", &exact.value, &wanted.data, 1e-10);
        for (i, gradient) in exact.gradients.iter().enumerate() {
            let scale = largest(gradient).max(1e-3);
            for _ in 0..12.min(gradient.len()) {
                let k = rng.random_range(0..gradient.len());
                let slope = self.slope(i, k, &cotangent);
                assert!(
                    (gradient[k] - slope).abs() <= 1e-6 * scale.max(1.),
                    "expression: gradient {k} of input {i} is {}, by differences {slope}",
                    gradient[k]
                );
            }
        }
        // The expression in f32, then the kernels.
        let single = self.run((self.graph)().with_expressions(), DType::F32, &cotangent);
        close("f32 expression", &single.value, &wanted.data, 1e-5);
        for simd in Simd::available() {
            let run = || simd.force(|| self.run((self.graph)(), DType::F32, &cotangent));
            let kernel = run();
            close(&format!("{simd:?}"), &kernel.value, &wanted.data, 1e-5);
            for (i, (gradient, exact)) in kernel.gradients.iter().zip(&exact.gradients).enumerate() {
                close(&format!("{simd:?} gradient {i}"), gradient, exact, 1e-4);
            }
            for threads in [1, 2, 3] {
                let other = pool(threads).install(run);
                assert_eq!(bits(&kernel.value), bits(&other.value), "{simd:?} on {threads} threads");
                for (a, b) in kernel.gradients.iter().zip(&other.gradients) {
                    assert_eq!(bits(a), bits(b), "{simd:?} gradients on {threads} threads");
                }
            }
        }
    }

    /// Slope of the weighted sum of outputs along one element of an input.
    fn slope(&self, input: usize, element: usize, cotangent: &[f64]) -> f64 {
        const STEP: f64 = 1e-6;
        let at = |step: f64| {
            let mut inputs = self.inputs.clone();
            inputs[input].data[element] += step;
            let y = (self.reference)(&inputs);
            y.data.iter().zip(cotangent).map(|(y, c)| y * c).sum::<f64>()
        };
        (at(STEP) - at(-STEP)) / (2. * STEP)
    }
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn bits(x: &[f64]) -> Vec<u64> {
    x.iter().map(|v| v.to_bits()).collect()
}

fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0., |m, v| v.abs().max(m))
}

/// Errors relative to the largest element.
fn close(what: &str, a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = largest(b).max(1e-3);
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0., |m, e| if e > m || e.is_nan() { e } else { m });
    assert!(worst <= tolerance * scale, "{what}: off by {worst:e} where the largest is {scale:e}");
}

// References.

/// Whether a ReLU's input is so near to zero that rounding could open or shut it, or a difference straddle the corner.
fn on_the_edge(y: &Array) -> bool {
    y.data.iter().any(|v| v.abs() < 2e-5)
}

fn activate(mut y: Array, activation: Activation) -> Array {
    if activation == Activation::Relu {
        y.data.iter_mut().for_each(|v| *v = v.max(0.));
    }
    y
}

fn conv2d(x: &Array, w: &Array, b: Option<&Array>, geometry: Conv2d) -> Array {
    let (&[n, h, wd, ci], &[kh, kw, _, co]) = (x.dims.as_slice(), w.dims.as_slice()) else { unreachable!() };
    let Conv2d { stride, padding } = geometry;
    let (oh, ow) = ((h + 2 * padding - kh) / stride + 1, (wd + 2 * padding - kw) / stride + 1);
    let mut out = vec![];
    for i in 0..n {
        for oy in 0..oh {
            for ox in 0..ow {
                for o in 0..co {
                    let mut sum = b.map_or(0., |b| b.data[o]);
                    for ky in 0..kh {
                        for kx in 0..kw {
                            let (y, x_) = ((oy * stride + ky) as isize, (ox * stride + kx) as isize);
                            let (y, x_) = (y - padding as isize, x_ - padding as isize);
                            if y < 0 || x_ < 0 || y >= h as isize || x_ >= wd as isize {
                                continue;
                            }
                            for c in 0..ci {
                                sum += x.at(&[i, y as usize, x_ as usize, c]) * w.at(&[ky, kx, c, o]);
                            }
                        }
                    }
                    out.push(sum);
                }
            }
        }
    }
    Array::new(&[n, oh, ow, co], out)
}

fn linear(x: &Array, w: &Array, b: Option<&Array>) -> Array {
    let (&[n, input], &[_, output]) = (x.dims.as_slice(), w.dims.as_slice()) else { unreachable!() };
    let value = |i: usize, o: usize| {
        b.map_or(0., |b| b.data[o]) + (0..input).map(|k| x.at(&[i, k]) * w.at(&[k, o])).sum::<f64>()
    };
    Array::new(&[n, output], (0..n * output).map(|k| value(k / output, k % output)).collect())
}

/// The last hidden state.
fn lstm(x: &Array, w: &Array, u: &Array, b: &Array) -> Array {
    let (&[n, steps, input], &[hidden, wide]) = (x.dims.as_slice(), u.dims.as_slice()) else { unreachable!() };
    let logistic = |z: f64| 1. / (1. + (-z).exp());
    let mut last = vec![];
    for row in 0..n {
        let (mut h, mut c) = (vec![0.; hidden], vec![0.; hidden]);
        for step in 0..steps {
            let z: Vec<f64> = (0..wide)
                .map(|k| {
                    let from_x = (0..input).map(|i| x.at(&[row, step, i]) * w.at(&[i, k])).sum::<f64>();
                    b.data[k] + from_x + (0..hidden).map(|j| h[j] * u.at(&[j, k])).sum::<f64>()
                })
                .collect();
            for j in 0..hidden {
                let [i, f, g, o] = [0, 1, 2, 3].map(|gate| z[gate * hidden + j]);
                c[j] = logistic(f) * c[j] + logistic(i) * g.tanh();
                h[j] = logistic(o) * c[j].tanh();
            }
        }
        last.extend(h);
    }
    Array::new(&[n, hidden], last)
}

/// Normalises the elements that share a value of `group`, then scales and shifts by channel.
fn normalise(x: &Array, gamma: &Array, beta: &Array, epsilon: f64, group: impl Fn(usize) -> usize) -> Array {
    let groups = (0..x.data.len()).map(&group).max().unwrap() + 1;
    let mut members = vec![vec![]; groups];
    for (k, v) in x.data.iter().enumerate() {
        members[group(k)].push(*v);
    }
    let statistics: Vec<(f64, f64)> = members.iter().map(|m| mean_and_variance(m)).collect();
    let c = gamma.data.len();
    let value = |(k, v): (usize, &f64)| {
        let (mean, variance) = statistics[group(k)];
        (v - mean) / (variance + epsilon).sqrt() * gamma.data[k % c] + beta.data[k % c]
    };
    Array::new(&x.dims, x.data.iter().enumerate().map(value).collect())
}

fn mean_and_variance(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    (mean, x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n)
}

fn pool2d(x: &Array, pool: Pool2d, max: bool) -> Array {
    let &[n, h, w, c] = x.dims.as_slice() else { unreachable!() };
    let Pool2d { size, stride, padding } = pool;
    let (oh, ow) = ((h + 2 * padding - size) / stride + 1, (w + 2 * padding - size) / stride + 1);
    let mut out = vec![];
    for i in 0..n {
        for oy in 0..oh {
            for ox in 0..ow {
                for k in 0..c {
                    let inside =
                        |o: usize, d: usize, n: usize| (o * stride + d).checked_sub(padding).filter(|place| *place < n);
                    let window = (0..size * size)
                        .filter_map(|d| Some(x.at(&[i, inside(oy, d / size, h)?, inside(ox, d % size, w)?, k])));
                    out.push(match max {
                        true => window.fold(f64::NEG_INFINITY, f64::max),
                        false => window.sum::<f64>() / (size * size) as f64,
                    });
                }
            }
        }
    }
    Array::new(&[n, oh, ow, c], out)
}

fn running(channels: usize, rng: &mut impl Rng) -> (Array, Array) {
    let mean = Array::random(rng, &[channels], 0.);
    let mut variance = Array::random(rng, &[channels], 1.5);
    variance.data.iter_mut().for_each(|v| *v = v.abs());
    (mean, variance)
}

fn statistics(mean: &Array, variance: &Array, dtype: DType) -> RunningStatistics {
    let var = |a: &Array| Var::from_tensor(&a.tensor(dtype)).unwrap();
    RunningStatistics { mean: var(mean), variance: var(variance), momentum: 0.1 }
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![Just(Activation::Identity), Just(Activation::Relu)]
}

/// Numbers of channels: below, at and beyond one, two and four vectors of any width, and ragged.
fn channels() -> impl Strategy<Value = usize> {
    prop_oneof![1..=9usize, Just(12), Just(16), Just(17), Just(31), Just(32), Just(40), Just(48), Just(65), Just(96)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn linear_layers(
        n in 1..20usize, input in channels(), output in channels(), bias: bool, activation in activation(), seed: u64,
    ) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut inputs = vec![Array::random(rng, &[n, input], 0.), Array::random(rng, &[input, output], 0.)];
        if bias {
            inputs.push(Array::random(rng, &[output], 0.));
        }
        let before = |t: &[Array]| linear(&t[0], &t[1], t.get(2));
        prop_assume!(!on_the_edge(&before(&inputs)));
        Case {
            inputs,
            op: &|graph, t| graph.linear(&t[0], &t[1], t.get(2), activation),
            reference: &|t| activate(before(t), activation),
            graph: &Graph::training,
        }
        .check(seed);
    }

    #[test]
    fn convolutions(
        n in 1..4usize, h in 1..10usize, w in 1..10usize, input in channels(), output in channels(),
        kh in 1..6usize, kw in 1..6usize, stride in 1..4usize, padding in 0..4usize,
        bias: bool, activation in activation(), seed: u64,
    ) {
        prop_assume!(kh <= h + 2 * padding && kw <= w + 2 * padding);
        let geometry = Conv2d { stride, padding };
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut inputs =
            vec![Array::random(rng, &[n, h, w, input], 0.), Array::random(rng, &[kh, kw, input, output], 0.)];
        if bias {
            inputs.push(Array::random(rng, &[output], 0.));
        }
        let before = |t: &[Array]| conv2d(&t[0], &t[1], t.get(2), geometry);
        prop_assume!(activation == Activation::Identity || !on_the_edge(&before(&inputs)) );
        Case {
            inputs,
            op: &|graph, t| graph.conv2d(&t[0], &t[1], t.get(2), geometry, activation),
            reference: &|t| activate(before(t), activation),
            graph: &Graph::training,
        }
        .check(seed);
    }

    #[test]
    fn batch_norms(
        n in 1..6usize, h in 1..6usize, w in 1..6usize, c in channels(), centre in -5f64..5., training: bool,
        activation in activation(), seed: u64,
    ) {
        // Two or three values normalise to nearly the same numbers whatever they are: their gradient is all rounding.
        prop_assume!(n * h * w > 3);
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let inputs = vec![
            Array::random(rng, &[n, h, w, c], centre),
            Array::random(rng, &[c], 0.5),
            Array::random(rng, &[c], 0.),
        ];
        let (mean, variance) = running(c, rng);
        let epsilon = 1e-3;
        let before = |t: &[Array]| if training {
            normalise(&t[0], &t[1], &t[2], epsilon, |k| k % c)
        } else {
            let value = |(k, v): (usize, &f64)| {
                let normal = (v - mean.data[k % c]) / (variance.data[k % c] + epsilon).sqrt();
                normal * t[1].data[k % c] + t[2].data[k % c]
            };
            Array::new(&t[0].dims, t[0].data.iter().enumerate().map(value).collect())
        };
        prop_assume!(activation == Activation::Identity || !on_the_edge(&before(&inputs)));
        Case {
            inputs,
            op: &|graph, t| {
                let running = statistics(&mean, &variance, t[0].tensor().dtype());
                graph.batch_norm(&t[0], &t[1], &t[2], &running, epsilon, activation)
            },
            reference: &|t| activate(before(t), activation),
            graph: &|| if training { Graph::training() } else { Graph::training().with_running_statistics() },
        }
        .check(seed);
    }

    #[test]
    fn layer_norms(n in 1..9usize, c in 4..70usize, centre in -3f64..3., activation in activation(), seed: u64) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let inputs =
            vec![Array::random(rng, &[n, c], centre), Array::random(rng, &[c], 0.5), Array::random(rng, &[c], 0.)];
        let before = |t: &[Array]| normalise(&t[0], &t[1], &t[2], 1e-3, |k| k / c);
        prop_assume!(activation == Activation::Identity || !on_the_edge(&before(&inputs)));
        Case {
            inputs,
            op: &|graph, t| graph.layer_norm(&t[0], &t[1], &t[2], 1e-3, activation),
            reference: &|t| activate(before(t), activation),
            graph: &Graph::training,
        }
        .check(seed);
    }

    #[test]
    fn group_norms(
        n in 1..4usize, h in 1..5usize, w in 1..5usize, groups in 1..5usize, width in 1..20usize,
        activation in activation(), seed: u64,
    ) {
        prop_assume!(h * w * width > 3);
        let c = groups * width;
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let inputs = vec![
            Array::random(rng, &[n, h, w, c], 0.3),
            Array::random(rng, &[c], 0.5),
            Array::random(rng, &[c], 0.),
        ];
        let group = |k: usize| k / (h * w * c) * groups + k % c / width;
        let before = |t: &[Array]| normalise(&t[0], &t[1], &t[2], 1e-3, group);
        prop_assume!(activation == Activation::Identity || !on_the_edge(&before(&inputs)));
        Case {
            inputs,
            op: &|graph, t| graph.group_norm(&t[0], &t[1], &t[2], groups, 1e-3, activation),
            reference: &|t| activate(before(t), activation),
            graph: &Graph::training,
        }
        .check(seed);
    }

    #[test]
    fn pools(
        n in 1..4usize, h in 1..10usize, w in 1..10usize, c in channels(),
        size in 1..4usize, stride in 1..4usize, padding in 0..2usize, max: bool, seed: u64,
    ) {
        prop_assume!(2 * padding <= size && size <= h + 2 * padding && size <= w + 2 * padding);
        let pool = Pool2d { size, stride, padding };
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        Case {
            inputs: vec![Array::random(rng, &[n, h, w, c], 0.)],
            op: &|graph, t| if max { graph.max_pool2d(&t[0], pool) } else { graph.avg_pool2d(&t[0], pool) },
            reference: &|t| pool2d(&t[0], pool, max),
            graph: &Graph::training,
        }
        .check(seed);
    }

    #[test]
    fn global_pools_and_sums(
        n in 1..4usize, h in 1..7usize, w in 1..7usize, c in channels(), activation in activation(), seed: u64,
    ) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let dims = [n, h, w, c];
        let inputs = vec![Array::random(rng, &dims, 0.), Array::random(rng, &dims, 0.)];
        let sum = |t: &[Array]| {
            Array::new(&dims, t[0].data.iter().zip(&t[1].data).map(|(a, b)| a + b).collect())
        };
        prop_assume!(!on_the_edge(&sum(&inputs)) && !inputs.iter().any(on_the_edge));
        Case {
            inputs: inputs.clone(),
            op: &|graph, t| graph.add(&t[0], &t[1], activation),
            reference: &|t| activate(sum(t), activation),
            graph: &Graph::training,
        }
        .check(seed);
        Case {
            inputs: vec![inputs[0].clone()],
            op: &|graph, t| graph.activate(&t[0], Activation::Relu),
            reference: &|t| activate(t[0].clone(), Activation::Relu),
            graph: &Graph::training,
        }
        .check(seed);
        Case {
            inputs: vec![inputs[0].clone()],
            op: &|graph, t| graph.global_avg_pool(&t[0]),
            reference: &|t| {
                let mean = |k: usize| {
                    let (i, k) = (k / c, k % c);
                    (0..h * w).map(|p| t[0].data[(i * h * w + p) * c + k]).sum::<f64>() / (h * w) as f64
                };
                Array::new(&[n, c], (0..n * c).map(mean).collect())
            },
            graph: &Graph::training,
        }
        .check(seed);
    }

    #[test]
    fn joins(n in 1..4usize, h in 1..5usize, w in 1..5usize, a in channels(), b in channels(), seed: u64) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        Case {
            inputs: vec![Array::random(rng, &[n, h, w, a], 0.), Array::random(rng, &[n, h, w, b], 0.)],
            // Flattened as well, and the first part used twice: its gradients add up.
            op: &|graph, t| {
                let joined = graph.concat(&t[0], &t[1])?;
                let joined = graph.concat(&joined, &t[0])?;
                graph.flatten(&joined)
            },
            reference: &|t| {
                let pixels = t[0].data.chunks(a).zip(t[1].data.chunks(b));
                let all = pixels.flat_map(|(x, y)| x.iter().chain(y).chain(x)).copied().collect();
                Array::new(&[n, h * w * (2 * a + b)], all)
            },
            graph: &Graph::training,
        }
        .check(seed);
    }

    /// What is read on the way rather than stored: a join with a part that stands twice in it, its norm read by two
    /// convolutions and by an op that wants it whole, and the join under another norm.
    #[test]
    fn norms_of_joins_under_convolutions(
        n in 1..4usize, h in 2..6usize, w in 2..6usize, a in 1..34usize, b in 1..20usize, output in 1..20usize,
        size in 1..4usize, stride in 1..3usize, padding in 0..2usize, training: bool, activation in activation(),
        seed: u64,
    ) {
        prop_assume!(n * h * w > 3 && size <= h.min(w) + 2 * padding);
        let c = 2 * a + b;
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let inputs = vec![
            Array::random(rng, &[n, h, w, a], 0.),
            Array::random(rng, &[n, h, w, b], 0.5),
            Array::random(rng, &[c], 0.5),
            Array::random(rng, &[c], 0.),
            Array::random(rng, &[size, size, c, output], 0.),
            Array::random(rng, &[1, 1, c, output], 0.),
        ];
        let (mean, variance) = running(c, rng);
        let (epsilon, geometry, point) = (1e-3, Conv2d { stride, padding }, Conv2d { stride: 1, padding: 0 });
        let joined = |t: &[Array]| {
            let pixels = t[0].data.chunks(a).zip(t[1].data.chunks(b));
            Array::new(&[n, h, w, c], pixels.flat_map(|(x, y)| x.iter().chain(y).chain(x)).copied().collect())
        };
        let norm = |t: &[Array], gamma: usize| {
            let x = joined(t);
            if training {
                return normalise(&x, &t[gamma], &t[3], epsilon, |k| k % c);
            }
            let value = |(k, v): (usize, &f64)| {
                let normal = (v - mean.data[k % c]) / (variance.data[k % c] + epsilon).sqrt();
                normal * t[gamma].data[k % c] + t[3].data[k % c]
            };
            Array::new(&x.dims, x.data.iter().enumerate().map(value).collect())
        };
        prop_assume!(activation == Activation::Identity || !on_the_edge(&norm(&inputs, 2)));
        Case {
            inputs,
            op: &|graph, t| {
                let joined = graph.concat(&t[0], &t[1])?;
                let joined = graph.concat(&joined, &t[0])?;
                let running = || statistics(&mean, &variance, t[0].tensor().dtype());
                let normal = graph.batch_norm(&joined, &t[2], &t[3], &running(), epsilon, activation)?;
                let other = graph.batch_norm(&joined, &t[3], &t[3], &running(), epsilon, Activation::Identity)?;
                let windows = graph.conv2d(&normal, &t[4], None, geometry, Activation::Identity)?;
                let points = graph.conv2d(&normal, &t[5], None, point, Activation::Identity)?;
                let sum = graph.add(&normal, &other, Activation::Identity)?;
                let sum = graph.add(&sum, &joined, Activation::Identity)?;
                let all = [windows, points, sum].map(|v| graph.flatten(&v));
                let [windows, points, sum] = all;
                let all = graph.concat(&windows?, &points?)?;
                graph.concat(&all, &sum?)
            },
            reference: &|t| {
                let normal = activate(norm(t, 2), activation);
                let (other, joined) = (norm(t, 3), joined(t));
                let sum = normal.data.iter().zip(&other.data).zip(&joined.data).map(|((a, b), c)| a + b + c);
                let sum = Array::new(&[n, h, w, c], sum.collect());
                let all = [conv2d(&normal, &t[4], None, geometry), conv2d(&normal, &t[5], None, point), sum];
                let width = |x: &Array| x.data.len() / n;
                let row = |i: usize| all.iter().flat_map(move |x| x.data[i * width(x)..][..width(x)].iter().copied());
                Array::new(&[n, all.iter().map(width).sum()], (0..n).flat_map(row).collect())
            },
            graph: &|| if training { Graph::training() } else { Graph::training().with_running_statistics() },
        }
        .check(seed);
    }

    #[test]
    fn lstms(n in 1..36usize, steps in 1..7usize, input in 1..5usize, hidden in 1..20usize, seed: u64) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        Case {
            inputs: vec![
                Array::random(rng, &[n, steps, input], 0.),
                Array::random(rng, &[input, 4 * hidden], 0.),
                Array::random(rng, &[hidden, 4 * hidden], 0.),
                Array::random(rng, &[4 * hidden], 0.3),
            ],
            op: &|graph, t| graph.lstm(&t[0], &t[1], &t[2], &t[3]),
            reference: &|t| lstm(&t[0], &t[1], &t[2], &t[3]),
            graph: &Graph::training,
        }
        .check(seed);
    }

    #[test]
    fn dropouts(n in 1..9usize, c in channels(), p in 0f32..0.9, seed: u64) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let input = Array::random(rng, &[n, c], 2.);
        let stream = || ChaCha8Rng::seed_from_u64(seed ^ 1);
        let mut draws = stream();
        let keep = f64::from(1. / (1. - p));
        let mask: Vec<f64> = (0..n * c).map(|_| if draws.random::<f32>() < p { 0. } else { keep }).collect();
        Case {
            inputs: vec![input],
            op: &|graph, t| graph.dropout(&t[0], p),
            graph: &|| Graph::training().with_dropout(stream()),
            reference: &|t| Array::new(&t[0].dims, t[0].data.iter().zip(&mask).map(|(x, m)| x * m).collect()),
        }
        .check(seed);
    }
}

proptest! {
    // The reference takes its time over so many channels.
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Sizes that go Winograd's way in whole or in one direction.
    #[test]
    fn convolutions_by_tiles(
        n in 1..4usize, h in 2..5usize, w in 2..5usize, input in 2..5usize, output in 2..5usize, padding in 0..3usize,
        activation in activation(), seed: u64,
    ) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (h, w, input, output) = (2 * h, 2 * w, 16 * input, 16 * output);
        let inputs = vec![
            Array::random(rng, &[n, h, w, input], 0.),
            Array::random(rng, &[3, 3, input, output], 0.),
            Array::random(rng, &[output], 0.),
        ];
        let geometry = Conv2d { stride: 1, padding };
        let before = |t: &[Array]| conv2d(&t[0], &t[1], t.get(2), geometry);
        prop_assume!(activation == Activation::Identity || !on_the_edge(&before(&inputs)));
        Case {
            inputs,
            op: &|graph, t| graph.conv2d(&t[0], &t[1], t.get(2), geometry, activation),
            reference: &|t| activate(before(t), activation),
            graph: &Graph::training,
        }
        .check(seed);
    }
}
