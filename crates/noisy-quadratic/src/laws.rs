//! The law on trial, its rivals, and what follows from them.
//!
//! A network is trained on labels of which a share ε is wrong. Two curves describe what it then does on unseen inputs:
//! *m*(ε), the share of predictions that equal the **true** class, and *A*(ε), the share that equals an independently
//! drawn **noisy** label. Given the class, the noise on a held-out label knows nothing of the prediction, so A follows
//! from the predictions alone, and for symmetric noise from m alone ([`Setting::noisy_accuracy`]). A law is stated for
//! one of the curves and read on both with the same parameters.
//!
//! Chen et al. 2019 (Eq. 4): A = (1 − ε)² + ε²/(c − 1), which is the same statement as m = 1 − ε.

use retrial_core::noise::{self, TransitionMatrix};
use serde::{Deserialize, Serialize};

/// How labels are spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Noise {
    /// A wrong label is any of the other c − 1 classes, equally likely.
    Symmetric,
    /// A wrong label is always the next class: i → i + 1 mod c.
    Pair,
}

/// Which labels a prediction is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// True labels: m(ε).
    Clean,
    /// Labels with an independent draw of the same noise: A(ε).
    Noisy,
}

/// The kind of noise and the number of classes: all that a law needs to know of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Setting {
    /// c, at least 2.
    pub classes: usize,
    /// What a wrong label looks like.
    pub noise: Noise,
}

impl Setting {
    /// Symmetric noise over `classes` classes.
    pub fn symmetric(classes: usize) -> Self {
        Setting { classes, noise: Noise::Symmetric }
    }

    /// Pair noise over `classes` classes.
    pub fn pair(classes: usize) -> Self {
        Setting { classes, noise: Noise::Pair }
    }

    /// Number of classes that a wrong label can name.
    pub fn rivals(&self) -> f64 {
        match self.noise {
            Noise::Symmetric => self.classes as f64 - 1.0,
            Noise::Pair => 1.0,
        }
    }

    /// ε*: the noise ratio at which every rival label is as frequent as the true one, (c − 1)/c or 1/2. There A is the
    /// same for every learner that treats classes alike.
    pub fn blind_level(&self) -> f64 {
        self.rivals() / (self.rivals() + 1.0)
    }

    /// 1 − ε/ε*: how much a change of the predictions moves A. Negative beyond ε*.
    pub fn signal(&self, noise_ratio: f64) -> f64 {
        1.0 - noise_ratio / self.blind_level()
    }

    /// Whether a level may enter an estimate. Levels nearer than 0.1 to ε* say almost nothing about the learner. With
    /// symmetric noise nothing beyond ε* counts either: the claim is about 0 to ε*.
    pub fn counts(&self, noise_ratio: f64) -> bool {
        let below = self.blind_level() - noise_ratio;
        match self.noise {
            Noise::Symmetric => below >= 0.1 - 1e-9,
            Noise::Pair => below.abs() >= 0.1 - 1e-9,
        }
    }

    /// L(q) = a₀q + (1 − a₀)(1 − q)/(c − 1): the accuracy of a learner that would be right with probability q if it
    /// saw classes perfectly, and that mistakes a class for each of the others equally often, 1 − a₀ in all.
    pub fn leak(&self, q: f64, a0: f64) -> f64 {
        let (offset, slope) = self.leak_terms(q);
        offset + a0 * slope
    }

    /// L(q) = offset + a₀ · slope.
    fn leak_terms(&self, q: f64) -> (f64, f64) {
        let confused = (1.0 - q) / (self.classes as f64 - 1.0);
        (confused, q - confused)
    }

    /// A from how often the prediction is the true class, and how often the class that pair noise flips it to.
    ///
    /// Exact for any learner. Symmetric noise: A = ε/(c − 1) + m(1 − cε/(c − 1)), and `flip_target` is not used.
    pub fn noisy_accuracy(&self, noise_ratio: f64, true_class: f64, flip_target: f64) -> f64 {
        match self.noise {
            Noise::Symmetric => noise_ratio / (self.classes as f64 - 1.0) + true_class * self.signal(noise_ratio),
            Noise::Pair => true_class * (1.0 - noise_ratio) + flip_target * noise_ratio,
        }
    }

    /// m from A for symmetric noise. `None` for pair noise (A alone does not tell) and at ε*.
    pub fn clean_from_noisy(&self, noise_ratio: f64, noisy: f64) -> Option<f64> {
        let signal = self.signal(noise_ratio);
        if self.noise == Noise::Pair || signal.abs() < 1e-9 {
            return None;
        }
        Some((noisy - noise_ratio / (self.classes as f64 - 1.0)) / signal)
    }

    /// How often pair noise's flip target is predicted, from m and A. `None` for symmetric noise and at ε = 0.
    pub fn flip_target_from(&self, noise_ratio: f64, clean: f64, noisy: f64) -> Option<f64> {
        (self.noise == Noise::Pair && noise_ratio > 0.0).then(|| (noisy - clean * (1.0 - noise_ratio)) / noise_ratio)
    }

    /// ln((1 − ε)/(ε/r)), r the number of rivals: the log odds of the true label against one rival.
    fn log_odds(&self, noise_ratio: f64) -> f64 {
        ((1.0 - noise_ratio) * self.rivals() / noise_ratio).ln()
    }

    /// Probability that a vote sharpened with exponent γ names the true class:
    /// (1 − ε)^γ / [(1 − ε)^γ + r(ε/r)^γ], r the number of rivals. γ = 1: one neighbour; γ → ∞: the majority.
    pub fn sharpened(&self, noise_ratio: f64, gamma: f64) -> f64 {
        1.0 / (1.0 + self.rivals() * (-gamma * self.log_odds(noise_ratio)).exp())
    }

    /// The exponent γ of one level of pair noise, from how often the true class (d) and the flip target (s) are
    /// predicted: ln(d/s) / ln((1 − ε)/ε). `None` at ε = 0, ½, 1 and where d or s is not positive.
    pub fn pair_exponent(&self, noise_ratio: f64, true_class: f64, flip_target: f64) -> Option<f64> {
        let odds = ((1.0 - noise_ratio) / noise_ratio).ln();
        let usable = self.noise == Noise::Pair && odds.is_finite() && odds.abs() > 1e-9;
        (usable && true_class > 0.0 && flip_target > 0.0).then(|| (true_class / flip_target).ln() / odds)
    }
}

/// Probability that the true class wins a plurality of k independent noisy votes, ties split evenly: the k-nearest
/// neighbour law with perfect features.
#[derive(Clone, Debug, PartialEq)]
pub struct Plurality {
    /// Probability of winning with i votes for the true class among k, i = 0..=k.
    win: Vec<f64>,
}

/// Most votes that [`Law::Vote`] is tried with.
pub const MAX_VOTES: usize = 51;

impl Plurality {
    /// The law of `votes` ≥ 1 votes.
    pub fn new(setting: Setting, votes: usize) -> Self {
        let win = (0..=votes).map(|own| wins(setting, own, votes - own)[votes - own]).collect();
        Plurality { win }
    }

    /// The laws of 1, 2, …, `most` votes: as [`Plurality::new`] for each, in the time of one.
    pub fn up_to(setting: Setting, most: usize) -> Vec<Self> {
        let by_own: Vec<Vec<f64>> = (0..=most).map(|own| wins(setting, own, most - own)).collect();
        (1..=most).map(|k| Plurality { win: (0..=k).map(|own| by_own[own][k - own]).collect() }).collect()
    }

    /// Probability that the true class wins at a noise ratio.
    pub fn probability(&self, noise_ratio: f64) -> f64 {
        let votes = self.win.len() - 1;
        let (keep, flip) = (1.0 - noise_ratio, noise_ratio);
        let mut choose = 1.0;
        let mut sum = 0.0;
        for (own, win) in self.win.iter().enumerate() {
            sum += choose * keep.powi(own as i32) * flip.powi((votes - own) as i32) * win;
            choose *= (votes - own) as f64 / (own + 1) as f64;
        }
        sum
    }
}

/// Probability of winning with `own` votes when 0, 1, …, `most` votes fall evenly at random on the rivals.
///
/// Goes through the rivals one by one. `ways[u][t]` sums Π 1/(r^n n!) over ways in which the rivals so far share u
/// votes, none more than `own` and t of them exactly `own`; u! times the last table is a probability (multinomial), and
/// t ties leave the true class 1/(1 + t) of the wins.
fn wins(setting: Setting, own: usize, most: usize) -> Vec<f64> {
    let rivals = match setting.noise {
        Noise::Symmetric => setting.classes - 1,
        Noise::Pair => 1,
    };
    let mut share = vec![1.0; own + 1];
    for n in 1..=own {
        share[n] = share[n - 1] / (n as f64 * rivals as f64);
    }
    // Without a vote of its own the true class can tie only where nobody votes.
    let ties = most.checked_div(own).unwrap_or(rivals).min(rivals);
    let mut ways = vec![vec![0.0; ties + 1]; most + 1];
    ways[0][0] = 1.0;
    for _ in 0..rivals {
        let mut next = vec![vec![0.0; ties + 1]; most + 1];
        for (used, row) in ways.iter().enumerate() {
            for (tied, &weight) in row.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                for n in 0..=own.min(most - used) {
                    let tied = tied + usize::from(n == own);
                    if tied <= ties {
                        next[used + n][tied] += weight * share[n];
                    }
                }
            }
        }
        ways = next;
    }
    let mut factorial = 1.0;
    let mut result = Vec::with_capacity(most + 1);
    for (used, row) in ways.iter().enumerate() {
        if used > 0 {
            factorial *= used as f64;
        }
        let won: f64 = row.iter().enumerate().map(|(tied, weight)| weight / (1 + tied) as f64).sum();
        result.push(factorial * won);
    }
    result
}

/// The zero-parameter law and its rivals (M0 to M8).
///
/// A law stated for A is read on m through the exact identity, which only symmetric noise allows. For pair noise, laws
/// stated for m = d(ε) use that noise of ratio 1 − ε is noise of ratio ε with true class and flip target swapped: the
/// flip target is predicted with frequency s(ε) = d(1 − ε).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// M0: m = 1 − ε, the published law. No parameter.
    Literal,
    /// M1: m = L(1 − ε), one nearest neighbour with noise-free accuracy a₀. `[a0]`
    Scaled,
    /// M2: m = a + bε, so A is a quadratic. `[a, b]`
    Affine,
    /// M2 without the identity: A = a + bε + cε². `[a, b, c]`
    FreeQuadratic,
    /// M3: A = a + bε. `[a, b]`
    Line,
    /// M3 with the identity: m = a₀ while the true label is in the majority, a learner that resists all noise. `[a0]`
    Robust,
    /// M4 with the identity: m = a + bε + cε². `[a, b, c]`
    Bent,
    /// M4: A = a + bε + cε² + dε³. `[a, b, c, d]`
    Cubic,
    /// M5: m = L(q), q a vote sharpened with exponent γ ([`Setting::sharpened`]). `[a0, gamma]`
    Sharpened,
    /// M6: m = L(q), q a plurality of k votes ([`Plurality`]). `[a0, k]`
    Vote,
    /// M7: A = a + b/(1 + exp((ε − centre)/width)). `[a, b, centre, width]`
    Logistic,
    /// M8: A = a + b·exp(−rate·ε). `[a, b, rate]`
    Decay,
}

/// Most parameters that a law has.
pub const MAX_PARAMETERS: usize = 4;

/// A value and its derivatives with respect to the parameters of the law (0 beyond their number).
pub type WithGradient = (f64, [f64; MAX_PARAMETERS]);

impl Law {
    /// All laws, M0 to M8.
    pub const ALL: [Law; 12] = [
        Law::Literal,
        Law::Scaled,
        Law::Affine,
        Law::FreeQuadratic,
        Law::Line,
        Law::Robust,
        Law::Bent,
        Law::Cubic,
        Law::Sharpened,
        Law::Vote,
        Law::Logistic,
        Law::Decay,
    ];

    /// Number and short name, as in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Law::Literal => "M0 zero-parameter",
            Law::Scaled => "M1 scaled 1-NN",
            Law::Affine => "M2 straight m",
            Law::FreeQuadratic => "M2 free quadratic A",
            Law::Line => "M3 straight A",
            Law::Robust => "M3 robust",
            Law::Bent => "M4 quadratic m",
            Law::Cubic => "M4 cubic A",
            Law::Sharpened => "M5 sharpened vote",
            Law::Vote => "M6 k-NN vote",
            Law::Logistic => "M7 logistic A",
            Law::Decay => "M8 exponential A",
        }
    }

    /// Names of the parameters, in order.
    pub fn parameters(self) -> &'static [&'static str] {
        match self {
            Law::Literal => &[],
            Law::Scaled | Law::Robust => &["a0"],
            Law::Affine | Law::Line => &["a", "b"],
            Law::FreeQuadratic | Law::Bent => &["a", "b", "c"],
            Law::Cubic => &["a", "b", "c", "d"],
            Law::Sharpened => &["a0", "gamma"],
            Law::Vote => &["a0", "k"],
            Law::Logistic => &["a", "b", "centre", "width"],
            Law::Decay => &["a", "b", "rate"],
        }
    }

    /// The curve that the law is stated for.
    pub fn stated_for(self) -> Scale {
        match self {
            Law::FreeQuadratic | Law::Line | Law::Cubic | Law::Logistic | Law::Decay => Scale::Noisy,
            _ => Scale::Clean,
        }
    }

    /// Whether the law says anything about a curve: always, but for laws of A under pair noise, from which m does not
    /// follow.
    pub fn speaks_of(self, setting: Setting, scale: Scale) -> bool {
        scale == Scale::Noisy || self.stated_for() == Scale::Clean || setting.noise == Noise::Symmetric
    }

    /// The law with its parameters filled in. Panics where their number is wrong.
    pub fn with(self, setting: Setting, parameters: &[f64]) -> Curve {
        assert_eq!(parameters.len(), self.parameters().len(), "{} takes {:?}", self.name(), self.parameters());
        let mut theta = [0.0; MAX_PARAMETERS];
        theta[..parameters.len()].copy_from_slice(parameters);
        let votes = (self == Law::Vote).then(|| Plurality::new(setting, theta[1].round().max(1.0) as usize));
        Curve { law: self, setting, theta, votes }
    }
}

/// A law with its parameters: a curve.
#[derive(Clone, Debug)]
pub struct Curve {
    law: Law,
    setting: Setting,
    theta: [f64; MAX_PARAMETERS],
    votes: Option<Plurality>,
}

impl Curve {
    /// The parameters, in the order of [`Law::parameters`].
    pub fn parameters(&self) -> &[f64] {
        &self.theta[..self.law.parameters().len()]
    }

    /// m(ε). `None` where the law does not tell ([`Law::speaks_of`]) or, for laws of A, at ε*.
    pub fn clean(&self, noise_ratio: f64) -> Option<f64> {
        self.at(Scale::Clean, noise_ratio).map(|(value, _)| value)
    }

    /// A(ε).
    pub fn noisy(&self, noise_ratio: f64) -> f64 {
        self.at(Scale::Noisy, noise_ratio).expect("every law speaks of A").0
    }

    /// The value on a scale and its derivatives with respect to the parameters; `None` as for [`Curve::clean`].
    pub fn at(&self, scale: Scale, noise_ratio: f64) -> Option<WithGradient> {
        let Setting { noise, .. } = self.setting;
        match (self.law.stated_for(), scale) {
            (Scale::Clean, Scale::Clean) => Some(self.stated_clean(noise_ratio)),
            (Scale::Noisy, Scale::Noisy) => Some(self.stated_noisy(noise_ratio)),
            (Scale::Clean, Scale::Noisy) => {
                let (d, d_gradient) = self.stated_clean(noise_ratio);
                match noise {
                    Noise::Symmetric => {
                        let signal = self.setting.signal(noise_ratio);
                        Some((self.setting.noisy_accuracy(noise_ratio, d, 0.0), d_gradient.map(|g| g * signal)))
                    }
                    Noise::Pair => {
                        let (s, s_gradient) = self.stated_clean(1.0 - noise_ratio);
                        let mut gradient = [0.0; MAX_PARAMETERS];
                        for (i, g) in gradient.iter_mut().enumerate() {
                            *g = (1.0 - noise_ratio) * d_gradient[i] + noise_ratio * s_gradient[i];
                        }
                        Some((self.setting.noisy_accuracy(noise_ratio, d, s), gradient))
                    }
                }
            }
            (Scale::Noisy, Scale::Clean) => {
                let (noisy, gradient) = self.stated_noisy(noise_ratio);
                let clean = self.setting.clean_from_noisy(noise_ratio, noisy)?;
                Some((clean, gradient.map(|g| g / self.setting.signal(noise_ratio))))
            }
        }
    }

    fn stated_clean(&self, x: f64) -> WithGradient {
        let [a, b, c, _] = self.theta;
        let leaked = |q: f64| {
            let (offset, slope) = self.setting.leak_terms(q);
            (offset + a * slope, [slope, 0.0, 0.0, 0.0])
        };
        match self.law {
            Law::Literal => (1.0 - x, [0.0; 4]),
            Law::Scaled => leaked(1.0 - x),
            Law::Affine => (a + b * x, [1.0, x, 0.0, 0.0]),
            Law::Bent => (a + b * x + c * x * x, [1.0, x, x * x, 0.0]),
            Law::Robust => match self.setting.noise {
                Noise::Symmetric => (a, [1.0, 0.0, 0.0, 0.0]),
                // Beyond one half the flip target is the majority.
                Noise::Pair if (x - 0.5).abs() < 1e-9 => leaked(0.5),
                Noise::Pair => leaked(if x < 0.5 { 1.0 } else { 0.0 }),
            },
            Law::Sharpened => {
                let q = self.setting.sharpened(x, b);
                let (value, mut gradient) = leaked(q);
                // At ε = 0 and 1 the exponent is of no effect.
                if x > 0.0 && x < 1.0 {
                    let dq = q * (1.0 - q) * self.setting.log_odds(x);
                    gradient[1] = dq * (a + (a - 1.0) / (self.setting.classes as f64 - 1.0));
                }
                (value, gradient)
            }
            Law::Vote => leaked(self.votes.as_ref().expect("made with its votes").probability(x)),
            Law::FreeQuadratic | Law::Line | Law::Cubic | Law::Logistic | Law::Decay => {
                unreachable!("stated for A")
            }
        }
    }

    fn stated_noisy(&self, x: f64) -> WithGradient {
        let [a, b, c, d] = self.theta;
        match self.law {
            Law::Line => (a + b * x, [1.0, x, 0.0, 0.0]),
            Law::FreeQuadratic => (a + b * x + c * x * x, [1.0, x, x * x, 0.0]),
            Law::Cubic => (a + b * x + c * x * x + d * x * x * x, [1.0, x, x * x, x * x * x]),
            Law::Logistic => {
                let z = (x - c) / d;
                let rise = 1.0 / (1.0 + z.exp());
                let slope = b * rise * (1.0 - rise) / d;
                (a + b * rise, [1.0, rise, slope, slope * z])
            }
            Law::Decay => {
                let decay = (-c * x).exp();
                (a + b * decay, [1.0, decay, -b * x * decay, 0.0])
            }
            _ => unreachable!("stated for m"),
        }
    }
}

/// What selecting held-out samples whose given label equals the prediction yields.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// LP: share of the selected samples whose given label is true.
    pub precision: f64,
    /// LR: share of the correctly labelled samples that are selected.
    pub recall: f64,
}

impl Selection {
    /// For any learner: LP = (1 − ε)m/A, LR = m. LP is not a number where nothing is selected.
    pub fn of(noise_ratio: f64, clean: f64, noisy: f64) -> Self {
        Selection { precision: (1.0 - noise_ratio) * clean / noisy, recall: clean }
    }

    /// For the published law: LP = (1 − ε)²/[(1 − ε)² + ε²/r] with r = c − 1 or, for pair noise, 1; LR = 1 − ε.
    pub fn literal(setting: Setting, noise_ratio: f64) -> Self {
        let law = Law::Literal.with(setting, &[]);
        Selection::of(noise_ratio, 1.0 - noise_ratio, law.noisy(noise_ratio))
    }
}

/// The noise ratio by the official code's scan: the first of ε = 0.001, 0.002, … with (1 − ε)² + ε²/(c − 1) ≤ the
/// held-out accuracy on noisy labels, at most 1 (reached where the accuracy is below 1/c). The code uses the symmetric
/// formula for pair noise too. `effective_classes` is c, or c/k when a prediction is the k highest classes.
pub fn scan_noise_ratio(noisy_accuracy: f64, effective_classes: f64) -> f64 {
    for step in 1..1000 {
        let x = f64::from(step) / 1000.0;
        if (1.0 - x) * (1.0 - x) + x * x / (effective_classes - 1.0) <= noisy_accuracy {
            return x;
        }
    }
    1.0
}

/// The smaller noise ratio at which the published law gives the held-out accuracy, in closed form:
/// ε*(1 − √(1 − (1 − A)/ε*)). `None` where the accuracy is below the law's least value, 1 − ε*, or above 1.
pub fn solve_noise_ratio(setting: Setting, noisy_accuracy: f64) -> Option<f64> {
    let blind = setting.blind_level();
    let discriminant = 1.0 - (1.0 - noisy_accuracy) / blind;
    ((-1e-12..=1.0).contains(&discriminant)).then(|| blind * (1.0 - discriminant.max(0.0).sqrt()))
}

/// Share of wrong labels among the selected samples if the published law holds: ε²/(ε² + r(1 − ε)²), i.e. 1 − LP.
pub fn selected_noise(setting: Setting, noise_ratio: f64) -> f64 {
    1.0 - Selection::literal(setting, noise_ratio).precision
}

/// The prediction matrix of a memoriser that mistakes classes evenly: M = a₀T + (1 − a₀)(1 − T)/(c − 1), entry by
/// entry. Fails on a matrix of one class and on a₀ outside [0, 1].
pub fn leaked_matrix(transition: &TransitionMatrix, a0: f64) -> noise::Result<TransitionMatrix> {
    let classes = transition.classes();
    if classes < 2 {
        return Err(noise::Error::Classes { kind: "leaked", needed: "at least 2", got: classes });
    }
    let setting = Setting::symmetric(classes);
    TransitionMatrix::new(classes, transition.rows().flatten().map(|&t| setting.leak(t, a0)).collect())
}

/// Points read from the authors' own plot (CIFAR-10, noise 0, 0.1, …, 1) and from Zhang et al. 2017, Fig. 1(c).
#[cfg(test)]
pub(crate) mod published {
    pub const LEVELS: [f64; 11] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
    pub const NOISY: [f64; 11] = [0.903, 0.753, 0.611, 0.482, 0.360, 0.263, 0.184, 0.138, 0.109, 0.102, 0.106];
    pub const CLEAN: [f64; 10] = [0.903, 0.836, 0.762, 0.669, 0.571, 0.465, 0.350, 0.276, 0.192, 0.105];
    pub const PRECISION: [f64; 9] = [0.997, 0.991, 0.979, 0.948, 0.884, 0.767, 0.597, 0.357, 0.107];
    pub const PAIR_NOISY: [f64; 11] = [0.903, 0.765, 0.634, 0.521, 0.459, 0.433, 0.463, 0.523, 0.635, 0.765, 0.910];
    pub const PAIR_CLEAN: [f64; 10] = [0.903, 0.843, 0.757, 0.649, 0.547, 0.431, 0.316, 0.221, 0.123, 0.055];
    /// Test errors at relabel probability 0, 0.1, …, 1 (the true class included: noise ratio 0.9 times that).
    pub const ZHANG: [(&str, [f64; 11]); 3] = [
        ("Inception", [0.130, 0.281, 0.408, 0.527, 0.628, 0.710, 0.786, 0.837, 0.877, 0.904, 0.900]),
        ("AlexNet", [0.301, 0.412, 0.521, 0.620, 0.692, 0.764, 0.821, 0.852, 0.880, 0.891, 0.900]),
        ("MLP", [0.495, 0.584, 0.656, 0.717, 0.757, 0.796, 0.866, 0.865, 0.882, 0.894, 0.900]),
    ];

    pub fn rms(residuals: impl IntoIterator<Item = f64>) -> f64 {
        let squares: Vec<f64> = residuals.into_iter().map(|r| r * r).collect();
        (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    use super::published::*;
    use super::*;

    const TEN: Setting = Setting { classes: 10, noise: Noise::Symmetric };
    const TEN_PAIR: Setting = Setting { classes: 10, noise: Noise::Pair };

    fn example(law: Law) -> Vec<f64> {
        match law {
            Law::Literal => vec![],
            Law::Scaled | Law::Robust => vec![0.9],
            Law::Affine | Law::Line => vec![0.9, -0.8],
            Law::FreeQuadratic | Law::Bent => vec![0.9, -1.0, 0.15],
            Law::Cubic => vec![0.9, -1.5, 0.8, -0.1],
            Law::Sharpened => vec![0.9, 1.3],
            Law::Vote => vec![0.9, 5.0],
            Law::Logistic => vec![0.1, 0.9, 0.3, 0.2],
            Law::Decay => vec![0.05, 0.9, 2.5],
        }
    }

    #[test]
    fn published_law_is_recovered_on_both_curves() {
        for x in LEVELS {
            let law = Law::Literal.with(TEN, &[]);
            assert_abs_diff_eq!(law.noisy(x), (1.0 - x).powi(2) + x * x / 9.0, epsilon = 1e-15);
            assert_abs_diff_eq!(law.clean(x).unwrap(), 1.0 - x);
            let law = Law::Literal.with(TEN_PAIR, &[]);
            assert_abs_diff_eq!(law.noisy(x), (1.0 - x).powi(2) + x * x, epsilon = 1e-15);
        }
    }

    /// The authors' plot lies below their curve almost everywhere (symmetric noise), and everywhere (pair noise).
    #[test]
    fn residuals_of_the_published_plots() {
        let symmetric = [-0.097, -0.059, -0.034, -0.018, -0.018, -0.015, -0.016, -0.007, -0.003, 0.002, -0.005];
        let law = Law::Literal.with(TEN, &[]);
        for ((x, a), expected) in LEVELS.iter().zip(NOISY).zip(symmetric) {
            assert_abs_diff_eq!(a - law.noisy(*x), expected, epsilon = 0.0015);
        }
        let law = Law::Literal.with(TEN_PAIR, &[]);
        for (x, a) in LEVELS.iter().zip(PAIR_NOISY) {
            let residual = a - law.noisy(*x);
            assert!((-0.0975..=-0.0445).contains(&residual), "{x}: {residual}");
        }
        let asymmetry = (0..5).map(|i| (PAIR_NOISY[i] - PAIR_NOISY[10 - i]).abs()).fold(0.0, f64::max);
        assert!(asymmetry <= 0.0081, "{asymmetry}");
    }

    /// The identity links two curves that were read from the plot independently.
    #[test]
    fn identity_holds_for_the_published_points() {
        for i in (0..10).filter(|i| *i != 9) {
            let noisy = TEN.noisy_accuracy(LEVELS[i], CLEAN[i], 0.0);
            assert_abs_diff_eq!(noisy, NOISY[i], epsilon = 0.005);
        }
    }

    #[test]
    fn published_selection_follows_from_the_curves() {
        let theory = [0.999, 0.993, 0.980, 0.953, 0.900, 0.800, 0.623, 0.360, 0.100];
        for i in 1..10 {
            let literal = Selection::literal(TEN, LEVELS[i]);
            assert_abs_diff_eq!(literal.precision, theory[i - 1], epsilon = 0.0006);
            assert_abs_diff_eq!(literal.recall, 1.0 - LEVELS[i]);
            // Reading errors of 0.002 in m and A.
            let seen = Selection::of(LEVELS[i], CLEAN[i], NOISY[i]);
            assert_abs_diff_eq!(seen.precision, PRECISION[i - 1], epsilon = 0.02);
            assert_abs_diff_eq!(1.0 - literal.precision, selected_noise(TEN, LEVELS[i]), epsilon = 1e-12);
        }
        let x: f64 = 0.4;
        let pair = Selection::literal(TEN_PAIR, x).precision;
        assert_abs_diff_eq!(pair, 0.36 / (0.36 + 0.16), epsilon = 1e-12);
    }

    /// Zhang et al. 2017, Fig. 1(c), is what a memoriser shows on a noisy test set once each net keeps its own
    /// noise-free accuracy, and is neither the literal law nor a memoriser on clean labels.
    #[test]
    fn errors_of_the_laws_on_zhang_2017() {
        let expected = [(0.006, 0.065, 0.139), (0.009, 0.148, 0.112), (0.012, 0.244, 0.078)];
        for ((_, errors), (scaled, literal, clean)) in ZHANG.iter().zip(expected) {
            let law = Law::Scaled.with(TEN, &[1.0 - errors[0]]);
            let zero = Law::Literal.with(TEN, &[]);
            let rmse = |predict: &dyn Fn(f64) -> f64| {
                rms(LEVELS.iter().zip(errors).map(|(p, error)| 1.0 - error - predict(0.9 * p)))
            };
            assert_abs_diff_eq!(rmse(&|x| law.noisy(x)), scaled, epsilon = 0.0006);
            assert_abs_diff_eq!(rmse(&|x| zero.noisy(x)), literal, epsilon = 0.0006);
            assert_abs_diff_eq!(rmse(&|x| law.clean(x).unwrap()), clean, epsilon = 0.0006);
        }
    }

    #[test]
    fn levels_near_the_blind_one_do_not_count() {
        assert_abs_diff_eq!(TEN.blind_level(), 0.9);
        let counted: Vec<f64> = LEVELS.into_iter().filter(|x| TEN.counts(*x)).collect();
        assert_eq!(counted, &LEVELS[..9]);
        assert_abs_diff_eq!(TEN_PAIR.blind_level(), 0.5);
        let counted: Vec<f64> = LEVELS.into_iter().filter(|x| TEN_PAIR.counts(*x)).collect();
        assert_eq!(counted.len(), 10);
        assert!(!counted.contains(&0.5));
        for (x, signal) in [(0.7, 0.222), (0.8, 0.111), (1.0, -0.111)] {
            assert_abs_diff_eq!(TEN.signal(x), signal, epsilon = 0.001);
        }
    }

    /// Reference values of the protocol; k = 1 and, with ties split, k = 2 are one neighbour.
    #[test]
    fn plurality_reference_values() {
        let three = [0.980, 0.924, 0.840, 0.733, 0.611, 0.480, 0.347, 0.218];
        let five = [0.998, 0.986, 0.951, 0.883, 0.777, 0.631, 0.455, 0.268];
        let laws = Plurality::up_to(TEN, 5);
        for (i, x) in LEVELS[1..9].iter().enumerate() {
            assert_abs_diff_eq!(laws[0].probability(*x), 1.0 - x, epsilon = 1e-12);
            assert_abs_diff_eq!(laws[1].probability(*x), 1.0 - x, epsilon = 1e-12);
            assert_abs_diff_eq!(laws[2].probability(*x), three[i], epsilon = 0.0005001);
            assert_abs_diff_eq!(laws[4].probability(*x), five[i], epsilon = 0.0005001);
        }
    }

    /// Many votes and many classes, against the exact sum over compositions.
    ///
    /// ```python
    /// from fractions import Fraction as F; from math import factorial
    /// def q(k, e, c):
    ///     e = F(e); total = F(0)
    ///     for own in range(1, k + 1):
    ///         rest, ways = k - own, {(0, 0): F(1)}
    ///         for _ in range(c - 1):
    ///             new = {}
    ///             for (u, t), v in ways.items():
    ///                 for n in range(min(own, rest - u) + 1):
    ///                     key = (u + n, t + (n == own)); new[key] = new.get(key, 0) + v / factorial(n)
    ///             ways = new
    ///         total += sum(F(factorial(k), factorial(own)) * (1 - e)**own * (e / (c - 1))**rest * v / (1 + t)
    ///                      for (u, t), v in ways.items() if u == rest)
    ///     return float(total)
    /// print(q(51, F(6, 10), 10), q(51, F(85, 100), 10), q(15, F(8, 10), 100), q(31, F(95, 100), 100))
    /// ```
    #[test]
    fn plurality_of_many_votes() {
        for (k, x, c, expected) in PLURALITY_REFERENCES {
            let setting = Setting::symmetric(c);
            assert_abs_diff_eq!(Plurality::new(setting, k).probability(x), expected, epsilon = 1e-10);
            assert_eq!(Plurality::up_to(setting, MAX_VOTES)[k - 1], Plurality::new(setting, k));
        }
    }

    const PLURALITY_REFERENCES: [(usize, f64, usize, f64); 4] = [
        (51, 0.6, 10, 0.9996369853778779),
        (51, 0.85, 10, 0.4047674385618966),
        (15, 0.8, 100, 0.7598909559555262),
        (31, 0.95, 100, 0.2332233807743464),
    ];

    #[test]
    fn plurality_under_pair_noise_is_a_majority() {
        let three = Plurality::new(TEN_PAIR, 3);
        let four = Plurality::new(TEN_PAIR, 4);
        for x in LEVELS {
            let p: f64 = 1.0 - x;
            assert_abs_diff_eq!(three.probability(x), p.powi(3) + 3.0 * p * p * x, epsilon = 1e-12);
            // An even number of votes with ties split is as good as one vote fewer.
            assert_abs_diff_eq!(four.probability(x), three.probability(x), epsilon = 1e-12);
        }
    }

    #[test]
    fn noise_ratio_by_scan_and_in_closed_form() {
        // Held-out accuracies implied by the published plot of noisy cross-validation, and the ratios they give.
        for (noisy, ratio) in [(0.645, 0.199), (0.366, 0.411), (0.130, 0.735), (0.487, 0.310)] {
            assert_abs_diff_eq!(solve_noise_ratio(TEN, noisy).unwrap(), ratio, epsilon = 0.001);
        }
        assert_eq!(scan_noise_ratio(0.0999, 10.0), 1.0);
        assert_eq!(scan_noise_ratio(1.0, 10.0), 0.001);
        assert_eq!(solve_noise_ratio(TEN, 0.0999), None);
        assert_eq!(solve_noise_ratio(TEN, 1.01), None);
        assert_abs_diff_eq!(solve_noise_ratio(TEN, 0.1).unwrap(), 0.9, epsilon = 1e-6);
        assert_eq!(solve_noise_ratio(TEN_PAIR, 0.49), None);
        assert_abs_diff_eq!(solve_noise_ratio(TEN_PAIR, 0.68).unwrap(), 0.2, epsilon = 1e-12);
    }

    /// From m and A of the published plot. Three decimals leave the exponent at ε = 0.1 uncertain by 0.06.
    #[test]
    fn exponents_of_the_published_pair_plot() {
        for i in (1..10).filter(|i| *i != 5) {
            let s = TEN_PAIR.flip_target_from(LEVELS[i], PAIR_CLEAN[i], PAIR_NOISY[i]).unwrap();
            let gamma = TEN_PAIR.pair_exponent(LEVELS[i], PAIR_CLEAN[i], s).unwrap();
            assert!((1.13..1.42).contains(&gamma), "{}: {gamma}", LEVELS[i]);
        }
        assert_eq!(TEN_PAIR.pair_exponent(0.5, 0.4, 0.4), None);
        assert_eq!(TEN_PAIR.pair_exponent(0.0, 0.9, 0.01), None);
        assert_eq!(TEN_PAIR.pair_exponent(0.2, 0.9, -0.01), None);
    }

    #[test]
    fn agreement_of_a_memoriser_is_the_law() {
        let x = 0.3;
        let frequencies = [0.1; 10];
        let symmetric = TransitionMatrix::symmetric(10, x).unwrap();
        let pair = TransitionMatrix::pair(10, x).unwrap();
        for (setting, t) in [(TEN, symmetric), (TEN_PAIR, pair)] {
            let literal = t.memoriser_accuracy(&frequencies).unwrap();
            assert_abs_diff_eq!(literal, Law::Literal.with(setting, &[]).noisy(x), epsilon = 1e-12);
            let leaked = leaked_matrix(&t, 0.8).unwrap();
            let law = Law::Scaled.with(setting, &[0.8]);
            let agreement = t.noisy_accuracy(&frequencies, &leaked).unwrap();
            assert_abs_diff_eq!(agreement, law.noisy(x), epsilon = 1e-12);
            assert_abs_diff_eq!(leaked.get(3, 3), law.clean(x).unwrap(), epsilon = 1e-12);
        }
        assert!(leaked_matrix(&TransitionMatrix::identity(1).unwrap(), 0.8).is_err());
        assert!(leaked_matrix(&TransitionMatrix::identity(3).unwrap(), 1.5).is_err());
    }

    #[test]
    fn gradients_match_differences() {
        for law in Law::ALL {
            for setting in [TEN, TEN_PAIR, Setting::symmetric(2)] {
                for scale in [Scale::Clean, Scale::Noisy] {
                    if !law.speaks_of(setting, scale) {
                        continue;
                    }
                    let theta = example(law);
                    for x in [0.0, 0.15, 0.4, 0.85, 1.0] {
                        let Some((_, gradient)) = law.with(setting, &theta).at(scale, x) else { continue };
                        let steps = if law == Law::Vote { 1 } else { theta.len() };
                        for i in 0..steps {
                            let moved = |by: f64| {
                                let mut theta = theta.clone();
                                theta[i] += by;
                                law.with(setting, &theta).at(scale, x).unwrap().0
                            };
                            let numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                            assert_abs_diff_eq!(gradient[i], numeric, epsilon = 1e-7);
                        }
                    }
                }
            }
        }
    }

    proptest! {
        /// m and A of every law are linked by the identity that holds for every network.
        #[test]
        fn both_curves_obey_the_identity(x in 0.0..1.0f64, classes in 2usize..101, which in 0usize..12) {
            let setting = Setting::symmetric(classes);
            let law = Law::ALL[which];
            let curve = law.with(setting, &example(law));
            if let Some(m) = curve.clean(x) {
                let c = classes as f64;
                let identity = x / (c - 1.0) + m * (1.0 - c * x / (c - 1.0));
                prop_assert!((curve.noisy(x) - identity).abs() < 1e-9);
            }
        }

        /// M5 and M6 include M1, and all learners that treat classes alike meet at the blind level.
        #[test]
        fn laws_are_nested(x in 0.0..1.0f64, a0 in 0.3..1.0f64, classes in 2usize..60, pair: bool) {
            let setting = if pair { Setting::pair(classes) } else { Setting::symmetric(classes) };
            let scaled = Law::Scaled.with(setting, &[a0]);
            for (law, theta) in [(Law::Sharpened, [a0, 1.0]), (Law::Vote, [a0, 1.0])] {
                prop_assert!((law.with(setting, &theta).noisy(x) - scaled.noisy(x)).abs() < 1e-12);
            }
            let blind = setting.blind_level();
            for (law, theta) in [(Law::Sharpened, [a0, 2.5]), (Law::Vote, [a0, 7.0])] {
                let difference = law.with(setting, &theta).noisy(blind) - scaled.noisy(blind);
                prop_assert!(difference.abs() < 1e-12);
                let met = law.with(setting, &theta).clean(blind).unwrap() - scaled.clean(blind).unwrap();
                prop_assert!(met.abs() < 1e-9);
            }
        }

        #[test]
        fn scan_agrees_with_the_closed_form(x in 0.001..0.89f64) {
            let noisy = Law::Literal.with(TEN, &[]).noisy(x);
            prop_assert!((solve_noise_ratio(TEN, noisy).unwrap() - x).abs() < 1e-9);
            let scanned = scan_noise_ratio(noisy, 10.0);
            prop_assert!(scanned >= x - 1e-9 && scanned <= x + 0.001 + 1e-9);
        }
    }
}
