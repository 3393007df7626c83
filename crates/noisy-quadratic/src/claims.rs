//! A verdict on each claim. Every rule stands here in code and follows a protocol that was written before the runs; the
//! README says which rules were set right after first results had been seen.

use retrial_core::experiment::Profile;
use retrial_core::noise::TransitionMatrix;
use retrial_core::results::{
    Claim, Error, Reported, Results, Verdict, decided, judge_above, judge_within, not_tested, open, short, worst,
};
use retrial_core::stats::{FEWEST_SEEDS, Interval, over_seeds, rmse};

use crate::config::{Method, Weights};
use crate::fits::{self, DECISIVE, DRAWS, Gate, MARGIN, PairedCurves, Statistics, matrix_test};
use crate::laws::{Law, Selection, Setting, scan_noise_ratio};
use crate::memorise::Epoch;
use crate::paper::NoisyQuadratic;
use crate::readings::{
    RESAMPLING, Regime, Sweep, When, control, final_accuracies, incv_cells, memorise_cell, reading,
    regimes as all_regimes,
};

/// Noise ratios up to which Eq. 4 is judged: beyond, the noisy labels say too little about the network.
const HIGHEST: f64 = 0.7;
/// A bend of m beyond this, averaged over levels, refutes the straight line (and with it the parabola).
const BENT: f64 = 0.03;
/// What a fall of label precision over INCV's iterations may be at most.
const SLIGHT: f64 = 0.06;
/// What a noise ratio may be misjudged by.
const BIAS: f64 = 0.03;
/// What accuracy may lose from its best epoch to the last.
const COLLAPSE: f64 = 0.01;
const TOO_FEW: &str = "a verdict needs at least three seeds";

/// The numbers that the paper's authors report, and those of others that it is said to explain.
pub fn reported() -> Result<Reported, Error> {
    const FILE: &str = "data/reported/noisy-quadratic.csv";
    Ok(Reported::parse(FILE, include_str!("../../../data/reported/noisy-quadratic.csv"))?.trusted())
}

/// A network that the law is judged on.
pub struct Learner {
    /// Of the ids of its claims.
    pub suffix: &'static str,
    /// Its sweep over noise ratios.
    pub experiment: &'static str,
    /// Nearest neighbours on the same inputs, if they were tried.
    pub control: Option<&'static str>,
    /// In words.
    pub what: &'static str,
    /// File stem of its figure.
    pub figure: &'static str,
}

/// All of them; the last is the paper's own, of profile paper.
pub const LEARNERS: [Learner; 4] = [
    Learner { suffix: "a", experiment: "S1", control: Some("control"), what: "MNIST, MLP", figure: "sceptic" },
    Learner {
        suffix: "b",
        experiment: "S4",
        control: Some("S4-control"),
        what: "CIFAR-10 (principal components), MLP",
        figure: "sceptic-photos",
    },
    Learner {
        suffix: "c",
        experiment: "S5",
        control: Some("S5-control"),
        what: "CIFAR-10, convolutional network",
        figure: "sceptic-cnn",
    },
    Learner {
        suffix: "d",
        experiment: "X1",
        control: None,
        what: "CIFAR-10, ResNet-110, published recipe",
        figure: "sceptic-paper",
    },
];

/// A learner on which the theory's premise holds: runs that memorised their noisy labels, and the 1-NN control.
pub struct Primary {
    /// Data, model and scale.
    pub scope: String,
    /// All runs.
    pub sweep: Sweep,
    /// Curves of those that passed the gate.
    pub curves: PairedCurves,
    /// How many did.
    pub gate: Gate,
    /// What section 7.4 of the protocol asks of them.
    pub statistics: Statistics,
    /// The same of one nearest neighbour on the same inputs, where it was tried.
    pub control: Option<Statistics>,
    /// Regimes in which the premise fails: the same runs read at their best epoch, and regularised networks.
    pub regimes: Vec<(String, Statistics)>,
}

impl Primary {
    /// Runs of a learner; an error says why there is nothing to judge. One nearest neighbour obeys the law by its
    /// construction: where that control is declared, nothing is judged without it.
    pub fn load(results: &Results<NoisyQuadratic>, learner: &Learner) -> Result<Self, String> {
        let experiment = learner.experiment;
        let sweep = Sweep::of(results, experiment, |_| true)
            .ok_or_else(|| format!("no seed of {experiment} has finished at every noise ratio"))?;
        let (statistics, gate) = sweep.statistics().map_err(|e| format!("{experiment}: {e}"))?;
        let (curves, _) = sweep.memorised().map_err(|e| e.to_string())?;
        let analyse = |curves: &PairedCurves| fits::analyse(curves, DRAWS, RESAMPLING).ok();
        let control = match learner.control {
            None => None,
            Some(name) => {
                let statistics = control(results, name, 1).as_ref().and_then(analyse);
                Some(statistics.ok_or_else(|| format!("its control, {name}, has not finished"))?)
            }
        };
        let mut regimes = vec![];
        if let Some(stopped) = analyse(&sweep.curves(When::Best)) {
            regimes.push(("networks stopped at the best noisy validation accuracy".to_string(), stopped));
        }
        if experiment == "S1" {
            let not_memorised = |r: &Regime| r.sweep.runs.iter().flatten().any(|run| !run.memorised);
            let others = all_regimes(results).into_iter().filter(|r| not_memorised(r) && r.sweep.matrix_known);
            regimes.extend(others.filter_map(|r| Some((r.name, r.statistics?))));
        }
        Ok(Self {
            scope: format!(
                "{}, {} training images, last epoch, profile {}",
                learner.what,
                sweep.train,
                results.profile.name()
            ),
            control,
            regimes,
            sweep,
            curves,
            gate,
            statistics,
        })
    }

    /// What the verdict table says of this learner.
    pub fn verdict(&self) -> fits::Verdict {
        let regimes: Vec<(&str, &Statistics)> = self.regimes.iter().map(|(name, s)| (name.as_str(), s)).collect();
        fits::verdict(&self.statistics, self.control.as_ref(), &regimes)
    }

    /// Why nothing may be said of the law here: the control does not follow it.
    fn fault(&self) -> Option<String> {
        let verdict = self.verdict();
        verdict.outcomes.contains(&fits::Outcome::PipelineFault).then_some(verdict.text)
    }

    fn gate_in_words(&self) -> String {
        let mut text = gate_in_words(&self.gate, self.sweep.incomplete);
        if self.control.is_none() {
            text += " No nearest-neighbour control was run on these inputs.";
        }
        text
    }
}

fn gate_in_words(gate: &Gate, incomplete: usize) -> String {
    let mut text = format!("{} of {} runs memorised their labels.", gate.memorised, gate.runs);
    if !gate.dropped_levels.is_empty() {
        text += &format!(" Left out: noise ratios {:?}.", gate.dropped_levels);
    }
    if !gate.dropped_seeds.is_empty() {
        text += &format!(" Left out: {} seeds with a run that did not.", gate.dropped_seeds.len());
    }
    if incomplete > 0 {
        text += &format!(" {incomplete} seeds have not finished at every noise ratio.");
    }
    text
}

/// The residual of an accuracy or precision at each judged noise ratio, over seeds.
fn residuals(curves: &PairedCurves, values: &[Vec<f64>], expected: impl Fn(f64) -> f64) -> Vec<(f64, Interval)> {
    let judged = curves.levels.iter().enumerate().filter(|(_, level)| **level <= HIGHEST + 1e-9);
    judged
        .filter_map(|(l, &level)| {
            let gaps: Vec<f64> = values.iter().map(|seed| seed[l] - expected(level)).collect();
            Some((level, over_seeds(&gaps)?))
        })
        .collect()
}

/// Supported if no residual exceeds the margin and every interval covers 0; refuted if one exceeds it and its interval
/// excludes 0. Returns the residual that decides, with its level: the largest that refutes, else the largest.
fn judge_residuals(residuals: &[(f64, Interval)]) -> Option<(Verdict, f64, Interval)> {
    let largest = |among: &dyn Fn(&Interval) -> bool| {
        let kept = residuals.iter().filter(|(_, r)| among(r));
        kept.max_by(|a, b| a.1.estimate.abs().total_cmp(&b.1.estimate.abs())).copied()
    };
    if let Some((level, worst)) = largest(&|r| r.estimate.abs() > MARGIN && !r.contains(0.)) {
        return Some((Verdict::Refuted, level, worst));
    }
    let (level, worst) = largest(&|_| true)?;
    let holds = worst.estimate.abs() <= MARGIN && residuals.iter().all(|(_, r)| r.contains(0.));
    Some((if holds { Verdict::Supported } else { Verdict::Inconclusive }, level, worst))
}

/// A verdict on each of the paper's claims. Claims about the law come for each learner: `a` for digits, `b` for features of
/// photos, `c` for a convolutional network on the photos themselves.
pub fn claims(results: &Results<NoisyQuadratic>) -> Result<Vec<Claim>, Error> {
    let reported = reported()?;
    let mut claims = vec![];
    let there = LEARNERS.iter().filter(|learner| results.experiment(learner.experiment).is_some());
    let primaries: Vec<_> = there.map(|learner| (learner.suffix, Primary::load(results, learner))).collect();
    for (suffix, primary) in &primaries {
        let judged = match primary {
            Ok(p) => p.fault().map_or(Ok(p), Err),
            Err(why) => Err(why.clone()),
        };
        claims.push(literal_law(suffix, &judged));
        claims.push(quadratic_shape(suffix, &judged));
        claims.push(linear_clean(suffix, &judged));
    }
    claims.sort_by(|a, b| a.id.cmp(&b.id));
    // The other claims are judged on the digits, at profile paper on the paper's network.
    let first = primaries.first().map(|(_, p)| p.as_ref()).unwrap_or(Err(&String::new())).map_err(Clone::clone);
    claims.push(pair_noise(results));
    claims.push(confusion(results));
    claims.push(selection_formulae(&first));
    claims.push(explains_zhang(&reported)?);
    claims.push(early_peak(results)?);
    claims.extend(noise_ratio(&first));
    claims.push(incv(results));
    claims.push(final_accuracy(results));
    claims.push(no_late_collapse(results));
    claims.push(not_tested(
        open("NQ13", "The method wins on WebVision-mini", "WebVision table", "", "65.24 top-1"),
        "needs WebVision and an Inception-ResNet-v2; a report of 75 % with plain training also calls the baselines weak",
    ));
    Ok(claims)
}

fn literal_law(suffix: &str, primary: &Result<&Primary, String>) -> Claim {
    let claim = open(
        &format!("NQ1{suffix}"),
        "Held-out accuracy on noisy labels is (1-e)^2 + e^2/(c-1), with nothing to fit",
        "Eq. 4",
        "every |residual| <= 0.02 with an interval that covers 0, noise ratio <= 0.7",
        "residuals of the published plot: -0.097 at 0, -0.018 at 0.3",
    );
    let p = match primary {
        Ok(p) => p,
        Err(why) => return not_tested(claim, why),
    };
    let law = Law::Literal.with(p.curves.setting, &[]);
    let noisy = p.curves.noisy.clone().unwrap_or_default();
    let Some((verdict, level, worst)) = judge_residuals(&residuals(&p.curves, &noisy, |e| law.noisy(e))) else {
        return not_tested(claim, TOO_FEW);
    };
    let reason = format!("The deciding residual is at noise ratio {level}. {}", p.gate_in_words());
    decided(claim, verdict, worst, noisy.len(), &p.scope, reason)
}

/// What decides whether clean accuracy is a straight line.
struct Shape {
    /// K with its 95 % interval.
    bend: Interval,
    /// K is within the margin of 0, by a test of equivalence.
    equivalent: bool,
    /// So is the quadratic component of m.
    contrast: bool,
    /// The straight line is not rejected by its lack of fit.
    fits: bool,
    /// A quadratic law has the least error at levels left out.
    predicts: bool,
    /// The law that is ahead by AICc and at levels left out, and no quadratic: by how much.
    rival: Option<String>,
}

impl Shape {
    fn of(curve: &fits::CurveStatistics) -> Option<Self> {
        let straightness = curve.straightness.as_ref()?;
        let quadratic = |law: Law| matches!(law, Law::Scaled | Law::Affine | Law::FreeQuadratic);
        let rows = |wanted: bool| {
            curve.models.iter().filter(move |row| row.law != Law::Literal && quadratic(row.law) == wanted)
        };
        let least =
            |value: &dyn Fn(&fits::ModelRow) -> Option<f64>| rows(true).filter_map(value).fold(f64::INFINITY, f64::min);
        let aicc = least(&|row| row.aicc);
        let error = least(&|row| row.loo(curve.scale));
        // One neighbour is a vote of one: a rival that agrees with a quadratic to the last digit is none.
        let better = |row: &fits::ModelRow| row.loo(curve.scale).is_some_and(|loo| loo < error * (1. - 1e-9));
        let lines = curve.lack_of_fit.iter().filter(|(law, _)| matches!(law, Law::Scaled | Law::Affine));
        Some(Self {
            bend: straightness.bend,
            equivalent: straightness.equivalent,
            contrast: curve
                .contrasts
                .iter()
                .find(|c| c.degree == 2)
                .and_then(|c| c.equivalence)
                .is_some_and(|tost| tost.interval.within(-MARGIN, MARGIN)),
            fits: lines.clone().any(|(_, test)| test.p >= 0.05),
            predicts: !rows(false).any(better),
            rival: rows(false)
                .filter(|row| better(row))
                .filter_map(|row| Some((row, aicc - row.aicc?)))
                .filter(|(_, ahead)| *ahead > DECISIVE)
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .map(|(row, ahead)| {
                    format!(
                        "{} is ahead of every quadratic by {ahead:.1} in AICc, and at levels left out it errs by {} where \
                         they do by {} or more",
                        row.law.name(),
                        short(row.loo(curve.scale).unwrap_or(f64::NAN)),
                        short(error)
                    )
                }),
        })
    }

    fn verdict(&self) -> Verdict {
        if self.bend.above(BENT) || self.bend.below(-BENT) || self.rival.is_some() {
            Verdict::Refuted
        } else if self.equivalent && self.contrast && self.fits && self.predicts {
            Verdict::Supported
        } else {
            Verdict::Inconclusive
        }
    }

    /// What the verdict rests on where K alone does not tell.
    fn why(&self) -> String {
        match (self.verdict(), &self.rival) {
            (Verdict::Inconclusive, _) => self.missing(),
            (Verdict::Refuted, Some(rival)) => format!(" Refuted by a better law: {rival}."),
            _ => String::new(),
        }
    }

    /// What stands against "supported".
    fn missing(&self) -> String {
        let missing: Vec<&str> = [
            (self.equivalent, "K is not shown to lie within the margin"),
            (self.contrast, "nor is the quadratic component of m"),
            (self.fits, "a straight line is rejected by its lack of fit"),
            (self.predicts, "a law that is no quadratic predicts levels left out better"),
        ]
        .into_iter()
        .filter_map(|(met, text)| (!met).then_some(text))
        .collect();
        if missing.is_empty() { String::new() } else { format!(" Against it: {}.", missing.join("; ")) }
    }
}

fn quadratic_shape(suffix: &str, primary: &Result<&Primary, String>) -> Claim {
    let claim = open(
        &format!("NQ2{suffix}"),
        "Accuracy on noisy labels is quadratic in the noise ratio, i.e. clean accuracy is a straight line",
        "abstract",
        "supported: K and the quadratic contrast of m within 0.02 by TOST, lack of fit of a line not rejected, a quadratic \
         law best out of level; refuted: |K| > 0.03, or a rival ahead by AICc > 6 and out of level",
        "K = +0.014 from the published plot",
    );
    let p = match primary {
        Ok(p) => p,
        Err(why) => return not_tested(claim, why),
    };
    let Some(shape) = Shape::of(p.statistics.primary()) else {
        return not_tested(claim, "without a noise-free level there is no line to compare with");
    };
    let seeds = p.curves.clean.as_ref().map_or(0, Vec::len);
    if seeds < FEWEST_SEEDS {
        return not_tested(claim, TOO_FEW);
    }
    let reason = format!("{}{} {}", p.verdict().text, shape.why(), p.gate_in_words());
    decided(claim, shape.verdict(), shape.bend, seeds, &p.scope, reason)
}

fn linear_clean(suffix: &str, primary: &Result<&Primary, String>) -> Claim {
    let claim = open(
        &format!("NQ3{suffix}"),
        "Accuracy on clean labels is 1 - e after memorisation",
        "author's reply; plot (c)",
        "every |residual| <= 0.02 with an interval that covers 0, noise ratio <= 0.7",
        ".836 .669 .465 .276 at .1 .3 .5 .7",
    );
    let p = match primary {
        Ok(p) => p,
        Err(why) => return not_tested(claim, why),
    };
    let clean = p.curves.clean.clone().unwrap_or_default();
    let Some((verdict, level, worst)) = judge_residuals(&residuals(&p.curves, &clean, |e| 1. - e)) else {
        return not_tested(claim, TOO_FEW);
    };
    let reason = format!("The deciding residual is at noise ratio {level}. {}", p.gate_in_words());
    decided(claim, verdict, worst, clean.len(), &p.scope, reason)
}

fn pair_noise(results: &Results<NoisyQuadratic>) -> Claim {
    let claim = open(
        "NQ4",
        "Under pair noise A = (1-e)^2 + e^2: a U, symmetric about one half",
        "plot (d)",
        "every |residual| <= 0.02 with an interval that covers 0; |A(e) - A(1-e)| <= 0.01",
        "residuals -0.045 to -0.097; asymmetry <= 0.008",
    );
    let Some((sweep, what)) = pair_sweep(results) else {
        return not_tested(claim, "no seed under pair noise has finished at every noise ratio");
    };
    let (curves, gate) = match sweep.memorised() {
        Ok(passed) => passed,
        Err(why) => return not_tested(claim, why.to_string()),
    };
    let law = Law::Literal.with(curves.setting, &[]);
    let noisy = curves.noisy.clone().unwrap_or_default();
    let at = |l: usize, expected: f64| {
        let gaps: Vec<f64> = noisy.iter().map(|seed| seed[l] - expected).collect();
        over_seeds(&gaps)
    };
    let residuals: Vec<(f64, Interval)> =
        curves.levels.iter().enumerate().filter_map(|(l, &e)| Some((e, at(l, law.noisy(e))?))).collect();
    let Some((mut verdict, level, worst)) = judge_residuals(&residuals) else {
        return not_tested(claim, TOO_FEW);
    };
    let mirror = |e: f64| curves.levels.iter().position(|&l| (l - (1. - e)).abs() < 1e-9);
    let mean = |l: usize| noisy.iter().map(|seed| seed[l]).sum::<f64>() / noisy.len() as f64;
    let asymmetry = curves
        .levels
        .iter()
        .enumerate()
        .filter_map(|(l, &e)| Some((mean(l) - mean(mirror(e)?)).abs()))
        .fold(0., f64::max);
    if verdict == Verdict::Supported && asymmetry > 0.01 {
        verdict = Verdict::Inconclusive;
    }
    let scope = format!("{what}, {} training images, last epoch, profile {}", sweep.train, results.profile.name());
    let exponents: Vec<f64> = curves.levels.iter().filter_map(|&e| pair_exponent(&sweep, e)).collect();
    let (low, high) = exponents.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &x| (l.min(x), h.max(x)));
    let reason = format!(
        "The deciding residual is at noise ratio {level}; asymmetry {asymmetry:.3}; exponent of the vote {low:.2} to \
         {high:.2} over noise ratios, 1 is Eq. 4. {}",
        gate_in_words(&gate, sweep.incomplete)
    );
    decided(claim, verdict, worst, noisy.len(), &scope, reason)
}

/// The sweep under pair noise that the profile has, and of what.
fn pair_sweep(results: &Results<NoisyQuadratic>) -> Option<(Sweep, &'static str)> {
    let found = |experiment, what| Some((Sweep::of(results, experiment, |_| true)?, what));
    found("S3", "MNIST, MLP").or_else(|| found("X2", "CIFAR-10, ResNet-110"))
}

/// The exponent of the vote under pair noise, ln(d/s) / ln((1-e)/e), from the mean rates d of the true class and s of the
/// class that its labels were flipped to. None where noise says nothing about it.
pub fn pair_exponent(sweep: &Sweep, level: f64) -> Option<f64> {
    if level <= 0. || level >= 1. || (level - 0.5).abs() < 1e-9 {
        return None;
    }
    let rows = sweep.confusion(level)?;
    let classes = rows.len();
    let d: f64 = (0..classes).map(|i| rows[i][i]).sum();
    let s: f64 = (0..classes).map(|i| rows[i][(i + 1) % classes]).sum();
    (d > 0. && s > 0.).then(|| (d / s).ln() / ((1. - level) / level).ln())
}

fn confusion(results: &Results<NoisyQuadratic>) -> Claim {
    let claim = open(
        "NQ5",
        "The confusion matrix of a memorising network equals the transition matrix",
        "confusion plot",
        "supported: every row's total variation <= 0.05 + (1 - a0); refuted: a row beyond it and the diagonal above T in the \
         mean; the worst of the settings decides",
        "diagonal .555 for T = .6 (pair .4); .197 for .2 (symmetric .8)",
    );
    let symmetric = [("S1", "MNIST, MLP"), ("X1", "CIFAR-10, ResNet-110")]
        .into_iter()
        .find_map(|(experiment, what)| Some((Sweep::of(results, experiment, |_| true)?, what)));
    let settings = [(true, 0.4), (false, 0.4), (false, 0.8)];
    let (mut judged, mut parts, mut scope) = (vec![], vec![], String::new());
    for (pair, level) in settings {
        let sweep = if pair { pair_sweep(results) } else { symmetric.as_ref().map(|(s, what)| (s.clone(), *what)) };
        let Some((sweep, what)) = sweep else { continue };
        let Some((test, seeds)) = matrix(&sweep, pair, level) else { continue };
        let Some(excess) = test.diagonal_excess.filter(|_| seeds >= FEWEST_SEEDS) else { continue };
        let verdict = Verdict::of(test.within, !test.within && excess.above(0.));
        let kind = if pair { "pair" } else { "symmetric" };
        parts.push(format!(
            "{kind} {level}: worst row {:.3} (allowed {:.3}), diagonal {:+.3} [{:+.3}, {:+.3}]",
            test.literal.worst, test.tolerance, excess.estimate, excess.low, excess.high
        ));
        judged.push((verdict, (excess, seeds)));
        scope = format!("{what}, {} training images, last epoch, profile {}", sweep.train, results.profile.name());
    }
    let Some((verdict, (excess, seeds))) = worst(judged) else {
        return not_tested(claim, "no setting has three memorised seeds");
    };
    let reason = format!("The estimate is the mean excess of the diagonal. {}.", parts.join("; "));
    decided(claim, verdict, excess, seeds, &scope, reason)
}

/// The prediction matrix of the memorised runs at a level beside T, and how many runs there are.
fn matrix(sweep: &Sweep, pair: bool, level: f64) -> Option<(fits::MatrixTest, usize)> {
    let at = sweep.levels.iter().position(|l| (l - level).abs() < 1e-9)?;
    let noise_free = sweep.levels.iter().position(|l| *l == 0.)?;
    let memorised = || sweep.runs.iter().filter(|runs| runs[at].memorised && runs[noise_free].memorised);
    let count = |row: &Vec<u32>| row.iter().map(|&n| u64::from(n)).collect::<Vec<u64>>();
    let counts: Vec<Vec<Vec<u64>>> =
        memorised().map(|runs| runs[at].last.confusion.iter().map(count).collect()).collect();
    if counts.is_empty() {
        return None;
    }
    let a0 = memorised().map(|runs| runs[noise_free].last.clean_accuracy).sum::<f64>() / counts.len() as f64;
    let classes = sweep.setting.classes;
    let noise = if pair { TransitionMatrix::pair(classes, level) } else { TransitionMatrix::symmetric(classes, level) };
    Some((matrix_test(&counts, &noise.ok()?, a0, DRAWS, RESAMPLING).ok()?, counts.len()))
}

fn selection_formulae(digits: &Result<&Primary, String>) -> Claim {
    let claim = open(
        "NQ6",
        "Selecting where prediction and given label agree has precision (1-e)^2 / [(1-e)^2 + e^2/(c-1)]",
        "plots (b), (e)",
        "every |residual| <= 0.02 with an interval that covers 0, noise ratio <= 0.7",
        "LP .991 .948 .767 at .2 .4 .6 (formula .993 .953 .800)",
    );
    let p = match digits {
        Ok(p) => p,
        Err(why) => return not_tested(claim, why),
    };
    let precision: Vec<Vec<f64>> = p
        .sweep
        .runs
        .iter()
        .enumerate()
        // Only what passed the gate, as in the curves.
        .filter(|(seed, _)| !p.gate.dropped_seeds.contains(seed))
        .map(|(_, runs)| {
            let kept = runs.iter().zip(&p.sweep.levels).filter(|(_, l)| p.curves.levels.contains(l));
            kept.map(|(run, _)| run.last.label_precision.unwrap_or(f64::NAN)).collect()
        })
        .collect();
    let formula = |e: f64| Selection::literal(p.curves.setting, e).precision;
    let Some((verdict, level, worst)) = judge_residuals(&residuals(&p.curves, &precision, formula)) else {
        return not_tested(claim, TOO_FEW);
    };
    decided(
        claim,
        verdict,
        worst,
        precision.len(),
        &p.scope,
        format!("The deciding residual is at noise ratio {level}. {}", p.gate_in_words()),
    )
}

fn explains_zhang(reported: &Reported) -> Result<Claim, Error> {
    let mut claim = open(
        "NQ7",
        "Eq. 4 explains Fig. 1(c) of Zhang et al. 2017",
        "abstract; author's reply",
        "RMSE <= 0.02 for all three networks, nothing fitted",
        "said to fit perfectly",
    );
    let points = reported.item("Fig 1(c)").metric("test error");
    let setting = Setting::symmetric(10);
    let mut parts = vec![];
    let mut worst = 0f64;
    for network in ["Inception", "AlexNet", "MLP 1x512"] {
        let curve = points.filter(|n| n.model == network).points();
        let observed: Vec<f64> = curve.iter().map(|(_, error)| 1. - error).collect();
        let Some(&a0) = observed.first() else { continue };
        let miss = |law: Law, parameters: &[f64]| {
            let law = law.with(setting, parameters);
            // Labels are redrawn over all classes with probability p: e = 0.9 p.
            let predicted: Vec<f64> = curve.iter().map(|(p, _)| law.noisy(0.9 * p)).collect();
            rmse(&observed, &predicted).unwrap_or(f64::NAN)
        };
        let (literal, scaled) = (miss(Law::Literal, &[]), miss(Law::Scaled, &[a0]));
        worst = worst.max(literal);
        parts.push(format!("{network} {literal:.3} (given its own noise-free accuracy: {scaled:.3})"));
    }
    claim.verdict = if worst <= 0.02 { Verdict::Supported } else { Verdict::Refuted };
    claim.estimate = Some(worst);
    claim.scope = "points read off the figure; no training".into();
    claim.reason = format!(
        "RMSE of Eq. 4 as printed: {}. The shape is right if the figure's test labels were noisy too and each curve may \
         start at its own accuracy; the printed constant is not.",
        parts.join(", ")
    );
    Ok(claim)
}

fn early_peak(results: &Results<NoisyQuadratic>) -> Result<Claim, Error> {
    let claim = open(
        "NQ8",
        "Right labels are fitted first: noisy held-out accuracy peaks early, and the loss then tells wrong labels",
        "premise of early stopping and of Co-teaching",
        "at 0.5: peak minus last > 0.05, AUC of the loss > 0.9 at the peak and lower at the end",
        "",
    );
    let (mut drops, mut at_peak, mut at_end) = (vec![], vec![], vec![]);
    let (mut scope, mut runs) = (String::new(), 0);
    for (cell, what) in ["S1", "X1"]
        .iter()
        .zip(["MNIST, MLP", "CIFAR-10, ResNet-110"])
        .flat_map(|(experiment, what)| results.finished(experiment).iter().map(move |cell| (cell, what)))
    {
        let Some((config, summary)) = memorise_cell(cell) else { continue };
        if config.level != 0.5 {
            continue;
        }
        runs += 1;
        if !summary.memorised {
            continue;
        }
        let rows: Vec<Epoch> = cell.epochs()?;
        let peak = rows.iter().max_by(|a, b| {
            let value = |row: &Epoch| row.validation_noisy.unwrap_or(f64::NEG_INFINITY);
            value(a).total_cmp(&value(b))
        });
        let (Some(peak), Some(last)) = (peak, rows.last()) else { continue };
        let (Some(best), Some(end)) = (peak.validation_noisy, last.validation_noisy) else { continue };
        drops.push(best - end);
        at_peak.extend(peak.loss_auc);
        at_end.extend(last.loss_auc);
        scope = format!("{what}, {} training images, profile {}", config.task.train, results.profile.name());
    }
    let (Some(drop), Some(auc), Some(end)) = (over_seeds(&drops), over_seeds(&at_peak), over_seeds(&at_end)) else {
        return Ok(not_tested(claim, "noise ratio 0.5 needs at least three memorised seeds"));
    };
    let verdict = match (judge_above(&drop, 0.05), judge_above(&auc, 0.9)) {
        (Verdict::Supported, Verdict::Supported) if end.estimate < auc.estimate => Verdict::Supported,
        (Verdict::Refuted, _) | (_, Verdict::Refuted) => Verdict::Refuted,
        _ => Verdict::Inconclusive,
    };
    let reason = format!(
        "The estimate is the fall from the peak. AUC of the loss {:.3} at the peak, {:.3} at the end. {} of {runs} runs \
         memorised their labels.",
        auc.estimate,
        end.estimate,
        drops.len()
    );
    Ok(decided(claim, verdict, drop, drops.len(), &scope, reason))
}

/// The estimator with last-epoch weights, where its premise holds, and with best-epoch weights, as the code uses it.
fn noise_ratio(digits: &Result<&Primary, String>) -> Vec<Claim> {
    let parts = [
        ("NQ9a", "last-epoch weights of a memorising network", When::Last, "not reported"),
        ("NQ9b", "best-epoch weights, as published", When::Best, ".20 .41 .74 for .2 .5 .8 (derived)"),
    ];
    parts
        .map(|(id, weights, when, number)| {
            let claim = open(
                id,
                &format!("Solving Eq. 4 for the noise ratio recovers it: {weights}"),
                "Algorithm 2",
                "bias within 0.03 at every noise ratio from 0.1 to 0.7; the worst decides",
                number,
            );
            let p = match digits {
                Ok(p) => p,
                Err(why) => return not_tested(claim, why),
            };
            let classes = p.sweep.setting.classes as f64;
            let mut judged = vec![];
            for (l, &level) in p.sweep.levels.iter().enumerate() {
                if !(0.1 - 1e-9..=HIGHEST + 1e-9).contains(&level) {
                    continue;
                }
                let memorised = p.sweep.runs.iter().map(|runs| &runs[l]).filter(|run| run.memorised);
                let bias: Vec<f64> = memorised
                    .map(|run| scan_noise_ratio(reading(run, when).noisy_accuracy, classes) - run.realised_held_out)
                    .collect();
                if let Some(interval) = over_seeds(&bias) {
                    judged.push((judge_within(&interval, BIAS), (level, interval, bias.len())));
                }
            }
            let count = judged.len() as f64;
            let mean = judged.iter().map(|(_, (_, interval, _))| interval.estimate).sum::<f64>() / count;
            // Of equally bad levels the one with the largest bias.
            judged.sort_by(|a, b| b.1.1.estimate.abs().total_cmp(&a.1.1.estimate.abs()));
            let Some((verdict, (level, interval, seeds))) = worst(judged) else { return not_tested(claim, TOO_FEW) };
            let scope = p.scope.replace("last epoch", if when == When::Last { "last epoch" } else { "best epoch" });
            let reason = format!("The deciding bias is at noise ratio {level}; averaged over them it is {mean:+.4}.");
            decided(claim, verdict, interval, seeds, &scope, reason)
        })
        .into()
}

fn incv(results: &Results<NoisyQuadratic>) -> Claim {
    let claim = open(
        "NQ10",
        "Over INCV's iterations label recall rises while label precision falls only slightly",
        "INCV plot",
        "rise of recall > 0 and fall of precision < 0.06; the worst of the settings decides",
        "LR .699 to .900, LP .954 to .930 (symmetric .5)",
    );
    let (mut judged, mut parts) = (vec![], vec![]);
    for ((pair, level), runs) in &incv_cells(results, Weights::Published) {
        let ends: Vec<_> = runs.iter().filter_map(|s| Some((s.iterations.first()?, s.iterations.last()?))).collect();
        let rise: Vec<f64> = ends.iter().map(|(first, last)| last.label_recall - first.label_recall).collect();
        let fall: Vec<f64> = ends.iter().map(|(first, last)| first.label_precision - last.label_precision).collect();
        let kind = if *pair { "pair" } else { "symmetric" };
        let (Some(rise), Some(fall)) = (over_seeds(&rise), over_seeds(&fall)) else {
            parts.push(format!("{kind} {level}: {} seeds, too few", ends.len()));
            continue;
        };
        let (recall, precision) = (judge_above(&rise, 0.), judge_above(&fall, SLIGHT));
        let (verdict, deciding, what) = match (recall, precision) {
            (Verdict::Supported, Verdict::Refuted) => (Verdict::Supported, rise, "rise of recall"),
            (_, Verdict::Supported) => (Verdict::Refuted, fall, "fall of precision"),
            (Verdict::Refuted, _) => (Verdict::Refuted, rise, "rise of recall"),
            (Verdict::Supported, _) => (Verdict::Inconclusive, fall, "fall of precision"),
            _ => (Verdict::Inconclusive, rise, "rise of recall"),
        };
        parts.push(format!("{kind} {level}: LR {:+.3}, LP {:+.3}", rise.estimate, -fall.estimate));
        judged.push((verdict, (deciding, format!("{what} at {kind} {level}"), ends.len())));
    }
    let Some((verdict, (deciding, what, seeds))) = worst(judged) else {
        return not_tested(claim, "no setting has three finished seeds");
    };
    let scope = format!("{}, four iterations, published rule, profile {}", incv_task(results), results.profile.name());
    let reason =
        format!("The estimate is the {what}. Change from the first iteration to the last: {}.", parts.join("; "));
    decided(claim, verdict, deciding, seeds, &scope, reason)
}

fn incv_task(results: &Results<NoisyQuadratic>) -> &'static str {
    if results.profile == Profile::Paper { "CIFAR-10, ResNet-32" } else { "MNIST, MLP" }
}

fn final_accuracy(results: &Results<NoisyQuadratic>) -> Claim {
    let claim = open(
        "NQ11",
        "INCV + Co-teaching has the best accuracy on clean labels",
        "results table",
        "margin over the better of cross-entropy and Co-teaching > 0 at symmetric .5 and .8",
        "margins 2.66 (.5) and 15.37 (.8) points",
    );
    let ours = final_accuracies(results, None);
    let rivals = [Method::CrossEntropy, Method::CoTeaching].map(|m| final_accuracies(results, Some(m)));
    // Over the better rival of each seed.
    let margin = |pair: bool, level: f64| -> Option<(Interval, usize)> {
        let setting = (pair, (level * 100.) as u32);
        let rivals: Option<Vec<_>> = rivals.iter().map(|r| r.get(&setting)).collect();
        let (own, rivals) = (ours.get(&setting)?, rivals?);
        let gaps: Vec<f64> = own
            .iter()
            .filter_map(|(seed, outcome)| {
                let rivals: Option<Vec<f64>> = rivals.iter().map(|r| Some(r.get(seed)?.last)).collect();
                Some(outcome.last - rivals?.into_iter().fold(f64::NEG_INFINITY, f64::max))
            })
            .collect();
        Some((over_seeds(&gaps)?, gaps.len()))
    };
    let mut judged = vec![];
    for level in [0.5, 0.8] {
        if let Some((interval, seeds)) = margin(false, level) {
            judged.push((level, judge_above(&interval, 0.), interval, seeds));
        }
    }
    let Some((level, _, interval, seeds)) = judged.iter().min_by(|a, b| a.2.estimate.total_cmp(&b.2.estimate)).cloned()
    else {
        return not_tested(claim, "the final training belongs to profile standard");
    };
    let verdict = if judged.len() == 2 && judged.iter().all(|j| j.1 == Verdict::Supported) {
        Verdict::Supported
    } else if judged.iter().any(|j| j.1 == Verdict::Refuted) {
        Verdict::Refuted
    } else {
        Verdict::Inconclusive
    };
    let scope = format!("{}, last epoch, profile {}: ordering only", incv_task(results), results.profile.name());
    let mut reason = format!("The smaller of the two margins, at symmetric {level}.");
    for (pair, level) in [(false, 0.2), (true, 0.4)] {
        if let Some((i, _)) = margin(pair, level) {
            let noise = if pair { "pair" } else { "symmetric" };
            reason += &format!(" Not judged: {noise} {level}: {:+.3} [{:+.3}, {:+.3}].", i.estimate, i.low, i.high);
        }
    }
    decided(claim, verdict, interval, seeds, &scope, reason)
}

fn no_late_collapse(results: &Results<NoisyQuadratic>) -> Claim {
    let claim = open(
        "NQ12",
        "INCV + Co-teaching does not collapse late in training",
        "test-accuracy plot",
        "best minus last <= 0.01 in every setting; the worst decides",
        "flat to epoch 200",
    );
    let (mut judged, mut parts) = (vec![], vec![]);
    for ((pair, level), seeds) in final_accuracies(results, None) {
        let falls: Vec<f64> = seeds.values().map(|outcome| outcome.best - outcome.last).collect();
        let Some(fall) = over_seeds(&falls) else { continue };
        let verdict = match judge_above(&fall, COLLAPSE) {
            Verdict::Supported => Verdict::Refuted,
            Verdict::Refuted => Verdict::Supported,
            other => other,
        };
        let name = format!("{} {:.1}", if pair { "pair" } else { "symmetric" }, f64::from(level) / 100.);
        parts.push(format!("{name} {:.4} [{:.4}, {:.4}]", fall.estimate, fall.low, fall.high));
        judged.push((verdict, (fall, name, falls.len())));
    }
    judged.sort_by(|a, b| b.1.0.estimate.total_cmp(&a.1.0.estimate));
    let Some((verdict, (fall, name, seeds))) = worst(judged) else {
        return not_tested(claim, "the final training belongs to profile standard");
    };
    let scope = format!("{}, profile {}", incv_task(results), results.profile.name());
    decided(claim, verdict, fall, seeds, &scope, format!("Decided at {name}. Best minus last: {}.", parts.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(low: f64, high: f64) -> Interval {
        Interval { estimate: (low + high) / 2., low, high, level: 0.95 }
    }

    #[test]
    fn a_residual_refutes_only_beyond_the_margin_and_away_from_zero() {
        let judge =
            |residuals: &[(f64, Interval)]| judge_residuals(residuals).map(|(verdict, level, _)| (verdict, level));
        let within = [(0.1, interval(-0.01, 0.02)), (0.2, interval(-0.03, 0.01))];
        assert_eq!(judge(&within), Some((Verdict::Supported, 0.2)));
        // Small, but surely not 0; large, but perhaps 0.
        assert_eq!(judge(&[(0.1, interval(0.005, 0.015))]), Some((Verdict::Inconclusive, 0.1)));
        assert_eq!(judge(&[(0.1, interval(-0.01, 0.09))]), Some((Verdict::Inconclusive, 0.1)));
        let refuted = [(0.1, interval(-0.08, 0.28)), (0.3, interval(-0.05, -0.01)), (0.4, interval(0.03, 0.05))];
        assert_eq!(judge(&refuted), Some((Verdict::Refuted, 0.4)));
        assert_eq!(judge(&[]), None);
    }

    #[test]
    fn a_straight_line_needs_all_four_and_one_failing_refutes_nothing() {
        let straight = || Shape {
            bend: interval(-0.01, 0.01),
            equivalent: true,
            contrast: true,
            fits: true,
            predicts: true,
            rival: None,
        };
        assert_eq!(straight().verdict(), Verdict::Supported);
        let changes: [fn(&mut Shape); 4] =
            [|s| s.equivalent = false, |s| s.contrast = false, |s| s.fits = false, |s| s.predicts = false];
        for (i, change) in changes.iter().enumerate() {
            let mut shape = straight();
            change(&mut shape);
            assert_eq!(shape.verdict(), Verdict::Inconclusive, "change {i}");
        }
        let beaten = Shape { rival: Some("M5 is ahead".into()), ..straight() };
        assert_eq!(beaten.verdict(), Verdict::Refuted);
        assert!(beaten.why().contains("better law: M5 is ahead.") && straight().why().is_empty());
        for bend in [interval(0.031, 0.05), interval(-0.05, -0.031)] {
            assert_eq!(Shape { bend, ..straight() }.verdict(), Verdict::Refuted);
        }
        assert!(Shape { fits: false, ..straight() }.missing().contains("lack of fit"));
    }

    #[test]
    fn shapes_of_made_curves() {
        let levels: Vec<f64> = (0..9).map(|i| f64::from(i) / 10.).collect();
        let shape = |law: Law, theta: &[f64]| {
            let curve = law.with(Setting::symmetric(10), theta);
            let jitter = [0.0021, -0.0012, 0.0004, -0.0018, 0.0009];
            let clean = jitter.iter().enumerate().map(|(s, shift)| {
                let ripple = |l: usize| 0.001 * (((7 * l + 3 * s) % 5) as f64 - 2.);
                levels.iter().enumerate().map(|(l, &e)| curve.clean(e).unwrap() + shift + ripple(l)).collect()
            });
            let curves = PairedCurves {
                setting: Setting::symmetric(10),
                levels: levels.clone(),
                clean: Some(clean.collect()),
                noisy: None,
                noisy_exact: true,
                test_size: Some(10_000),
            };
            Shape::of(fits::analyse(&curves, 50, RESAMPLING).unwrap().primary()).unwrap()
        };
        let line = shape(Law::Scaled, &[0.9]);
        assert_eq!(line.verdict(), Verdict::Supported, "{}", line.missing());
        assert_eq!(shape(Law::Sharpened, &[0.9, 1.3]).verdict(), Verdict::Refuted);
        assert_eq!(shape(Law::Sharpened, &[0.9, 0.8]).verdict(), Verdict::Refuted);
    }
}
