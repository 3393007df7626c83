//! A verdict on each claim. Every rule stands here in code and was fixed before the runs it judges.

use retrial_core::experiment::Profile;
use retrial_core::noise::TransitionMatrix;
use retrial_core::results::{Claim, Error, Reported, Results, Verdict, decided, judge_above, not_tested, open};
use retrial_core::stats::{Interval, mean_t_interval, rmse};

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

/// All of them.
pub const LEARNERS: [Learner; 3] = [
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
        control: None,
        what: "CIFAR-10, convolutional network",
        figure: "sceptic-cnn",
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
    /// The same of one nearest neighbour on the same inputs.
    pub control: Option<Statistics>,
    /// Regimes in which the premise fails: the same runs read at their best epoch, and regularised networks.
    pub regimes: Vec<(String, Statistics)>,
}

impl Primary {
    /// The digits (`S1`), features of photos (`S4`) or the photos (`S5`); an error says why there is nothing to judge.
    pub fn load(results: &Results<NoisyQuadratic>, learner: &Learner) -> Result<Self, String> {
        let experiment = learner.experiment;
        let sweep = Sweep::of(results, experiment, |_| true)
            .ok_or_else(|| format!("no seed of {experiment} has finished at every noise ratio"))?;
        let (statistics, gate) = sweep.statistics().map_err(|e| format!("{experiment}: {e}"))?;
        let (curves, _) = sweep.memorised().map_err(|e| e.to_string())?;
        let analyse = |curves: &PairedCurves| fits::analyse(curves, DRAWS, RESAMPLING).ok();
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
            control: learner.control.and_then(|name| control(results, name, 1)).as_ref().and_then(analyse),
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

    /// Mean and 95 % interval over seeds of `value(seed, level) - expected(level)` at each judged level.
    fn residuals(&self, values: &[Vec<f64>], expected: impl Fn(f64) -> f64) -> Vec<(f64, Interval)> {
        let judged = self.curves.levels.iter().enumerate().filter(|(_, level)| **level <= HIGHEST + 1e-9);
        judged
            .filter_map(|(l, &level)| {
                let gaps: Vec<f64> = values.iter().map(|seed| seed[l] - expected(level)).collect();
                Some((level, mean_t_interval(&gaps, 0.95).ok()?))
            })
            .collect()
    }

    fn gate_in_words(&self) -> String {
        format!("{} of {} runs memorised their labels.", self.gate.memorised, self.gate.runs)
    }
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
    if results.profile == Profile::Paper {
        let why = "judging the paper's own scale needs a GPU run of this profile, which has not been made";
        let ids = ["NQ1", "NQ2", "NQ3", "NQ4", "NQ5", "NQ6", "NQ8", "NQ9", "NQ10", "NQ11", "NQ12"];
        claims.extend(ids.map(|id| not_tested(open(id, "see the small profiles", "", "", ""), why)));
    } else {
        let there = LEARNERS.iter().filter(|learner| results.experiment(learner.experiment).is_some());
        let primaries: Vec<_> = there.map(|learner| (learner.suffix, Primary::load(results, learner))).collect();
        for (suffix, primary) in &primaries {
            claims.push(literal_law(suffix, primary));
            claims.push(quadratic_shape(suffix, primary));
            claims.push(linear_clean(suffix, primary));
        }
        claims.sort_by(|a, b| a.id.cmp(&b.id));
        let digits = primaries.iter().find(|(suffix, _)| *suffix == "a").map(|(_, p)| p.as_ref());
        let digits = digits.unwrap_or(Err(&String::new())).map_err(Clone::clone);
        claims.push(pair_noise(results));
        claims.push(confusion(&digits));
        claims.push(selection_formulae(&digits));
        claims.push(explains_zhang(&reported)?);
        claims.push(early_peak(results)?);
        claims.extend(noise_ratio(&digits));
        claims.push(incv(results));
        claims.push(final_accuracy(results));
        claims.push(no_late_collapse(results));
    }
    if results.profile == Profile::Paper {
        claims.push(explains_zhang(&reported)?);
    }
    claims.push(not_tested(
        open("NQ13", "The method wins on WebVision-mini", "WebVision table", "", "65.24 top-1"),
        "needs WebVision and an Inception-ResNet-v2; a report of 75 % with plain training also calls the baselines weak",
    ));
    Ok(claims)
}

fn literal_law(suffix: &str, primary: &Result<Primary, String>) -> Claim {
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
    let Some((verdict, level, worst)) = judge_residuals(&p.residuals(&noisy, |e| law.noisy(e))) else {
        return not_tested(claim, "a verdict needs at least two seeds");
    };
    let reason = format!("The deciding residual is at noise ratio {level}. {}", p.gate_in_words());
    decided(claim, verdict, worst, noisy.len(), &p.scope, reason)
}

fn quadratic_shape(suffix: &str, primary: &Result<Primary, String>) -> Claim {
    let claim = open(
        &format!("NQ2{suffix}"),
        "Accuracy on noisy labels is quadratic in the noise ratio, i.e. clean accuracy is a straight line",
        "abstract",
        "supported: |K| < 0.02 by TOST and no rival ahead by AICc > 6; refuted: |K| > 0.03, or a rival ahead by AICc and out of level",
        "K = +0.014 from the published plot",
    );
    let p = match primary {
        Ok(p) => p,
        Err(why) => return not_tested(claim, why),
    };
    let curve = p.statistics.primary();
    let Some(straightness) = &curve.straightness else {
        return not_tested(claim, "without a noise-free level there is no line to compare with");
    };
    let quadratic = [Law::Scaled, Law::Affine, Law::FreeQuadratic];
    let best_of = |laws: &dyn Fn(Law) -> bool, value: &dyn Fn(&fits::ModelRow) -> Option<f64>| {
        curve.models.iter().filter(|row| laws(row.law)).filter_map(value).fold(f64::INFINITY, f64::min)
    };
    let is_quadratic = |law: Law| quadratic.contains(&law);
    let is_rival = |law: Law| !quadratic.contains(&law) && law != Law::Literal;
    let aicc = best_of(&is_quadratic, &|row| row.aicc) - best_of(&is_rival, &|row| row.aicc);
    let out_of_level =
        best_of(&is_quadratic, &|row| row.loo(curve.scale)) - best_of(&is_rival, &|row| row.loo(curve.scale));
    let rival_wins = aicc > DECISIVE && out_of_level > 0.;
    let bend = straightness.bend;
    let verdict = if bend.above(BENT) || bend.below(-BENT) || rival_wins {
        Verdict::Refuted
    } else if straightness.equivalent && aicc <= DECISIVE {
        Verdict::Supported
    } else {
        Verdict::Inconclusive
    };
    let seeds = p.curves.clean.as_ref().map_or(0, Vec::len);
    decided(claim, verdict, bend, seeds, &p.scope, format!("{} {}", p.verdict().text, p.gate_in_words()))
}

fn linear_clean(suffix: &str, primary: &Result<Primary, String>) -> Claim {
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
    let Some((verdict, level, worst)) = judge_residuals(&p.residuals(&clean, |e| 1. - e)) else {
        return not_tested(claim, "a verdict needs at least two seeds");
    };
    decided(claim, verdict, worst, clean.len(), &p.scope, format!("The deciding residual is at noise ratio {level}."))
}

fn pair_noise(results: &Results<NoisyQuadratic>) -> Claim {
    let claim = open(
        "NQ4",
        "Under pair noise A = (1-e)^2 + e^2: a U, symmetric about one half",
        "plot (d)",
        "every |residual| <= 0.02 with an interval that covers 0; |A(e) - A(1-e)| <= 0.01",
        "residuals -0.045 to -0.097; asymmetry <= 0.008",
    );
    let Some(sweep) = Sweep::of(results, "S3", |_| true) else {
        return not_tested(claim, "no seed of S3 has finished at every noise ratio");
    };
    let (curves, gate) = match sweep.memorised() {
        Ok(passed) => passed,
        Err(why) => return not_tested(claim, why.to_string()),
    };
    let law = Law::Literal.with(curves.setting, &[]);
    let noisy = curves.noisy.clone().unwrap_or_default();
    let at = |l: usize, expected: f64| {
        let gaps: Vec<f64> = noisy.iter().map(|seed| seed[l] - expected).collect();
        mean_t_interval(&gaps, 0.95).ok()
    };
    let residuals: Vec<(f64, Interval)> =
        curves.levels.iter().enumerate().filter_map(|(l, &e)| Some((e, at(l, law.noisy(e))?))).collect();
    let Some((mut verdict, level, worst)) = judge_residuals(&residuals) else {
        return not_tested(claim, "a verdict needs at least two seeds");
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
    let scope = format!("MNIST, MLP, {} training images, last epoch, profile {}", sweep.train, results.profile.name());
    let reason = format!(
        "The deciding residual is at noise ratio {level}; asymmetry {asymmetry:.3}. {} of {} runs memorised their labels.",
        gate.memorised, gate.runs
    );
    decided(claim, verdict, worst, noisy.len(), &scope, reason)
}

fn confusion(digits: &Result<&Primary, String>) -> Claim {
    let claim = open(
        "NQ5",
        "The confusion matrix of a memorising network equals the transition matrix",
        "confusion plot",
        "every row: total variation <= 0.05 + (1 - a0)",
        "diagonal .555 for T = .6 (pair .4); .197 for .2 (symmetric .8)",
    );
    let p = match digits {
        Ok(p) => p,
        Err(why) => return not_tested(claim, why),
    };
    let level = 0.4;
    let Some(at) = p.sweep.levels.iter().position(|l| (l - level).abs() < 1e-9) else {
        return not_tested(claim, "noise ratio 0.4 was not run");
    };
    let counts: Vec<Vec<Vec<u64>>> = p
        .sweep
        .runs
        .iter()
        .filter(|runs| runs[at].memorised)
        .map(|runs| runs[at].last.confusion.iter().map(|row| row.iter().map(|&n| u64::from(n)).collect()).collect())
        .collect();
    let a0 = p.curves.clean.as_ref().map_or(1., |c| c.iter().map(|seed| seed[0]).sum::<f64>() / c.len() as f64);
    let test = TransitionMatrix::symmetric(p.sweep.setting.classes, level)
        .map_err(|e| e.to_string())
        .and_then(|t| matrix_test(&counts, &t, a0, DRAWS, RESAMPLING).map_err(|e| e.to_string()));
    let test = match test {
        Ok(test) => test,
        Err(why) => return not_tested(claim, why),
    };
    let Some(excess) = test.diagonal_excess else { return not_tested(claim, "a verdict needs at least two seeds") };
    // Refuted only where the diagonal itself is shown to be above T by more than the tolerance.
    let verdict = match test.within {
        true => Verdict::Supported,
        false if excess.above(test.tolerance) || excess.below(-test.tolerance) => Verdict::Refuted,
        false => Verdict::Inconclusive,
    };
    let reason = format!(
        "At noise ratio {level} the worst row is {:.3} from T (allowed {:.3}); the estimate is the mean excess of the \
         diagonal.",
        test.literal.worst, test.tolerance
    );
    decided(claim, verdict, excess, counts.len(), &p.scope, reason)
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
    let Some((verdict, level, worst)) = judge_residuals(&p.residuals(&precision, formula)) else {
        return not_tested(claim, "a verdict needs at least two seeds");
    };
    decided(
        claim,
        verdict,
        worst,
        precision.len(),
        &p.scope,
        format!("The deciding residual is at noise ratio {level}."),
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
    let mut scope = String::new();
    for cell in results.finished("S1") {
        let Some((config, summary)) = memorise_cell(cell) else { continue };
        if config.level != 0.5 || !summary.memorised {
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
        scope = format!("MNIST, MLP, {} training images, profile {}", config.task.train, results.profile.name());
    }
    let (Ok(drop), Ok(auc), Ok(end)) =
        (mean_t_interval(&drops, 0.95), mean_t_interval(&at_peak, 0.95), mean_t_interval(&at_end, 0.95))
    else {
        return Ok(not_tested(claim, "noise ratio 0.5 needs at least two memorised seeds"));
    };
    let verdict = match (judge_above(&drop, 0.05), judge_above(&auc, 0.9)) {
        (Verdict::Supported, Verdict::Supported) if end.estimate < auc.estimate => Verdict::Supported,
        (Verdict::Refuted, _) | (_, Verdict::Refuted) => Verdict::Refuted,
        _ => Verdict::Inconclusive,
    };
    let reason = format!(
        "The estimate is the fall from the peak. AUC of the loss {:.3} at the peak, {:.3} at the end.",
        auc.estimate, end.estimate
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
                "mean bias within 0.03, noise ratios 0.1 to 0.7",
                number,
            );
            let p = match digits {
                Ok(p) => p,
                Err(why) => return not_tested(claim, why),
            };
            let bias = |runs: &Vec<crate::memorise::Summary>| {
                let gaps: Vec<f64> = runs
                    .iter()
                    .zip(&p.sweep.levels)
                    .filter(|(run, level)| run.memorised && (0.1..=HIGHEST + 1e-9).contains(*level))
                    .map(|(run, _)| {
                        let seen = reading(run, when).noisy_accuracy;
                        scan_noise_ratio(seen, p.sweep.setting.classes as f64) - run.realised_held_out
                    })
                    .collect();
                gaps.iter().sum::<f64>() / gaps.len() as f64
            };
            let biases: Vec<f64> = p.sweep.runs.iter().map(bias).collect();
            let Ok(interval) = mean_t_interval(&biases, 0.95) else {
                return not_tested(claim, "a verdict needs at least two seeds");
            };
            let verdict = match (interval.within(-0.03, 0.03), interval.above(0.03) || interval.below(-0.03)) {
                (true, _) => Verdict::Supported,
                (_, true) => Verdict::Refuted,
                _ => Verdict::Inconclusive,
            };
            let scope = p.scope.replace("last epoch", if when == When::Last { "last epoch" } else { "best epoch" });
            decided(claim, verdict, interval, biases.len(), &scope, "The estimate is the mean bias.".into())
        })
        .into()
}

fn incv(results: &Results<NoisyQuadratic>) -> Claim {
    let claim = open(
        "NQ10",
        "Over INCV's iterations label recall rises while label precision falls only slightly",
        "INCV plot",
        "rise of recall > 0 and fall of precision < 0.06, at every setting",
        "LR .699 to .900, LP .954 to .930 (symmetric .5)",
    );
    let cells = incv_cells(results, Weights::Published);
    let mut worst: Option<(Verdict, Interval)> = None;
    let (mut parts, mut seeds) = (vec![], 0);
    for ((pair, level), runs) in &cells {
        let ends: Vec<_> = runs.iter().filter_map(|s| Some((s.iterations.first()?, s.iterations.last()?))).collect();
        let rise: Vec<f64> = ends.iter().map(|(first, last)| last.label_recall - first.label_recall).collect();
        let fall: Vec<f64> = ends.iter().map(|(first, last)| first.label_precision - last.label_precision).collect();
        let (Ok(rise), Ok(fall)) = (mean_t_interval(&rise, 0.95), mean_t_interval(&fall, 0.95)) else { continue };
        let verdict = match (judge_above(&rise, 0.), fall.below(0.06), fall.above(0.06)) {
            (Verdict::Supported, true, _) => Verdict::Supported,
            (Verdict::Refuted, ..) | (_, _, true) => Verdict::Refuted,
            _ => Verdict::Inconclusive,
        };
        let kind = if *pair { "pair" } else { "symmetric" };
        parts.push(format!("{kind} {}: LR {:+.3}, LP {:+.3}", *level, rise.estimate, -fall.estimate));
        seeds = ends.len();
        let severity = |v: &Verdict| match v {
            Verdict::Supported => 0,
            Verdict::Inconclusive => 1,
            _ => 2,
        };
        if worst.as_ref().is_none_or(|(v, _)| severity(&verdict) > severity(v)) {
            worst = Some((verdict, rise));
        }
    }
    let Some((verdict, rise)) = worst else {
        return not_tested(claim, "no setting has two finished seeds");
    };
    let scope = format!("MNIST, MLP, four iterations, published rule, profile {}", results.profile.name());
    decided(
        claim,
        verdict,
        rise,
        seeds,
        &scope,
        format!("Change from the first iteration to the last: {}.", parts.join("; ")),
    )
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
                let best = rivals.iter().filter_map(|r| Some(r.get(seed)?.last)).fold(f64::NEG_INFINITY, f64::max);
                best.is_finite().then_some(outcome.last - best)
            })
            .collect();
        Some((mean_t_interval(&gaps, 0.95).ok()?, gaps.len()))
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
    let scope = format!("MNIST, MLP, last epoch, profile {}: ordering only", results.profile.name());
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
        "best minus last <= 0.01",
        "flat to epoch 200",
    );
    let gaps: Vec<f64> = final_accuracies(results, None)
        .values()
        .flat_map(|seeds| seeds.values().map(|outcome| outcome.best - outcome.last))
        .collect();
    let Ok(interval) = mean_t_interval(&gaps, 0.95) else {
        return not_tested(claim, "the final training belongs to profile standard");
    };
    let verdict = match judge_above(&interval, 0.01) {
        Verdict::Supported => Verdict::Refuted,
        Verdict::Refuted => Verdict::Supported,
        other => other,
    };
    let scope = format!("MNIST, MLP, all settings, profile {}", results.profile.name());
    decided(claim, verdict, interval, gaps.len(), &scope, "Mean over settings and seeds.".into())
}
