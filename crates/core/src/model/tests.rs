use approx::assert_abs_diff_eq;
use candle_core::{DType, Device, Result, Tensor};
use retrial_kernels::{Activation, Conv2d as Geometry, Graph, Value};

use super::reference::{fill, images, numbers, tensor};
use super::*;
use crate::Seed;
use crate::train::{Optimiser, OptimiserConfig, cross_entropy};

const COLOUR_32: InputShape = InputShape::Image { height: 32, width: 32, channels: 3 };
const GREY_28: InputShape = InputShape::Image { height: 28, width: 28, channels: 1 };

fn build(architecture: &Architecture, input: &InputShape, classes: usize) -> Model {
    architecture.build(input, classes, Seed(5), &Device::Cpu).unwrap()
}

/// Every architecture on an input as small as it allows, with three classes.
fn tiny_cases() -> Vec<(Architecture, InputShape)> {
    let image = |side, channels| InputShape::Image { height: side, width: side, channels };
    vec![
        (Architecture::Linear, InputShape::Vector { dim: 7 }),
        (Architecture::Mlp { widths: vec![9, 5], dropout: 0. }, image(2, 3)),
        (Architecture::SmallCnn { widths: vec![4, 6, 8] }, image(8, 3)),
        (Architecture::LeNet, image(12, 1)),
        (Architecture::ResNet32, image(8, 3)),
        (Architecture::ResNet110V2, image(8, 3)),
        (Architecture::AllCnn { width: 3 }, image(8, 3)),
        (Architecture::AllCnnFamily { width: 3, stages: 2, constant: false }, image(8, 3)),
        (Architecture::NormMlp { widths: vec![9, 5] }, image(2, 3)),
        (Architecture::StridedCnn { widths: vec![4, 6], hidden: 7 }, image(7, 2)),
        // Its last stage sees an eighth of the side: a batch norm over the three values that 8 x 8 would leave is all rounding.
        (Architecture::PreActResNet18 { width: 4 }, image(16, 3)),
        (Architecture::KerasMlp { widths: vec![6] }, image(2, 3)),
        (Architecture::WideResNet { depth: 10, widen: 2, base: 4 }, image(8, 3)),
        (Architecture::Lstm { units: 5 }, image(4, 1)),
        (Architecture::PooledCnn { widths: vec![4, 5, 6, 7], dropout: 0.2 }, image(8, 3)),
        (Architecture::DenseNet2512, image(8, 3)),
        (two_stage_cnn(4, 1, false), image(6, 3)),
        (two_stage_cnn(4, 1, true), image(6, 3)),
    ]
}

/// The CNN of Byrd and Lipton 2019 with `width` channels in its first stage, the other widths in proportion.
fn two_stage_cnn(width: usize, padding: usize, norm: bool) -> Architecture {
    Architecture::TwoStageCnn { widths: [width, 2 * width], dense: [8 * width, 2 * width], padding, dropout: 0., norm }
}

fn batch(n: usize, input: &InputShape, dtype: DType) -> Tensor {
    let shape = match *input {
        InputShape::Image { height, width, channels } => vec![n, height, width, channels],
        InputShape::Vector { dim } => vec![n, dim],
    };
    tensor(2, 2., &shape, dtype).unwrap()
}

/// By hand, for colour images of 32 x 32 pixels and ten classes.
///
/// ResNet-32: stem 3*9*16 + 16 = 448 and its norm 2*16 = 32. A convolution 3 x 3 of c channels with bias and norm is
/// 9c^2 + c + 2c: 2,352 for 16, 9,312 for 32, 37,056 for 64. Stage 1 has ten of them, 23,520. Stages 2 and 3 have nine,
/// one that comes from half the channels (4,704 and 18,624), and a shortcut (16*32 + 32 + 64 = 608 and 2,240): 89,120 and
/// 354,368. Output 650. Together 468,138: the paper's 0.47 M.
///
/// ResNet-110 v2: stem 480. A block from i to o channels around m is, with its norms, 2i + im + m + 2m + 9m^2 + m + 2m +
/// mo + o; the first of a stage adds the shortcut io + o, the very first lacks 2i. Stage 1: 4,832 + 11 * 4,640; stage 2:
/// 58,112 + 11 * 54,016; stage 3: 230,912 + 11 * 214,528. Last norm 512, output 2,570. Together 3,302,442: the paper's
/// 3.3 M.
///
/// Small CNN: kernels 27*32 + 9*32*64 + 9*64*128, norms 2 * 224, output 1,290. LeNet on 28 x 28 grey pixels is the textbook's
/// 61,706: 156 + 2,416 + 48,120 + 10,164 + 850.
///
/// All-CNN of width 96: kernels 2,592 + 82,944 + 165,888 + 4 * 331,776 + 36,864 + 1,920 = 1,617,312, norms 2 * (2 * 96 + 6 *
/// 192), output bias 10. Its family with two stages: kernels 27*96 + 9 * (96*96 + 96*192 + 192*192 + 192*384 + 384*384) +
/// 384*384 + 3,840, norms 2 * (96 + 96 + 192 + 192 + 384 + 384 + 384), bias 10. The digits network: 12,565,000 weights, norms
/// 2 * 7,500, output bias 10.
///
/// WRN-28-2: stem 432; kernels of the groups 69,632, 278,528 and 1,114,112, shortcuts included; 25 norms with one gain each
/// and 1,808 biases in all; output 1,290. Together the 1,465,827 that the authors' log prints.
/// Two-stage CNN, sides 32 -> 28 -> 14 -> 8 -> 4: convolutions 1,792 + 36,928 + 73,856 + 2 * 147,584, dense 2,048 * 512 + 512
/// and 65,664, output of two classes 258: 1,522,754; eight classes more add 1,032. Norms replace biases by twice as many.
#[test]
fn parameter_counts_are_those_of_the_papers() {
    let mlp = Architecture::Mlp { widths: vec![512], dropout: 0.5 };
    let cnn = Architecture::SmallCnn { widths: vec![32, 64, 128] };
    for (architecture, input, count) in [
        (Architecture::Linear, GREY_28, 7_850),
        (mlp, GREY_28, 784 * 512 + 512 + 5_130),
        (cnn, COLOUR_32, 864 + 18_432 + 73_728 + 448 + 1_290),
        (Architecture::LeNet, GREY_28, 61_706),
        (Architecture::LeNet, COLOUR_32, 62_006),
        (Architecture::ResNet32, COLOUR_32, 468_138),
        (Architecture::ResNet110V2, COLOUR_32, 3_302_442),
        (Architecture::AllCnn { width: 96 }, COLOUR_32, 1_617_312 + 2_688 + 10),
        (
            Architecture::AllCnnFamily { width: 96, stages: 2, constant: false },
            COLOUR_32,
            2_592 + 9 * (9_216 + 18_432 + 36_864 + 73_728 + 147_456) + 147_456 + 3_840 + 3_456 + 10,
        ),
        (
            Architecture::NormMlp { widths: vec![2_500, 2_000, 1_500, 1_000, 500] },
            InputShape::Image { height: 32, width: 32, channels: 1 },
            12_565_000 + 15_000 + 10,
        ),
        // 9*16+2*16 + 9*16*32+2*32 + 7*7*32*64+64 + 640+10
        (Architecture::StridedCnn { widths: vec![16, 32], hidden: 64 }, GREY_28, 105_914),
        (Architecture::PreActResNet18 { width: 64 }, COLOUR_32, 11_171_274),
        (Architecture::PreActResNet18 { width: 16 }, COLOUR_32, 700_794),
        (Architecture::PreActResNet18 { width: 8 }, COLOUR_32, 176_066),
        (Architecture::KerasMlp { widths: vec![512, 512] }, GREY_28, 401_920 + 262_656 + 5_130),
        (Architecture::WideResNet { depth: 28, widen: 2, base: 16 }, COLOUR_32, 1_465_827),
        (Architecture::Lstm { units: 128 }, GREY_28, 4 * (128 + 128 * 128 + 128) + 1_290),
        (Architecture::DenseNet2512, COLOUR_32, 362_242),
        (Architecture::Vgg19, COLOUR_32, 38_975_306),
        (
            Architecture::PooledCnn { widths: vec![16, 32, 64, 64], dropout: 0.2 },
            COLOUR_32,
            432 + 4_608 + 18_432 + 36_864 + 2 * 176 + 650,
        ),
        (two_stage_cnn(64, 0, false), COLOUR_32, 1_522_754 + 1_032),
        (two_stage_cnn(64, 0, true), COLOUR_32, 1_522_754 + 1_032 + 2 * 64 + 3 * 128),
    ] {
        assert_eq!(build(&architecture, &input, 10).parameters.count(), count, "{architecture:?}");
    }
}

/// Song et al. 2019: DenseNet-25-12 for 100 and 200 classes; only the output layer grows.
#[test]
fn densenet_grows_with_the_classes() {
    for (classes, count) in [(100, 386_452), (200, 413_352)] {
        assert_eq!(build(&Architecture::DenseNet2512, &COLOUR_32, classes).parameters.count(), count);
    }
}

/// VGG-19 is too large for the checks below; the same code with narrow groups is not.
#[test]
fn gradients_of_a_narrow_vgg_match_differences() {
    let mut parameters = Parameters::default();
    let network = vgg::Vgg::new(&mut double_builder(&mut parameters), (4, 4, 2), &[(2, 3), (1, 4)], 6, 3).unwrap();
    fill(&parameters).unwrap();
    let x = tensor(2, 2., &[5, 4, 4, 2], DType::F64).unwrap();
    let forward = |graph: &mut Graph| network.forward(graph, &graph.input(&x));
    let graph = || Graph::training().with_batch_statistics();
    Check { parameters: &parameters, forward: &forward, graph: &graph }.run(1e-6, 1e-5, 40);
    let small = InputShape::Image { height: 16, width: 32, channels: 3 };
    let refused = Architecture::Vgg19.build(&small, 10, Seed(1), &Device::Cpu).err().unwrap().to_string();
    assert!(refused.contains("32 x 32"), "{refused}");
}

/// Logits of the first of four images, after a training pass and then in evaluation (with the running statistics that
/// pass moved), against `reference.py`, which builds the networks anew from the paper's description.
#[test]
fn logits_are_those_of_pytorch() {
    let lenet = [
        0.1961797, -0.3794219, 0.1399278, -0.3239305, 0.0099959, -0.1674270, -0.1290962, -0.0476020, 0.1302526,
        0.3024372,
    ];
    let cases = [
        (
            Architecture::ResNet32,
            (8, 3),
            [2.4613558, -1.7979073, 0.570999, 0.5248607, 0.75422, 0.0853408, 2.0730548, 0.3305002, 0.9559793, 2.838285],
            [
                0.3454305, 0.4892587, -0.2064423, 0.2140353, -0.569989, -0.0393555, 0.4536527, -0.0691164, 0.4316474,
                0.8064557,
            ],
        ),
        (
            Architecture::ResNet110V2,
            (8, 3),
            [
                -0.4088675, 0.3448305, -0.1226031, 0.6000417, -0.1963835, 0.6043640, -0.7653100, -0.8683853,
                -0.3313979, -0.5638418,
            ],
            [
                0.6858282, -0.3509141, -0.3722142, 1.7367007, 0.5462060, 1.6531414, 0.3882221, -1.0098899, -0.1656646,
                -0.6876121,
            ],
        ),
        (Architecture::LeNet, (28, 1), lenet, lenet),
    ];
    for (architecture, (side, channels), training, evaluation) in cases {
        let model = build(&architecture, &InputShape::Image { height: side, width: side, channels }, 10);
        fill(&model.parameters).unwrap();
        let x = images(4, side, channels).unwrap();
        for (mut graph, expected) in [(Graph::training(), training), (Graph::inference(), evaluation)] {
            let logits = model.forward(&mut graph, &x).unwrap().tensor().to_vec2::<f32>().unwrap();
            for (ours, theirs) in logits[0].iter().zip(expected) {
                assert_abs_diff_eq!(f64::from(*ours), theirs, epsilon = 2e-4);
            }
        }
    }
}

/// As above for the networks of Arazo et al. 2019, Byrd and Lipton 2019, Song et al. 2019 and Achille et al. 2019, three
/// logits of each.
#[test]
fn logits_of_small_networks_are_those_of_pytorch() {
    for (architecture, (side, channels), training, evaluation) in [
        (
            Architecture::AllCnn { width: 4 },
            (8, 3),
            [-0.0253229, -0.4360145, -0.1639617],
            [0.0462118, -0.0395293, -0.0285332],
        ),
        (
            Architecture::AllCnnFamily { width: 3, stages: 2, constant: false },
            (8, 3),
            [-0.3627851, -0.1041849, -0.1029965],
            [-0.0012671, -0.0266571, 0.0259823],
        ),
        (
            Architecture::NormMlp { widths: vec![8, 6] },
            (2, 3),
            [1.2568475, 0.4301073, -0.0049309],
            [0.7825169, 0.3056577, -0.2305122],
        ),
        (
            Architecture::PreActResNet18 { width: 4 },
            (16, 3),
            [-0.0238367, -0.8135899, 0.2618660],
            [-0.0194387, -0.0988933, 0.3066683],
        ),
        (
            Architecture::PooledCnn { widths: vec![4, 6, 8], dropout: 0. },
            (8, 3),
            [0.2269696, 0.5241889, -0.0977913],
            [0.1946932, -0.2298724, -0.2014346],
        ),
        (
            Architecture::TwoStageCnn { widths: [4, 6], dense: [12, 8], padding: 0, dropout: 0., norm: true },
            (28, 3),
            [0.0528814, -0.2437743, 0.2922692],
            [0.1053390, -0.0605456, -0.0997200],
        ),
    ] {
        let model = build(&architecture, &InputShape::Image { height: side, width: side, channels }, 10);
        fill(&model.parameters).unwrap();
        let x = images(4, side, channels).unwrap();
        for (mut graph, expected) in [(Graph::training(), training), (Graph::inference(), evaluation)] {
            assert_logits(&model.forward(&mut graph, &x).unwrap(), &expected);
        }
    }
    // These always drop units while they train.
    let model = build(&Architecture::DenseNet2512, &InputShape::Image { height: 8, width: 8, channels: 3 }, 10);
    fill(&model.parameters).unwrap();
    let logits = model.forward(&mut Graph::inference(), &images(4, 8, 3).unwrap()).unwrap();
    assert_logits(&logits, &[-0.0322482, -0.0465622, 0.0662085]);
    let mut parameters = Parameters::default();
    let mut b = Builder::new(&mut parameters, Seed(1), &Device::Cpu);
    let network = vgg::Vgg::new(&mut b, (4, 4, 2), &[(2, 3), (1, 4)], 6, 3).unwrap();
    fill(&parameters).unwrap();
    let mut graph = Graph::inference();
    let x = graph.input(&images(4, 4, 2).unwrap());
    assert_logits(&network.forward(&mut graph, &x).unwrap(), &[0.0482693, -0.0679836, 0.1403701]);
}

fn assert_logits(ours: &Value, theirs: &[f64]) {
    let ours = &ours.tensor().to_vec2::<f32>().unwrap()[0];
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_abs_diff_eq!(f64::from(*ours), *theirs, epsilon = 2e-5);
    }
}

/// Logits of one image, against `reference_2018.py`, which has every loop written out.
#[test]
fn logits_are_those_of_plain_loops() {
    let wide = [
        0.0746355, 0.0073875, -0.0262781, -0.0575148, 0.0899365, 0.0590781, 0.1022051, 0.0238446, -0.0989157, 0.0480665,
    ];
    let lstm = [
        0.2031012, -0.0584461, 0.0643678, 0.0494572, -0.0082278, -0.0935017, -0.1505336, -0.0075263, 0.1047444,
        0.0077715,
    ];
    for (architecture, (side, channels), expected) in [
        (Architecture::WideResNet { depth: 10, widen: 2, base: 4 }, (8, 3), wide),
        (Architecture::Lstm { units: 5 }, (4, 1), lstm),
    ] {
        let model = build(&architecture, &InputShape::Image { height: side, width: side, channels }, 10);
        fill(&model.parameters).unwrap();
        let x = images(1, side, channels).unwrap();
        let logits = model.forward(&mut Graph::inference(), &x).unwrap().tensor().to_vec2::<f32>().unwrap();
        for (ours, theirs) in logits[0].iter().zip(expected) {
            assert_abs_diff_eq!(f64::from(*ours), theirs, epsilon = 2e-5);
        }
    }
}

/// The authors' code penalises stem, 3 x 3 kernels and the output's weight, and nothing else.
#[test]
fn wide_resnets_decay_all_kernels_but_those_of_shortcuts() {
    let model = build(&Architecture::WideResNet { depth: 28, widen: 2, base: 16 }, &COLOUR_32, 10);
    let decayed: Vec<&String> = model.parameters.trainable.iter().filter(|(_, p)| p.decay).map(|(n, _)| n).collect();
    assert_eq!(decayed.len(), 1 + 24 + 1);
    assert!(decayed.iter().all(|name| name.ends_with("weight") && !name.contains("shortcut")));
    let too_thin = Architecture::WideResNet { depth: 12, widen: 2, base: 16 };
    let error = too_thin.build(&COLOUR_32, 10, Seed(1), &Device::Cpu).err().unwrap().to_string();
    assert!(error.lines().next().unwrap().contains("10, 16, 22"), "{error}");
}

/// A forward pass, and the loss of the gradient checks: a fixed weighted sum of its outputs.
struct Check<'a> {
    parameters: &'a Parameters,
    forward: &'a dyn Fn(&mut Graph) -> Result<Value>,
    graph: &'a dyn Fn() -> Graph,
}

impl Check<'_> {
    fn loss(&self, graph: &mut Graph) -> Result<Tensor> {
        let y = (self.forward)(graph)?;
        let y = graph.output(&y)?;
        (&y * tensor(3, 2., y.dims(), y.dtype())?)?.sum_all()
    }

    fn gradients(&self) -> Result<Weights> {
        let mut graph = (self.graph)();
        let loss = self.loss(&mut graph)?;
        let gradients = graph.backward(&loss)?;
        let of = |p: &Parameter| gradients.get(&p.var).expect("a gradient of every parameter").clone();
        Ok(self.parameters.trainable.iter().map(|(name, p)| (name.clone(), of(p))).collect())
    }

    /// Derivative along a direction, by a central difference over points a distance `h` away.
    fn difference(&self, direction: &Weights, h: f64) -> Result<f64> {
        let start = self.parameters.weights()?;
        let h = h / direction.values().map(|d| dot(d, d)).sum::<f64>().sqrt();
        let at = |side: f64| -> Result<f64> {
            let mut moved = start.clone();
            for (name, d) in direction {
                moved.insert(name.clone(), (&start[name] + (d * (side * h))?)?);
            }
            self.parameters.set_weights(&moved)?;
            self.loss(&mut (self.graph)())?.to_dtype(DType::F64)?.to_scalar()
        };
        let slope = (at(1.)? - at(-1.)?) / (2. * h);
        self.parameters.set_weights(&start)?;
        Ok(slope)
    }

    /// Compares gradients with differences: for every parameter (or `at_most` of them, spread over the network) along a
    /// direction of its own, and along one direction of all parameters together.
    fn run(&self, h: f64, tolerance: f64, at_most: usize) {
        let gradients = self.gradients().unwrap();
        let direction: Weights = gradients
            .iter()
            .enumerate()
            .map(|(i, (name, g))| (name.clone(), tensor(100 + i as u32, 2., g.dims(), g.dtype()).unwrap()))
            .collect();
        let every = gradients.len().div_ceil(at_most);
        let mut directions: Vec<Weights> =
            (direction.iter().step_by(every)).map(|(name, d)| Weights::from([(name.clone(), d.clone())])).collect();
        directions.push(direction);
        for direction in directions {
            let slope: f64 = direction.iter().map(|(name, d)| dot(&gradients[name], d)).sum();
            let difference = self.difference(&direction, h).unwrap();
            let allowed = tolerance * (slope.abs() + difference.abs()) / 2. + tolerance;
            let names: Vec<&String> = direction.keys().take(2).collect();
            assert!((slope - difference).abs() <= allowed, "{names:?}: gradient {slope}, difference {difference}");
        }
    }
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    (a * b).unwrap().to_dtype(DType::F64).unwrap().sum_all().unwrap().to_scalar().unwrap()
}

fn double_builder(parameters: &mut Parameters) -> Builder<'_> {
    Builder::new(parameters, Seed(1), &Device::Cpu).with_dtype(DType::F64)
}

#[test]
fn gradients_of_layers_match_differences() {
    for bias in [true, false] {
        let init = if bias { LayerInit::PYTORCH } else { LayerInit::PYTORCH.without_bias() };
        let mut parameters = Parameters::default();
        let layer = Linear::new(&mut double_builder(&mut parameters), 5, 4, init).unwrap();
        let x = tensor(2, 2., &[3, 5], DType::F64).unwrap();
        for activation in [Activation::Identity, Activation::Relu] {
            let forward = |graph: &mut Graph| layer.forward(graph, &graph.input(&x), activation);
            Check { parameters: &parameters, forward: &forward, graph: &Graph::training }.run(1e-6, 1e-7, 9);
        }
        for (size, stride, padding) in [(3, 1, 1), (3, 2, 1), (1, 2, 0), (5, 1, 0)] {
            let mut parameters = Parameters::default();
            let b = &mut double_builder(&mut parameters);
            let layer = Conv2d::new(b, size, 2, 3, Geometry { stride, padding }, init).unwrap();
            let x = tensor(2, 2., &[2, 6, 6, 2], DType::F64).unwrap();
            let forward = |graph: &mut Graph| layer.forward(graph, &graph.input(&x), Activation::Relu);
            Check { parameters: &parameters, forward: &forward, graph: &Graph::training }.run(1e-6, 1e-7, 9);
        }
    }
    // A convolution before the norm, so that a gradient flows through the statistics as well.
    let mut parameters = Parameters::default();
    let mut b = double_builder(&mut parameters);
    let init = LayerInit::PYTORCH.without_bias();
    let conv = Conv2d::new(&mut b.at("conv"), 3, 2, 3, Geometry { stride: 1, padding: 1 }, init).unwrap();
    let norm = BatchNorm::new(&mut b.at("norm"), 3, NormSettings::KERAS).unwrap();
    fill(&parameters).unwrap();
    let x = tensor(2, 2., &[2, 4, 4, 2], DType::F64).unwrap();
    let forward = |graph: &mut Graph| {
        let y = conv.forward(graph, &graph.input(&x), Activation::Identity)?;
        norm.forward(graph, &y, Activation::Relu)
    };
    for graph in [|| Graph::training().with_batch_statistics(), || Graph::training().with_running_statistics()] {
        Check { parameters: &parameters, forward: &forward, graph: &graph }.run(1e-6, 1e-6, 9);
    }
}

#[test]
fn gradients_of_architectures_match_differences() {
    for (architecture, input) in tiny_cases() {
        let model = architecture.build_as(DType::F64, &input, 3, Seed(2), &Device::Cpu).unwrap();
        let x = batch(3, &input, DType::F64);
        let forward = |graph: &mut Graph| model.forward(graph, &x);
        let graph = || Graph::training().with_batch_statistics();
        Check { parameters: &model.parameters, forward: &forward, graph: &graph }.run(1e-6, 1e-5, 40);
    }
}

/// The same networks in the precision they are trained in. In a deep network some ReLU may stand so close to zero that
/// rounding decides on its side, and then all gradients below it move; that happens to one seed, a wrong op to all. Where
/// single precision alone moves gradients by more than a ten-thousandth, as candle's own ops show, kernels may do so too, up
/// to a thousandth.
#[test]
fn gradients_in_single_precision_are_those_in_double() {
    for (architecture, input) in tiny_cases() {
        let worst = |seed: u64, expressions: bool| {
            let of = |dtype: DType| {
                let model = architecture.build_as(dtype, &input, 3, Seed(seed), &Device::Cpu).unwrap();
                let x = batch(3, &input, dtype);
                let forward = |graph: &mut Graph| model.forward(graph, &x);
                let graph = || match expressions {
                    true => Graph::training().with_batch_statistics().with_expressions(),
                    false => Graph::training().with_batch_statistics(),
                };
                Check { parameters: &model.parameters, forward: &forward, graph: &graph }.gradients().unwrap()
            };
            let (single, double) = (of(DType::F32), of(DType::F64));
            let norm = |t: &Tensor| dot(t, t).sqrt();
            let error = |(name, double): (&String, &Tensor)| {
                norm(&(single[name].to_dtype(DType::F64).unwrap() - double).unwrap()) / norm(double)
            };
            // The gradient of a bias in front of a norm is nothing but rounding, and so is that of a scale from which only
            // a ReLU leads to the next norm: the stem's in the pre-activation ResNet-18.
            let rounding = |name: &str| {
                let stem = matches!(architecture, Architecture::PreActResNet18 { .. }) && name == "norm.gamma";
                stem || name.ends_with("conv.bias")
            };
            double.iter().filter(|(name, _)| !rounding(name)).map(error).fold(0., f64::max)
        };
        let best = |expressions: bool| (2..5).map(|seed| worst(seed, expressions)).fold(f64::INFINITY, f64::min);
        let (kernels, plain) = (best(false), best(true));
        assert!(
            kernels < 1e-4 || kernels < (2. * plain).min(1e-3),
            "{architecture:?}: {kernels}, candle's own ops {plain}"
        );
    }
}

/// Dropout is not in the double-precision checks: its masks are single. The same stream gives the same mask, so the loss is
/// a function that can be differenced; within one side of every ReLU it is linear in one layer's weights.
#[test]
fn gradients_with_dropout_match_differences() {
    let input = InputShape::Vector { dim: 6 };
    let model = build(&Architecture::Mlp { widths: vec![8], dropout: 0.5 }, &input, 3);
    let x = batch(4, &input, DType::F32);
    let forward = |graph: &mut Graph| model.forward(graph, &x);
    let graph = || Graph::training().with_dropout(Seed(3).stream("dropout"));
    let check = Check { parameters: &model.parameters, forward: &forward, graph: &graph };
    check.run(1e-2, 5e-3, 9);
    let plain = Check { graph: &Graph::training, ..check };
    let (with, without) = (check.gradients().unwrap(), plain.gradients().unwrap());
    assert_ne!(
        with["output.weight"].to_vec2::<f32>().unwrap(),
        without["output.weight"].to_vec2::<f32>().unwrap(),
        "dropout changed nothing"
    );
}

/// A bias in front of a batch norm is taken out again by the mean: its gradient is zero but for rounding. That is every
/// convolution's bias in the Keras networks. Nothing else may be without a gradient.
#[test]
fn every_parameter_has_a_gradient_after_a_step() {
    for (architecture, input) in tiny_cases() {
        let mut model = build(&architecture, &input, 3);
        let x = batch(6, &input, DType::F32);
        let gradients = |model: &Model| {
            let mut graph = Graph::training();
            let logits = model.forward(&mut graph, &x).unwrap();
            let losses = cross_entropy(&graph.output(&logits).unwrap(), &[0, 1, 2, 0, 1, 2]).unwrap();
            graph.backward(&losses.mean_all().unwrap()).unwrap()
        };
        model.parameters.decay_only(|_| false);
        let first = gradients(&model);
        Optimiser::new(OptimiserConfig::sgd(0., 0.)).step(&model.parameters, &first, 0.01).unwrap();
        let second = gradients(&model);
        for (name, parameter) in &model.parameters.trainable {
            let gradient = second.get(&parameter.var).unwrap_or_else(|| panic!("{architecture:?}: none for {name}"));
            assert_eq!(gradient.dims(), parameter.var.dims(), "{name}");
            let size = dot(gradient, gradient).sqrt();
            if name.ends_with("conv.bias") {
                assert!(size < 1e-4, "{architecture:?}: {name} has a gradient of size {size}");
            } else {
                assert!(size > 1e-6, "{architecture:?}: {name} has no gradient");
            }
        }
    }
}

#[test]
fn initial_values_depend_on_seed_and_name_alone() {
    let bytes = |weights: &Weights| -> Vec<u32> {
        let bits = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits);
        weights.values().flat_map(bits).collect()
    };
    for (architecture, input) in tiny_cases() {
        let weights = |seed| {
            let model = architecture.build(&input, 3, Seed(seed), &Device::Cpu).unwrap();
            bytes(&model.parameters.weights().unwrap())
        };
        assert_eq!(weights(1), weights(1), "{architecture:?}");
        assert_ne!(weights(1), weights(2), "{architecture:?}");
    }
    // The other order, and a stranger in between.
    let mut some = Parameters::default();
    let mut b = Builder::new(&mut some, Seed(4), &Device::Cpu);
    Linear::new(&mut b.at("a"), 3, 2, LayerInit::PYTORCH).unwrap();
    Linear::new(&mut b.at("b"), 3, 2, LayerInit::PYTORCH).unwrap();
    let mut others = Parameters::default();
    let mut b = Builder::new(&mut others, Seed(4), &Device::Cpu);
    Linear::new(&mut b.at("b"), 3, 2, LayerInit::PYTORCH).unwrap();
    Linear::new(&mut b.at("c"), 5, 5, LayerInit::KERAS).unwrap();
    Linear::new(&mut b.at("a"), 3, 2, LayerInit::PYTORCH).unwrap();
    others.trainable.retain(|name, _| !name.starts_with('c'));
    assert_eq!(bytes(&some.weights().unwrap()), bytes(&others.weights().unwrap()));
    let layer = |name: &str| bytes(&Weights::from([("w".into(), some.trainable[name].var.as_detached_tensor())]));
    assert_ne!(layer("a.weight"), layer("b.weight"), "two layers of one shape start alike");
}

#[test]
fn two_parameters_of_one_name_are_refused() {
    let mut parameters = Parameters::default();
    let mut b = Builder::new(&mut parameters, Seed(4), &Device::Cpu);
    Linear::new(&mut b.at("a"), 3, 2, LayerInit::PYTORCH).unwrap();
    let error = Linear::new(&mut b.at("a"), 3, 2, LayerInit::PYTORCH).err().unwrap().to_string();
    assert!(error.contains("a.weight"), "{error}");
}

/// Chen et al. 2019: the penalty is on kernels of blocks and shortcuts; stem, output, biases and norms have none.
#[test]
fn resnet_32_decays_the_kernels_of_blocks_and_shortcuts_only() {
    let model = build(&Architecture::ResNet32, &COLOUR_32, 10);
    let decayed: Vec<&String> = model.parameters.trainable.iter().filter(|(_, p)| p.decay).map(|(n, _)| n).collect();
    assert_eq!(decayed.len(), 30 + 2);
    assert!(decayed.iter().all(|name| name.starts_with("stage") && name.ends_with("conv.weight")));
    let mlp = build(&Architecture::Mlp { widths: vec![3], dropout: 0. }, &GREY_28, 10);
    assert!(mlp.parameters.trainable.values().all(|p| p.decay && !p.frozen));
}

#[test]
fn keras_networks_start_as_keras_starts_them() {
    let deviation = |var: &Var| {
        let v = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (v.iter().map(|x| f64::from(x * x)).sum::<f64>() / v.len() as f64).sqrt()
    };
    let v1 = build(&Architecture::ResNet32, &COLOUR_32, 10).parameters.trainable;
    let w = &v1["stage3.block2.first.conv.weight"].var;
    let glorot = (6f64 / (2. * 9. * 64.)).sqrt() / 3f64.sqrt();
    assert!((deviation(w) / glorot - 1.).abs() < 0.02);
    let v2 = build(&Architecture::ResNet110V2, &COLOUR_32, 10).parameters.trainable;
    let w = &v2["stage3.block2.middle.conv.weight"].var;
    let he = (2f64 / (9. * 128.)).sqrt() * init::CUT_NORMAL_DEVIATION;
    assert!((deviation(w) / he - 1.).abs() < 0.02);
    for (name, parameter) in v1.iter().chain(&v2).filter(|(name, _)| !name.ends_with("weight")) {
        let expected = if name.ends_with("gamma") { 1. } else { 0. };
        assert!(parameter.var.to_vec1::<f32>().unwrap().iter().all(|&v| v == expected), "{name}");
    }
}

#[test]
fn configs_read_as_written() {
    for (architecture, text) in [
        (Architecture::Linear, r#"{"kind":"linear"}"#),
        (
            Architecture::Mlp { widths: vec![256, 64], dropout: 0.5 },
            r#"{"kind":"mlp","widths":[256,64],"dropout":0.5}"#,
        ),
        (Architecture::SmallCnn { widths: vec![32, 64, 128] }, r#"{"kind":"small-cnn","widths":[32,64,128]}"#),
        (Architecture::LeNet, r#"{"kind":"lenet"}"#),
        (Architecture::ResNet32, r#"{"kind":"resnet-32"}"#),
        (Architecture::ResNet110V2, r#"{"kind":"resnet-110-v2"}"#),
        (Architecture::KerasMlp { widths: vec![8] }, r#"{"kind":"keras-mlp","widths":[8]}"#),
        (
            Architecture::WideResNet { depth: 28, widen: 2, base: 16 },
            r#"{"kind":"wide-resnet","depth":28,"widen":2,"base":16}"#,
        ),
        (Architecture::Lstm { units: 128 }, r#"{"kind":"lstm","units":128}"#),
        (Architecture::DenseNet2512, r#"{"kind":"densenet-25-12"}"#),
        (Architecture::Vgg19, r#"{"kind":"vgg-19"}"#),
        (
            Architecture::PooledCnn { widths: vec![16, 32], dropout: 0.2 },
            r#"{"kind":"pooled-cnn","widths":[16,32],"dropout":0.2}"#,
        ),
        (
            two_stage_cnn(1, 0, true),
            r#"{"kind":"two-stage-cnn","widths":[1,2],"dense":[8,2],"padding":0,"dropout":0.0,"norm":true}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&architecture).unwrap(), text);
        assert_eq!(serde_json::from_str::<Architecture>(text).unwrap(), architecture);
    }
    let read = |text| serde_json::from_str::<Architecture>(text);
    assert_eq!(read(r#"{"kind":"small-cnn"}"#).unwrap(), Architecture::SmallCnn { widths: vec![32, 64, 128] });
    assert!(read(r#"{"kind":"mlp","widths":[2],"width":3}"#).is_err());
}

#[test]
fn what_cannot_be_built_is_refused_in_one_line() {
    let vector = InputShape::Vector { dim: 20 };
    let tiny = InputShape::Image { height: 8, width: 8, channels: 1 };
    for (architecture, input, classes, part) in [
        (Architecture::ResNet32, vector, 10, "needs images"),
        (Architecture::LeNet, tiny, 10, "12 x 12"),
        (two_stage_cnn(4, 0, false), tiny, 10, "24 x 24"),
        (two_stage_cnn(0, 1, false), tiny, 10, "at least 1"),
        (Architecture::Linear, vector, 0, "at least 1"),
        (Architecture::Mlp { widths: vec![0], dropout: 0. }, vector, 10, "at least 1"),
        (Architecture::Mlp { widths: vec![4], dropout: 1. }, vector, 10, "dropout of 1"),
    ] {
        let error = architecture.build(&input, classes, Seed(1), &Device::Cpu).err().expect(part).to_string();
        assert!(error.lines().next().unwrap().contains(part), "{error}");
    }
}

#[test]
fn copied_weights_stay_and_can_be_written_back() {
    let input = InputShape::Image { height: 8, width: 8, channels: 3 };
    let model = build(&Architecture::SmallCnn { widths: vec![4, 6] }, &input, 3);
    let x = batch(4, &input, DType::F32);
    let logits = || model.forward(&mut Graph::inference(), &x).unwrap().tensor().to_vec2::<f32>().unwrap();
    let (saved, before) = (model.parameters.weights().unwrap(), logits());
    // Moves the running statistics, then the weights.
    let mut graph = Graph::training();
    let y = model.forward(&mut graph, &x).unwrap();
    let loss = graph.output(&y).unwrap().sqr().unwrap().sum_all().unwrap();
    let gradients = graph.backward(&loss).unwrap();
    Optimiser::new(OptimiserConfig::adam(0.)).step(&model.parameters, &gradients, 0.1).unwrap();
    assert_ne!(logits(), before);
    model.parameters.set_weights(&saved).unwrap();
    assert_eq!(logits(), before);

    let name = "conv1.weight".to_owned();
    let mut missing = saved.clone();
    missing.remove(&name);
    let mut other_shape = saved.clone();
    other_shape.insert(name.clone(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap());
    let mut stranger = saved;
    stranger.insert("conv9.weight".into(), stranger[&name].clone());
    for (weights, part) in [(missing, "missing"), (other_shape, "[3]"), (stranger, "conv9.weight")] {
        let error = model.parameters.set_weights(&weights).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert_eq!(logits(), before);
    }
}

#[test]
fn the_reference_generator_is_the_one_of_the_script() {
    // python3 -c "from reference import *; g = lcg(1); print([next(g) for _ in range(3)])"
    let expected = [-0.263_544_474_728_405_5, -0.130_729_326_279_833_9, 0.004_242_032_300_680_876];
    for (ours, theirs) in numbers(1, 3).into_iter().zip(expected) {
        assert_abs_diff_eq!(ours, theirs, epsilon = 1e-15);
    }
}
