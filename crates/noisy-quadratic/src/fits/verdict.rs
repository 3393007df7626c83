//! The verdict, fixed before anything was run.

use serde::{Deserialize, Serialize};

use super::{CurveStatistics, DECISIVE, LevelMean, MARGIN, Statistics};
use crate::laws::{Law, Noise, Scale};

/// What is said of the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The 1-nearest-neighbour control does not follow its own law: nothing else is said.
    PipelineFault,
    /// M0 passes: Eq. 4 holds as published.
    Literal,
    /// M0 fails, m is straight, the exponent is practically 1 and M1 is not beaten: the shape is right, and the constant
    /// needs the noise-free accuracy a₀.
    Shape,
    /// m is straight within the margin, but a fine enough test tells it from a line, or the exponent is not shown to be 1.
    NearlyStraight,
    /// m leaves the line between its forced end points by more than the margin, yet no law that bends is decisively better
    /// than a straight line with an end point of its own.
    OtherLine,
    /// m lies above the line by more than the margin: the network averages labels. Not quadratic.
    Averages,
    /// m lies below the line by more than the margin: worse than memorising. Not quadratic.
    BelowLine,
    /// A passes for a quadratic although m bends: scoring on noisy labels hides it. Said beside one of the two above.
    Artefact,
    /// Straight where the noisy labels were memorised, bent in another regime: a law of interpolation only. Said beside one
    /// of the first four.
    InterpolationOnly,
    /// The data decide nothing.
    Undecided,
}

/// The verdict on a cell with what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The main outcome first.
    pub outcomes: Vec<Outcome>,
    /// The answer in one sentence.
    pub sentence: String,
    /// The answer in full: both curves, where, and what it means.
    pub text: String,
}

/// Applies the table to the primary cell. `control` holds the statistics of one nearest neighbour on the same features,
/// `regimes` those of learners that did not memorise (stopped early, regularised, small).
pub fn verdict(primary: &Statistics, control: Option<&Statistics>, regimes: &[(&str, &Statistics)]) -> Verdict {
    let curve = primary.primary();
    if let Some(control) = control.filter(|control| fails_scaled(control)) {
        let sentence =
            "No verdict: the 1-nearest-neighbour control does not follow its own law, so the pipeline is at fault.";
        let text = format!("{sentence} Its departure from the straight line: {}.", bend_in_words(control.primary()));
        return Verdict { outcomes: vec![Outcome::PipelineFault], sentence: sentence.into(), text };
    }
    let main = main_outcome(primary);
    let mut outcomes = vec![main];
    if matches!(main, Outcome::Averages | Outcome::BelowLine) && quadratic_passes(primary) {
        outcomes.push(Outcome::Artefact);
    }
    let bent: Vec<&str> = regimes.iter().filter(|(_, s)| bends(s.primary()).is_some()).map(|(name, _)| *name).collect();
    if matches!(main, Outcome::Literal | Outcome::Shape | Outcome::NearlyStraight) && !bent.is_empty() {
        outcomes.push(Outcome::InterpolationOnly);
    }
    let sentence = sentence(main, primary);
    let mut text = format!("{sentence} {} {}", both_curves(main, primary), meaning(main, curve));
    if outcomes.contains(&Outcome::Artefact) {
        text += " Scored on noisy labels alone the curve would have passed for a parabola: the factor 1 - eps/eps* that the \
                 noisy test labels bring hides the bend.";
    }
    if outcomes.contains(&Outcome::InterpolationOnly) {
        text += &format!(
            " It holds only for networks that fit their wrong labels: clean accuracy bends for {}. As a general statement \
             about networks trained on noisy labels the claim is too wide.",
            listed(&bent)
        );
    }
    text += &format!(" {}", scope(primary));
    Verdict { outcomes, sentence, text }
}

fn main_outcome(s: &Statistics) -> Outcome {
    let curve = s.primary();
    if literal_passes(s) {
        return Outcome::Literal;
    }
    match bends(curve) {
        Some(_) if !bent_beats_line(curve) => return Outcome::OtherLine,
        Some(true) => return Outcome::Averages,
        Some(false) => return Outcome::BelowLine,
        None => {}
    }
    if !curve.straightness.as_ref().is_some_and(|s| s.equivalent) {
        return Outcome::Undecided;
    }
    if curve.exponent.practically_one && !scaled_is_beaten(curve) { Outcome::Shape } else { Outcome::NearlyStraight }
}

/// The control fails unless K is shown to be within the margin.
fn fails_scaled(control: &Statistics) -> bool {
    !control.primary().straightness.as_ref().is_some_and(|s| s.equivalent)
}

/// M0 is not rejected, and no A up to ε = 0.7 lies further than the margin from it, so that poor data cannot confirm it.
fn literal_passes(s: &Statistics) -> bool {
    let curve = s.primary();
    let passes = match curve.lack_of_fit.iter().find(|(law, _)| *law == Law::Literal) {
        Some((_, test)) => test.p >= 0.05,
        None => curve.model(Law::Literal).and_then(|row| row.delta_aicc).is_some_and(|delta| delta <= DECISIVE),
    };
    passes && literal_gap(s) <= MARGIN && bends(curve).is_none()
}

/// How far A lies from Eq. 4 at most, up to ε = 0.7; of m where A does not follow from it.
fn literal_gap(s: &Statistics) -> f64 {
    let curve = s.primary();
    let law = Law::Literal.with(s.setting, &[]);
    let gap = |mean: &LevelMean| {
        let expected = law.at(curve.scale, mean.level).expect("stated for both").0;
        let signal = match (curve.scale, s.setting.noise) {
            (Scale::Clean, Noise::Symmetric) => s.setting.signal(mean.level),
            _ => 1.0,
        };
        ((mean.mean - expected) * signal).abs()
    };
    curve.means.iter().filter(|mean| mean.level <= 0.7 + 1e-9).map(gap).fold(0.0, f64::max)
}

/// Whether m leaves the line by more than the margin, and upwards: the whole 90 % interval of K lies beyond it, or K does,
/// its 95 % interval excludes 0 and a law that bends is decisively better than M1.
fn bends(curve: &CurveStatistics) -> Option<bool> {
    let straightness = curve.straightness.as_ref()?;
    let (bend, ninety) = (straightness.bend, straightness.ninety);
    let beyond = ninety.low > MARGIN || ninety.high < -MARGIN;
    let probably = bend.estimate.abs() > MARGIN && !bend.contains(0.0) && vote_beats_scaled(curve);
    (beyond || probably).then_some(bend.estimate > 0.0)
}

/// Whether a law that bends has an AICc below that of the straight line with free end points by more than what counts.
fn bent_beats_line(curve: &CurveStatistics) -> bool {
    let Some(line) = curve.model(Law::Affine).and_then(|row| row.aicc) else { return true };
    let lines = [Law::Literal, Law::Scaled, Law::Affine, Law::FreeQuadratic];
    let bent = curve.models.iter().filter(|row| !lines.contains(&row.law)).filter_map(|row| row.aicc);
    bent.fold(f64::INFINITY, f64::min) < line - DECISIVE
}

/// Whether M5 or M6 has an AICc below that of M1 by more than what counts.
fn vote_beats_scaled(curve: &CurveStatistics) -> bool {
    let aicc = |law| curve.model(law).and_then(|row| row.aicc);
    let Some(scaled) = aicc(Law::Scaled) else { return false };
    [Law::Sharpened, Law::Vote].into_iter().filter_map(aicc).any(|vote| scaled - vote > DECISIVE)
}

/// Another law is better than M1 by more than what counts, and predicts levels left out better too.
fn scaled_is_beaten(curve: &CurveStatistics) -> bool {
    let Some(scaled) = curve.model(Law::Scaled) else { return false };
    curve.models.iter().any(|row| {
        let better = matches!((row.aicc, scaled.aicc), (Some(a), Some(b)) if b - a > DECISIVE);
        let predicts = matches!((row.loo(curve.scale), scaled.loo(curve.scale)), (Some(a), Some(b)) if a < b);
        better && predicts
    })
}

/// Whether A passes for a quadratic with free coefficients.
fn quadratic_passes(s: &Statistics) -> bool {
    let curve = s.noisy.as_ref().unwrap_or_else(|| s.primary());
    let passes = |law| curve.model(law).and_then(|row| row.delta_aicc).is_some_and(|delta| delta <= DECISIVE);
    passes(Law::FreeQuadratic) || passes(Law::Affine)
}

fn sentence(outcome: Outcome, s: &Statistics) -> String {
    let curve = s.primary();
    let a0 = curve.model(Law::Scaled).map_or(f64::NAN, |row| row.parameters[0]);
    // Of pair noise scored on noisy labels m is not known.
    let (subject, line) = match (curve.scale, s.setting.noise) {
        (Scale::Noisy, Noise::Pair) => ("accuracy on noisy labels", "the parabola of a memorising network"),
        _ => ("clean accuracy", "the straight line that a quadratic needs"),
    };
    match outcome {
        Outcome::Literal => {
            "Yes, as published: accuracy on noisy labels is the quadratic of Eq. 4, because clean accuracy falls on the line 1 - eps.".into()
        }
        Outcome::Shape => format!(
            "Quadratic in shape, but not the published curve: it needs the accuracy without noise, a0 = {a0:.3}, where Eq. 4 \
             has 1 and is off by up to {:.3}.",
            literal_gap(s)
        ),
        Outcome::NearlyStraight => {
            format!("Practically quadratic: {subject} keeps within {MARGIN} of {line}, though not exactly to it.")
        }
        Outcome::Averages => {
            format!("Not quadratic: {subject} stays above {line}, because the network averages labels.")
        }
        Outcome::BelowLine => {
            format!("Not quadratic: {subject} falls below {line}; the network does worse than repeating its labels.")
        }
        Outcome::OtherLine => format!(
            "Undecided: {subject} leaves {line}, but no law that bends beats a straight line with an end point of its own."
        ),
        Outcome::Undecided if curve.straightness.is_none() => {
            format!("Undecided: without a value at noise ratio 0 {line} is not fixed.")
        }
        Outcome::Undecided => format!(
            "Undecided: the data show neither that {subject} keeps within {MARGIN} of {line} nor that it leaves it by more."
        ),
        Outcome::PipelineFault | Outcome::Artefact | Outcome::InterpolationOnly => {
            unreachable!("never the main outcome of a cell")
        }
    }
}

/// The two curves by name: m, a line at best, and A, a parabola at best.
fn both_curves(outcome: Outcome, s: &Statistics) -> String {
    let curve = s.primary();
    let measured_clean = curve.scale == Scale::Clean;
    let bend = bend_in_words(curve);
    let clean = match (measured_clean, s.setting.noise) {
        (true, _) => format!("Accuracy on clean labels (a line at best): {bend}."),
        (false, Noise::Symmetric) => {
            format!("Accuracy on clean labels (a line at best), computed from that on noisy labels: {bend}.")
        }
        (false, Noise::Pair) => {
            "Accuracy on clean labels (a line at best) was not measured, and under pair noise it does not follow from that on \
             noisy labels."
                .into()
        }
    };
    let noisy = match outcome {
        Outcome::Literal | Outcome::Shape | Outcome::NearlyStraight => "a parabola because the other is a line",
        Outcome::Averages | Outcome::BelowLine => "no parabola because the other is no line",
        _ => "a parabola exactly if the other is a line",
    };
    match (measured_clean, s.setting.noise) {
        (false, Noise::Pair) => {
            format!("{clean} Accuracy on noisy labels (a parabola at best) departs from the scaled parabola: {bend}.")
        }
        _ => format!("{clean} Accuracy on noisy labels (a parabola at best): {noisy}."),
    }
}

fn meaning(outcome: Outcome, curve: &CurveStatistics) -> String {
    let exponent = exponent_in_words(curve);
    match outcome {
        Outcome::Literal | Outcome::Shape | Outcome::NearlyStraight => format!(
            "The network repeats the wrong labels it has learnt at the rate at which they occur, as one nearest neighbour would \
             ({exponent})."
        ),
        Outcome::Averages => {
            let votes = curve
                .model(Law::Vote)
                .filter(|row| row.delta_aicc.is_some_and(|delta| delta <= DECISIVE))
                .map_or(String::new(), |row| format!(", like a vote of about {} neighbours", row.parameters[1]));
            format!("It repeats fewer wrong labels than it was given{votes} ({exponent}).")
        }
        Outcome::BelowLine => format!("It repeats more wrong labels than it was given ({exponent})."),
        _ => format!("A network that repeats wrong labels at their own rate has vote exponent 1; here: {exponent}."),
    }
}

fn bend_in_words(curve: &CurveStatistics) -> String {
    match &curve.straightness {
        Some(s) => format!(
            "mean departure K = {:+.4}, 95 % interval {:+.4} to {:+.4}",
            s.bend.estimate, s.bend.low, s.bend.high
        ),
        None => "mean departure not defined without a value at noise ratio 0".into(),
    }
}

fn exponent_in_words(curve: &CurveStatistics) -> String {
    match (curve.exponent.across_seeds, curve.exponent.gamma) {
        (Some(i), _) | (None, Some(i)) => {
            format!("vote exponent {:.2}, 95 % interval {:.2} to {:.2}", i.estimate, i.low, i.high)
        }
        (None, None) => "vote exponent not estimable".into(),
    }
}

fn scope(s: &Statistics) -> String {
    let kind = match s.setting.noise {
        Noise::Symmetric => "symmetric",
        Noise::Pair => "pair",
    };
    let (low, high) = (s.levels.first().copied().unwrap_or(0.0), s.levels.last().copied().unwrap_or(0.0));
    let seeds = if s.seeds == 1 { "one run at each".into() } else { format!("{} seeds", s.seeds) };
    let mut text = format!(
        "This is about {} noise ratios from {low} to {high}, {kind} noise, {} classes, {seeds}.",
        s.levels.len(),
        s.setting.classes
    );
    if !s.uncounted.is_empty() {
        text += &format!(
            " Levels within 0.1 of {:.2}{} do not count: there every learner looks alike.",
            s.setting.blind_level(),
            if s.setting.noise == Noise::Symmetric { " and beyond" } else { "" }
        );
    }
    text
}

fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).into(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
