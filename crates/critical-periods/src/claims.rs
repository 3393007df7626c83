//! A verdict on each claim. Every rule stands here in code and was fixed before the runs it judges.
//!
//! The paper's removal curve mixes two losses: what the deficit does, and what a late start at a decayed learning rate does
//! to any network. So each claim on removal is judged as described and then against the control that starts late (C1).

use std::collections::BTreeMap;

use retrial_core::results::{self, Claim, Error, Reported, Verdict, decided, not_tested};
use retrial_core::stats::{Interval, mean_t_interval, spearman, total_variation};

use crate::config::Arm;
use crate::experiments::{ADAM, BLUR, DECAYS, DEPTHS, DIGITS, FIXED, LATE, OTHERS, RESNET, WINDOWS};
use crate::readings::{Curve, PaperResults, fisher, learning_curve, plateau, scale_free_trace, shares, trace};

/// A drop below this, in percentage points, is no critical period.
const NEGLIGIBLE: f64 = 1.;

/// The control must reach its plateau by this share of its epochs; later, it is still learning where it is judged.
const PLATEAU: f64 = 0.8;

/// Why nothing is judged by an experiment whose control has no plateau, if so.
fn no_plateau(results: &PaperResults, experiment: &str) -> Result<Option<String>, Error> {
    let learning = learning_curve(results, experiment)?;
    let (Some(flat), Some(&(epochs, _))) = (plateau(&learning), learning.last()) else { return Ok(None) };
    let why = || format!("gate missed: the control of `{experiment}` is flat from epoch {flat} of {epochs} only.");
    Ok((flat as f64 > PLATEAU * epochs as f64).then(why))
}

/// The experiments whose controls must have a plateau before a claim is judged.
fn gates(id: &str) -> &'static [&'static str] {
    match id {
        "CP3" | "CP3b" => &[WINDOWS],
        "CP7a" => &[DIGITS],
        "CP7b" => &[RESNET],
        "CP8a" => &[FIXED],
        "CP8b" => &[ADAM],
        "CP9" => &DEPTHS,
        "CP10" => &[DECAYS[0].0, DECAYS[1].0],
        "CP12" => &[BLUR, WINDOWS],
        "CP18" => &[],
        _ => &[BLUR],
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
    not_tested(claim, "its cells have not finished, or fewer than two seeds have")
}

/// What a rule found.
struct Found {
    verdict: Verdict,
    interval: Interval,
    seeds: usize,
    reason: String,
}

fn found(verdict: Verdict, values: &[f64], reason: impl Into<String>) -> Option<Found> {
    let interval = mean_t_interval(values, 0.95).ok()?;
    Some(Found { verdict, interval, seeds: values.len(), reason: reason.into() })
}

fn closed(claim: Claim, scope: &str, found: Option<Found>) -> Claim {
    match found {
        Some(f) => decided(claim, f.verdict, f.interval, f.seeds, scope, f.reason),
        None => claim,
    }
}

/// Supported if the interval lies above `least`, refuted if it lies below `most`.
fn judge(values: &[f64], least: f64, most: f64) -> Option<Verdict> {
    let interval = mean_t_interval(values, 0.95).ok()?;
    Some(match (interval.above(least), interval.below(most)) {
        (true, _) => Verdict::Supported,
        (_, true) => Verdict::Refuted,
        _ => Verdict::Inconclusive,
    })
}

/// Spearman correlation of the removal epoch and mean final accuracy.
fn curve_order(curve: &Curve) -> f64 {
    let removals = curve.removals();
    let means: Option<Vec<f64>> = removals.iter().map(|&n| Some(curve.accuracy(curve.removal(n))?.estimate)).collect();
    let xs: Vec<f64> = removals.iter().map(|&n| n as f64).collect();
    match means.as_deref() {
        // Two points have an order too.
        Some([first, last]) => (last - first).signum(),
        Some(means) => spearman(&xs, means).map_or(f64::NAN, |s| s.r),
        None => f64::NAN,
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
    let [own, less, blur] = [own, less_quarter, blur].map(|values| mean_t_interval(values, 0.95).ok());
    let (own, less, blur) = (own?, less?, blur?);
    let none = own.above(-NEGLIGIBLE) && own.below(NEGLIGIBLE);
    Some(if none || (blur.above(0.) && less.below(0.)) {
        Verdict::Supported
    } else if own.above(NEGLIGIBLE) && less.above(0.) {
        Verdict::Refuted
    } else {
        Verdict::Inconclusive
    })
}

/// The rule of CP11, by seed: whether the trace peaks inside (1) or not (0), its end as a share of its peak, and whether it
/// also peaks inside when the scale of the weights is taken out.
fn two_phases(inner: &[f64], ends: &[f64], inner_free: &[f64]) -> (Verdict, &'static str) {
    match (mean(inner), mean(ends), mean(inner_free)) {
        (inner, _, _) if inner <= 0.2 => (Verdict::Refuted, "it only rises or only falls"),
        (inner, end, free) if inner >= 0.8 && end < 0.5 && free >= 0.8 => (Verdict::Supported, "it rises, then falls"),
        (inner, end, _) if inner >= 0.8 && end < 0.5 => {
            (Verdict::Inconclusive, "partly: explained by the norm of the weights")
        }
        (inner, ..) if inner >= 0.8 => (Verdict::Inconclusive, "it rises, then falls, but by less than half"),
        _ => (Verdict::Inconclusive, "seeds differ"),
    }
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

/// A verdict on each of the paper's claims.
///
/// # Errors
/// If a table of a cell cannot be read.
pub fn claims(results: &PaperResults) -> Result<Vec<Claim>, Error> {
    let late = || Curve::of(results, LATE);
    let blur = Curve::of(results, BLUR).and(late());
    let windows = Curve::of(results, WINDOWS);
    let latest = blur.removals().last().copied().unwrap_or(0);
    let control = blur.removal(0);
    let learning = learning_curve(results, BLUR)?;
    let config = results.finished(BLUR).first().map(|cell| cell.config.clone());
    let scope = config.as_ref().map_or(String::new(), |c| {
        let size = format!("{} images of {} x {} pixels", c.task.train, c.task.side, c.task.side);
        format!("{}, all-convolutional, {size}, profile {}", c.task.dataset, results.profile.name())
    });
    let mut claims = vec![];

    // CP1: as described, then beyond a late start.
    let (removals, drops) = (blur.removals(), blur.differences(control, blur.removal(latest)));
    let order = curve_order(&blur);
    let claim = open(
        "CP1",
        "Blur during the first N epochs lowers final accuracy, the more the larger N (as described)",
        "Fig. 1A",
        "drop at the largest N > 0 (95 %) and Spearman(N, accuracy) <= -0.9; refuted: drop <= 0",
        "12.2 pp at N = 150 of 160",
    );
    let verdict = falling(&drops, order);
    let falls = verdict == Some(Verdict::Supported);
    let reason = format!("Drop at N = {latest} of {} epochs, in pp; Spearman {order:.2}.", blur.clean().unwrap_or(0));
    claims.push(closed(claim, &scope, verdict.and_then(|v| found(v, &drops, reason))));

    let beyond = beyond_late_start(&blur, latest);
    let claim = open(
        "CP1b",
        "The loss is more than a fresh network loses that starts at the same decayed rate (control C1)",
        "not in the paper",
        "C1 minus blurred > 0 (95 %); refuted: < 0",
        "",
    );
    let reason = format!(
        "Of the drop of {:.1} pp at N = {latest}, a late start without any blur explains {:.1} pp.",
        mean(&drops),
        mean(&blur.differences(control, late_arm(&blur, latest))),
    );
    claims.push(closed(claim, &scope, judge(&beyond, 0., 0.).and_then(|v| found(v, &beyond, reason))));

    // CP2: steepest loss before the control's plateau.
    let claim = open(
        "CP2",
        "The steepest loss over N falls into the phase in which the control still learns fast",
        "Fig. 1A, dashed",
        "CP1 supported, and middle of the steepest step before the control's plateau (95 % over seeds); refuted: after",
        "steepest between 40 and 100; flat from 100 of 160",
    );
    if let Some(flat) = plateau(&learning) {
        let seeds: Vec<u64> = blur.seeds(control).into_keys().collect();
        let steepest = |seed: &u64| {
            let at = |n: usize| blur.seeds(blur.removal(n)).get(seed).copied();
            let slopes = removals.windows(2).filter_map(|w| Some((w, (at(w[0])? - at(w[1])?) / (w[1] - w[0]) as f64)));
            let (w, _) = slopes.max_by(|a, b| a.1.total_cmp(&b.1))?;
            Some(flat as f64 - (w[0] + w[1]) as f64 / 2.)
        };
        let ahead: Vec<f64> = seeds.iter().filter_map(steepest).collect();
        let reason = format!("Epochs from the steepest step to the plateau at epoch {flat}.");
        // Where nothing falls, the steepest step is noise.
        let verdict = judge(&ahead, 0., 0.).map(|v| if falls { v } else { Verdict::Inconclusive });
        claims.push(closed(claim, &scope, verdict.and_then(|v| found(v, &ahead, reason))));
    } else {
        claims.push(claim);
    }

    // CP3: windows.
    let claim = open(
        "CP3",
        "A window of blur hurts most early in training and little later",
        "Fig. 1C",
        "mean drop at the first two onsets minus drop at the last > 0 (95 %); refuted: < 0",
        "3.6 and 4.8 pp at onsets 0 and 20, 0.5 pp at 140",
    );
    let claim_b = open(
        "CP3b",
        "It does not hurt most at the very start: sensitivity rises first",
        "Fig. 1C",
        "drop at the second onset minus drop at onset 0 > 0 (95 %); refuted: < 0",
        "4.8 - 3.6 = 1.2 pp",
    );
    let (mut contrast, mut rise, mut profile) = (vec![], vec![], vec![]);
    if let Some((control, list)) = windows.windows(false)
        && list.len() >= 3
    {
        for &seed in windows.seeds(control).keys() {
            let drop = |arm: Arm| Some(windows.seeds(control).get(&seed)? - windows.seeds(arm).get(&seed)?);
            if let (Some(a), Some(b), Some(z)) = (drop(list[0].1), drop(list[1].1), drop(list[list.len() - 1].1)) {
                contrast.push((a + b) / 2. - z);
                rise.push(b - a);
            }
        }
        let drop = |&(onset, arm): &(usize, Arm)| Some((onset, windows.difference(control, arm)?.estimate));
        profile = list.iter().filter_map(drop).collect();
    }
    let shown = profile.iter().map(|(onset, drop)| format!("{drop:.1} at {onset}")).collect::<Vec<_>>().join(", ");
    let reason = format!("Drops in pp by onset: {shown}.");
    claims.push(closed(claim, &scope, judge(&contrast, 0., 0.).and_then(|v| found(v, &contrast, reason.clone()))));
    claims.push(closed(claim_b, &scope, judge(&rise, 0., 0.).and_then(|v| found(v, &rise, reason))));

    // CP4-CP6: other deficits, relative to the late start.
    for (id, (name, _), what) in [
        ("CP4", OTHERS[0], "Upside-down images have no critical period"),
        ("CP5", OTHERS[1], "Permuted labels have no critical period"),
    ] {
        let other = Curve::of(results, name).and(late());
        let at = other.removals().last().copied().unwrap_or(0);
        let values = beyond_late_start(&other, at);
        let blurs: BTreeMap<u64, f64> = blur.paired(late_arm(&blur, at), blur.removal(at));
        let less: Vec<f64> = other
            .paired(late_arm(&other, at), other.removal(at))
            .into_iter()
            .filter_map(|(seed, own)| Some(own - blurs.get(&seed)? / 4.))
            .collect();
        let blurs: Vec<f64> = blurs.into_values().collect();
        let own = mean(&blurs);
        let verdict = no_trace(&values, &less, &blurs);
        let contrast = match mean_t_interval(&blurs, 0.95) {
            Ok(i) if i.above(0.) => "",
            _ => " Blur itself loses nothing beyond a late start, so there is nothing to fall short of.",
        };
        let claim = open(
            id,
            what,
            "Fig. 3, left",
            "C1 minus course within 1 pp of 0, or below a quarter of blur's loss if blur has one (95 %); refuted: above both",
            "curve largely flat (no number)",
        );
        // As described, beside it: where the late start fails outright, every deficit looks harmless next to it.
        let described: Vec<f64> = {
            let after = other.seeds(other.removal(at));
            blur.seeds(control).into_iter().filter_map(|(seed, a)| Some(a - after.get(&seed)?)).collect()
        };
        let reason = format!(
            "At N = {at}, beyond a late start, in pp; blur's is {own:.1}. Against the control it loses {:.1} pp, blur {:.1} pp.{contrast}",
            mean(&described),
            mean(&drops)
        );
        claims.push(closed(claim, &scope, verdict.and_then(|v| found(v, &values, reason))));
    }
    let noise = Curve::of(results, OTHERS[2].0).and(late());
    let at = noise.removals().last().copied().unwrap_or(0);
    let both = Curve::of(results, BLUR);
    let less: Vec<f64> = {
        let blurred = both.seeds(both.removal(at));
        noise.seeds(noise.removal(at)).into_iter().filter_map(|(s, a)| Some(a - blurred.get(&s)?)).collect()
    };
    let own = beyond_late_start(&noise, at);
    let claim = open(
        "CP6",
        "White noise hurts, but clearly less than blur",
        "Sec. 2",
        "accuracy after noise above that after blur (95 %) and below C1 (95 %); refuted: not above blur's",
        "milder than blur (no number)",
    );
    let verdict = judge(&less, 0., 0.).map(|verdict| match (verdict, mean_t_interval(&own, 0.95)) {
        (Verdict::Supported, Ok(own)) if own.above(0.) => Verdict::Supported,
        (Verdict::Supported, _) => Verdict::Inconclusive,
        (other, _) => other,
    });
    let mut reason =
        format!("Noise minus blur in pp at N = {at}; noise against a late start: {:+.1} pp lost.", mean(&own));
    if mean_t_interval(&own, 0.95).is_ok_and(|own| own.below(NEGLIGIBLE)) {
        reason += " Noise does no more than a late start: no effect of its own, not a mild critical period.";
    }
    claims.push(closed(claim, &scope, verdict.and_then(|v| found(v, &less, reason))));

    // CP7 and CP8: other learners; the largest N of each against its control.
    for (id, experiment, what, place) in [
        ("CP7a", DIGITS, "A fully connected network on digits loses accuracy as well", "Fig. 2, centre"),
        ("CP7b", RESNET, "ResNet-18 on CIFAR-10 loses accuracy as well", "Fig. 2, left"),
        ("CP8a", FIXED, "The loss appears at a fixed learning rate (control C2)", "Fig. 2, right"),
        ("CP8b", ADAM, "The loss appears with Adam", "appendix"),
    ] {
        let curve = Curve::of(results, experiment);
        let at = curve.removals().last().copied().unwrap_or(0);
        let drops = curve.differences(curve.removal(0), curve.removal(at));
        let claim = open(
            id,
            what,
            place,
            "as CP1, and beyond a late start where the rate falls: drop at the largest N > 0 (95 %); refuted: < 0",
            "same trend (no number)",
        );
        let own_scope = results.finished(experiment).first().map_or(String::new(), |c| {
            format!("{}, {} images, profile {}", c.config.task.dataset, c.config.task.train, results.profile.name())
        });
        let order = curve_order(&curve);
        let clean = curve.clean().unwrap_or(0);
        let mut reason = format!("Drop in pp at N = {at}, {clean} clean epochs after it; Spearman {order:.2}.");
        let mut verdict = falling(&drops, order);
        if let Ok(beyond) = mean_t_interval(&beyond_late_start(&curve, at), 0.95) {
            reason +=
                &format!(" Beyond a late start: {:.1} [{:.1}, {:.1}] pp.", beyond.estimate, beyond.low, beyond.high);
            // A late start that loses as much is the explanation.
            if verdict == Some(Verdict::Supported) && !beyond.above(0.) {
                verdict = Some(Verdict::Inconclusive);
                reason += " As described it holds; a late start alone explains it.";
            }
        }
        let mut claim = closed(claim, &own_scope, verdict.and_then(|v| found(v, &drops, reason)));
        if results.experiment(experiment).is_none() {
            claim.verdict =
                Verdict::NotTested("this profile leaves the experiment out; profile standard has it".into());
        }
        claims.push(claim);
    }

    // CP9: depth.
    let mut orders = vec![];
    let depths: Vec<Curve> = DEPTHS.iter().map(|name| Curve::of(results, name)).collect();
    if depths.iter().all(|d| !d.0.is_empty()) {
        let drop = |d: &Curve, seed: u64| {
            let at = d.removals().last().copied()?;
            Some(d.seeds(d.removal(0)).get(&seed)? - d.seeds(d.removal(at)).get(&seed)?)
        };
        for seed in depths[0].seeds(depths[0].removal(0)).into_keys() {
            let drops: Option<Vec<f64>> = depths.iter().map(|d| drop(d, seed)).collect();
            if let Some(r) = drops.and_then(|d| spearman(&[1., 2., 3.], &d).ok()) {
                orders.push(r.r);
            }
        }
    }
    let mut claim = closed(
        open(
            "CP9",
            "Deeper networks lose more",
            "Fig. 3, right",
            "rank correlation of depth and drop > 0 (95 %); refuted: < 0",
            "larger with depth (no number)",
        ),
        &scope,
        judge(&orders, 0., 0.).and_then(|v| found(v, &orders, "Mean rank correlation over seeds, three depths.")),
    );
    if results.experiment(DEPTHS[0]).is_none() {
        claim.verdict = Verdict::NotTested("three depths for several seeds need profile standard".into());
    }
    claims.push(claim);

    // CP10: weight decay: center of mass of the window profile without decay before that with much, and its largest drop.
    let profile_of = |name: &str| -> BTreeMap<u64, (f64, f64)> {
        let curve = Curve::of(results, name);
        let Some((control, list)) = curve.windows(false) else { return BTreeMap::new() };
        let of = |seed: u64| {
            let drop = |arm: Arm| Some((curve.seeds(control).get(&seed)? - curve.seeds(arm).get(&seed)?).max(0.));
            let drops: Vec<(f64, f64)> =
                list.iter().map(|&(o, arm)| Some((o as f64, drop(arm)?))).collect::<Option<_>>()?;
            let total: f64 = drops.iter().map(|d| d.1).sum();
            let center = drops.iter().map(|(o, d)| o * d).sum::<f64>() / total;
            (total > 0.).then_some((seed, (center, drops.iter().map(|d| d.1).fold(0., f64::max))))
        };
        curve.seeds(control).into_keys().filter_map(of).collect()
    };
    let (none, more) = (profile_of(DECAYS[0].0), profile_of(DECAYS[1].0));
    let of_both = |read: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        none.iter().filter_map(|(seed, n)| Some(read(more.get(seed)?) - read(n))).collect()
    };
    let (later, higher) = (of_both(|p| p.0), of_both(|p| p.1));
    let between: Vec<f64> = profile_of(WINDOWS).values().map(|p| p.0).collect();
    let reason = format!(
        "Epochs, negative drops counted as 0. Mean onset {:.1} without decay, {:.1} with 0.001, {:.1} with {}; the largest drop \
         is {:+.1} pp with most decay (paper: shallower).",
        mean(&none.values().map(|p| p.0).collect::<Vec<_>>()),
        mean(&between),
        mean(&more.values().map(|p| p.0).collect::<Vec<_>>()),
        DECAYS[1].1,
        mean(&higher)
    );
    let mut claim = closed(
        open(
            "CP10",
            "More weight decay makes the critical period longer",
            "appendix",
            "mean onset weighted by drop: more decay minus none > 0 (95 %); refuted: < 0",
            "longer and shallower (no number)",
        ),
        &scope,
        judge(&later, 0., 0.).and_then(|v| found(v, &later, reason)),
    );
    if results.experiment(DECAYS[0].0).is_none() {
        claim.verdict = Verdict::NotTested("windows at three weight decays need profile standard".into());
    }
    claims.push(claim);

    claims.extend(fisher_claims(results, &blur, &windows, latest, &scope)?);

    // CP16: extra training, restarted rate.
    let clean = blur.clean().unwrap_or(0);
    let longest = blur
        .0
        .keys()
        .filter_map(|arm| match arm {
            Arm::Removal { removal, clean: own } if *removal == latest && *own > clean => Some(*arm),
            _ => None,
        })
        .max();
    let restart = Arm::Restart { removal: latest, clean };
    for (id, arm, what, place) in [
        ("CP16a", longest, "Longer clean training does not cure the deficit (control C4)", "Sec. 5"),
        ("CP16b", Some(restart), "A restart of the learning rate does not cure it either (control C3)", "Sec. 5"),
    ] {
        let claim = open(
            id,
            what,
            place,
            "CP1 supported, and control minus course > 1 pp (95 %); refuted: < 1 pp",
            "a later paper reports that a restart nearly closes the gap",
        );
        let gap = arm.map(|arm| blur.differences(control, arm)).unwrap_or_default();
        let reason = format!("Gap left in pp, of {:.1} pp before.", mean(&drops));
        // Where nothing was lost, there is nothing to cure.
        let verdict = judge(&gap, NEGLIGIBLE, NEGLIGIBLE).map(|v| if falls { v } else { Verdict::Inconclusive });
        claims.push(closed(claim, &scope, verdict.and_then(|v| found(v, &gap, reason))));
    }
    let claim = open(
        "CP17",
        "Training first on a similar task (blurred images) can be worse than not doing so",
        "Sec. 5",
        "accuracy after C1 minus after blur > 0 (95 %); refuted: < 0",
        "81.3 against 93.5 %, mixed with the late start",
    );
    claims.push(closed(
        claim,
        &scope,
        judge(&beyond, 0., 0.).and_then(|v| {
            let plain = format!(
                "The same contrast as CP1b: both train as long at the same rates. Against the control of as many clean \
                     epochs the loss is {:.1} pp, as in CP1.",
                mean(&drops)
            );
            found(v, &beyond, plain)
        }),
    ));
    claims.push(not_tested(
        open(
            "CP18",
            "The curves resemble those of visually deprived kittens",
            "Fig. 1B and 1D",
            "none",
            "sensitivity 0.26 at day 9, 0.97 at 28, 0.07 at 109",
        ),
        "a likeness of two curves by eye; nothing here can test it",
    ));
    for claim in &mut claims {
        for experiment in gates(&claim.id) {
            if let Some(why) = no_plateau(results, experiment)? {
                claim.verdict = Verdict::NotTested(why);
            }
        }
    }
    Ok(claims)
}

/// CP11-CP15.
fn fisher_claims(
    results: &PaperResults,
    blur: &Curve,
    windows: &Curve,
    latest: usize,
    scope: &str,
) -> Result<Vec<Claim>, Error> {
    let mut claims = vec![];
    let cells = results.finished(BLUR);
    let (control, blurred) = (blur.removal(0), blur.removal(latest));
    let (mut inner, mut falls, mut inner_free, mut ratios, mut top_shift) = (vec![], vec![], vec![], vec![], vec![]);
    let mut sensitivity_order = vec![];
    let mut distances: Vec<(u64, f64)> = vec![];
    for cell in cells {
        let readings = fisher(cell, control)?;
        let traces: Vec<(usize, f64)> = readings.iter().map(|(&epoch, layers)| (epoch, trace(layers))).collect();
        let peak_inside = |values: &[f64]| {
            let top = (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b]));
            top.is_some_and(|top| top > 0 && top + 1 < values.len())
        };
        let values: Vec<f64> = traces.iter().map(|t| t.1).collect();
        if values.len() >= 3 {
            inner.push(f64::from(u8::from(peak_inside(&values))));
            falls.push(values[values.len() - 1] / values.iter().copied().fold(0., f64::max));
            let free: Vec<f64> = readings.values().map(|layers| scale_free_trace(layers)).collect();
            inner_free.push(f64::from(u8::from(peak_inside(&free))));
        }
        let after = fisher(cell, blurred)?;
        if let (Some((_, a)), Some((_, b))) = (readings.last_key_value(), after.last_key_value()) {
            ratios.push((trace(b) / trace(a)).ln());
            let (a, b) = (shares(a), shares(b));
            // Names sort as conv1 ... conv8, output: layers 6 and 7 stand at 5 and 6.
            let upper = |s: &[f64]| s.get(5).copied().unwrap_or(0.) + s.get(6).copied().unwrap_or(0.);
            top_shift.push(upper(&b) - upper(&a));
            if let Ok(distance) = total_variation(&a, &b) {
                distances.push((cell.config.seed, distance));
            }
        }
        // One rank correlation for each length of window.
        let mut orders = vec![];
        for longest in [false, true] {
            let Some((base, list)) = windows.windows(longest) else { continue };
            let seed = cell.config.seed;
            let pair = |&(onset, arm): &(usize, Arm)| {
                let Arm::Window { length, .. } = arm else { return None };
                let drop = windows.seeds(base).get(&seed)? - windows.seeds(arm).get(&seed)?;
                let inside: Vec<f64> =
                    traces.iter().filter(|(e, _)| (onset..=onset + length).contains(e)).map(|t| t.1).collect();
                (!inside.is_empty()).then(|| (drop, mean(&inside)))
            };
            let (drops, means): (Vec<f64>, Vec<f64>) = list.iter().filter_map(pair).unzip();
            if drops.len() >= 3
                && let Ok(r) = spearman(&drops, &means)
            {
                orders.push(r.r);
            }
        }
        if !orders.is_empty() {
            sensitivity_order.push(mean(&orders));
        }
    }
    let claim = open(
        "CP11",
        "In clean training the Fisher trace rises fast, then falls",
        "Fig. 4, left",
        "peak inside, also with the scale of weights taken out, in 4 of 5 seeds, and end below half of it; refuted: peak inside \
         in at most 1 of 5",
        "two phases (no number)",
    );
    let (verdict, words) = two_phases(&inner, &falls, &inner_free);
    let reason = format!(
        "End of the trace as a share of its peak; {words}. It peaks inside in {:.0} % of seeds, scaled by the squared weights in \
         {:.0} %.",
        100. * mean(&inner),
        100. * mean(&inner_free)
    );
    claims.push(closed(claim, scope, found(verdict, &falls, reason)));
    let claim = open(
        "CP12",
        "Sensitivity to a window of blur follows the Fisher trace of the control",
        "Fig. 4, left",
        "mean rank correlation over onsets >= 0.7; refuted: <= 0.3 (95 % interval beyond)",
        "fit by eye (no number)",
    );
    claims.push(closed(
        claim,
        scope,
        judge(&sensitivity_order, 0.7, 0.3)
            .and_then(|v| found(v, &sensitivity_order, "Over the onsets of one seed, mean of both lengths of window.")),
    ));
    let claim = open(
        "CP13",
        "Blur raises the Fisher trace, and it stays higher",
        "Fig. 4, right",
        "log ratio of final traces, largest N to control, > 0 (95 %); refuted: < 0",
        "another reproduction: 6.2 times at N = 100",
    );
    let reason = format!("Natural log; the ratio is {:.2}.", mean(&ratios).exp());
    claims.push(closed(claim, scope, judge(&ratios, 0., 0.).and_then(|v| found(v, &ratios, reason))));
    let claim = open(
        "CP14",
        "Blur moves Fisher information to upper layers (6 and 7), and it stays there",
        "Fig. 5, top",
        "share of layers 6 and 7 after blur minus control > 0 (95 %); refuted: < 0",
        "another reproduction: +0.15 at N = 100",
    );
    claims.push(closed(
        claim,
        scope,
        judge(&top_shift, 0., 0.).and_then(|v| found(v, &top_shift, "Change of the share at the end of training.")),
    ));
    let mut closer = vec![];
    let flip = Curve::of(results, OTHERS[0].0);
    let at = flip.removals().last().copied().unwrap_or(0);
    for cell in results.finished(OTHERS[0].0) {
        let Some(base) = cells.iter().find(|c| c.config.seed == cell.config.seed) else { continue };
        let (after, control) = (fisher(cell, flip.removal(at))?, fisher(base, control)?);
        if let (Some((_, a)), Some((_, b))) = (after.last_key_value(), control.last_key_value())
            && let Ok(distance) = total_variation(&shares(a), &shares(b))
            && let Some((_, of_blur)) = distances.iter().find(|(seed, _)| *seed == cell.config.seed)
        {
            closer.push((distance - of_blur / 3., distance - of_blur));
        }
    }
    let claim = open(
        "CP15",
        "Upside-down images leave the layers' shares as in the control",
        "Fig. 5, bottom",
        "distance to the control below a third of blur's (95 %); refuted: at least blur's",
        "unchanged (no number)",
    );
    let (third, whole): (Vec<f64>, Vec<f64>) = closer.into_iter().unzip();
    let verdict = judge(&third, 0., 0.).zip(judge(&whole, 0., 0.)).map(|pair| match pair {
        (Verdict::Refuted, _) => Verdict::Supported,
        (_, Verdict::Supported) => Verdict::Refuted,
        _ => Verdict::Inconclusive,
    });
    let of_blur: Vec<f64> = distances.iter().map(|d| d.1).collect();
    let reason = format!(
        "Total variation distance of flip, less a third of blur's; blur's is {:.3}. Sampled labels add to both.",
        mean(&of_blur)
    );
    claims.push(closed(claim, scope, verdict.and_then(|v| found(v, &third, reason))));
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_the_whole_interval_on_one_side() {
        assert_eq!(judge(&[2., 2.1, 1.9], 0., 0.), Some(Verdict::Supported));
        assert_eq!(judge(&[-2., -2.1, -1.9], 0., 0.), Some(Verdict::Refuted));
        // Mean 2, but three seeds that spread: the interval reaches below zero.
        assert_eq!(judge(&[-1., 2., 5.], 0., 0.), Some(Verdict::Inconclusive));
        // Between the bars of support and refutation.
        assert_eq!(judge(&[0.5, 0.51, 0.49], 0.7, 0.3), Some(Verdict::Inconclusive));
        // One seed has no interval.
        assert_eq!(judge(&[2.], 0., 0.), None);
    }

    #[test]
    fn a_curve_must_fall_in_order() {
        assert_eq!(falling(&[5., 5.2, 4.8], -1.), Some(Verdict::Supported));
        assert_eq!(falling(&[5., 5.2, 4.8], -0.5), Some(Verdict::Inconclusive));
        assert_eq!(falling(&[-5., -5.2, -4.8], 1.), Some(Verdict::Refuted));
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
    fn two_phases_need_a_peak_inside_that_the_weights_do_not_explain() {
        let verdict = |inner: &[f64], ends: &[f64], free: &[f64]| two_phases(inner, ends, free).0;
        assert_eq!(verdict(&[1.; 3], &[0.3; 3], &[1.; 3]), Verdict::Supported);
        assert_eq!(verdict(&[1.; 3], &[0.3; 3], &[0.; 3]), Verdict::Inconclusive);
        assert!(two_phases(&[1.; 3], &[0.3; 3], &[0.; 3]).1.starts_with("partly"));
        assert_eq!(verdict(&[1.; 3], &[0.8; 3], &[1.; 3]), Verdict::Inconclusive);
        assert_eq!(verdict(&[1., 1., 0.], &[0.8; 3], &[1.; 3]), Verdict::Inconclusive);
        assert_eq!(verdict(&[0.; 3], &[1.; 3], &[0.; 3]), Verdict::Refuted);
    }

    #[test]
    fn the_papers_points_are_there() {
        let reported = reported().unwrap();
        assert_eq!(reported.item("Fig1A solid").points().len(), 9);
        assert_eq!(reported.item("Fig1C solid").points().len(), 8);
    }
}
