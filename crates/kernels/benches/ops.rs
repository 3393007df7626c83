//! Single ops on one thread: time, and GFLOP/s or bytes/s against what the machine's vectors can do
//! (`cargo bench -p retrial-kernels`). With `-- --table FILE` convolutions and products alone, each direction for itself,
//! as a CSV of GFLOP/s and their share of the measured peak.

use std::time::Instant;

use candle_core::{Device, Result, Tensor, Var};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use retrial_kernels::{
    Activation, Adam, Conv2d, Graph, Pool2d, RunningStatistics, Sgd, Value, peak_flops, softmax_cross_entropy,
};

/// The allocator that the papers' binaries have.
#[cfg(feature = "allocator")]
#[global_allocator]
static ALLOCATOR: retrial_kernels::Allocator = retrial_kernels::Allocator;

#[cfg(not(feature = "allocator"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let mut arguments = std::env::args().skip_while(|argument| argument != "--table");
    if arguments.next().is_some() {
        let path = arguments.next().expect("--table FILE");
        let table = pool.install(table).expect("ops that fit");
        return std::fs::write(&path, table).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    pool.install(|| {
        println!("f32 peak of one core: {:.0} GFLOP/s (items below are floating-point operations)", peak_flops() / 1e9);
        divan::main();
    });
}

fn random(dims: &[usize]) -> Tensor {
    Tensor::rand(-1f32, 1., dims, &Device::Cpu).expect("a tensor")
}

fn var(dims: &[usize]) -> Var {
    Var::from_tensor(&random(dims)).expect("a variable")
}

/// Side, channels in and out of a 3 x 3 convolution of 128 images.
const CONVOLUTIONS: [(usize, usize, usize); 6] =
    [(32, 3, 32), (32, 16, 16), (16, 32, 32), (8, 64, 64), (4, 128, 128), (16, 192, 192)];
const GEOMETRY: Conv2d = Conv2d { stride: 1, padding: 1 };

fn batch(side: usize) -> usize {
    if side == 16 { 32 } else { 128 }
}

/// As if done directly: where Winograd's way is gone, it may exceed the peak.
fn operations((side, input, output): (usize, usize, usize)) -> usize {
    2 * batch(side) * side * side * 9 * input * output
}

/// Median seconds of what `prepare` returns.
fn seconds<T>(prepare: impl Fn() -> Result<T>, run: impl Fn(T) -> Result<()>) -> Result<f64> {
    const SAMPLES: usize = 15;
    let mut all = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let prepared = prepare()?;
        let start = Instant::now();
        run(prepared)?;
        all.push(start.elapsed().as_secs_f64());
    }
    all.sort_by(f64::total_cmp);
    Ok(all[SAMPLES / 2])
}

/// An op of an input and weights.
type Op<'a> = &'a dyn Fn(&mut Graph, &Value, &Value) -> Result<Value>;

/// The rows of an op: forward, the gradient of the weights, and that of the input (both gradients less that of the
/// weights).
fn rows(op: &str, shape: &str, flops: usize, dims: [&[usize]; 2], apply: Op) -> Result<String> {
    let (x, w) = (var(dims[0]), var(dims[1]));
    let forward = seconds(
        || Ok(()),
        |()| {
            let mut graph = Graph::inference();
            let (x, w) = (graph.input(&x), graph.parameter(&w));
            apply(&mut graph, &x, &w).map(|y| drop(black_box(y)))
        },
    )?;
    let backward = |input: bool| {
        seconds(
            || {
                let mut graph = Graph::training();
                let w = graph.parameter(&w);
                let x = if input { graph.parameter(&x) } else { graph.input(&x) };
                let y = apply(&mut graph, &x, &w)?;
                let dy = random(y.dims());
                Ok((graph, y, dy))
            },
            |(graph, y, dy)| graph.backward_from(&y, &dy).map(|gradients| drop(black_box(gradients))),
        )
    };
    let weights = backward(false)?;
    let input = backward(true)? - weights;
    // Beside each op: other work and heat change what the machine can do.
    let peak = peak_flops() / 1e9;
    let row = |(direction, seconds): (&str, f64)| {
        let speed = flops as f64 / seconds / 1e9;
        format!("{op},{shape},{direction},{:.4},{speed:.1},{peak:.1},{:.3}\n", 1e3 * seconds, speed / peak)
    };
    Ok([("forward", forward), ("weight gradient", weights), ("input gradient", input)].map(row).concat())
}

/// Every convolution and product. Winograd's way does fewer operations than are counted, so its share may exceed 1.
fn table() -> Result<String> {
    let mut table = "op,shape,direction,ms,gflops,peak_gflops,share_of_peak\n".to_owned();
    for size in CONVOLUTIONS {
        let (side, input, output) = size;
        let shape = format!("{} x {side} x {side} x {input} to {output}", batch(side));
        let dims: [&[usize]; 2] = [&[batch(side), side, side, input], &[3, 3, input, output]];
        table += &rows("convolution 3 x 3", &shape, operations(size), dims, &|graph, x, w| {
            graph.conv2d(x, w, None, GEOMETRY, Activation::Identity)
        })?;
    }
    for (input, output) in PRODUCTS {
        let shape = format!("128 x {input} to {output}");
        let dims: [&[usize]; 2] = [&[128, input], &[input, output]];
        table += &rows("linear", &shape, 2 * 128 * input * output, dims, &|graph, x, w| {
            graph.linear(x, w, None, Activation::Identity)
        })?;
    }
    Ok(table)
}

#[divan::bench(args = CONVOLUTIONS, sample_count = 20)]
fn convolution_forward(bencher: Bencher, size: (usize, usize, usize)) {
    let (side, input, output) = size;
    let (x, w) = (random(&[batch(side), side, side, input]), var(&[3, 3, input, output]));
    bencher.counter(ItemsCount::new(operations(size))).bench_local(|| {
        let mut graph = Graph::inference();
        let (x, w) = (graph.input(&x), graph.parameter(&w));
        black_box(graph.conv2d(&x, &w, None, GEOMETRY, Activation::Identity).expect("a result"))
    });
}

#[divan::bench(args = CONVOLUTIONS, sample_count = 20)]
fn convolution_backward(bencher: Bencher, size: (usize, usize, usize)) {
    let (side, input, output) = size;
    let (x, w) = (var(&[batch(side), side, side, input]), var(&[3, 3, input, output]));
    let dy = random(&[batch(side), side, side, output]);
    bencher
        .counter(ItemsCount::new(2 * operations(size)))
        .with_inputs(|| {
            let mut graph = Graph::training();
            let (x, w) = (graph.parameter(&x), graph.parameter(&w));
            let y = graph.conv2d(&x, &w, None, GEOMETRY, Activation::Identity).expect("a result");
            (graph, y)
        })
        .bench_local_values(|(graph, y)| graph.backward_from(&y, &dy).expect("gradients"));
}

/// Inputs and outputs of a product with 128 rows.
const PRODUCTS: [(usize, usize); 3] = [(784, 1024), (1024, 1024), (256, 10)];

#[divan::bench(args = PRODUCTS)]
fn linear_forward(bencher: Bencher, (input, output): (usize, usize)) {
    let (x, w) = (random(&[128, input]), var(&[input, output]));
    bencher.counter(ItemsCount::new(2 * 128 * input * output)).bench_local(|| {
        let mut graph = Graph::inference();
        let (x, w) = (graph.input(&x), graph.parameter(&w));
        black_box(graph.linear(&x, &w, None, Activation::Identity).expect("a result"))
    });
}

#[divan::bench(sample_count = 20)]
fn batch_norm_relu(bencher: Bencher) {
    let (x, gamma, beta) = (random(&[128, 32, 32, 16]), var(&[16]), var(&[16]));
    let running = RunningStatistics { mean: var(&[16]), variance: var(&[16]), momentum: 0.1 };
    bencher.counter(BytesCount::of_many::<f32>(2 * x.elem_count())).bench_local(|| {
        let mut graph = Graph::training().with_batch_statistics();
        let (x, gamma, beta) = (graph.input(&x), graph.parameter(&gamma), graph.parameter(&beta));
        let y = graph.batch_norm(&x, &gamma, &beta, &running, 1e-5, Activation::Relu).expect("a result");
        // A norm waits for somebody who reads it.
        black_box(y.tensor().clone())
    });
}

#[divan::bench(sample_count = 20)]
fn batch_norm_relu_backward(bencher: Bencher) {
    let (x, gamma, beta) = (var(&[128, 32, 32, 16]), var(&[16]), var(&[16]));
    let running = RunningStatistics { mean: var(&[16]), variance: var(&[16]), momentum: 0.1 };
    let dy = random(x.dims());
    bencher
        .counter(BytesCount::of_many::<f32>(3 * x.elem_count()))
        .with_inputs(|| {
            let mut graph = Graph::training().with_batch_statistics();
            let (x, gamma, beta) = (graph.parameter(&x), graph.parameter(&gamma), graph.parameter(&beta));
            let y = graph.batch_norm(&x, &gamma, &beta, &running, 1e-5, Activation::Relu).expect("a result");
            (graph, y)
        })
        .bench_local_values(|(graph, y)| graph.backward_from(&y, &dy).expect("gradients"));
}

/// Layer norm over few channels, as in a narrow network.
#[divan::bench(args = [8, 32], sample_count = 20)]
fn group_norm_relu(bencher: Bencher, c: usize) {
    let (x, gamma, beta) = (random(&[128, 16, 16, c]), var(&[c]), var(&[c]));
    bencher.counter(BytesCount::of_many::<f32>(2 * x.elem_count())).bench_local(|| {
        let mut graph = Graph::inference();
        let (x, gamma, beta) = (graph.input(&x), graph.parameter(&gamma), graph.parameter(&beta));
        black_box(graph.group_norm(&x, &gamma, &beta, 1, 1e-5, Activation::Relu).expect("a result"))
    });
}

#[divan::bench(args = [8, 32], sample_count = 20)]
fn group_norm_relu_backward(bencher: Bencher, c: usize) {
    let (x, gamma, beta) = (var(&[128, 16, 16, c]), var(&[c]), var(&[c]));
    let dy = random(x.dims());
    bencher
        .counter(BytesCount::of_many::<f32>(3 * x.elem_count()))
        .with_inputs(|| {
            let mut graph = Graph::training();
            let (x, gamma, beta) = (graph.parameter(&x), graph.parameter(&gamma), graph.parameter(&beta));
            let y = graph.group_norm(&x, &gamma, &beta, 1, 1e-5, Activation::Relu).expect("a result");
            (graph, y)
        })
        .bench_local_values(|(graph, y)| graph.backward_from(&y, &dy).expect("gradients"));
}

#[divan::bench(args = [true, false], sample_count = 20)]
fn pool_by_two(bencher: Bencher, max: bool) {
    let x = random(&[128, 32, 32, 16]);
    let pool = Pool2d { size: 2, stride: 2, padding: 0 };
    bencher.counter(BytesCount::of_many::<f32>(x.elem_count() * 5 / 4)).bench_local(|| {
        let mut graph = Graph::inference();
        let x = graph.input(&x);
        black_box(if max { graph.max_pool2d(&x, pool) } else { graph.avg_pool2d(&x, pool) }.expect("a result"))
    });
}

#[divan::bench]
fn cross_entropy_of_ten(bencher: Bencher) {
    let (logits, targets) =
        (random(&[128, 10]), Tensor::zeros(128, candle_core::DType::U32, &Device::Cpu).expect("zeros"));
    bencher.bench_local(|| black_box(softmax_cross_entropy(&logits, &targets, None).expect("losses")));
}

#[divan::bench]
fn sgd_with_momentum(bencher: Bencher) {
    let (w, g, mut velocity) = (var(&[1 << 20]), random(&[1 << 20]), None);
    let sgd = Sgd { rate: 0.1, momentum: 0.9, nesterov: false, weight_decay: 5e-4 };
    bencher
        .counter(BytesCount::of_many::<f32>(5 << 20))
        .bench_local(|| sgd.step(&w, &g, &mut velocity).expect("a step"));
}

#[divan::bench]
fn adam(bencher: Bencher) {
    let (w, g, mut state) = (var(&[1 << 20]), random(&[1 << 20]), None);
    let adam = Adam { rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0., decoupled: false };
    bencher
        .counter(BytesCount::of_many::<f32>(7 << 20))
        .bench_local(|| adam.step(&w, &g, &mut state, 10).expect("a step"));
}
