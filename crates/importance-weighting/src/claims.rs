//! A verdict on each claim. Every rule stands here in code and follows a protocol that was written before the runs; the
//! README says which rules were set right after first results had been seen.
//!
//! The paper's own numbers are not known (only its abstract could be read), so what stands beside ours comes from two
//! independent re-implementations, R1 (New York University students, one seed) and R2 (Vo and Truong 2025).

mod extensions;
mod fading;
mod rare_classes;
mod regularisers;
mod theory;

use retrial_core::results::{Claim, Error, Reported, Results, Verdict, decided};
use retrial_core::stats::Interval;

use crate::images::Row;
use crate::paper::ImportanceWeighting;
use crate::readings::{Arm, Gate, Run, arms, classifiers, distinct, label_shifts, network, regulariser, runs};
use crate::weighting::Loss;

pub use rare_classes::Imbalance;
pub use regularisers::penalty_slopes;

/// Fewer seeds decide nothing (section 3.6 of the protocol: ten, never fewer than five).
const VERDICT_SEEDS: usize = 5;
/// β within this is no effect: 0.05 over the whole range from 1:256 to 256:1.
pub const FLAT: f64 = 0.003;
/// β beyond this is an effect.
const STEEP: f64 = 0.01;

/// The numbers of others that stand beside ours; see the note of each.
pub fn reported() -> Result<Reported, Error> {
    const FILE: &str = "data/reported/importance-weighting.csv";
    Ok(Reported::parse(FILE, include_str!("../../../data/reported/importance-weighting.csv"))?.trusted())
}

/// A verdict on each of the paper's claims. Claims about a network come twice: `a` for the CNN, `b` for the MLP.
pub fn claims(results: &Results<ImportanceWeighting>) -> Result<Vec<Claim>, Error> {
    let profile = results.profile.name();
    let arms = arms(results)?;
    let runs_of = |experiment: &str| -> &[Run] {
        arms.iter().find(|arm| arm.experiment == experiment).map_or(&[], |arm| &arm.runs)
    };
    let penalised = |experiment: &str| arms.iter().filter(|arm| arm.experiment == experiment).collect::<Vec<_>>();
    let networks = [("a", "ratios", "l2"), ("b", "ratios-mlp", "l2-mlp")].map(|(suffix, plain, penalty)| Network {
        suffix,
        runs: runs_of(plain),
        penalised: penalised(penalty),
        profile,
    });
    let mut claims = vec![];
    for network in &networks {
        claims.push(fading::early(network));
        claims.push(fading::fades(network));
        claims.push(fading::slow(network));
        claims.push(regularisers::penalty(network));
        claims.push(fading::off_manifold(network));
        claims.push(fading::early_stopping(network));
        claims.push(regularisers::dose(network));
    }
    claims.push(fading::dropout(runs_of("dropout"), profile));
    for (id, experiment) in [("IW6", "norm"), ("IW6b", "resnet")] {
        if id == "IW6" || results.experiment(experiment).is_some() {
            claims.push(regularisers::norm(id, runs_of(experiment), networks[0].runs, profile));
        }
    }
    let rare = runs(results, "imbalance")?;
    claims.push(rare_classes::imbalance(&rare, profile));
    claims.push(theory::theory(
        &theory::Study {
            plane: classifiers(results, "plane")?,
            wide: classifiers(results, "plane-wide")?,
            penalised: classifiers(results, "plane-l2")?,
            moons: classifiers(results, "moons")?,
            moons_mlp: classifiers(results, "moons-mlp")?,
        },
        profile,
    ));
    claims.push(rare_classes::copies(&rare, profile));
    claims.push(rare_classes::cutting(&rare, profile));
    claims.push(fading::architectures(&claims));
    claims.push(extensions::tails(&runs(results, "tail")?, profile));
    claims.push(extensions::shift(&label_shifts(results), profile));
    let order = |claim: &Claim| -> (u32, String) {
        let digits: String = claim.id.chars().filter(char::is_ascii_digit).collect();
        (digits.parse().unwrap_or(0), claim.id.clone())
    };
    claims.sort_by_key(order);
    Ok(claims)
}

/// A network of the image study.
struct Network<'a> {
    suffix: &'static str,
    /// Without regularisation.
    runs: &'a [Run],
    /// With an L2 penalty, by rising λ.
    penalised: Vec<&'a Arm>,
    profile: &'a str,
}

/// The claim with its verdict; inconclusive with fewer than [`VERDICT_SEEDS`] seeds, whatever the rule says of them.
fn judged(claim: Claim, verdict: Verdict, interval: Interval, seeds: usize, scope: &str, reason: String) -> Claim {
    if seeds >= VERDICT_SEEDS {
        return decided(claim, verdict, interval, seeds, scope, reason);
    }
    let reason = format!("{reason} {seeds} seeds decide nothing: {VERDICT_SEEDS} are needed.");
    decided(claim, Verdict::Inconclusive, interval, seeds, scope, reason)
}

/// Data, network and training that these runs have in common, and what differs between them.
fn scope_of<'a>(runs: impl IntoIterator<Item = &'a Run>, profile: &str) -> String {
    let configs: Vec<_> = runs.into_iter().map(|run| &run.config).collect();
    let Some(first) = configs.first() else { return String::new() };
    let range = |values: Vec<f64>| match distinct(values).as_slice() {
        [one] => format!("{one}"),
        [low, .., high] => format!("{low} to {high}"),
        [] => String::new(),
    };
    let of = |value: fn(&crate::config::Images) -> f64| configs.iter().map(|&c| value(c)).collect::<Vec<_>>();
    let name = match (distinct(of(|c| c.lambda)).as_slice(), regulariser(first)) {
        ([.., most], _) if *most > 0. => {
            let lambdas: Vec<String> =
                distinct(of(|c| c.lambda)).iter().filter(|&&l| l > 0.).map(f64::to_string).collect();
            let whole = if of(|c| c.lambda).contains(&0.) { "in part with" } else { "with" };
            format!("{} {whole} L2 {}", network(first), lambdas.join(", "))
        }
        (_, regulariser) if regulariser.is_empty() => network(first).to_string(),
        (_, regulariser) => format!("{} with {regulariser}", network(first)),
    };
    let losses = match configs.iter().any(|c| c.loss != Loss::Logistic) {
        true => "cross-entropy and a polynomial tail, ",
        false => "",
    };
    format!(
        "CIFAR-10 cat against dog{}, {name}, {losses}{} training images, {} epochs, rate {}, weights by convention {}, profile \
         {profile}",
        if first.halved { ", 16 x 16 pixels" } else { "" },
        range(of(|c| (c.counts[0] * c.copies[0] + c.counts[1] * c.copies[1]) as f64)),
        range(of(|c| c.epochs as f64)),
        range(of(|c| c.rate)),
        first.convention.letter(),
    )
}

/// How many runs passed.
fn gates(runs: &[Run]) -> String {
    let count = |gate: Gate| runs.iter().filter(|r| r.gate == gate).count();
    let (separated, collapsed) = (count(Gate::Separated), count(Gate::Collapsed));
    format!("{separated} of {} runs separated their data and settled, {collapsed} collapsed.", runs.len())
}

/// f at the end on cats and dogs.
fn last_fraction(run: &Run) -> f64 {
    last(run).fraction
}

fn last(run: &Run) -> &Row {
    &run.summary.last
}

/// Means over seeds of values that every seed has, place by place.
fn column_means(rows: &[(u64, Vec<f64>)]) -> Vec<f64> {
    let columns = rows.first().map_or(0, |(_, values)| values.len());
    (0..columns).map(|i| rows.iter().map(|(_, v)| v[i]).sum::<f64>() / rows.len() as f64).collect()
}

fn rises(values: &[f64]) -> bool {
    values.windows(2).all(|w| w[0] < w[1])
}

#[cfg(test)]
mod tests {
    use retrial_core::results::open;
    use retrial_core::stats::over_seeds;

    use super::*;
    use crate::readings::made;

    #[test]
    fn few_seeds_decide_nothing() {
        let i = over_seeds(&[0.1, 0.2, 0.3]).unwrap();
        let verdict = |seeds: usize| judged(open("", "", "", "", ""), Verdict::Supported, i, seeds, "", String::new());
        assert_eq!(verdict(5).verdict, Verdict::Supported);
        assert_eq!(verdict(4).verdict, Verdict::Inconclusive);
        assert!(verdict(4).reason.contains("4 seeds decide nothing"));
    }

    #[test]
    fn scopes_say_what_was_trained() {
        let mut runs = made::sweep(&[1., 8.], 1, |_, _| 0.5);
        let plain = "CIFAR-10 cat against dog, 16 x 16 pixels, CNN, 800 training images, 400 epochs, rate 0.1, weights by \
                     convention B, profile test";
        assert_eq!(scope_of(&runs, "test"), plain);
        runs[0].config.lambda = 0.01;
        runs[1].config = crate::config::Images {
            lambda: 0.003,
            counts: [400, 40],
            convention: crate::weighting::Convention::Global,
            loss: Loss::Polynomial { alpha: 1. },
            ..runs[1].config.clone()
        };
        let scope = scope_of(runs.iter().rev(), "test");
        for words in ["CNN with L2 0.003, 0.01,", "polynomial", "440 to 800 training", "convention C"] {
            assert!(scope.contains(words), "{scope} lacks {words}");
        }
    }
}
