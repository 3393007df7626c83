//! Every kind of chart, drawn from made-up numbers: `cargo run --release -p retrial-core --example charts [FOLDER]`.

use std::path::PathBuf;

use retrial_core::chart::{Axis, Bins, Color, Dash, Error, Figure, Image, Layer, Panel, Share, Thumbnail};

fn main() -> Result<(), Error> {
    let folder = std::env::args().nth(1).map_or_else(|| PathBuf::from("target/charts"), PathBuf::from);
    for (name, figure) in figures() {
        figure.save(&folder.join(name))?;
        println!("{}", folder.join(name).with_extension("png").display());
    }
    Ok(())
}

/// Every figure, with the name of its file.
pub fn figures() -> Vec<(&'static str, Figure)> {
    vec![
        ("small-multiples", small_multiples()),
        ("residuals", residuals()),
        ("curves", curves()),
        ("histogram", histogram()),
        ("confusion", confusion()),
        ("heat-maps", heat_maps()),
        ("bars", bars()),
        ("areas", areas()),
        ("boundaries", boundaries()),
        ("thumbnails", thumbnails()),
        ("log-axes", log_axes()),
        ("forest", forest()),
        ("scatter", scatter()),
        ("categories", categories()),
        ("extremes", extremes()),
        ("long-texts", long_texts()),
    ]
}

/// Something that looks like noise between -1 and 1, the same on every run.
fn wobble(i: usize) -> f64 {
    ((i as f64 * 12.9898).sin() * 43_758.545).fract()
}

fn grid(n: usize) -> impl Iterator<Item = f64> + Clone {
    (0..=n).map(move |i| i as f64 / n as f64)
}

fn small_multiples() -> Figure {
    type Curve = fn(f64) -> f64;
    let rows: [(&str, [(&str, Curve); 3]); 2] = [
        (
            "symmetric",
            [
                ("agreement with noisy labels", |e| (1.0 - e).powi(2) + e * e / 9.0),
                ("label precision", |e| (1.0 - e).powi(2) / ((1.0 - e).powi(2) + e * e / 9.0)),
                ("label recall", |e| 1.0 - e),
            ],
        ),
        (
            "pair",
            [
                ("agreement with noisy labels", |e| (1.0 - e).powi(2) + e * e),
                ("label precision", |e| (1.0 - e).powi(2) / ((1.0 - e).powi(2) + e * e)),
                ("label recall", |e| 1.0 - e),
            ],
        ),
    ];
    let mut figure = Figure::new("Do the formulae for noisy-label accuracy, precision and recall hold?")
        .subtitle("CIFAR-10 subset (10 000 images), small CNN, last epoch, mean of 5 seeds; bands are 95 % t intervals")
        .columns(3)
        .share_x(Share::All)
        .share_y(Share::All)
        .caption("The paper's points are read from its repository's plots (ResNet-110, 50 000 images), ± 0.01.");
    for (row, (noise, columns)) in rows.into_iter().enumerate() {
        for (column, (quantity, law)) in columns.into_iter().enumerate() {
            let ours = grid(10).enumerate().map(|(i, e)| {
                let y = law(e) - 0.03 + 0.03 * wobble(100 * row + 10 * column + i);
                (e, y, y - 0.03, y + 0.03)
            });
            figure = figure.panel(
                Panel::new()
                    .title(&format!("{noise}: {quantity}"))
                    .x(Axis::linear("noise rate ε").range(0.0, 1.0))
                    .y(Axis::linear("share").range(0.0, 1.0))
                    .layer(Layer::theory("formula, nothing fitted", grid(60).map(|e| (e, law(e)))))
                    .layer(Layer::band("ours", ours))
                    .layer(Layer::paper(grid(5).map(|e| (e, law(e) + 0.01)))),
            );
        }
    }
    figure
}

fn residuals() -> Figure {
    let learners = [("MLP", 0.0), ("small CNN", 0.05), ("1-NN", 0.0), ("15-NN", 0.16)];
    let clean = |bend: f64, e: f64| 0.9 - 0.8 * e + bend * (std::f64::consts::PI * e).sin();
    let axis = || Axis::linear("noise rate ε").range(0.0, 0.9);
    let mut above = Panel::new()
        .x(axis())
        .y(Axis::linear("clean test accuracy").range(0.0, 1.0))
        .layer(Layer::theory("straight line to chance", grid(9).map(|s| (0.9 * s, clean(0.0, 0.9 * s)))));
    let mut below =
        Panel::new().x(axis()).y(Axis::linear("minus line")).layer(Layer::horizontal("", 0.0).dash(Dash::Solid));
    for (k, (name, bend)) in learners.into_iter().enumerate() {
        let at = move |i: usize, e: f64| clean(bend, e) + 0.015 * wobble(17 * k + i);
        let points = grid(9).map(|s| 0.9 * s).enumerate();
        above = above
            .layer(Layer::band(name, points.clone().map(|(i, e)| (e, at(i, e), at(i, e) - 0.03, at(i, e) + 0.03))));
        below = below.layer(Layer::band(
            name,
            points.map(|(i, e)| {
                let r = at(i, e) - clean(0.0, e);
                (e, r, r - 0.03, r + 0.03)
            }),
        ));
    }
    Figure::new("Is clean accuracy a straight line in the noise rate?")
        .subtitle("Symmetric noise; simultaneous 95 % bands over 5 seeds")
        .share_x(Share::Line)
        .heights([280.0, 110.0])
        .panel(above)
        .panel(below)
}

fn curves() -> Figure {
    let curve = |method: usize, best: bool| {
        (0..=120).map(move |epoch| {
            let t = epoch as f64 / 120.0;
            let rise = 0.85 * (1.0 - (-8.0 * t).exp()) - 0.07 * method as f64;
            let fall = if best { 0.0 } else { 0.12 * (t - 0.3).max(0.0) * (3.0 - method as f64) };
            (epoch as f64, 100.0 * (rise - fall + 0.01 * wobble(epoch + 7 * method)).max(0.1))
        })
    };
    let mut panel = Panel::new()
        .x(Axis::linear("epoch").whole())
        .y(Axis::linear("test accuracy (%)").to(100.0))
        .layer(Layer::x_span("bootstrapping on", 40.0, f64::INFINITY))
        .layer(Layer::vertical("learning rate drops", 80.0))
        .layer(Layer::horizontal("chance", 10.0).dash(Dash::LongDash));
    for (k, name) in ["CE", "mixup", "M-DYR-H"].into_iter().enumerate() {
        for seed in 0..4 {
            panel = panel.layer(
                Layer::line(name, curve(k, false).map(move |(x, y)| (x, y + 2.0 * wobble(seed * 31 + x as usize))))
                    .faint(),
            );
        }
        panel = panel
            .layer(Layer::line(name, curve(k, false)).markers(true))
            .layer(Layer::line(&format!("{name}, best so far"), curve(k, true)).like(name).dash(Dash::Dashed));
    }
    Figure::new("Does the network forget what it learned once it fits the wrong labels?")
        .subtitle("CIFAR-10 subset, 80 % symmetric noise; thin lines are single seeds")
        .panel(panel)
}

fn histogram() -> Figure {
    let bins = Bins { low: 0.0, high: 1.0, count: 40 };
    let right: Vec<f64> = (0..1200).map(|i| 0.22 * (-(0.5 * wobble(i) + 0.5000001f64).abs().ln())).collect();
    let wrong: Vec<f64> =
        (0..800).map(|i| 0.65 + 0.17 * (wobble(i) + wobble(i + 900) + wobble(i + 1800)) / 1.3).collect();
    let density = |mean: f64, sd: f64, share: f64| {
        grid(200).map(move |x| (x, share / (sd * 2.5066) * (-0.5 * ((x - mean) / sd).powi(2)).exp()))
    };
    let panel = |title: &str, fit: &str| {
        Panel::new()
            .title(title)
            .x(Axis::linear("normalised loss").range(0.0, 1.0))
            .y(Axis::linear("density"))
            .layer(Layer::histogram("right labels", &right, bins, 2000))
            .layer(Layer::histogram("wrong labels", &wrong, bins, 2000))
            .layer(Layer::theory(fit, density(0.65, 0.17, 0.4)))
            .layer(Layer::theory("the other component", density(0.12, 0.15, 0.6)))
            .layer(Layer::vertical("posterior 1/2", 0.42))
            .layer(Layer::note("few losses lie here", 0.45, 1.9))
    };
    Figure::new("Does the loss tell wrong labels from right ones?")
        .subtitle("CIFAR-10 subset, 40 % wrong labels, after 10 epochs; the groups together have area one")
        .columns(2)
        .share_y(Share::Line)
        .panel(panel("beta mixture", "mixture component"))
        .panel(panel("Gaussian mixture", "mixture component"))
}

fn matrix(noise: f64, blur: f64) -> Vec<Vec<f64>> {
    let row = |i: usize| {
        (0..10).map(move |j| {
            let exact = if i == j { 1.0 - noise } else { noise / 9.0 };
            (exact + blur * wobble(10 * i + j)).clamp(0.0, 1.0)
        })
    };
    (0..10).map(|i| row(i).collect()).collect()
}

const CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

fn confusion() -> Figure {
    let panel = |title: &str, blur: f64| {
        Panel::new()
            .title(title)
            .aspect(1.0)
            .x(Axis::categories("predicted class", CLASSES))
            .y(Axis::categories("true class", CLASSES))
            .layer(Layer::heat_map("", matrix(0.4, blur)).colors(0.0, 1.0).numbers(2))
    };
    Figure::new("Does the confusion matrix equal the transition matrix?")
        .subtitle("Symmetric noise 0.4; rows are true classes")
        .columns(2)
        .share_y(Share::Line)
        .panel(panel("transition matrix T", 0.0))
        .panel(panel("confusion matrix M", 0.04))
}

fn heat_maps() -> Figure {
    let wave = |a: f64, b: f64| {
        (0..24)
            .map(|i| (0..30).map(|j| (i as f64 * a).sin() * (j as f64 * b).cos() + 0.2).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let mut gap = wave(0.2, 0.15);
    gap[5][7] = f64::NAN;
    gap[6].truncate(20);
    Figure::new("How do learning rate and depth interact?")
        .subtitle("Grey cells diverged")
        .columns(2)
        .panel(
            Panel::new()
                .title("loss")
                .x(Axis::linear("depth (layers)"))
                .y(Axis::linear("rate index"))
                .layer(Layer::heat_map("final training loss", gap)),
        )
        .panel(
            Panel::new()
                .title("difference")
                .x(Axis::linear("depth (layers)"))
                .y(Axis::linear("rate index"))
                .layer(Layer::heat_map("ours minus paper (points)", wave(0.3, 0.3)).diverging()),
        )
}

fn bars() -> Figure {
    let methods = ["Default", "ActiveBias", "Co-teaching", "SELFIE"];
    let errors = |base: f64| {
        (0..4).map(move |i| (base - 0.5 * i as f64, base - 0.5 * i as f64 - 0.4, base - 0.5 * i as f64 + 0.4))
    };
    Figure::new("Which method has the lowest error under natural noise?")
        .subtitle("ANIMAL-10N, 3 seeds, 95 % t intervals")
        .columns(2)
        .panel(
            Panel::new()
                .title("by method")
                .x(Axis::categories("", methods))
                .y(Axis::linear("best test error (%)"))
                .layer(Layer::bar_intervals("DenseNet-25-12", errors(18.0)))
                .layer(Layer::bar_intervals("VGG-19", errors(20.5)))
                .layer(Layer::paper([(0.0, 17.9), (1.0, 17.6), (2.0, 17.5), (3.0, 17.0)]).like("DenseNet-25-12")),
        )
        .panel(
            Panel::new()
                .title("gain over Default")
                .y(Axis::categories("", methods))
                .x(Axis::linear("points"))
                .layer(Layer::bars("DenseNet-25-12", [0.0, -0.4, 0.9, 1.6]))
                .layer(Layer::bars("VGG-19", [0.0, 0.7, 1.2, 2.2])),
        )
}

fn areas() -> Figure {
    let parts = ["clean", "refurbished", "dropped"];
    let panel = |title: &str, pace: f64| {
        let mut panel =
            Panel::new().title(title).x(Axis::linear("epoch").whole()).y(Axis::linear("share of the mini-batch"));
        for (k, part) in parts.into_iter().enumerate() {
            let share = move |t: f64| {
                let late = 1.0 - (-pace * t).exp();
                [0.6 - 0.1 * late, 0.3 * late, 0.4 - 0.2 * late][k]
            };
            panel = panel.layer(Layer::area(part, grid(100).map(|t| (100.0 * t, share(t)))));
        }
        panel
    };
    Figure::new("What is a mini-batch made of as training goes on?")
        .columns(2)
        .share_y(Share::All)
        .panel(panel("symmetric 40 %", 4.0))
        .panel(panel("pair 40 %", 1.5))
}

fn boundaries() -> Figure {
    let mut panels = Vec::new();
    for (row, weights) in ["10 : 1", "1 : 1"].into_iter().enumerate() {
        for (column, epoch) in ["1", "100", "10 000"].into_iter().enumerate() {
            let shift = (1.0 - row as f64) * (1.5 - 0.7 * column as f64);
            let regions = Image::new(160, 160, |px, py| {
                let (x, y) = (px as f64 / 20.0 - 4.0, 4.0 - py as f64 / 20.0);
                if x + y + shift + 0.6 * (1.3 * x).sin() > 0.0 { Color::BLUE.pale() } else { Color::ORANGE.pale() }
            });
            let cloud = |sign: f64, seed: usize| {
                (0..40).map(move |i| (sign * 1.7 + 1.2 * wobble(i + seed), sign * 1.5 + 1.2 * wobble(i + seed + 500)))
            };
            panels.push(
                Panel::new()
                    .title(&format!("{weights}, epoch {epoch}"))
                    .aspect(1.0)
                    .x(Axis::linear("x₁"))
                    .y(Axis::linear("x₂"))
                    .layer(Layer::image(regions, (-4.0, 4.0), (-4.0, 4.0)))
                    .layer(Layer::swatch("network says +", Color::BLUE.pale()))
                    .layer(Layer::swatch("network says −", Color::ORANGE.pale()))
                    .layer(Layer::points("positives", cloud(1.0, 1)).color(Color::BLUE))
                    .layer(Layer::points("negatives", cloud(-1.0, 2000)).color(Color::VERMILLION))
                    .layer(
                        Layer::line("logistic regression", [(-4.0, 4.0 - shift), (4.0, -4.0 - shift)])
                            .color(Color::BLACK)
                            .markers(false),
                    )
                    .layer(Layer::theory("largest margin", [(-4.0, 4.0), (4.0, -4.0)])),
            );
        }
    }
    Figure::new("Does weighting the classes move the boundary, and does it stay moved?")
        .columns(3)
        .share_x(Share::All)
        .share_y(Share::All)
        .panels(panels)
}

fn thumbnails() -> Figure {
    let sheet = (0..24).map(|i| {
        let picture = Image::new(32, 32, |x, y| {
            let wave = |k: usize| (128.0 + 120.0 * ((x * (k + i) + y * (k + 1)) as f64 * 0.07).sin()) as u8;
            Color(wave(1), wave(2), wave(3))
        });
        let (name, color) = if i % 5 == 2 { ("wrong label", Color::VERMILLION) } else { ("right label", Color::GREEN) };
        let caption = if i % 5 == 2 { "given: automobile, true: horse".to_owned() } else { CLASSES[i % 10].to_owned() };
        Thumbnail::new(picture, &caption).frame(name, color)
    });
    let digits: Vec<u8> = (0..28 * 28).map(|i| if (i % 28 + i / 28) % 9 < 3 { 230 } else { 20 }).collect();
    let small = (0..6).map(|_| Thumbnail::new(Image::from_planes(28, 28, &digits), ""));
    Figure::new("Which training images does the network still get wrong?")
        .subtitle("The 24 images of largest loss")
        .panel(Panel::sheet(12, sheet))
        .panel(Panel::sheet(12, small).title("MNIST, grey"))
}

fn log_axes() -> Figure {
    let seconds = |name: &str, speed: f64| {
        Layer::band(
            name,
            (0..60).map(move |i| {
                let x = 10.0 * 1.12f64.powi(i);
                let y = 2.0 * (x / 10.0).powf(-speed);
                (x, y, y * 0.7, y * 1.4)
            }),
        )
    };
    let effect = |name: &str, decay: f64| {
        Layer::intervals(
            name,
            (-8..=8).map(move |k| {
                let f = 0.5 + decay * f64::from(k) / 20.0;
                (2f64.powi(k), f, f - 0.05, f + 0.05)
            }),
        )
    };
    Figure::new("Does importance sampling pay in seconds, and do weights matter in the end?")
        .columns(2)
        .panel(
            Panel::new()
                .title("training loss")
                .x(Axis::log("seconds"))
                .y(Axis::log("training loss"))
                .layer(seconds("uniform", 0.5))
                .layer(seconds("loss", 0.8))
                .layer(seconds("upper bound", 1.3)),
        )
        .panel(
            Panel::new()
                .title("share of test images called dog")
                .x(Axis::log2("weight ratio R"))
                .y(Axis::linear("share").range(0.0, 1.0))
                .layer(Layer::y_span("equivalence margin", 0.45, 0.55))
                .layer(effect("no regulariser", 0.1))
                .layer(effect("L2", 0.9)),
        )
}

fn forest() -> Figure {
    let rows = [
        "MLP, 2 000 images, no regularisation",
        "MLP, 10 000 images",
        "small CNN, 10 000 images",
        "small CNN, augmentation and weight decay, 30 epochs",
        "1-NN",
        "15-NN",
    ];
    let ours = (0..6).map(|i| {
        let x = 2.0 - 0.25 * i as f64 + 0.1 * wobble(i);
        (x, x - 0.15, x + 0.12)
    });
    let other = (0..6).map(|i| {
        let x = 1.9 - 0.2 * i as f64;
        (x, x - 0.3, x + 0.3)
    });
    Figure::new("How far is the exponent γ from the two that a parabola needs?")
        .subtitle("Sharpened-vote fit, bootstrap 95 % intervals over seeds")
        .heights([260.0])
        .panel(
            Panel::new()
                .x(Axis::linear("exponent γ"))
                .y(Axis::categories("", rows))
                .layer(Layer::vertical("parabola", 2.0))
                .layer(Layer::forest("symmetric", ours))
                .layer(Layer::forest("pair", other)),
        )
}

fn scatter() -> Figure {
    let cloud = |slope: f64, seed: usize| {
        (0..600).map(move |i| {
            let x = 10f64.powf(-4.5 + 1.7 * wobble(i + seed));
            (x, x.powf(slope) * 10f64.powf(0.4 * wobble(3 * i + seed)))
        })
    };
    let axis = |name: &str| Axis::log(name).range(1e-7, 1e-2);
    Figure::new("Which cheap score follows the true gradient norm?")
        .columns(2)
        .share_x(Share::All)
        .share_y(Share::All)
        .panels([("loss", 0.7, 5), ("upper bound", 1.0, 3000)].map(|(name, slope, seed)| {
            Panel::new()
                .title(name)
                .aspect(1.0)
                .x(axis("probability by gradient norm"))
                .y(axis("probability by score"))
                .layer(Layer::points("one sample", cloud(slope, seed)).faint())
                .layer(Layer::diagonal("equal"))
        }))
}

fn categories() -> Figure {
    let sets = ["CIFAR-10 pair", "CIFAR-10 symmetric", "CIFAR-100 pair", "CIFAR-100 symmetric", "Tiny-ImageNet"];
    let mut panel = Panel::new().x(Axis::categories("", sets)).y(Axis::linear("best test error (%)").from(0.0));
    for (k, name) in ["Default", "ActiveBias", "Co-teaching", "SELFIE"].into_iter().enumerate() {
        let at = move |i: usize| [18.0, 17.0, 42.0, 43.0, 64.0][i] - 1.8 * k as f64;
        panel = panel
            .layer(Layer::intervals(name, (0..5).map(move |i| (i as f64, at(i), at(i) - 1.0, at(i) + 1.0))))
            .layer(Layer::points(name, (0..15).map(move |j| ((j / 3) as f64, at(j / 3) + wobble(j)))).faint())
            .layer(Layer::paper((0..5).map(move |i| (i as f64, at(i) - 1.5))).like(name));
    }
    Figure::new("Which method has the lowest error, here and in the paper?").subtitle("Dots are seeds").panel(panel)
}

fn extremes() -> Figure {
    let nan = f64::NAN;
    let panel = |title: &str, values: Vec<(f64, f64)>| {
        Panel::new().title(title).x(Axis::linear("x")).y(Axis::linear("y")).layer(Layer::line("series", values))
    };
    let log = |title: &str, values: Vec<(f64, f64)>| {
        Panel::new().title(title).x(Axis::linear("x")).y(Axis::log("y")).layer(Layer::line("series", values))
    };
    Figure::new("Does every input give a picture?").columns(3).panels([
        panel("nothing", vec![]),
        panel("one point", vec![(3.0, 7.0)]),
        panel("gaps", (0..30).map(|i| (i as f64, if i % 7 == 3 || i == 12 { nan } else { wobble(i) })).collect()),
        panel("only NaN", vec![(nan, nan), (1.0, nan)]),
        panel("constant", vec![(0.0, 0.1), (1.0, 0.1), (2.0, 0.1)]),
        panel("huge", vec![(0.0, -1e12), (1e9, 3e12)]),
        panel("tiny", vec![(0.0, 1e-12), (1e-9, 3e-12)]),
        panel("beyond f64", vec![(-1e308, -1e308), (1e308, 1e308), (f64::INFINITY, 1.0)]),
        panel("small step on a large value", vec![(0.0, 1_000_000.1), (1.0, 1_000_009.2)]),
        log("log with zero", vec![(0.0, 0.0), (1.0, 1e-3), (2.0, 10.0), (3.0, -1.0)]),
        log("many decades", vec![(0.0, 1e-120), (1.0, 1e100)]),
        log("less than a decade", vec![(0.0, 31.0), (1.0, 37.0)]),
    ])
}

fn long_texts() -> Figure {
    let long =
        "a series whose name goes on and on, with the data set, the network, the noise and the number of seeds in it";
    Figure::new("Does a title that asks a very long question about networks & labels, with <angle brackets> and \"quotes\", break into lines without being cut off at the edge?")
        .subtitle("And a subtitle that names the data set, the number of images, the network, the optimiser, the schedule, the seeds and what the bands mean, at length")
        .caption("A caption that says: data size, network, steps, seeds, where the paper's numbers come from, how far they can be trusted, and what is not shown and why. It is also long.")
        .columns(2)
        .panel(
            Panel::new()
                .title("A panel title that is too long for its panel and must wrap")
                .x(Axis::categories("", ["loss correction by bootstrapping", "importance sampling", "critical periods", "noisy", "x"]))
                .y(Axis::linear("a label of the y axis that is longer than the axis itself is high (in per cent)"))
                .layer(Layer::bars(long, [1.0, 2.0, 3.0, 4.0, 5.0])),
        )
        .panel(
            Panel::new()
                .title("Twelve")
                .x(Axis::categories("network", (0..12).map(|i| format!("architecture-{i}"))))
                .y(Axis::linear("parameters"))
                .layer(Layer::bars("short", (0..12).map(|i| 10f64.powi(i % 4 + 3))))
                .layer(Layer::note("a remark that is wrapped because it is long", 9.0, 800_000.0)),
        )
        .panel(
            Panel::new()
                .title("Alone in its row")
                .x(Axis::linear("x"))
                .y(Axis::categories("", ["an extraordinarily long name of a row in a forest plot, with its conditions", "short"]))
                .layer(Layer::forest(long, [(0.0, -1.0, 1.0), (100_000.0, 90_000.0, 120_000.0)])),
        )
}
