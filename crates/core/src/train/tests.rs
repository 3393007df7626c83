use approx::{assert_abs_diff_eq, assert_relative_eq};
use candle_core::{D, DType, Device, Tensor, Var};
use proptest::prelude::*;
use retrial_kernels::{Gradients, Graph};

use super::*;
use crate::Seed;
use crate::model::reference::{fill, images, numbers, tensor};
use crate::model::{Architecture, InputShape, Model, Parameter, Parameters, Weights};

fn build(architecture: Architecture, side: usize, channels: usize) -> Model {
    let input = InputShape::Image { height: side, width: side, channels };
    architecture.build(&input, 3, Seed(5), &Device::Cpu).unwrap()
}

fn mlp() -> Model {
    build(Architecture::Mlp { widths: vec![8, 6], dropout: 0. }, 2, 3)
}

fn cnn() -> Model {
    build(Architecture::SmallCnn { widths: vec![4, 6, 8] }, 8, 3)
}

fn labels() -> Vec<u32> {
    (0..24).map(|i| i % 3).collect()
}

/// One epoch over 24 samples in batches of 8, in order; the mean of the batches' losses.
fn epoch(model: &Model, optimiser: &mut Optimiser, x: &Tensor, rate: f64) -> f64 {
    let labels = labels();
    let mut total = 0.;
    for start in (0..24).step_by(8) {
        let mut graph = Graph::training();
        let logits = model.forward(&mut graph, &x.narrow(0, start, 8).unwrap()).unwrap();
        let losses = cross_entropy(&graph.output(&logits).unwrap(), &labels[start..start + 8]).unwrap();
        let loss = losses.mean_all().unwrap();
        total += f64::from(loss.to_scalar::<f32>().unwrap()) / 3.;
        optimiser.step(&model.parameters, &graph.backward(&loss).unwrap(), rate).unwrap();
    }
    total
}

fn evaluate_all(model: &Model, x: &Tensor, batch_size: usize) -> Evaluation {
    let all: Vec<u32> = (0..24).collect();
    let rows = |rows: &[u32]| x.index_select(&Tensor::new(rows, &Device::Cpu)?, 0);
    evaluate(model, &all, &labels(), batch_size, rows).unwrap()
}

/// Forward, loss, backward, optimiser and running statistics together, against `reference.py` in `model`.
#[test]
fn three_epochs_are_those_of_pytorch() {
    let nesterov = OptimiserConfig::Sgd { momentum: 0.9, nesterov: true, weight_decay: 1e-3 };
    for (model, side, config, rate, expected) in [
        (mlp(), 2, OptimiserConfig::adam(1e-3), 0.01, [1.1171678, 1.0819408, 1.0623994, 1.0525128]),
        (cnn(), 8, nesterov, 0.05, [1.1836299, 0.9491377, 0.8071584, 0.8969664]),
    ] {
        fill(&model.parameters).unwrap();
        let x = images(24, side, 3).unwrap();
        let mut optimiser = Optimiser::new(config);
        for loss in &expected[..3] {
            assert_abs_diff_eq!(epoch(&model, &mut optimiser, &x, rate), *loss, epsilon = 1e-4);
        }
        assert_abs_diff_eq!(evaluate_all(&model, &x, 24).mean_loss(), expected[3], epsilon = 1e-4);
    }
}

fn bits(weights: &Weights) -> Vec<u32> {
    let bits = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits);
    weights.values().flat_map(bits).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_with_one_and_with_two_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let model = build(Architecture::SmallCnn { widths: vec![16, 32] }, 12, 3);
            let mut optimiser = Optimiser::new(OptimiserConfig::sgd(0.9, 1e-3));
            let x = images(24, 12, 3).unwrap();
            for _ in 0..2 {
                epoch(&model, &mut optimiser, &x, 0.05);
            }
            bits(&model.parameters.weights().unwrap())
        })
    };
    let one = run(1);
    assert_eq!(one, run(1));
    assert_eq!(one, run(2));
}

// Optimisers.

/// A single parameter `w`, with the loss `sum(a w^2) / 2`.
struct Bowl {
    parameters: Parameters,
    a: Tensor,
}

impl Bowl {
    fn new(w: &[f64], a: &[f64], dtype: DType) -> Self {
        let tensor = |v: &[f64]| Tensor::new(v, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let var = Var::from_tensor(&tensor(w)).unwrap();
        let trainable = [("w".to_owned(), Parameter { var, decay: true, frozen: false })].into();
        Self { parameters: Parameters { trainable, buffers: Default::default() }, a: tensor(a) }
    }

    fn gradients(&self) -> Gradients {
        let mut graph = Graph::training();
        let w = graph.parameter(&self.parameters.trainable["w"].var);
        let w = graph.output(&w).unwrap();
        let loss = ((&self.a * w.sqr().unwrap()).unwrap().sum_all().unwrap() / 2.).unwrap();
        graph.backward(&loss).unwrap()
    }

    fn step(&self, optimiser: &mut Optimiser, rate: f64) {
        optimiser.step(&self.parameters, &self.gradients(), rate).unwrap();
    }

    fn w(&self) -> Vec<f64> {
        self.parameters.trainable["w"].var.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    }
}

fn nesterov(momentum: f64, weight_decay: f64) -> OptimiserConfig {
    OptimiserConfig::Sgd { momentum, nesterov: true, weight_decay }
}

/// Five steps, the rate falling after three, against `reference.py` in `model`. In double precision every rule runs through
/// tensor ops, in single precision in place.
#[test]
fn optimisers_are_those_of_pytorch() {
    for (config, expected) in [
        (OptimiserConfig::sgd(0., 0.01), [0.6975156, -1.9262199, 0.1508247]),
        (OptimiserConfig::sgd(0.9, 0.01), [0.3734790, -1.8457149, -0.1990543]),
        (nesterov(0.9, 0.01), [0.2281368, -1.7899355, -0.1780222]),
        (OptimiserConfig::adam(0.01), [0.6626853, -1.6610329, 0.1687309]),
        (OptimiserConfig::adamw(0.01), [0.6597502, -1.6546902, 0.1675269]),
        // From `reference_2018.py`: PyTorch's RMSprop has another epsilon.
        (OptimiserConfig::rms_prop(0.01), [0.3314909, -1.2548408, 0.0180657]),
    ] {
        for (dtype, tolerance) in [(DType::F64, 1e-7), (DType::F32, 1e-6)] {
            let bowl = Bowl::new(&[1., -2., 0.5], &[1., 0.1, 3.], dtype);
            let mut optimiser = Optimiser::new(config.clone());
            for step in 0..5 {
                bowl.step(&mut optimiser, if step < 3 { 0.1 } else { 0.02 });
            }
            for (ours, theirs) in bowl.w().into_iter().zip(expected) {
                assert_abs_diff_eq!(ours, theirs, epsilon = tolerance);
            }
        }
    }
}

/// w = 2, gradient w, rate 0.1, momentum 0.5, decay 0.5. The decayed gradient is 1.5 w.
/// SGD: 2 - 0.1 * 3 = 1.7. Momentum: v = 3, w = 1.7; v = 1.5 + 2.55 = 4.05, w = 1.295. Nesterov: w = 2 - 0.1 (3 + 1.5) =
/// 1.55. Adam's first step is the rate times the sign, whatever the gradient: 1.9; AdamW shrinks by 0.1 * 0.5 first: 1.8.
#[test]
fn first_steps_are_those_computed_by_hand() {
    let after = |config, steps| {
        let bowl = Bowl::new(&[2.], &[1.], DType::F32);
        let mut optimiser = Optimiser::new(config);
        (0..steps).for_each(|_| bowl.step(&mut optimiser, 0.1));
        bowl.w()[0]
    };
    for (config, steps, expected) in [
        (OptimiserConfig::sgd(0., 0.5), 1, 1.7),
        (OptimiserConfig::sgd(0.5, 0.5), 1, 1.7),
        (OptimiserConfig::sgd(0.5, 0.5), 2, 1.295),
        (nesterov(0.5, 0.5), 1, 1.55),
        (OptimiserConfig::adam(0.5), 1, 1.9),
        (OptimiserConfig::adamw(0.5), 1, 1.8),
    ] {
        assert_abs_diff_eq!(after(config, steps), expected, epsilon = 1e-6);
    }
}

#[test]
fn decay_spares_exempt_parameters_and_statistics() {
    for config in [OptimiserConfig::sgd(0., 0.1), OptimiserConfig::sgd(0.9, 0.1), OptimiserConfig::adamw(0.1)] {
        let mut bowl = Bowl::new(&[2.], &[0.], DType::F32);
        bowl.parameters.buffers.insert("mean".into(), Var::new(&[3f32], &Device::Cpu).unwrap());
        bowl.step(&mut Optimiser::new(config.clone()), 0.5);
        assert_abs_diff_eq!(bowl.w()[0], 1.9, epsilon = 1e-6);
        bowl.parameters.decay_only(|_| false);
        bowl.step(&mut Optimiser::new(config), 0.5);
        assert_abs_diff_eq!(bowl.w()[0], 1.9, epsilon = 1e-6);
        assert_eq!(bowl.parameters.buffers["mean"].to_vec1::<f32>().unwrap(), [3.]);
    }
}

#[test]
fn a_parameter_without_gradient_is_an_error_unless_frozen() {
    let mut bowl = Bowl::new(&[2.], &[1.], DType::F32);
    let idle = Parameter { var: Var::new(&[7f32], &Device::Cpu).unwrap(), decay: true, frozen: false };
    bowl.parameters.trainable.insert("idle".into(), idle);
    let mut optimiser = Optimiser::new(OptimiserConfig::sgd(0.9, 0.1));
    let error = optimiser.step(&bowl.parameters, &bowl.gradients(), 0.1).unwrap_err().to_string();
    assert!(error.contains("idle"), "{error}");
    assert_eq!(bowl.w(), [2.], "moved in spite of the error");
    bowl.parameters.freeze_only(|name| name == "idle");
    bowl.step(&mut optimiser, 0.1);
    assert!(bowl.w()[0] < 2.);
    assert_eq!(bowl.parameters.trainable["idle"].var.to_vec1::<f32>().unwrap(), [7.], "frozen, but decayed");
    bowl.parameters.freeze_only(|_| true);
    let before = bowl.w();
    bowl.step(&mut optimiser, 0.1);
    assert_eq!(bowl.w(), before, "frozen, but moved");
}

#[test]
fn optimiser_configs_read_with_their_defaults() {
    let read = |text: &str| serde_json::from_str::<OptimiserConfig>(text);
    assert_eq!(read(r#"{"kind":"sgd"}"#).unwrap(), OptimiserConfig::sgd(0., 0.));
    assert_eq!(read(r#"{"kind":"adam","weight_decay":0.1}"#).unwrap(), OptimiserConfig::adam(0.1));
    assert_eq!(read(r#"{"kind":"adamw"}"#).unwrap(), OptimiserConfig::adamw(0.));
    assert!(read(r#"{"kind":"sgd","momentun":0.9}"#).is_err());
    for config in [nesterov(0.9, 1e-4), OptimiserConfig::adam(0.), OptimiserConfig::adamw(0.01)] {
        assert_eq!(read(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    }
}

// Losses.

/// Losses and the gradient of their sum, weighted by `w`.
fn loss_and_gradient(
    logits: &Tensor,
    w: &[f64],
    loss: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
) -> (Vec<f64>, Vec<f64>) {
    let z = Var::from_tensor(logits).unwrap();
    let losses = loss(&z).unwrap();
    assert_eq!(losses.dims(), &logits.dims()[..1]);
    let w = Tensor::new(w, &Device::Cpu).unwrap().to_dtype(losses.dtype()).unwrap();
    let store = (&losses * w).unwrap().sum_all().unwrap().backward().unwrap();
    let host = |t: &Tensor| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    (host(&losses), host(store.get(&z).unwrap()))
}

fn assert_gradient_matches_differences(logits: &Tensor, loss: impl Fn(&Tensor) -> candle_core::Result<Tensor>) {
    let w: Vec<f64> = numbers(9, logits.dims()[0]);
    let (_, gradient) = loss_and_gradient(logits, &w, &loss);
    let z: Vec<f64> = logits.flatten_all().unwrap().to_vec1().unwrap();
    let h = 1e-5;
    for i in 0..z.len() {
        let at = |side: f64| {
            let mut z = z.clone();
            z[i] += side * h;
            let (losses, _) = loss_and_gradient(&Tensor::from_vec(z, logits.shape(), &Device::Cpu).unwrap(), &w, &loss);
            losses.iter().zip(&w).map(|(l, w)| l * w).sum::<f64>()
        };
        assert_abs_diff_eq!(gradient[i], (at(1.) - at(-1.)) / (2. * h), epsilon = 1e-8);
    }
}

#[test]
fn gradients_of_losses_match_differences() {
    let logits = tensor(4, 6., &[5, 4], DType::F64).unwrap();
    assert_gradient_matches_differences(&logits, |z| cross_entropy(z, &[0, 3, 2, 1, 3]));
    let targets = (tensor(5, 1., &[5, 4], DType::F64).unwrap() + 0.5).unwrap(); // rows do not sum to one
    assert_gradient_matches_differences(&logits, |z| soft_cross_entropy(z, &targets));
    let logits = tensor(4, 6., &[5], DType::F64).unwrap();
    assert_gradient_matches_differences(&logits, |z| binary_cross_entropy(z, &[0., 1., 0.3, 1., 0.]));
}

/// In moderate range the closed forms equal candle's own log-softmax, values and gradients.
#[test]
fn cross_entropy_is_that_of_log_softmax() {
    let logits = tensor(4, 6., &[5, 4], DType::F64).unwrap();
    let w = numbers(9, 5);
    let labels = Tensor::new(&[[0u32], [3], [2], [1], [3]], &Device::Cpu).unwrap();
    let slow = |z: &Tensor| candle_nn::ops::log_softmax(z, D::Minus1)?.gather(&labels, 1)?.squeeze(1)?.neg();
    let (values, gradient) = loss_and_gradient(&logits, &w, |z| cross_entropy(z, &[0, 3, 2, 1, 3]));
    let (slow_values, slow_gradient) = loss_and_gradient(&logits, &w, slow);
    for (ours, theirs) in values.iter().chain(&gradient).zip(slow_values.iter().chain(&slow_gradient)) {
        assert_abs_diff_eq!(*ours, *theirs, epsilon = 1e-12);
    }
    // A one-hot row is a hard label.
    let one_hot = Tensor::new(&[[1f64, 0., 0., 0.]], &Device::Cpu).unwrap();
    let first = logits.narrow(0, 0, 1).unwrap();
    let soft = loss_and_gradient(&first, &[1.], |z| soft_cross_entropy(z, &one_hot));
    let hard = loss_and_gradient(&first, &[1.], |z| cross_entropy(z, &[0]));
    for (soft, hard) in soft.0.iter().chain(&soft.1).zip(hard.0.iter().chain(&hard.1)) {
        assert_abs_diff_eq!(*soft, *hard, epsilon = 1e-12);
    }
}

/// With logits (z, 0) and label 0 the loss is ln(1 + e^-z) and its gradient -1 / (1 + e^z): at z = 20, 2.06e-9 and -2.06e-9,
/// which `softmax - 1` in single precision takes for 0.
#[test]
fn cross_entropy_holds_at_extreme_logits() {
    let soft = Tensor::new(&[[1f32, 0.]], &Device::Cpu).unwrap();
    for (z, loss, slope) in [
        (20f32, 2.061_153_6e-9, -2.061_153_6e-9),
        (100., 3.720_076e-44, -3.720_076e-44),
        (-100., 100., -1.),
        (1e4, 0., 0.),
        (-1e4, 1e4, -1.),
    ] {
        let logits = Tensor::new(&[[z, 0.]], &Device::Cpu).unwrap();
        let (hard_loss, hard_slope) = loss_and_gradient(&logits, &[1.], |z| cross_entropy(z, &[0]));
        let (soft_loss, soft_slope) = loss_and_gradient(&logits, &[1.], |z| soft_cross_entropy(z, &soft));
        // The smallest single-precision numbers keep few digits: 1.4e-45 apart.
        assert_relative_eq!(hard_loss[0], loss, max_relative = 1e-6, epsilon = 1e-45);
        assert_relative_eq!(soft_loss[0], loss, max_relative = 1e-6, epsilon = 1e-45);
        for (j, sign) in [(0, 1.), (1, -1.)] {
            assert_relative_eq!(hard_slope[j], sign * slope, max_relative = 1e-6, epsilon = 1e-45);
            assert_abs_diff_eq!(soft_slope[j], sign * slope, epsilon = 1e-12);
        }
    }
}

/// softplus(-z) for y = 1: e^-z for large z, -z for very negative z.
#[test]
fn binary_cross_entropy_holds_at_extreme_logits() {
    for (z, loss, slope) in [
        (0f32, std::f64::consts::LN_2, -0.5),
        (20., 2.061_153_6e-9, -2.061_153_6e-9),
        (100., 3.720_076e-44, -3.720_076e-44),
        (-100., 100., -1.),
        (1e4, 0., 0.),
        (-1e4, 1e4, -1.),
        (-1e30, 1e30, -1.),
    ] {
        for (y, side) in [(1f32, 1f32), (0., -1.)] {
            let logits = Tensor::new(&[side * z], &Device::Cpu).unwrap();
            let (losses, gradient) = loss_and_gradient(&logits, &[1.], |z| binary_cross_entropy(z, &[y]));
            assert_relative_eq!(losses[0], loss, max_relative = 1e-6, epsilon = 1e-45);
            assert_relative_eq!(gradient[0], f64::from(side) * slope, max_relative = 1e-6, epsilon = 1e-45);
        }
    }
}

#[test]
fn losses_refuse_what_does_not_fit() {
    let logits = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    let vector = Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
    for (result, part) in [
        (cross_entropy(&logits, &[0]), "1 labels for 2 rows"),
        (cross_entropy(&logits, &[0, 3]), "label 3 of row 1"),
        (soft_cross_entropy(&logits, &logits.narrow(1, 0, 2).unwrap()), "[2, 2]"),
        (binary_cross_entropy(&vector, &[0.]), "1 targets for 2 logits"),
        (binary_cross_entropy(&vector, &[0., 1.5]), "1.5 of row 1"),
        (binary_cross_entropy(&vector, &[0., f32::NAN]), "NaN of row 1"),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_loss_that_is_no_number_diverges_with_its_step() {
    assert_eq!(finite(0.5, 3), Ok(0.5));
    assert_eq!(finite(f32::INFINITY, 7), Err(Diverged { step: 7, loss: f32::INFINITY }));
    assert_eq!(finite(f32::NAN, 12).unwrap_err().to_string(), "the loss became NaN at step 12");
    for bad in [f32::NAN, f32::INFINITY] {
        let logits = Tensor::new(&[[0.5f32, bad], [0., 1.]], &Device::Cpu).unwrap();
        let losses = cross_entropy(&logits, &[0, 0]).unwrap().to_vec1::<f32>().unwrap();
        assert!(!losses[0].is_finite() && losses[1].is_finite(), "{losses:?}");
    }
}

proptest! {
    /// The gradient of a row sums to zero, and the loss falls with the label's logit.
    #[test]
    fn cross_entropy_is_a_loss(z in prop::collection::vec(-200f32..200., 3), label in 0u32..3) {
        let logits = Tensor::from_vec(z, (1, 3), &Device::Cpu).unwrap();
        let (loss, gradient) = loss_and_gradient(&logits, &[1.], |z| cross_entropy(z, &[label]));
        prop_assert!(loss[0] >= 0.);
        prop_assert!(gradient.iter().sum::<f64>().abs() < 1e-6);
        for (j, g) in gradient.iter().enumerate() {
            let sign = if j == label as usize { -1. } else { 1. };
            prop_assert!(sign * g >= 0.);
        }
    }
}

// Evaluation.

#[test]
fn evaluation_does_not_depend_on_the_batch_size() {
    let (model, x) = (cnn(), images(24, 8, 3).unwrap());
    epoch(&model, &mut Optimiser::new(OptimiserConfig::sgd(0.9, 0.)), &x, 0.05);
    let before = bits(&model.parameters.weights().unwrap());
    let whole = evaluate_all(&model, &x, 24);
    for batch_size in [1, 5, 1000] {
        let parts = evaluate_all(&model, &x, batch_size);
        assert_eq!(whole.predictions, parts.predictions);
        for (a, b) in whole.losses.iter().zip(&parts.losses) {
            assert_abs_diff_eq!(a, b, epsilon = 1e-5);
        }
    }
    assert_eq!(bits(&model.parameters.weights().unwrap()), before, "evaluation moved a running statistic");
    // Any samples, in any order; losses and predictions follow from the logits.
    let rows = |rows: &[u32]| x.index_select(&Tensor::new(rows, &Device::Cpu)?, 0);
    let some = evaluate(&model, &[7, 3], &[1, 0], 2, rows).unwrap();
    assert_eq!(some.predictions, [whole.predictions[7], whole.predictions[3]]);
    assert_abs_diff_eq!(some.losses[1], whole.losses[3], epsilon = 1e-5);
    assert_eq!(Evaluation::of(&logits(&model, &[7, 3], 2, rows).unwrap(), &[1, 0]).unwrap(), some);
}

#[test]
fn evaluation_refuses_what_does_not_fit() {
    let (model, x) = (mlp(), images(4, 2, 3).unwrap());
    let all = |_: &[u32]| Ok(x.clone());
    for (result, part) in [
        (evaluate(&model, &[0, 1, 2, 3], &[0; 3], 4, all), "3 labels for 4 rows"),
        (evaluate(&model, &[0, 1, 2, 3], &[0, 0, 0, 9], 4, all), "label 9 of row 3"),
        (evaluate(&model, &[0, 1], &[0, 0], 4, all), "2 samples has 4 rows"),
        (evaluate(&model, &[], &[], 4, all), "no samples"),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn predictions_are_the_first_largest_logit() {
    let logits = Tensor::new(&[[1f32, 3., 3.], [f32::NAN, -1., 0.], [f32::NAN; 3]], &Device::Cpu).unwrap();
    assert_eq!(Evaluation::of(&logits, &[0, 0, 0]).unwrap().predictions, [1, 2, 0]);
}

#[test]
fn accuracies_count_the_chosen() {
    let (predictions, labels) = ([0, 1, 2, 0], [0, 1, 1, 1]);
    assert_eq!(accuracy(&predictions, &labels), 0.5);
    assert_eq!(accuracy_where(&predictions, &labels, |i| i > 0), 1. / 3.);
    assert!(accuracy_where(&predictions, &labels, |_| false).is_nan());
}

// Checkpoints.

fn extra() -> serde_json::Value {
    serde_json::json!({ "best": 0.1 + 0.2, "rows": [1, 2] })
}

/// Five epochs at once, and two, a checkpoint through bytes, and three in a new process's place.
#[test]
fn a_resumed_run_ends_in_the_same_bytes() {
    let x = images(24, 8, 3).unwrap();
    for config in [OptimiserConfig::sgd(0., 1e-3), OptimiserConfig::sgd(0.9, 1e-3), OptimiserConfig::adam(1e-3)] {
        let train = |model: &Model, optimiser: &mut Optimiser, epochs: std::ops::Range<u64>| {
            for _ in epochs {
                epoch(model, optimiser, &x, 0.02);
            }
        };
        let (whole, mut optimiser) = (cnn(), Optimiser::new(config.clone()));
        train(&whole, &mut optimiser, 0..5);
        let end = Checkpoint::capture(4, &whole, &optimiser, extra()).unwrap().to_bytes().unwrap();

        let (first, mut optimiser) = (cnn(), Optimiser::new(config.clone()));
        train(&first, &mut optimiser, 0..2);
        let saved = Checkpoint::capture(1, &first, &optimiser, extra()).unwrap();
        train(&first, &mut optimiser, 2..3); // a checkpoint is a copy: further steps leave it alone
        let saved = Checkpoint::from_bytes(&saved.to_bytes().unwrap()).unwrap();

        let (second, mut optimiser) =
            (build(Architecture::SmallCnn { widths: vec![4, 6, 8] }, 8, 3), Optimiser::new(config));
        assert_eq!(saved.extra(), &extra());
        let from = saved.restore(&second, &mut optimiser).unwrap() + 1;
        assert_eq!(from, 2);
        train(&second, &mut optimiser, from..5);
        assert_eq!(end, Checkpoint::capture(4, &second, &optimiser, extra()).unwrap().to_bytes().unwrap());
    }
}

#[test]
fn a_checkpoint_holds_several_networks_and_tensors() {
    let x = images(24, 8, 3).unwrap();
    let (one, two) = (cnn(), cnn());
    let (mut first, mut second) =
        (Optimiser::new(OptimiserConfig::adam(0.)), Optimiser::new(OptimiserConfig::sgd(0.9, 0.)));
    epoch(&one, &mut first, &x, 0.01);
    epoch(&two, &mut second, &x, 0.01);
    let best = one.parameters.weights().unwrap();
    let checkpoint = Checkpoint::new(6, serde_json::Value::Null)
        .with("one", &one, &first)
        .and_then(|c| c.with("two", &two, &second))
        .and_then(|c| c.with_tensors("best", &best))
        .unwrap();
    let read = Checkpoint::from_bytes(&checkpoint.to_bytes().unwrap()).unwrap();
    assert_eq!(bits(&read.tensors("best")), bits(&best));
    assert!(read.tensors("one").is_empty());
    let (model, mut optimiser) = (cnn(), Optimiser::new(OptimiserConfig::sgd(0.9, 0.)));
    assert_eq!(read.restore_part("two", &model, &mut optimiser).unwrap(), 6);
    assert_eq!(bits(&model.parameters.weights().unwrap()), bits(&two.parameters.weights().unwrap()));
    assert_eq!(epoch(&model, &mut optimiser, &x, 0.01), epoch(&two, &mut second, &x, 0.01));
}

#[test]
fn damaged_foreign_and_unfit_checkpoints_are_told_in_one_line() {
    let (model, config) = (mlp(), OptimiserConfig::sgd(0.9, 0.));
    let mut optimiser = Optimiser::new(config.clone());
    epoch(&model, &mut optimiser, &images(24, 2, 3).unwrap(), 0.1);
    let bytes = Checkpoint::capture(3, &model, &optimiser, extra()).unwrap().to_bytes().unwrap();
    let told = |bytes: &[u8]| {
        let error = Checkpoint::from_bytes(bytes).expect_err("accepted").to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    };
    for end in (0..bytes.len()).step_by(97) {
        told(&bytes[..end]);
    }
    for place in (0..bytes.len()).step_by(13) {
        let mut altered = bytes.clone();
        altered[place] ^= 1;
        told(&altered);
    }
    assert!(told(b"not a checkpoint").contains("damaged"));
    let foreign = safetensors::serialize([("w", Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap())], None).unwrap();
    assert!(told(&foreign).contains("not a checkpoint"));

    let checkpoint = Checkpoint::from_bytes(&bytes).unwrap();
    let wider = build(Architecture::Mlp { widths: vec![9, 6], dropout: 0. }, 2, 3);
    let deeper = build(Architecture::Mlp { widths: vec![8, 6, 6], dropout: 0. }, 2, 3);
    for (model, optimiser, part) in [
        (&wider, Optimiser::new(config.clone()), "not [9]"),
        (&deeper, Optimiser::new(config.clone()), "hidden3"),
        (&model, Optimiser::new(OptimiserConfig::adam(0.)), "adam"),
    ] {
        let mut optimiser = optimiser;
        let before = bits(&model.parameters.weights().unwrap());
        let error = checkpoint.restore(model, &mut optimiser).unwrap_err().to_string();
        assert!(error.contains(part) && error.lines().count() == 1, "{error}");
        assert_eq!(bits(&model.parameters.weights().unwrap()), before);
    }
    let error = checkpoint.restore_part("second", &model, &mut Optimiser::new(config)).unwrap_err().to_string();
    assert!(error.contains("second"), "{error}");
}
