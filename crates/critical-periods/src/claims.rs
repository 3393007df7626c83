//! A verdict on each claim. Every rule stands here in code and follows a protocol that was written before the runs; the
//! README says which rules were set right after first results had been seen.
//!
//! The paper's removal curve mixes two losses: what the deficit does, and what a late start at a decayed learning rate does
//! to any network. So each claim on removal is judged as described, and against the control that starts late (C1).
//!
//! Seeds count one by one: one whose control has no plateau is left out, and fewer than three decide nothing.

use std::collections::{BTreeMap, BTreeSet};

use retrial_core::model::Architecture;
use retrial_core::results::{self, Claim, Error, Reported, Verdict, decided, not_tested};
use retrial_core::stats::{FEWEST_SEEDS, over_seeds, spearman, total_variation};
use retrial_core::train::Schedule;

use crate::config::{Arm, Config};
use crate::experiments::{ADAM, ADAM_OTHERS, BLUR, DECAYS, DEPTHS, DIGITS, FIXED, OTHERS, RESNET, WINDOWS};
use crate::readings::{
    Curve, PaperResults, fisher, learning_curve, learning_curves, plateau, scale_free_error, scale_free_trace, shares,
    trace, trace_error, with_controls,
};
use crate::trial::FisherRow;

/// A drop below this, in percentage points, is no critical period.
const NEGLIGIBLE: f64 = 1.;

/// The control must reach its plateau by this share of its epochs; later, it is still learning where it is judged.
const PLATEAU: f64 = 0.8;

/// Something of each seed.
type BySeed<T> = BTreeMap<u64, T>;

/// A claim's gate, seed by seed.
#[derive(Debug, PartialEq)]
pub struct Gate {
    /// Seeds that are judged: those that pass, or all where too few do and nothing is decided.
    pub seeds: BTreeSet<u64>,
    /// Why nothing is decided, if so.
    pub missed: Option<String>,
    /// Which seeds are left out, if any.
    left_out: String,
}

impl Gate {
    /// The seeds whose controls in all these experiments are flat early enough.
    ///
    /// # Errors
    /// If a table of a cell cannot be read.
    pub fn of(results: &PaperResults, experiments: &[&str]) -> Result<Self, Error> {
        let flat = |name: &&str| -> Result<(String, BySeed<(usize, usize)>), Error> {
            let curves = learning_curves(results, name)?.into_iter();
            let flat = curves.filter_map(|(seed, curve)| Some((seed, (plateau(&curve)?, curve.last()?.0))));
            Ok((name.to_string(), flat.collect()))
        };
        Ok(Self::from_plateaus(&experiments.iter().map(flat).collect::<Result<Vec<_>, Error>>()?))
    }

    /// The rule, from the plateau and the number of epochs of each experiment's controls by seed.
    fn from_plateaus(controls: &[(String, BySeed<(usize, usize)>)]) -> Self {
        let late = |(flat, epochs): &(usize, usize)| *flat as f64 > PLATEAU * *epochs as f64;
        let all: BTreeSet<u64> = controls.iter().flat_map(|(_, seeds)| seeds.keys().copied()).collect();
        let passes =
            |seed: &u64| controls.iter().all(|(_, seeds)| seeds.get(seed).is_some_and(|control| !late(control)));
        let passing: BTreeSet<u64> = all.iter().copied().filter(passes).collect();
        let words: Vec<String> = controls
            .iter()
            .filter_map(|(name, seeds)| {
                let (_, epochs) = seeds.values().next()?;
                let slow: Vec<String> = seeds.values().filter(|c| late(c)).map(|c| c.0.to_string()).collect();
                (!slow.is_empty()).then(|| {
                    format!("controls of `{name}` that are flat from epoch {} of {epochs} only", slow.join(", "))
                })
            })
            .collect();
        let (pass, count, words) = (passing.len(), all.len(), words.join("; "));
        if pass < FEWEST_SEEDS && !words.is_empty() {
            let missed =
                Some(format!("gate missed by {words}: {pass} of {count} seeds pass, and {FEWEST_SEEDS} are needed."));
            return Self { seeds: all, missed, left_out: String::new() };
        }
        let left_out = match words.as_str() {
            "" => String::new(),
            words => format!(" Left out: {} of {count} seeds, {words}.", count - pass),
        };
        Self { seeds: passing, missed: None, left_out }
    }

    /// The claim as the gate leaves it.
    fn on(&self, mut claim: Claim) -> Claim {
        match &self.missed {
            Some(why) => claim.verdict = Verdict::NotTested(why.clone()),
            None if claim.estimate.is_some() => claim.reason += &self.left_out,
            None => {}
        }
        claim
    }
}

/// The paper's own numbers, without those that nobody has checked.
pub fn reported() -> Result<Reported, Error> {
    const FILE: &str = "data/reported/critical-periods.csv";
    Ok(Reported::parse(FILE, include_str!("../../../data/reported/critical-periods.csv"))?.trusted())
}

/// A claim that nothing is known of until [`closed`] says so.
fn open(id: &str, statement: &str, place: &str, threshold: &str, reported: &str) -> Claim {
    let claim = results::open(id, statement, place, threshold, reported);
    not_tested(claim, format!("its cells have not finished, or fewer than {FEWEST_SEEDS} seeds have"))
}

/// The claim with the verdict, the values by seed that it rests on, and why.
fn closed(claim: Claim, scope: &str, verdict: Option<Verdict>, values: &[f64], reason: impl Into<String>) -> Claim {
    match verdict.zip(over_seeds(values)) {
        Some((verdict, interval)) => decided(claim, verdict, interval, values.len(), scope, reason.into()),
        None => claim,
    }
}

/// `-20.9 [-24.7, -17.0] pp`; nothing without enough seeds.
fn in_words(values: &[f64]) -> Option<String> {
    over_seeds(values).map(|i| format!("{:.1} [{:.1}, {:.1}] pp", i.estimate, i.low, i.high))
}

/// Supported if the interval lies above `least`, refuted if it lies below `most`.
fn judge(values: &[f64], least: f64, most: f64) -> Option<Verdict> {
    let interval = over_seeds(values)?;
    Some(Verdict::of(interval.above(least), interval.below(most)))
}

/// Spearman correlation of the removal epoch and mean final accuracy; of two points, their order.
fn curve_order(curve: &Curve) -> f64 {
    let removals = curve.removals();
    let mean_at = |n: usize| curve.seeds(curve.removal(n)).into_values().collect::<Vec<_>>();
    let means: Vec<f64> = removals.iter().map(|&n| mean(&mean_at(n))).collect();
    let xs: Vec<f64> = removals.iter().map(|&n| n as f64).collect();
    match &means[..] {
        [first, last] => (last - first).signum(),
        means => spearman(&xs, means).map_or(f64::NAN, |s| s.r),
    }
}

/// What [`curve_order`] says, in words.
fn order_in_words(curve: &Curve) -> String {
    match curve.removals().len() {
        0..=2 => "two points only, so their order asks for no more than the drop".into(),
        _ => format!("Spearman {:.2}", curve_order(curve)),
    }
}

/// The rule of CP1: the drop at the latest removal and the order of the whole curve.
fn falling(drops: &[f64], order: f64) -> Option<Verdict> {
    Some(match judge(drops, 0., 0.)? {
        Verdict::Supported if order > -0.9 || order.is_nan() => Verdict::Inconclusive,
        other => other,
    })
}

/// The rule of CP4 and CP5, from losses beyond a late start by seed: the deficit's own, and that less a quarter of blur's.
/// No trace: within 1 pp of nothing, or clearly below a quarter of a loss that blur itself has.
fn no_trace(own: &[f64], less_quarter: &[f64], blur: &[f64]) -> Option<Verdict> {
    let (own, less, blur) = (over_seeds(own)?, over_seeds(less_quarter)?, over_seeds(blur)?);
    let none = own.above(-NEGLIGIBLE) && own.below(NEGLIGIBLE);
    Some(if none || (blur.above(0.) && less.below(0.)) {
        Verdict::Supported
    } else if own.above(NEGLIGIBLE) && less.above(0.) {
        Verdict::Refuted
    } else {
        Verdict::Inconclusive
    })
}

/// The rule of CP6: accuracy after noise less that after blur, and what noise loses beyond a late start.
fn milder(less: &[f64], own: &[f64]) -> Option<Verdict> {
    Some(match judge(less, 0., 0.)? {
        Verdict::Supported if !over_seeds(own).is_some_and(|own| own.above(0.)) => Verdict::Inconclusive,
        other => other,
    })
}

/// The rule of CP3b, from the largest later drop less the drop at onset 0, for each length of window: the worst decides.
fn rises(lengths: &[Vec<f64>]) -> Option<(Verdict, &[f64])> {
    let judged: Option<Vec<(Verdict, &[f64])>> =
        lengths.iter().map(|values| Some((judge(values, 0., 0.)?, &values[..]))).collect();
    let badness = |verdict: &Verdict| match verdict {
        Verdict::Supported => 0,
        Verdict::Refuted => 2,
        _ => 1,
    };
    judged?.into_iter().max_by(|a, b| badness(&a.0).cmp(&badness(&b.0)).then(mean(b.1).total_cmp(&mean(a.1))))
}

/// Where the trace of a seed has its largest reading.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Peak {
    /// It is the first or the last.
    End,
    /// It lies between them, but no further above both than the Monte-Carlo error makes likely.
    Unclear,
    /// It lies between them and above both by more than two standard errors of the difference.
    Inside,
}

/// Of readings in order, each with its standard error.
fn peak(readings: &[(f64, f64)]) -> Option<Peak> {
    let top = (0..readings.len()).max_by(|&a, &b| readings[a].0.total_cmp(&readings[b].0))?;
    let above = |other: (f64, f64)| readings[top].0 - other.0 > 2. * readings[top].1.hypot(other.1);
    Some(match top {
        0 => Peak::End,
        top if top + 1 == readings.len() => Peak::End,
        _ if above(readings[0]) && above(readings[readings.len() - 1]) => Peak::Inside,
        _ => Peak::Unclear,
    })
}

/// The rule of CP11, by seed: where the trace peaks, its end as a share of its peak, and where it peaks when the scale of
/// the weights is taken out.
fn two_phases(peaks: &[Peak], ends: &[f64], free: &[Peak]) -> (Verdict, &'static str) {
    // In 4 of 5 seeds.
    let most = |peaks: &[Peak], wanted: Peak| {
        5 * peaks.iter().filter(|&&p| p == wanted).count() >= 4 * peaks.len() && !peaks.is_empty()
    };
    let (inside, half) = (most(peaks, Peak::Inside), mean(ends) < 0.5);
    if most(peaks, Peak::End) {
        (Verdict::Refuted, "it only rises or only falls")
    } else if inside && half && most(free, Peak::Inside) {
        (Verdict::Supported, "it rises, then falls")
    } else if inside && half {
        (Verdict::Inconclusive, "partly: explained by the norm of the weights")
    } else if inside {
        (Verdict::Inconclusive, "it rises, then falls, but by less than half")
    } else {
        (Verdict::Inconclusive, "no fall that its Monte-Carlo error could not make")
    }
}

/// The rule of CP14: change of the share of layers 6 and 7 and of layers 3 and 4 by seed, and mean shares in order of N.
fn moved_up(upper: &[f64], middle: &[f64], upper_by_n: &[f64], middle_by_n: &[f64]) -> Option<Verdict> {
    let down: Vec<f64> = middle.iter().map(|m| -m).collect();
    let ordered = upper_by_n.is_sorted() && middle_by_n.iter().rev().is_sorted();
    Some(match (judge(upper, 0., 0.)?, judge(&down, 0., 0.)?) {
        (Verdict::Refuted, _) | (_, Verdict::Refuted) => Verdict::Refuted,
        (Verdict::Supported, Verdict::Supported) if ordered => Verdict::Supported,
        _ => Verdict::Inconclusive,
    })
}

/// The rule of CP15: distance of flip's shares to the control less a third of blur's, and less all of it.
fn kept_profile(less_third: &[f64], less_whole: &[f64]) -> Option<Verdict> {
    Some(match (judge(less_third, 0., 0.)?, judge(less_whole, 0., 0.)?) {
        (Verdict::Refuted, _) => Verdict::Supported,
        (_, Verdict::Supported) => Verdict::Refuted,
        _ => Verdict::Inconclusive,
    })
}

/// The rule of CP16: the gaps that are left after longer training and after a restart must both stay. Where nothing was
/// lost, there is nothing to cure.
fn uncured(longer: &[f64], restarted: &[f64], lost: bool) -> Option<Verdict> {
    let pair = (judge(longer, NEGLIGIBLE, NEGLIGIBLE)?, judge(restarted, NEGLIGIBLE, NEGLIGIBLE)?);
    Some(match pair {
        _ if !lost => Verdict::Inconclusive,
        (Verdict::Refuted, _) | (_, Verdict::Refuted) => Verdict::Refuted,
        (Verdict::Supported, Verdict::Supported) => Verdict::Supported,
        _ => Verdict::Inconclusive,
    })
}

/// Of drops by onset: their centre of mass and the largest; negative ones count as 0. None where nothing drops.
fn window_profile(drops: &[(f64, f64)]) -> Option<(f64, f64)> {
    let drops = || drops.iter().map(|&(onset, drop)| (onset, drop.max(0.)));
    let total: f64 = drops().map(|d| d.1).sum();
    let center = drops().map(|(onset, drop)| onset * drop).sum::<f64>() / total;
    (total > 0.).then(|| (center, drops().map(|d| d.1).fold(0., f64::max)))
}

/// C1 for a removal.
fn late_arm(curve: &Curve, removal: usize) -> Arm {
    Arm::LateStart { start: removal, clean: curve.clean().unwrap_or(0) }
}

/// What removal at an epoch costs, beyond what a late start costs: `C1 - course` by seed.
fn beyond_late_start(curve: &Curve, removal: usize) -> Vec<f64> {
    curve.differences(late_arm(curve, removal), curve.removal(removal))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Data, network and scale of an experiment.
fn scope(results: &PaperResults, experiment: &str) -> String {
    let Some(cell) = results.finished(experiment).first() else { return String::new() };
    let (task, profile) = (cell.config.task, results.profile.name());
    let network = match cell.config.architecture {
        Architecture::AllCnnFamily { .. } => "all-convolutional family of three depths",
        Architecture::PreActResNet18 { .. } => "pre-activation ResNet-18",
        Architecture::NormMlp { .. } => "fully connected",
        _ => "all-convolutional",
    };
    let (dataset, images, side) = (task.dataset, task.train, task.side);
    format!("{dataset}, {network}, {images} images of {side} x {side} pixels, profile {profile}")
}

/// The main network's removal curve, its controls and what most claims compare with.
struct Removal {
    gate: Gate,
    scope: String,
    config: Option<Config>,
    curve: Curve,
    clean: usize,
    latest: usize,
    control: Arm,
    /// Loss at the latest removal by seed, and the part of it beyond a late start.
    drops: Vec<f64>,
    beyond: Vec<f64>,
    /// Whether CP1 is supported.
    falls: bool,
}

impl Removal {
    fn new(results: &PaperResults) -> Result<Self, Error> {
        let gate = Gate::of(results, &[BLUR])?;
        let curve = with_controls(results, BLUR).only(&gate.seeds);
        let latest = curve.removals().last().copied().unwrap_or(0);
        let control = curve.removal(0);
        let drops = curve.differences(control, curve.removal(latest));
        Ok(Self {
            scope: scope(results, BLUR),
            config: results.finished(BLUR).first().map(|cell| cell.config.clone()),
            clean: curve.clean().unwrap_or(0),
            beyond: beyond_late_start(&curve, latest),
            falls: falling(&drops, curve_order(&curve)) == Some(Verdict::Supported),
            gate,
            curve,
            latest,
            control,
            drops,
        })
    }
}

/// A verdict on each of the paper's claims.
///
/// # Errors
/// If a table of a cell cannot be read.
pub fn claims(results: &PaperResults) -> Result<Vec<Claim>, Error> {
    let removal = Removal::new(results)?;
    let mut claims = removal_claims(results, &removal)?;
    claims.extend(window_claims(results)?);
    claims.extend(deficit_claims(results, &removal)?);
    claims.extend(learner_claims(results)?);
    claims.push(depth_claim(results)?);
    claims.push(decay_claim(results)?);
    claims.extend(fisher_claims(results, &removal)?);
    claims.extend(cure_claims(&removal));
    let kittens = open(
        "CP18",
        "The curves resemble those of visually deprived kittens",
        "Fig. 1B and 1D",
        "none",
        "sensitivity 0.26 at day 9, 0.97 at 28, 0.07 at 109",
    );
    claims.push(not_tested(kittens, "a likeness of two curves by eye; nothing here can test it"));
    Ok(claims)
}

/// CP1 and CP2: the loss as described, beyond a late start, and where it is steepest.
fn removal_claims(results: &PaperResults, removal: &Removal) -> Result<Vec<Claim>, Error> {
    let Removal { gate, scope, curve, clean, latest, control, drops, beyond, falls, .. } = removal;
    let claim = open(
        "CP1",
        "Blur during the first N epochs lowers final accuracy, the more the larger N (as described)",
        "Fig. 1A",
        "drop at the largest N > 0 (95 %) and Spearman(N, accuracy) <= -0.9; refuted: drop <= 0",
        "12.2 pp at N = 150 of 160",
    );
    let reason = format!("Drop at N = {latest} of {clean} epochs, in pp; {}.", order_in_words(curve));
    let mut claims = vec![gate.on(closed(claim, scope, falling(drops, curve_order(curve)), drops, reason))];

    let claim = open(
        "CP1b",
        "The loss is more than a fresh network loses that starts at the same decayed rate (control C1)",
        "not in the paper",
        "C1 minus blurred > 0 (95 %); refuted: < 0",
        "",
    );
    let by_n: Vec<String> = curve
        .removals()
        .into_iter()
        .filter(|n| *n > 0)
        .map(|n| format!("{:+.1} at {n}", mean(&beyond_late_start(curve, n))))
        .collect();
    let reason = format!(
        "Of the drop of {:.1} pp at N = {latest}, a late start without any blur explains {:.1} pp. C1 minus blurred by N: \
         {}.",
        mean(drops),
        mean(&curve.differences(*control, late_arm(curve, *latest))),
        by_n.join(", ")
    );
    claims.push(gate.on(closed(claim, scope, judge(beyond, 0., 0.), beyond, reason)));

    let claim = open(
        "CP2",
        "The steepest loss over N falls into the phase in which the control still learns fast",
        "Fig. 1A, dashed",
        "CP1 supported, and middle of the steepest step before the control's plateau (95 % over seeds); refuted: after",
        "steepest between 40 and 100; flat from 100 of 160",
    );
    let Some(flat) = plateau(&learning_curve(results, BLUR)?) else {
        claims.push(claim);
        return Ok(claims);
    };
    let removals = curve.removals();
    let steepest = |seed: &u64| {
        let at = |n: usize| curve.seeds(curve.removal(n)).get(seed).copied();
        let slopes = removals.windows(2).filter_map(|w| Some((w, (at(w[0])? - at(w[1])?) / (w[1] - w[0]) as f64)));
        let (w, _) = slopes.max_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(flat as f64 - (w[0] + w[1]) as f64 / 2.)
    };
    let ahead: Vec<f64> = curve.seeds(*control).keys().filter_map(steepest).collect();
    let reason = format!("Epochs from the steepest step to the plateau at epoch {flat}.");
    // Where nothing falls, the steepest step is noise.
    let verdict = judge(&ahead, 0., 0.).map(|v| if *falls { v } else { Verdict::Inconclusive });
    claims.push(gate.on(closed(claim, scope, verdict, &ahead, reason)));
    Ok(claims)
}

/// CP3: windows of blur.
fn window_claims(results: &PaperResults) -> Result<Vec<Claim>, Error> {
    let gate = Gate::of(results, &[WINDOWS])?;
    let curve = Curve::of(results, WINDOWS).only(&gate.seeds);
    let scope = scope(results, WINDOWS);
    let (mut contrast, mut rises_by_length, mut shown) = (vec![], vec![], vec![]);
    for (i, length) in curve.window_lengths().into_iter().enumerate() {
        let Some((control, list)) = curve.windows(length).filter(|(_, list)| list.len() >= 3) else { continue };
        let drops: Vec<BySeed<f64>> = list.iter().map(|&(_, arm)| curve.paired(control, arm)).collect();
        let means: Vec<f64> = drops.iter().map(|d| mean(&d.values().copied().collect::<Vec<_>>())).collect();
        // The paper's windows are the shorter ones.
        let last = drops.len() - 1;
        if i == 0 {
            let of = |(seed, first): (&u64, &f64)| Some((first + drops[1].get(seed)?) / 2. - drops[last].get(seed)?);
            contrast = drops[0].iter().filter_map(of).collect();
        }
        let later = (1..=last).max_by(|&a, &b| means[a].total_cmp(&means[b])).unwrap_or(last);
        let rise: Vec<f64> =
            drops[0].iter().filter_map(|(seed, first)| Some(drops[later].get(seed)? - first)).collect();
        rises_by_length.push((length, list[later].0, rise));
        let by_onset: Vec<String> =
            list.iter().zip(&means).map(|((onset, _), m)| format!("{m:.1} at {onset}")).collect();
        shown.push(format!("windows of {length} epochs {}", by_onset.join(", ")));
    }
    let shown = format!("Drops in pp by onset: {}.", shown.join("; "));
    let claim = open(
        "CP3",
        "A window of blur hurts most early in training and little later",
        "Fig. 1C",
        "shorter windows: mean drop at the first two onsets minus drop at the last > 0 (95 %); refuted: < 0",
        "3.6 and 4.8 pp at onsets 0 and 20, 0.5 pp at 140",
    );
    let mut claims = vec![gate.on(closed(claim, &scope, judge(&contrast, 0., 0.), &contrast, shown.clone()))];
    let claim = open(
        "CP3b",
        "It does not hurt most at the very start: sensitivity rises first",
        "Fig. 1C",
        "largest later drop minus drop at onset 0 > 0 (95 %); refuted: < 0; of several lengths of window the worst decides",
        "4.8 - 3.6 = 1.2 pp",
    );
    let each: Vec<String> = rises_by_length
        .iter()
        .filter_map(|(length, onset, rise)| {
            Some(format!("onset {onset} less onset 0, windows of {length} epochs: {}", in_words(rise)?))
        })
        .collect();
    let reason = format!("{}. {shown}", each.join("; "));
    let lengths: Vec<Vec<f64>> = rises_by_length.into_iter().map(|(.., rise)| rise).collect();
    let (verdict, values) = rises(&lengths).map_or((None, &[][..]), |(verdict, values)| (Some(verdict), values));
    claims.push(gate.on(closed(claim, &scope, verdict, values, reason)));
    Ok(claims)
}

/// CP4 to CP6: other deficits, relative to the late start.
fn deficit_claims(results: &PaperResults, removal: &Removal) -> Result<Vec<Claim>, Error> {
    let harmless = [
        ("CP4", BLUR, OTHERS[0].0, "Upside-down images have no critical period"),
        ("CP4b", ADAM, ADAM_OTHERS[0], "Upside-down images have none with Adam at a constant rate either"),
        ("CP5", BLUR, OTHERS[1].0, "Permuted labels have no critical period"),
        ("CP5b", ADAM, ADAM_OTHERS[1], "Permuted labels have none with Adam at a constant rate either"),
    ];
    let mut claims = vec![];
    for (id, base, name, what) in harmless {
        let gate = Gate::of(results, &[base])?;
        let blur = with_controls(results, base).only(&gate.seeds);
        let other = with_controls(results, name).only(&gate.seeds);
        let at = other.removals().last().copied().unwrap_or(0);
        let own = beyond_late_start(&other, at);
        let blurs = blur.paired(late_arm(&blur, at), blur.removal(at));
        let less: Vec<f64> = other
            .paired(late_arm(&other, at), other.removal(at))
            .into_iter()
            .filter_map(|(seed, own)| Some(own - blurs.get(&seed)? / 4.))
            .collect();
        let blurs: Vec<f64> = blurs.into_values().collect();
        let claim = open(
            id,
            what,
            if base == BLUR { "Fig. 3, left" } else { "Fig. 3, left, and appendix" },
            "C1 minus course within 1 pp of 0, or below a quarter of blur's loss (95 %), which blur must have: a \
             precondition that the protocol lacks; refuted: above both",
            "curve largely flat (no number)",
        );
        // As described, beside it: where the late start fails outright, every deficit looks harmless next to it.
        let mut reason = format!(
            "At N = {at}, beyond a late start, in pp; blur's is {:.1}. Against the control it loses {}, blur {}.",
            mean(&blurs),
            in_words(&other.differences(other.removal(0), other.removal(at))).unwrap_or_default(),
            in_words(&blur.differences(blur.removal(0), blur.removal(at))).unwrap_or_default(),
        );
        if !over_seeds(&blurs).is_some_and(|i| i.above(0.)) {
            reason += " Blur itself loses nothing beyond a late start, so there is nothing to fall short of.";
        }
        let claim = closed(claim, &scope(results, name), no_trace(&own, &less, &blurs), &own, reason);
        claims.push(left_out_of_profile(results, name, gate.on(claim)));
    }

    let noise = with_controls(results, OTHERS[2].0).only(&removal.gate.seeds);
    let at = noise.removals().last().copied().unwrap_or(0);
    let blurred = removal.curve.seeds(removal.curve.removal(at));
    let after = noise.seeds(noise.removal(at));
    let less: Vec<f64> = after.into_iter().filter_map(|(seed, a)| Some(a - blurred.get(&seed)?)).collect();
    let own = beyond_late_start(&noise, at);
    let claim = open(
        "CP6",
        "White noise hurts, but clearly less than blur",
        "Sec. 2",
        "accuracy after noise above that after blur (95 %) and below C1 (95 %); refuted: not above blur's",
        "milder than blur (no number)",
    );
    let lost = in_words(&own).unwrap_or_default();
    let mut reason = format!("Noise minus blur in pp at N = {at}; lost to noise beyond a late start: {lost}.");
    if over_seeds(&own).is_some_and(|own| own.below(NEGLIGIBLE)) {
        reason += " Noise does no more than a late start: no effect of its own, not a mild critical period.";
    }
    claims.push(removal.gate.on(closed(claim, &removal.scope, milder(&less, &own), &less, reason)));
    Ok(claims)
}

/// A claim on an experiment that the profile does not have.
fn left_out_of_profile(results: &PaperResults, experiment: &str, claim: Claim) -> Claim {
    match results.experiment(experiment) {
        None => not_tested(claim, "this profile leaves the experiment out; profile standard has it"),
        Some(_) => claim,
    }
}

/// CP7 and CP8: other learners; the largest N of each against its control, and against a late start.
fn learner_claims(results: &PaperResults) -> Result<Vec<Claim>, Error> {
    let mut claims = vec![];
    for (id, experiment, what, place) in [
        ("CP7a", DIGITS, "A fully connected network on digits loses accuracy as well", "Fig. 2, centre"),
        ("CP7b", RESNET, "ResNet-18 on CIFAR-10 loses accuracy as well (as described)", "Fig. 2, left"),
        ("CP8a", FIXED, "The loss appears at a fixed learning rate (control C2)", "Fig. 2, right"),
        ("CP8b", ADAM, "The loss appears with Adam", "appendix"),
    ] {
        let gate = Gate::of(results, &[experiment])?;
        let curve = with_controls(results, experiment).only(&gate.seeds);
        let (at, clean) = (curve.removals().last().copied().unwrap_or(0), curve.clean().unwrap_or(0));
        let drops = curve.differences(curve.removal(0), curve.removal(at));
        let beyond = beyond_late_start(&curve, at);
        let constant = results
            .finished(experiment)
            .first()
            .is_some_and(|cell| matches!(cell.config.schedule, Schedule::Constant { .. }));
        let late = match in_words(&beyond) {
            Some(words) => format!(" Beyond a late start (C1): {words}."),
            None => " No late start (C1) has finished beside it.".into(),
        };
        let restarted = curve.differences(curve.removal(0), Arm::Restart { removal: at, clean });
        let restarted = match in_words(&restarted) {
            _ if constant => " At a constant rate a restart (C3) is the course itself.".into(),
            Some(words) => format!(" Left after a restart of the rate (C3): {words}."),
            None => String::new(),
        };
        let claim = open(
            id,
            what,
            place,
            "as CP1: drop at the largest N > 0 (95 %) and Spearman(N, accuracy) <= -0.9; refuted: drop <= 0",
            "same trend (no number)",
        );
        let order = order_in_words(&curve);
        let reason = format!("Drop in pp at N = {at}, {clean} clean epochs after it; {order}.{late}{restarted}");
        let scope = scope(results, experiment);
        let claim = closed(claim, &scope, falling(&drops, curve_order(&curve)), &drops, reason);
        claims.push(left_out_of_profile(results, experiment, gate.on(claim)));
        if experiment == RESNET {
            let claim = open(
                "CP7c",
                "The ResNet's loss is more than a fresh one loses that starts at the same decayed rate (control C1)",
                "not in the paper",
                "as CP1b: C1 minus blurred > 0 (95 %); refuted: < 0",
                "",
            );
            let explained = mean(&curve.differences(curve.removal(0), late_arm(&curve, at)));
            let reason = format!("At N = {at}; a late start without any blur loses {explained:.1} pp.{restarted}");
            let claim = closed(claim, &scope, judge(&beyond, 0., 0.), &beyond, reason);
            claims.push(left_out_of_profile(results, experiment, gate.on(claim)));
        }
    }
    Ok(claims)
}

/// CP9: rank correlation of depth and drop, seed by seed.
fn depth_claim(results: &PaperResults) -> Result<Claim, Error> {
    let gate = Gate::of(results, &DEPTHS)?;
    let depths: Vec<BySeed<f64>> = DEPTHS
        .iter()
        .map(|name| {
            let curve = Curve::of(results, name).only(&gate.seeds);
            curve.paired(curve.removal(0), curve.removal(curve.removals().last().copied().unwrap_or(0)))
        })
        .collect();
    let claim = open(
        "CP9",
        "Deeper networks lose more",
        "Fig. 3, right",
        "rank correlation of depth and drop > 0 (95 %); refuted: < 0",
        "larger with depth (no number)",
    );
    let orders = depth_orders(&depths);
    let reason = "Mean over seeds of the rank correlation of three depths and their drops, which takes few values.";
    let claim = closed(claim, &scope(results, DEPTHS[0]), judge(&orders, 0., 0.), &orders, reason);
    Ok(left_out_of_profile(results, DEPTHS[0], gate.on(claim)))
}

/// Rank correlation of depth and drop for each seed that has them all; `depths` in order.
fn depth_orders(depths: &[BySeed<f64>]) -> Vec<f64> {
    let ranks: Vec<f64> = (0..depths.len()).map(|depth| depth as f64).collect();
    let order = |seed: &u64| {
        let drops: Vec<f64> = depths.iter().map(|drops| drops.get(seed).copied()).collect::<Option<_>>()?;
        spearman(&ranks, &drops).ok().map(|s| s.r)
    };
    depths.first().map_or(vec![], |first| first.keys().filter_map(order).collect())
}

/// CP10: centre of mass of the window profile with much weight decay less that without.
fn decay_claim(results: &PaperResults) -> Result<Claim, Error> {
    let gate = Gate::of(results, &[DECAYS[0].0, DECAYS[1].0])?;
    let profile_of = |name: &str| -> BySeed<(f64, f64)> {
        let curve = Curve::of(results, name).only(&gate.seeds);
        let shortest = curve.window_lengths().first().copied();
        let Some((control, list)) = shortest.and_then(|length| curve.windows(length)) else { return BTreeMap::new() };
        let of = |seed: &u64| {
            let drop = |arm: Arm| curve.paired(control, arm).get(seed).copied();
            let drops: Option<Vec<(f64, f64)>> = list.iter().map(|&(o, arm)| Some((o as f64, drop(arm)?))).collect();
            Some((*seed, window_profile(&drops?)?))
        };
        curve.seeds(control).keys().filter_map(of).collect()
    };
    let (none, more) = (profile_of(DECAYS[0].0), profile_of(DECAYS[1].0));
    let of_both = |read: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        none.iter().filter_map(|(seed, n)| Some(read(more.get(seed)?) - read(n))).collect()
    };
    let (later, higher) = (of_both(|p| p.0), of_both(|p| p.1));
    let centre = |profile: &BySeed<(f64, f64)>| mean(&profile.values().map(|p| p.0).collect::<Vec<_>>());
    let reason = format!(
        "Epochs, negative drops counted as 0. Mean onset {:.1} without decay, {:.1} with 0.001, {:.1} with {}; the largest \
         drop is {:+.1} pp with most decay (paper: shallower).",
        centre(&none),
        centre(&profile_of(WINDOWS)),
        centre(&more),
        DECAYS[1].1,
        mean(&higher)
    );
    let claim = open(
        "CP10",
        "More weight decay makes the critical period longer",
        "appendix",
        "mean onset weighted by drop: more decay minus none > 0 (95 %); refuted: < 0",
        "longer and shallower (no number)",
    );
    let claim = closed(claim, &scope(results, DECAYS[0].0), judge(&later, 0., 0.), &later, reason);
    Ok(left_out_of_profile(results, DECAYS[0].0, gate.on(claim)))
}

/// CP11 to CP15.
fn fisher_claims(results: &PaperResults, removal: &Removal) -> Result<Vec<Claim>, Error> {
    Ok(vec![
        phases_claim(results, removal)?,
        tracking_claim(results)?,
        memory_claim(results, removal)?,
        upper_layers_claim(results, removal)?,
        flip_profile_claim(results, removal)?,
    ])
}

/// CP11: rise and fall of the trace in clean training.
fn phases_claim(results: &PaperResults, removal: &Removal) -> Result<Claim, Error> {
    let (mut peaks, mut free, mut ends) = (vec![], vec![], vec![]);
    for cell in results.finished(BLUR).iter().filter(|c| removal.gate.seeds.contains(&c.config.seed)) {
        let readings: Vec<Vec<FisherRow>> = fisher(cell, removal.control)?.into_values().collect();
        let of = |value: fn(&[FisherRow]) -> f64, error: fn(&[FisherRow]) -> Option<f64>| -> Vec<(f64, f64)> {
            readings.iter().map(|layers| (value(layers), error(layers).unwrap_or(f64::NAN))).collect()
        };
        let traces = of(trace, trace_error);
        if let (3.., Some(raw), Some(scaled)) =
            (traces.len(), peak(&traces), peak(&of(scale_free_trace, scale_free_error)))
        {
            peaks.push(raw);
            free.push(scaled);
            ends.push(traces[traces.len() - 1].0 / traces.iter().map(|t| t.0).fold(0., f64::max));
        }
    }
    let claim = open(
        "CP11",
        "In clean training the Fisher trace rises fast, then falls",
        "Fig. 4, left",
        "in 4 of 5 seeds a peak inside, by more than 2 standard errors, also with the scale of weights taken out, and end \
         below half of it; refuted: in 4 of 5 the largest reading at an end",
        "two phases (no number)",
    );
    let (verdict, words) = two_phases(&peaks, &ends, &free);
    let count = |peaks: &[Peak], wanted: Peak| peaks.iter().filter(|&&p| p == wanted).count();
    let reason = format!(
        "End of the trace as a share of its peak; {words}. Of {} seeds {} have a peak inside by more than two standard \
         errors (errors of layers added up: an upper bound), {} with the squared weights taken out; {} have it at an end.",
        peaks.len(),
        count(&peaks, Peak::Inside),
        count(&free, Peak::Inside),
        count(&peaks, Peak::End),
    );
    Ok(removal.gate.on(closed(claim, &removal.scope, Some(verdict), &ends, reason)))
}

/// CP12: rank correlation over onsets of the drop and the trace of the control while the window is open.
fn tracking_claim(results: &PaperResults) -> Result<Claim, Error> {
    let gate = Gate::of(results, &[BLUR, WINDOWS])?;
    let windows = Curve::of(results, WINDOWS).only(&gate.seeds);
    let (mut orders, mut onsets) = (vec![], 0);
    for cell in results.finished(BLUR).iter().filter(|c| gate.seeds.contains(&c.config.seed)) {
        let control = Curve::of(results, BLUR).removal(0);
        let traces: Vec<(usize, f64)> = fisher(cell, control)?.iter().map(|(&e, layers)| (e, trace(layers))).collect();
        let of_length = |length: usize| {
            let (base, list) = windows.windows(length)?;
            let pair = |&(onset, arm): &(usize, Arm)| {
                let drop = *windows.paired(base, arm).get(&cell.config.seed)?;
                let open = traces.iter().filter(|(e, _)| (onset..=onset + length).contains(e));
                let open: Vec<f64> = open.map(|t| t.1).collect();
                (!open.is_empty()).then(|| (drop, mean(&open)))
            };
            let pairs: Vec<(f64, f64)> = list.iter().filter_map(pair).collect();
            Some((pairs.len(), tracking(&pairs)?))
        };
        let lengths: Vec<(usize, f64)> = windows.window_lengths().into_iter().filter_map(of_length).collect();
        if !lengths.is_empty() {
            onsets = lengths[0].0;
            orders.push(mean(&lengths.iter().map(|l| l.1).collect::<Vec<_>>()));
        }
    }
    let claim = open(
        "CP12",
        "Sensitivity to a window of blur follows the Fisher trace of the control",
        "Fig. 4, left",
        "mean rank correlation over onsets >= 0.7; refuted: <= 0.3 (95 % interval beyond)",
        "fit by eye (no number)",
    );
    let lengths = match windows.window_lengths().len() {
        1 => "one length of window".to_string(),
        n => format!("mean of {n} lengths of window"),
    };
    let reason = format!(
        "Over the {onsets} onsets of one seed, {lengths}. Rank correlations of {onsets} points take few values, so seeds \
         can agree exactly and the interval says less than it seems."
    );
    Ok(gate.on(closed(claim, &scope(results, BLUR), judge(&orders, 0.7, 0.3), &orders, reason)))
}

/// Rank correlation of drop and trace over at least three onsets.
fn tracking(pairs: &[(f64, f64)]) -> Option<f64> {
    let (drops, traces): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    (pairs.len() >= 3).then(|| spearman(&drops, &traces).ok()).flatten().map(|s| s.r)
}

/// Layers at the end of a removal course, by seed.
fn last_layers(results: &PaperResults, experiment: &str, arm: Arm) -> Result<BySeed<Vec<FisherRow>>, Error> {
    let mut last = BTreeMap::new();
    for cell in results.finished(experiment) {
        if let Some((_, layers)) = fisher(cell, arm)?.pop_last() {
            last.insert(cell.config.seed, layers);
        }
    }
    Ok(last)
}

/// CP13: trace after blur against the control's.
fn memory_claim(results: &PaperResults, removal: &Removal) -> Result<Claim, Error> {
    let before = last_layers(results, BLUR, removal.control)?;
    let after = last_layers(results, BLUR, removal.curve.removal(removal.latest))?;
    let seeds = removal.gate.seeds.iter();
    let ratio = |seed: &u64| Some((trace(after.get(seed)?) / trace(before.get(seed)?)).ln());
    let ratios: Vec<f64> = seeds.filter_map(ratio).collect();
    let claim = open(
        "CP13",
        "Blur raises the Fisher trace, and it stays higher",
        "Fig. 4, right",
        "log ratio of final traces, largest N to control, > 0 (95 %); refuted: < 0",
        "another reproduction: 6.2 times at N = 100",
    );
    let reason = format!("Natural log; the ratio is {:.2}.", mean(&ratios).exp());
    Ok(removal.gate.on(closed(claim, &removal.scope, judge(&ratios, 0., 0.), &ratios, reason)))
}

/// CP14: shares of layers 6 and 7 and of layers 3 and 4 over N.
fn upper_layers_claim(results: &PaperResults, removal: &Removal) -> Result<Claim, Error> {
    // Names sort as conv1 ... conv8, output.
    let share = |layers: &[FisherRow], chosen: [usize; 2]| {
        let shares = shares(layers);
        chosen.into_iter().map(|i| shares.get(i).copied().unwrap_or(0.)).sum::<f64>()
    };
    let (mut upper, mut middle): (Vec<BySeed<f64>>, Vec<BySeed<f64>>) = (vec![], vec![]);
    for n in removal.curve.removals() {
        let mut layers = last_layers(results, BLUR, removal.curve.removal(n))?;
        layers.retain(|seed, _| removal.gate.seeds.contains(seed));
        upper.push(layers.iter().map(|(&seed, rows)| (seed, share(rows, [5, 6]))).collect());
        middle.push(layers.iter().map(|(&seed, rows)| (seed, share(rows, [2, 3]))).collect());
    }
    let change = |by_n: &[BySeed<f64>]| -> Vec<f64> {
        let (Some(first), Some(last)) = (by_n.first(), by_n.last()) else { return vec![] };
        last.iter().filter_map(|(seed, after)| Some(after - first.get(seed)?)).collect()
    };
    let means = |by_n: &[BySeed<f64>]| -> Vec<f64> {
        by_n.iter().map(|seeds| mean(&seeds.values().copied().collect::<Vec<_>>())).collect()
    };
    let (up, down, upper, middle) = (change(&upper), change(&middle), means(&upper), means(&middle));
    let claim = open(
        "CP14",
        "Blur moves Fisher information from layers 3 and 4 to layers 6 and 7, the more the larger N, and it stays there",
        "Fig. 5, top",
        "after blur minus control: share of layers 6 and 7 > 0 and of 3 and 4 < 0 (95 %), mean shares monotone in N; \
         refuted: one the other way (95 %)",
        "another reproduction: +0.15 at N = 100",
    );
    let listed = |shares: &[f64]| shares.iter().map(|s| format!("{s:.3}")).collect::<Vec<_>>().join(", ");
    let reason = format!(
        "Change of the share of layers 6 and 7 at the end of training; of layers 3 and 4 it is {}. In order of N: {} and \
         {}.",
        over_seeds(&down).map_or(String::new(), |i| format!("{:.3} [{:.3}, {:.3}]", i.estimate, i.low, i.high)),
        listed(&upper),
        listed(&middle)
    );
    Ok(removal.gate.on(closed(claim, &removal.scope, moved_up(&up, &down, &upper, &middle), &up, reason)))
}

/// CP15: distance of flip's shares to the control against blur's.
fn flip_profile_claim(results: &PaperResults, removal: &Removal) -> Result<Claim, Error> {
    let flip = Curve::of(results, OTHERS[0].0);
    let at = flip.removals().last().copied().unwrap_or(0);
    let control = last_layers(results, BLUR, removal.control)?;
    let blurred = last_layers(results, BLUR, removal.curve.removal(removal.latest))?;
    let flipped = last_layers(results, OTHERS[0].0, flip.removal(at))?;
    let distance = |layers: &BySeed<Vec<FisherRow>>, seed: &u64| {
        total_variation(&shares(layers.get(seed)?), &shares(control.get(seed)?)).ok()
    };
    let pair = |seed: &u64| Some((distance(&flipped, seed)?, distance(&blurred, seed)?));
    let pairs: Vec<(f64, f64)> = removal.gate.seeds.iter().filter_map(pair).collect();
    let third: Vec<f64> = pairs.iter().map(|(flip, blur)| flip - blur / 3.).collect();
    let whole: Vec<f64> = pairs.iter().map(|(flip, blur)| flip - blur).collect();
    let claim = open(
        "CP15",
        "Upside-down images leave the layers' shares as in the control",
        "Fig. 5, bottom",
        "distance to the control below a third of blur's (95 %); refuted: at least blur's",
        "unchanged (no number)",
    );
    let reason = format!(
        "Total variation distance of flip, less a third of blur's; blur's is {:.3}. Sampled labels add to both.",
        mean(&pairs.iter().map(|p| p.1).collect::<Vec<_>>())
    );
    Ok(removal.gate.on(closed(claim, &removal.scope, kept_profile(&third, &whole), &third, reason)))
}

/// CP16 and CP17: what more training cures, and whether blur is worse than nothing.
fn cure_claims(removal: &Removal) -> Vec<Claim> {
    let Removal { gate, scope, config, curve, clean, latest, control, drops, beyond, falls } = removal;
    let longest = curve.0.keys().filter_map(|arm| match arm {
        Arm::Removal { removal, clean: own } if removal == latest && own > clean => Some(*own),
        _ => None,
    });
    let longest = longest.max().unwrap_or(*clean);
    let longer = curve.differences(*control, Arm::Removal { removal: *latest, clean: longest });
    let restarted = curve.differences(*control, Arm::Restart { removal: *latest, clean: *clean });
    let rate = |epoch: usize| config.as_ref().map_or(f64::NAN, |c| c.schedule.rate(epoch as f64));
    let claim = open(
        "CP16",
        "Neither longer clean training (control C4) nor a restart of the learning rate (control C3) cures the deficit",
        "Sec. 5",
        "CP1 supported, and control minus course > 1 pp (95 %) after both; refuted: < 1 pp after one of them",
        "a later paper reports that a restart nearly closes the gap",
    );
    let reason = format!(
        "The smaller gap that is left in pp, of {:.1} pp before. After {longest} clean epochs: {}, but those past {clean} \
         run at rates from {:.0e} down to {:.0e}, at which hardly anything moves. After a restart: {}.",
        mean(drops),
        in_words(&longer).unwrap_or_default(),
        rate(latest + clean),
        rate((latest + longest).saturating_sub(1)),
        in_words(&restarted).unwrap_or_default(),
    );
    let verdict = uncured(&longer, &restarted, *falls);
    let smaller = if mean(&restarted) < mean(&longer) { &restarted } else { &longer };
    let cure = gate.on(closed(claim, scope, verdict, smaller, reason));

    let claim = open(
        "CP17",
        "Training first on a similar task (blurred images) can be worse than not doing so",
        "Sec. 5",
        "accuracy at N = 0 minus accuracy at the largest N > 0 (95 %); refuted: < 0",
        "81.3 against 93.5 %",
    );
    let accuracy = |arm: Arm| mean(&curve.seeds(arm).into_values().collect::<Vec<_>>());
    let reason = format!(
        "{:.1} % after blur until epoch {latest}, {:.1} % without. The same data as CP1; beyond a fresh network at the \
         rates that are left, of which a sceptic would ask (CP1b), blur loses {}.",
        accuracy(curve.removal(*latest)),
        accuracy(*control),
        in_words(beyond).unwrap_or_default(),
    );
    vec![cure, gate.on(closed(claim, scope, judge(drops, 0., 0.), drops, reason))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_three_seeds_and_the_whole_interval_on_one_side() {
        assert_eq!(judge(&[2., 2.1, 1.9], 0., 0.), Some(Verdict::Supported));
        assert_eq!(judge(&[-2., -2.1, -1.9], 0., 0.), Some(Verdict::Refuted));
        // Mean 2, but three seeds that spread: the interval reaches below zero.
        assert_eq!(judge(&[-1., 2., 5.], 0., 0.), Some(Verdict::Inconclusive));
        // Between the bars of support and refutation.
        assert_eq!(judge(&[0.5, 0.51, 0.49], 0.7, 0.3), Some(Verdict::Inconclusive));
        // Two seeds that agree decide nothing.
        assert_eq!(judge(&[2., 2.], 0., 0.), None);
        let claim = || open("CP0", "", "", "", "");
        assert!(matches!(closed(claim(), "", Some(Verdict::Supported), &[2., 2.], "").verdict, Verdict::NotTested(_)));
        assert_eq!(closed(claim(), "", Some(Verdict::Supported), &[2.; 3], "").verdict, Verdict::Supported);
    }

    /// Plateaus of 10 epochs: the last that passes is epoch 8.
    #[test]
    fn a_seed_without_a_plateau_is_left_out_and_counted() {
        let gate = |experiments: &[&[usize]]| {
            let seeds =
                |flat: &&[usize]| flat.iter().enumerate().map(|(seed, &flat)| (seed as u64, (flat, 10))).collect();
            Gate::from_plateaus(&experiments.iter().map(|flat| ("blur".to_string(), seeds(flat))).collect::<Vec<_>>())
        };
        let open = gate(&[&[8, 5, 3]]);
        assert_eq!((open.seeds.len(), &open.missed, open.left_out.as_str()), (3, &None, ""));
        let one_out = gate(&[&[8, 9, 3, 4]]);
        assert_eq!((one_out.seeds, one_out.missed), (BTreeSet::from([0, 2, 3]), None));
        assert!(one_out.left_out.contains("1 of 4 seeds") && one_out.left_out.contains("epoch 9 of 10"));
        // Two of three are too few: all are shown, nothing is decided.
        let missed = gate(&[&[8, 9, 3]]);
        assert_eq!(missed.seeds.len(), 3);
        assert!(missed.missed.as_ref().is_some_and(|why| why.contains("2 of 3 seeds pass")), "{missed:?}");
        let claim = closed(open_claim(), "", Some(Verdict::Supported), &[2.; 3], "why");
        assert!(matches!(missed.on(claim.clone()).verdict, Verdict::NotTested(_)));
        assert_eq!(gate(&[&[8, 9, 3, 4]]).on(claim.clone()).verdict, Verdict::Supported);
        assert!(gate(&[&[8, 9, 3, 4]]).on(claim).reason.starts_with("why Left out: 1 of 4"));
        // A seed must pass in every experiment.
        assert_eq!(gate(&[&[8, 9, 3, 4], &[9, 1, 1, 1]]).missed.map(|why| why.contains("2 of 4")), Some(true));
        // Nothing has finished: nothing is missed.
        assert_eq!(gate(&[&[]]).missed, None);
    }

    fn open_claim() -> Claim {
        open("CP0", "", "", "", "")
    }

    #[test]
    fn a_curve_must_fall_in_order() {
        assert_eq!(falling(&[5., 5.2, 4.8], -1.), Some(Verdict::Supported));
        assert_eq!(falling(&[5., 5.2, 4.8], -0.5), Some(Verdict::Inconclusive));
        assert_eq!(falling(&[-5., -5.2, -4.8], 1.), Some(Verdict::Refuted));
    }

    #[test]
    fn of_several_lengths_of_window_the_worst_decides() {
        let (up, down, open) = (vec![1., 1.1, 0.9], vec![-2., -2.1, -1.9], vec![-3., 0., 3.]);
        assert_eq!(rises(&[up.clone(), up.clone()]).unwrap().0, Verdict::Supported);
        assert_eq!(rises(&[up.clone(), open.clone()]).unwrap().0, Verdict::Inconclusive);
        assert_eq!(rises(&[up.clone(), down.clone(), open]).unwrap(), (Verdict::Refuted, &down[..]));
        assert_eq!(rises(&[up, vec![]]), None);
    }

    #[test]
    fn a_deficit_without_trace_needs_a_bound_on_both_sides_or_a_blur_that_hurts() {
        let hurt = [8., 8.1, 7.9];
        // Within 1 pp.
        assert_eq!(no_trace(&[0.1, 0., -0.1], &[-1.9, -2., -2.1], &hurt), Some(Verdict::Supported));
        // 1.5 pp, of blur's 8.
        assert_eq!(no_trace(&[1.5, 1.4, 1.6], &[-0.5, -0.6, -0.4], &hurt), Some(Verdict::Supported));
        // As much as blur.
        assert_eq!(no_trace(&[8., 8.1, 7.9], &[6., 6.1, 5.9], &hurt), Some(Verdict::Refuted));
        // Far better than a late start, as blur is: no contrast.
        assert_eq!(
            no_trace(&[-13., -13.1, -12.9], &[-9., -9.1, -8.9], &[-14., -14.1, -13.9]),
            Some(Verdict::Inconclusive)
        );
    }

    #[test]
    fn noise_is_milder_only_if_it_hurts_at_all() {
        let milder_than_blur = [3., 3.1, 2.9];
        assert_eq!(milder(&milder_than_blur, &[2., 2.1, 1.9]), Some(Verdict::Supported));
        assert_eq!(milder(&milder_than_blur, &[-1., 0., 1.]), Some(Verdict::Inconclusive));
        assert_eq!(milder(&[-3., -3.1, -2.9], &[2., 2.1, 1.9]), Some(Verdict::Refuted));
    }

    /// Three seeds at three depths; a seed that lacks one has no order.
    #[test]
    fn depths_are_ranked_seed_by_seed() {
        let at = |drops: [f64; 3]| -> BySeed<f64> { (0..3).zip(drops).collect() };
        let mut depths = [at([1., 1., 3.]), at([2., 3., 2.]), at([3., 2., 1.])];
        for (order, expected) in depth_orders(&depths).into_iter().zip([1., 0.5, -1.]) {
            assert!((order - expected).abs() < 1e-9, "{order} not {expected}");
        }
        depths[2].remove(&0);
        assert_eq!(depth_orders(&depths).len(), 2);
        assert_eq!(judge(&depth_orders(&[at([1.; 3]), at([2.; 3]), at([3.; 3])]), 0., 0.), Some(Verdict::Supported));
        assert_eq!(judge(&depth_orders(&[at([3.; 3]), at([2.; 3]), at([1.; 3])]), 0., 0.), Some(Verdict::Refuted));
    }

    /// By hand: drops of 2 at onset 0 and 4 at onset 6 have their centre at 4; gains count as nothing.
    #[test]
    fn a_window_profile_has_a_centre_and_a_height() {
        assert_eq!(window_profile(&[(0., 2.), (6., 4.), (9., -5.)]), Some((4., 4.)));
        assert_eq!(window_profile(&[(0., -1.), (6., 0.)]), None);
    }

    #[test]
    fn a_peak_must_stand_out_of_its_error() {
        assert_eq!(peak(&[(1., 0.1), (3., 0.1), (2., 0.1)]), Some(Peak::Inside));
        // The fall of 1 is less than twice sqrt(0.5² + 0.1²).
        assert_eq!(peak(&[(1., 0.1), (3., 0.5), (2., 0.1)]), Some(Peak::Unclear));
        assert_eq!(peak(&[(1., 0.1), (3., f64::NAN), (2., 0.1)]), Some(Peak::Unclear));
        assert_eq!(peak(&[(1., 0.1), (2., 0.1), (3., 0.1)]), Some(Peak::End));
        assert_eq!(peak(&[]), None);
    }

    #[test]
    fn two_phases_need_a_peak_inside_that_the_weights_do_not_explain() {
        use Peak::{End, Inside, Unclear};
        let verdict = |peaks: &[Peak], end: f64, free: &[Peak]| two_phases(peaks, &[end; 3], free).0;
        assert_eq!(verdict(&[Inside; 3], 0.3, &[Inside; 3]), Verdict::Supported);
        assert_eq!(verdict(&[Inside; 3], 0.3, &[Unclear; 3]), Verdict::Inconclusive);
        assert!(two_phases(&[Inside; 3], &[0.3; 3], &[End; 3]).1.starts_with("partly"));
        assert_eq!(verdict(&[Inside; 3], 0.8, &[Inside; 3]), Verdict::Inconclusive);
        assert_eq!(verdict(&[Unclear; 3], 0.3, &[Unclear; 3]), Verdict::Inconclusive);
        assert_eq!(verdict(&[Inside, Inside, End], 0.3, &[Inside; 3]), Verdict::Inconclusive);
        assert_eq!(verdict(&[End; 3], 1., &[Inside; 3]), Verdict::Refuted);
    }

    #[test]
    fn sensitivity_follows_the_trace_over_three_onsets_or_more() {
        assert!(tracking(&[(1., 10.), (2., 20.), (3., 40.)]).unwrap() > 0.999);
        assert!(tracking(&[(1., 40.), (2., 20.), (3., 10.)]).unwrap() < -0.999);
        assert_eq!(tracking(&[(1., 10.), (2., 20.)]), None);
        // The bars: clearly above 0.7, clearly below 0.3.
        assert_eq!(judge(&[0.9, 0.95, 0.92], 0.7, 0.3), Some(Verdict::Supported));
        assert_eq!(judge(&[-0.9, -0.9, -0.9], 0.7, 0.3), Some(Verdict::Refuted));
    }

    #[test]
    fn information_moves_up_only_if_it_leaves_the_middle_and_in_order() {
        let (up, down) = ([0.2, 0.21, 0.19], [-0.1, -0.11, -0.09]);
        let (rising, falling) = ([0.1, 0.2, 0.3], [0.4, 0.35, 0.3]);
        assert_eq!(moved_up(&up, &down, &rising, &falling), Some(Verdict::Supported));
        // Out of order in N.
        assert_eq!(moved_up(&up, &down, &[0.1, 0.3, 0.2], &falling), Some(Verdict::Inconclusive));
        assert_eq!(moved_up(&up, &down, &rising, &[0.4, 0.3, 0.35]), Some(Verdict::Inconclusive));
        // The middle keeps its share, or gains.
        assert_eq!(moved_up(&up, &[0.01, 0., -0.01], &rising, &falling), Some(Verdict::Inconclusive));
        assert_eq!(moved_up(&up, &up, &rising, &rising), Some(Verdict::Refuted));
        assert_eq!(moved_up(&down, &down, &falling, &falling), Some(Verdict::Refuted));
    }

    #[test]
    fn a_profile_is_kept_if_it_is_clearly_nearer_than_a_third() {
        let (below, open, above) = ([-0.1, -0.11, -0.09], [-0.1, 0., 0.1], [0.1, 0.11, 0.09]);
        assert_eq!(kept_profile(&below, &below), Some(Verdict::Supported));
        assert_eq!(kept_profile(&above, &below), Some(Verdict::Inconclusive));
        assert_eq!(kept_profile(&open, &below), Some(Verdict::Inconclusive));
        assert_eq!(kept_profile(&above, &above), Some(Verdict::Refuted));
    }

    #[test]
    fn a_deficit_is_incurable_only_if_it_survives_both_cures() {
        let (stays, gone, open) = ([5., 5.1, 4.9], [0., 0.1, -0.1], [-2., 1.5, 5.]);
        assert_eq!(uncured(&stays, &stays, true), Some(Verdict::Supported));
        assert_eq!(uncured(&stays, &gone, true), Some(Verdict::Refuted));
        assert_eq!(uncured(&gone, &stays, true), Some(Verdict::Refuted));
        assert_eq!(uncured(&stays, &open, true), Some(Verdict::Inconclusive));
        assert_eq!(uncured(&stays, &stays, false), Some(Verdict::Inconclusive));
        assert_eq!(uncured(&stays, &[], true), None);
    }

    #[test]
    fn the_papers_points_are_there() {
        let reported = reported().unwrap();
        assert_eq!(reported.item("Fig1A solid").points().len(), 9);
        assert_eq!(reported.item("Fig1C solid").points().len(), 8);
    }
}
