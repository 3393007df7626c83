//! The beta mixture on losses (section 3.1): how losses become numbers between 0 and 1, how the mixture is fitted, and
//! the probability that a label is wrong.

use retrial_core::stats::{GaussianMixture, quantile};
use serde::{Deserialize, Serialize};
use statrs::function::beta::{beta_reg, ln_beta};

/// Why there is no mixture.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// One loss or none.
    #[error("a mixture needs at least two losses, got {0}")]
    TooFew(usize),
    /// The code's rule leaves out too many.
    #[error("only {inside} of {given} losses lie between their 5th and their 95th percentile, and a mixture needs two")]
    FewInside {
        /// Losses that take part.
        inside: usize,
        /// All of them.
        given: usize,
    },
    /// Every loss that takes part is the same.
    #[error("all losses that take part in the fit are equal: there is nothing to tell apart")]
    Constant,
    /// All weight left a component, or a component has no spread.
    #[error("component {0} of the mixture has no spread left after {1} iterations")]
    Collapsed(usize, usize),
}

/// Whose rules are followed where the paper and its published code differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// As the published code: losses between the 5th and the 95th percentile are fitted, and a table of 100 entries
    /// gives the posterior.
    #[default]
    Code,
    /// As the paper: losses are divided by their maximum, all are fitted, and the posterior is the formula's.
    Paper,
}

/// How a loss becomes a number between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Loss that becomes 0.
    pub lo: f64,
    /// Loss that becomes 1.
    pub hi: f64,
    /// Results stay this far from 0 and 1.
    clip: f64,
    /// Added to the range, so that it is never 0.
    slack: f64,
    /// Losses beyond these take no part in the fit.
    window: (f64, f64),
}

impl Scale {
    /// From the losses of all training samples.
    ///
    /// # Errors
    /// If there are fewer than two.
    pub fn of(losses: &[f64], rule: Rule) -> Result<Self, Error> {
        if losses.len() < 2 {
            return Err(Error::TooFew(losses.len()));
        }
        match rule {
            Rule::Code => {
                let at = |p| quantile(losses, p).map_err(|_| Error::TooFew(losses.len()));
                let (low, high) = (at(0.05)?, at(0.95)?);
                // The published constants, which it writes 10e-6, 1e-6 and 10e-4.
                Ok(Self { lo: low + 1e-5, hi: high, clip: 1e-3, slack: 1e-6, window: (low, high) })
            }
            Rule::Paper => {
                let hi = losses.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                Ok(Self { lo: 0., hi, clip: 1e-4, slack: 0., window: (f64::NEG_INFINITY, f64::INFINITY) })
            }
        }
    }

    /// The normalised loss.
    pub fn apply(&self, loss: f64) -> f64 {
        let x = (loss - self.lo) / (self.hi - self.lo + self.slack);
        // As published: a value that reaches the end goes a thousandth inside, others stay where they are.
        let x = if x >= 1. { 1. - self.clip } else { x };
        let x = if x <= 0. { self.clip } else { x };
        if self.slack == 0. { x.clamp(self.clip, 1. - self.clip) } else { x }
    }

    /// Normalised losses of the samples that take part in the fit.
    pub fn fitted(&self, losses: &[f64]) -> Vec<f64> {
        let (low, high) = self.window;
        losses.iter().filter(|&&l| (low..=high).contains(&l)).map(|&l| self.apply(l)).collect()
    }
}

/// Rounds of EM; the paper and the code stop after ten.
pub const ITERATIONS: usize = 10;
/// Least value of a component's weighted density in the E-step.
const FLOOR: f64 = 1e-12;
/// Normalised losses are kept this far from 0 and 1 within the fit.
const INSIDE: f64 = 1e-4;

/// Two beta components; the first is the one that started at low losses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BetaMixture {
    /// First parameter of each component.
    pub alpha: [f64; 2],
    /// Second parameter of each component.
    pub beta: [f64; 2],
    /// Shares.
    pub weight: [f64; 2],
}

impl BetaMixture {
    /// Where every fit starts: the posterior there is x itself.
    pub const START: Self = Self { alpha: [1., 2.], beta: [2., 1.], weight: [0.5; 2] };

    /// EM with weighted moments in the M-step (Eqs. 5-9) from [`Self::START`], for exactly so many rounds.
    ///
    /// # Errors
    /// If the values do not spread, or a component loses its spread.
    pub fn fit(xs: &[f64], iterations: usize) -> Result<Self, Error> {
        if xs.len() < 2 {
            return Err(Error::TooFew(xs.len()));
        }
        let xs: Vec<f64> = xs.iter().map(|x| x.clamp(INSIDE, 1. - INSIDE)).collect();
        if xs.iter().all(|x| *x == xs[0]) {
            return Err(Error::Constant);
        }
        let mut fit = Self::START;
        for round in 1..=iterations {
            let shares: Vec<[f64; 2]> = xs.iter().map(|&x| fit.responsibilities(x)).collect();
            for k in 0..2 {
                let total: f64 = shares.iter().map(|r| r[k]).sum();
                let mean = xs.iter().zip(&shares).map(|(x, r)| r[k] * x).sum::<f64>() / total;
                let spread = xs.iter().zip(&shares).map(|(x, r)| r[k] * (x - mean).powi(2)).sum::<f64>() / total;
                let common = mean * (1. - mean) / spread - 1.;
                let (alpha, beta) = (mean * common, (1. - mean) * common);
                if !(spread > 0. && alpha > 0. && beta > 0. && alpha.is_finite() && beta.is_finite()) {
                    return Err(Error::Collapsed(k, round));
                }
                (fit.alpha[k], fit.beta[k], fit.weight[k]) = (alpha, beta, total / xs.len() as f64);
            }
        }
        Ok(fit)
    }

    /// The E-step (Eq. 5): each component's part in a sample. Both are quotients: one minus the other would lose all digits
    /// of a part near 0.
    fn responsibilities(&self, x: f64) -> [f64; 2] {
        let q = self.terms(x).map(|q| q.max(FLOOR));
        q.map(|own| own / (q[0] + q[1]))
    }

    /// Weighted densities of the two components at `x`.
    fn terms(&self, x: f64) -> [f64; 2] {
        [0, 1].map(|k| {
            let (a, b) = (self.alpha[k], self.beta[k]);
            self.weight[k] * ((a - 1.) * x.ln() + (b - 1.) * (-x).ln_1p() - ln_beta(a, b)).exp()
        })
    }

    /// Probability density at `x` in (0, 1).
    pub fn density(&self, x: f64) -> f64 {
        self.terms(x).iter().sum()
    }

    /// Density of one component times its share.
    pub fn component(&self, k: usize, x: f64) -> f64 {
        self.terms(x)[k]
    }

    /// Distribution function.
    pub fn cdf(&self, x: f64) -> f64 {
        (0..2).map(|k| self.weight[k] * beta_reg(self.alpha[k], self.beta[k], x.clamp(0., 1.))).sum()
    }

    /// Probability that a label is wrong, given its normalised loss (Eq. 10).
    pub fn posterior(&self, x: f64) -> f64 {
        let [first, second] = [0, 1].map(|k| {
            let (a, b) = (self.alpha[k], self.beta[k]);
            self.weight[k].ln() + (a - 1.) * x.ln() + (b - 1.) * (-x).ln_1p() - ln_beta(a, b)
        });
        1. / (1. + (first - second).exp())
    }

    /// Whether the posterior by a rule is the normalised loss itself: the mixture has added nothing.
    pub fn is_identity(&self, rule: Rule) -> bool {
        match rule {
            Rule::Code => {
                let table = Table::of(|x| self.terms(x));
                says_x(|x| table.posterior(x))
            }
            Rule::Paper => says_x(|x| self.posterior(x)),
        }
    }

    /// Whether the second component ended left of the first.
    pub fn is_swapped(&self) -> bool {
        let mean = |k: usize| self.alpha[k] / (self.alpha[k] + self.beta[k]);
        mean(1) < mean(0)
    }
}

/// Entries of the table.
const ENTRIES: usize = 100;

/// The posterior of the published code: a table whose entries after its first maximum are all that maximum, because the
/// densities' quotient is unreliable near 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Entry j is the posterior at j / 99 and answers for normalised losses in [j / 100, (j + 1) / 100).
    pub entries: Vec<f64>,
    /// From this entry on all are equal.
    pub flat_from: usize,
}

impl Table {
    /// Of a mixture's weighted densities.
    pub fn of(terms: impl Fn(f64) -> [f64; 2]) -> Self {
        let node = |j: usize| 1e-12 + (1. - 2e-12) * j as f64 / (ENTRIES - 1) as f64;
        let mut entries: Vec<f64> = (0..ENTRIES)
            .map(|j| {
                let [first, second] = terms(node(j));
                second / (first + second + 1e-12)
            })
            .collect();
        let flat_from = (0..ENTRIES).fold(0, |top, j| if entries[j] > entries[top] { j } else { top });
        let top = entries[flat_from];
        entries[flat_from..].fill(top);
        Self { entries, flat_from }
    }

    /// The entry for a normalised loss.
    pub fn posterior(&self, x: f64) -> f64 {
        let j = (x * ENTRIES as f64).floor().clamp(0., (ENTRIES - 1) as f64);
        self.entries[j as usize]
    }
}

/// Where a posterior is looked at as a whole: one place for each entry of the table, inside (0, 1) as normalised losses are.
fn places() -> impl Iterator<Item = f64> {
    (0..ENTRIES).map(|j| (j as f64 / (ENTRIES - 1) as f64).clamp(INSIDE, 1. - INSIDE))
}

/// Whether a posterior is within 0.05 of the normalised loss everywhere; the last entry, where the table is constant or
/// runs to 0, is left out.
fn says_x(posterior: impl Fn(f64) -> f64) -> bool {
    places().take(ENTRIES - 1).all(|x| (posterior(x) - x).abs() < 0.05)
}

/// Which density describes the losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Beta, as the paper.
    #[default]
    Beta,
    /// Normal: the alternative that it is compared with.
    Gaussian,
}

/// A fitted mixture of either family.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mixture {
    /// See [`BetaMixture`].
    Beta(BetaMixture),
    /// See [`GaussianMixture`].
    Gaussian(GaussianMixture),
}

impl Mixture {
    /// Fits normalised losses.
    ///
    /// # Errors
    /// As [`BetaMixture::fit`].
    pub fn fit(xs: &[f64], family: Family, iterations: usize) -> Result<Self, Error> {
        match family {
            Family::Beta => BetaMixture::fit(xs, iterations).map(Self::Beta),
            Family::Gaussian if xs.len() > 1 && xs.iter().all(|x| *x == xs[0]) => Err(Error::Constant),
            Family::Gaussian => {
                GaussianMixture::fit(xs, iterations).map(Self::Gaussian).map_err(|_| Error::TooFew(xs.len()))
            }
        }
    }

    /// Density at `x`.
    pub fn density(&self, x: f64) -> f64 {
        match self {
            Self::Beta(m) => m.density(x),
            Self::Gaussian(m) => m.density(x),
        }
    }

    /// Distribution function.
    pub fn cdf(&self, x: f64) -> f64 {
        match self {
            Self::Beta(m) => m.cdf(x),
            Self::Gaussian(m) => m.cdf(x),
        }
    }

    /// Share of the component of high losses: the estimated share of wrong labels.
    pub fn noisy_share(&self) -> f64 {
        match self {
            Self::Beta(m) => m.weight[1],
            Self::Gaussian(m) => m.weight[1],
        }
    }

    fn terms(&self, x: f64) -> [f64; 2] {
        match self {
            Self::Beta(m) => m.terms(x),
            Self::Gaussian(m) => {
                let w = m.posterior(x);
                [1. - w, w].map(|share| share * m.density(x))
            }
        }
    }

    fn posterior(&self, x: f64) -> f64 {
        match self {
            Self::Beta(m) => m.posterior(x),
            Self::Gaussian(m) => m.posterior(x),
        }
    }
}

/// Everything that turns a loss into the probability that its label is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Posterior {
    /// How losses are normalised.
    pub scale: Scale,
    /// What was fitted.
    pub mixture: Mixture,
    /// The published code's table; none by the paper's rule.
    pub table: Option<Table>,
}

impl Posterior {
    /// Fits the losses of all training samples.
    ///
    /// # Errors
    /// As [`Scale::of`] and [`Mixture::fit`].
    pub fn fit(losses: &[f64], family: Family, rule: Rule, iterations: usize) -> Result<Self, Error> {
        let scale = Scale::of(losses, rule)?;
        if scale.hi <= scale.window.0 || (rule == Rule::Paper && scale.hi <= 0.) {
            return Err(Error::Constant);
        }
        let xs = scale.fitted(losses);
        if xs.len() < 2 {
            return Err(Error::FewInside { inside: xs.len(), given: losses.len() });
        }
        let mixture = Mixture::fit(&xs, family, iterations)?;
        let table = (rule == Rule::Code).then(|| Table::of(|x| mixture.terms(x)));
        Ok(Self { scale, mixture, table })
    }

    /// Probability that the label of a sample with this loss is wrong.
    pub fn of_loss(&self, loss: f64) -> f64 {
        self.of_normalised(self.scale.apply(loss))
    }

    /// The same from the normalised loss.
    pub fn of_normalised(&self, x: f64) -> f64 {
        match &self.table {
            Some(table) => table.posterior(x),
            None => self.mixture.posterior(x),
        }
    }

    /// Whether it says the same (within a hundredth) of every loss: the fit tells nothing apart.
    pub fn is_flat(&self) -> bool {
        let first = self.of_normalised(INSIDE);
        places().all(|x| (self.of_normalised(x) - first).abs() < 0.01)
    }

    /// Whether it is the normalised loss itself: the mixture has added nothing.
    pub fn is_identity(&self) -> bool {
        says_x(|x| self.of_normalised(x))
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    use super::*;

    /// Mid-points of a triangular law on [0, 1].
    fn triangular(count: usize, center: f64, width: f64) -> impl Iterator<Item = f64> {
        (0..count).map(move |j| {
            let u = (j as f64 + 0.5) / count as f64;
            center + width * if u < 0.5 { (u / 2.).sqrt() } else { 1. - ((1. - u) / 2.).sqrt() }
        })
    }

    fn assert_mixture(fit: &BetaMixture, alpha: [f64; 2], beta: [f64; 2], weight: [f64; 2], tolerance: f64) {
        for k in 0..2 {
            assert_abs_diff_eq!(fit.alpha[k], alpha[k], epsilon = tolerance * alpha[k].max(1.));
            assert_abs_diff_eq!(fit.beta[k], beta[k], epsilon = tolerance * beta[k].max(1.));
            assert_abs_diff_eq!(fit.weight[k], weight[k], epsilon = tolerance);
        }
    }

    fn two_groups() -> Vec<f64> {
        let low = (0..600).map(|i| 0.3 * ((f64::from(i) + 0.5) / 600.).powi(3));
        low.chain(triangular(400, 0.40, 0.55)).collect()
    }

    /// The losses of one beta law leave the fit where it started: the posterior is x.
    #[test]
    fn one_law_is_a_fixed_point() {
        let xs: Vec<f64> = (0..1000).map(|i| ((f64::from(i) + 0.5) / 1000.).powi(2)).collect();
        let fit = BetaMixture::fit(&xs, 10).unwrap();
        assert_mixture(&fit, [0.500015, 1.499973], [2.000044, 0.999989], [0.666666, 0.333334], 2e-6);
        assert_abs_diff_eq!(Table::of(|x| fit.terms(x)).entries[50], 50. / 99., epsilon = 1e-4);
    }

    #[test]
    fn two_groups_are_told_apart() {
        let xs = two_groups();
        let first = BetaMixture::fit(&xs, 1).unwrap();
        assert_mixture(&first, [0.267842, 2.636281], [1.261102, 1.622267], [0.684997, 0.315003], 2e-6);
        let fit = BetaMixture::fit(&xs, 10).unwrap();
        assert_mixture(&fit, [0.307424, 13.044843], [2.216725, 5.909253], [0.658905, 0.341095], 2e-6);
        let table = Table::of(|x| fit.terms(x));
        assert_eq!(table.flat_from, 77);
        for (j, value) in
            [(20, 0.00008), (30, 0.00819), (40, 0.15307), (50, 0.60963), (60, 0.87272), (75, 0.95142), (99, 0.95206)]
        {
            assert_abs_diff_eq!(table.entries[j], value, epsilon = 6e-6);
        }
        // Ten rounds are not convergence.
        let later = BetaMixture::fit(&xs, 50).unwrap();
        assert_mixture(&later, [0.549, 11.317], [6.289, 5.376], [0.607, 0.393], 1e-3);
    }

    /// The second component spreads to both ends, its quotient is largest at 0, and the tail rule makes all entries 1.
    #[test]
    fn a_collapse_is_kept_and_seen() {
        let edges = (0..200).map(|j| (1. - (std::f64::consts::PI * (f64::from(j) + 0.5) / 200.).cos()) / 2.);
        let xs: Vec<f64> = triangular(800, 0.2, 0.1375).chain(edges).collect();
        let fit = BetaMixture::fit(&xs, 10).unwrap();
        assert_mixture(&fit, [63.8006, 0.490584], [173.494, 0.480015], [0.804996, 0.195004], 2e-5);
        let table = Table::of(|x| fit.terms(x));
        assert_eq!(table.flat_from, 0);
        assert!(table.entries.iter().all(|e| (e - 1.).abs() < 1e-6));
    }

    #[test]
    fn the_start_says_x() {
        for j in 1..100 {
            let x = f64::from(j) / 100.;
            assert_abs_diff_eq!(BetaMixture::START.posterior(x), x, epsilon = 1e-12);
        }
        assert!(BetaMixture::START.is_identity(Rule::Code) && BetaMixture::START.is_identity(Rule::Paper));
        let apart = BetaMixture::fit(&two_groups(), 10).unwrap();
        assert!(!apart.is_identity(Rule::Code) && !apart.is_identity(Rule::Paper));
    }

    /// Far from a component only the floor of its density is left, and its share of the sample is that floor's.
    #[test]
    fn small_responsibilities_keep_their_digits() {
        let fit = BetaMixture { alpha: [1., 60.], beta: [60., 1.], weight: [0.5; 2] };
        let [low, high] = fit.responsibilities(0.999);
        let exact = FLOOR / (FLOOR + fit.terms(0.999)[1]);
        assert!((low / exact - 1.).abs() < 1e-12, "{low}, exactly {exact}");
        assert_abs_diff_eq!(low + high, 1., epsilon = 1e-15);
    }

    /// Both rules see a fit that adds nothing, and one that tells nothing apart.
    #[test]
    fn empty_fits_are_seen_by_both_rules() {
        // One beta law between 0 and 1, which normalising leaves as it is but for its ends.
        let one_law: Vec<f64> = (0..1000).map(|i| ((f64::from(i) + 0.5) / 1000.).powi(2)).collect();
        // One narrow heap and both ends: the second component takes the ends, and the table is 1 from its first entry on.
        let ends = (0..200).map(|j| (1. - (std::f64::consts::PI * (f64::from(j) + 0.5) / 200.).cos()) / 2.);
        let collapsed: Vec<f64> = triangular(800, 0.2, 0.1375).chain(ends).collect();
        for rule in [Rule::Code, Rule::Paper] {
            let fit = Posterior::fit(&one_law, Family::Beta, rule, 10).unwrap();
            assert!(fit.is_identity() && !fit.is_flat(), "{rule:?}");
            let fit = Posterior::fit(&two_groups(), Family::Beta, rule, 10).unwrap();
            assert!(!fit.is_identity() && !fit.is_flat(), "{rule:?}");
        }
        let scale = Scale::of(&collapsed, Rule::Paper).unwrap();
        let mixture = Mixture::fit(&collapsed, Family::Beta, 10).unwrap();
        let table = Some(Table::of(|x| mixture.terms(x)));
        assert!(Posterior { scale, mixture, table }.is_flat());
        // By the formula the same mixture trusts the heap.
        assert!(!Posterior { scale, mixture, table: None }.is_flat());
        // Two equal components: the formula says one half of everything.
        let mixture = Mixture::Beta(BetaMixture { alpha: [1., 1.], beta: [2., 2.], weight: [0.5; 2] });
        assert!(Posterior { scale, mixture, table: None }.is_flat());
    }

    #[test]
    fn percentiles_are_interpolated() {
        let losses: Vec<f64> = (0..1000).map(|i| f64::from(i) * 0.01).collect();
        let scale = Scale::of(&losses, Rule::Code).unwrap();
        assert_abs_diff_eq!(scale.lo, 0.4995 + 1e-5, epsilon = 1e-9);
        assert_abs_diff_eq!(scale.hi, 9.4905, epsilon = 1e-9);
        assert_eq!(scale.fitted(&losses).len(), 900);
        assert_eq!((scale.apply(0.), scale.apply(9.9)), (1e-3, 0.999));
        let paper = Scale::of(&losses, Rule::Paper).unwrap();
        assert_eq!((paper.apply(0.), paper.apply(9.99)), (1e-4, 1. - 1e-4));
        assert_eq!(paper.fitted(&losses).len(), 1000);
    }

    #[test]
    fn what_cannot_be_fitted_is_told() {
        assert_eq!(Posterior::fit(&[1.], Family::Beta, Rule::Code, 10).unwrap_err(), Error::TooFew(1));
        let few = Posterior::fit(&[1., 2.], Family::Beta, Rule::Code, 10).unwrap_err();
        assert_eq!(few, Error::FewInside { inside: 0, given: 2 });
        assert!(few.to_string().starts_with("only 0 of 2 losses lie between"), "{few}");
        for (family, rule) in [(Family::Beta, Rule::Code), (Family::Gaussian, Rule::Paper)] {
            assert_eq!(Posterior::fit(&[0.7; 50], family, rule, 10).unwrap_err(), Error::Constant);
        }
    }

    proptest! {
        /// A probability everywhere, a table that is constant from its maximum on, a distribution from 0 to 1 that never
        /// falls, whose slope is the density.
        #[test]
        fn posteriors_are_probabilities(losses in prop::collection::vec(0.0..9.0f64, 20..200), paper: bool, gauss: bool) {
            let rule = if paper { Rule::Paper } else { Rule::Code };
            let family = if gauss { Family::Gaussian } else { Family::Beta };
            if let Ok(fit) = Posterior::fit(&losses, family, rule, 10) {
                for loss in &losses {
                    let w = fit.of_loss(*loss);
                    prop_assert!((0. ..=1.).contains(&w), "{w} for {loss}");
                }
                if let Some(Table { entries, flat_from }) = &fit.table {
                    prop_assert!(entries.iter().all(|e| *e <= entries[*flat_from]));
                    prop_assert!(entries[*flat_from..].iter().all(|e| *e == entries[*flat_from]));
                }
                let m = &fit.mixture;
                prop_assert!((0. ..=1.).contains(&m.noisy_share()));
                prop_assert!(m.cdf(-20.) < 1e-9 && (m.cdf(20.) - 1.).abs() < 1e-9);
                for j in 1..50 {
                    let (a, b) = (f64::from(j) / 50. - 1e-6, f64::from(j) / 50. + 1e-6);
                    let (slope, density) = ((m.cdf(b) - m.cdf(a)) / (b - a), m.density(f64::from(j) / 50.));
                    prop_assert!(slope >= 0. && (slope - density).abs() <= 1e-3 * (1. + density), "{slope}, {density}");
                }
            }
        }
    }
}
