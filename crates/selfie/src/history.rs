//! The prediction history H(x), its uncertainty F(x), and what a threshold on F means in votes (section 3.2 of the
//! paper: refurbishable samples).

use crate::config::Padding;

/// F = -(1 / ln k) sum_j P(j) ln P(j), with P(j) the share of `votes[j]`: 0 where all agree, 1 where all k classes have
/// as many. Not a number without votes.
pub fn uncertainty(votes: &[u32]) -> f64 {
    let total = f64::from(votes.iter().sum::<u32>());
    // Summed from +0: unanimity must not become -0.
    let entropy = votes.iter().filter(|&&n| n > 0).fold(0., |sum, &n| {
        let p = f64::from(n) / total;
        sum - p * p.ln()
    });
    // Rounding must not carry equal votes beyond 1.
    if total == 0. { f64::NAN } else { (entropy / (votes.len() as f64).ln()).min(1.) }
}

/// The class with most votes; the first of equal ones.
pub fn majority(votes: &[u32]) -> u32 {
    (0..votes.len()).fold(0, |top, j| if votes[j] > votes[top] { j } else { top }) as u32
}

/// What a threshold on F means in votes: how many of `q` may differ from the majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// So many pass however they scatter.
    pub dissenters: usize,
    /// So many pass if they fall on as few other classes as can be; never fewer. In between it depends on the split.
    pub together: usize,
}

/// What `epsilon` means for `q` votes among `k` classes; none if not even unanimity passes.
pub fn rule(k: usize, q: usize, epsilon: f64) -> Option<Rule> {
    let passes = |votes: &[u32]| uncertainty(votes) <= epsilon;
    let scattered = |dissenters: usize| {
        let mut votes = vec![0; k];
        votes[0] = (q - dissenters) as u32;
        (0..dissenters).for_each(|d| votes[1 + d % (k - 1)] += 1);
        votes
    };
    let together = |dissenters: usize| {
        let (mut votes, mut left) = (vec![0; k], q);
        // No class may have more votes than the majority.
        for vote in &mut votes {
            *vote = left.min(q - dissenters) as u32;
            left -= *vote as usize;
        }
        votes
    };
    let most = q - q.div_ceil(k);
    Some(Rule {
        dissenters: (0..=most).take_while(|&d| passes(&scattered(d))).last()?,
        together: (0..=most).rev().find(|&d| passes(&together(d)))?,
    })
}

/// The last q predictions of every sample.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    classes: usize,
    q: usize,
    padding: Padding,
    /// `[sample][visit mod q]`.
    slots: Vec<u16>,
    visits: Vec<u32>,
    /// Scratch.
    votes: Vec<u32>,
}

impl History {
    /// Nothing seen yet of `n` samples of `classes` classes.
    ///
    /// # Panics
    /// If `q` is 0.
    pub fn new(n: usize, classes: usize, q: usize, padding: Padding) -> Self {
        assert!(q > 0, "a history of no predictions");
        Self { classes, q, padding, slots: vec![0; n * q], visits: vec![0; n], votes: vec![0; classes] }
    }

    /// Appends a prediction of a sample; the oldest of more than q is forgotten.
    pub fn push(&mut self, sample: u32, prediction: u32) {
        let sample = sample as usize;
        self.slots[sample * self.q + self.visits[sample] as usize % self.q] = prediction as u16;
        self.visits[sample] += 1;
    }

    fn count(&mut self, sample: u32) -> &[u32] {
        let sample = sample as usize;
        self.votes.fill(0);
        let seen = match self.padding {
            Padding::None => (self.visits[sample] as usize).min(self.q),
            // The unfilled slots hold class 0.
            Padding::ClassZero => self.q,
        };
        for &prediction in &self.slots[sample * self.q..][..seen] {
            self.votes[prediction as usize] += 1;
        }
        &self.votes
    }

    /// y_refurb, if the sample is refurbishable: its last q predictions have F <= epsilon.
    pub fn refurbished(&mut self, sample: u32, epsilon: f64) -> Option<u32> {
        if self.padding == Padding::None && (self.visits[sample as usize] as usize) < self.q {
            return None;
        }
        let votes = self.count(sample);
        (uncertainty(votes) <= epsilon).then(|| majority(votes))
    }

    /// Majority vote of the predictions so far, at most q; none before the first visit.
    pub fn vote(&mut self, sample: u32) -> Option<u32> {
        (self.visits[sample as usize] > 0).then(|| majority(self.count(sample)))
    }

    /// Slots and visits, for a checkpoint.
    pub fn state(&self) -> (&[u16], &[u32]) {
        (&self.slots, &self.visits)
    }

    /// Takes back what [`Self::state`] gave. False, and nothing changed, if it is of other samples.
    pub fn set_state(&mut self, slots: Vec<u16>, visits: Vec<u32>) -> bool {
        let fits = slots.len() == self.slots.len()
            && visits.len() == self.visits.len()
            && slots.iter().all(|&class| (class as usize) < self.classes);
        if fits {
            (self.slots, self.visits) = (slots, visits);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    use super::*;

    /// `votes` for class 0, then those of the dissenters.
    fn votes(k: usize, counts: &[u32]) -> Vec<u32> {
        let mut votes = counts.to_vec();
        votes.resize(k, 0);
        votes
    }

    /// By hand: with p = 1/q, F = -(p ln p + (1 - p) ln(1 - p)) / ln k.
    #[test]
    fn one_dissenter_has_the_uncertainty_of_the_formula() {
        for (k, [ten, fifteen, twenty]) in
            [(10, [0.1412, 0.1064, 0.0862]), (100, [0.0706, 0.0532, 0.0431]), (200, [0.0614, 0.0462, 0.0375])]
        {
            for (q, expected) in [(10, ten), (15, fifteen), (20, twenty)] {
                assert_abs_diff_eq!(uncertainty(&votes(k, &[q - 1, 1])), expected, epsilon = 5e-5);
            }
        }
        assert_abs_diff_eq!(uncertainty(&votes(10, &[13, 2])), 0.1705, epsilon = 5e-5);
        assert!(uncertainty(&votes(10, &[15])) == 0. && uncertainty(&votes(10, &[15])).is_sign_positive());
        // Of 5, 12, 13 or 18 classes, too, for which the sum alone exceeds 1 by a rounding.
        for k in 2..=100 {
            assert_abs_diff_eq!(uncertainty(&vec![3; k]), 1., epsilon = 1e-12);
            assert!(uncertainty(&vec![1; k]) <= 1., "{k}");
        }
    }

    /// The published threshold 0.05 is unanimity for ten and a hundred classes and one dissenter for two hundred; the
    /// four values of its grid are three rules at most.
    #[test]
    fn thresholds_are_integer_rules() {
        let plain = |dissenters| Some(Rule { dissenters, together: dissenters });
        assert_eq!(rule(10, 15, 0.05), plain(0));
        assert_eq!(rule(100, 15, 0.05), plain(0));
        assert_eq!(rule(200, 15, 0.05), plain(1));
        assert_eq!(rule(10, 15, 0.1), plain(0));
        assert_eq!(rule(10, 15, 0.15), plain(1));
        assert_eq!(rule(10, 15, 0.2), Some(Rule { dissenters: 1, together: 2 }));
        // 12 + 3 passes, 12 + 1 + 1 + 1 does not; nor 11 + 1 + 1 + 1 + 1, though 9 + 6 does.
        assert_eq!(rule(100, 15, 0.15), Some(Rule { dissenters: 2, together: 6 }));
        // Everything passes, also three votes for three classes.
        assert!((2..=40).all(|k| rule(k, k, 1.) == plain(k - 1)));
        assert!((1..=40).all(|q| rule(10, q, 0.05) == plain(0)));
        assert_eq!(rule(10, 41, 0.05), plain(1));
        assert_eq!(rule(10, 15, -1.), None);
    }

    #[test]
    fn a_short_history_is_not_padded_unless_asked() {
        for (padding, expected) in [(Padding::None, None), (Padding::ClassZero, Some(0))] {
            let mut history = History::new(2, 3, 3, padding);
            history.push(1, 0);
            history.push(1, 0);
            assert_eq!(history.refurbished(1, 0.05), expected);
        }
        let mut history = History::new(1, 3, 3, Padding::None);
        assert_eq!(history.vote(0), None);
        for class in [2, 1, 1] {
            history.push(0, class);
        }
        assert_eq!((history.refurbished(0, 0.05), history.vote(0)), (None, Some(1)));
        // The fourth visit takes the place of the first.
        history.push(0, 1);
        assert_eq!(history.refurbished(0, 0.05), Some(1));
        let (slots, visits) = history.state();
        let mut copy = History::new(1, 3, 3, Padding::None);
        assert!(copy.set_state(slots.to_vec(), visits.to_vec()));
        assert_eq!(copy.refurbished(0, 0.05), Some(1));
        assert!(!copy.set_state(vec![7, 0, 0], vec![3]));
    }

    proptest! {
        /// The ring against a list of everything that was pushed.
        #[test]
        fn the_last_q_predictions_count(pushed in prop::collection::vec(0u32..4, 0..30), q in 1usize..8) {
            let mut history = History::new(3, 4, q, Padding::None);
            for &class in &pushed {
                history.push(2, class);
            }
            let last = &pushed[pushed.len().saturating_sub(q)..];
            let mut counts = [0u32; 4];
            last.iter().for_each(|&class| counts[class as usize] += 1);
            prop_assert_eq!(history.vote(2), (!last.is_empty()).then(|| majority(&counts)));
            let unanimous = last.len() == q && last.iter().all(|c| *c == last[0]);
            prop_assert_eq!(history.refurbished(2, 0.), unanimous.then(|| last[0]));
            prop_assert_eq!(history.vote(0), None);
        }

        /// F lies in [0, 1], does not depend on which class has which votes, and a rule says what F does.
        #[test]
        fn uncertainty_is_a_normalised_entropy(mut counts in prop::collection::vec(0u32..6, 2..9), epsilon in 0f64..0.9) {
            prop_assume!(counts.iter().sum::<u32>() > 0);
            let f = uncertainty(&counts);
            prop_assert!((0. ..=1.).contains(&f));
            counts.reverse();
            prop_assert!((f - uncertainty(&counts)).abs() < 1e-12);
            let q = counts.iter().sum::<u32>();
            let dissenters = (q - counts.iter().max().unwrap()) as usize;
            let rule = rule(counts.len(), q as usize, epsilon).unwrap();
            prop_assert!(rule.dissenters <= rule.together);
            if dissenters <= rule.dissenters {
                prop_assert!(f <= epsilon + 1e-12, "{dissenters} of {rule:?} do not pass");
            }
            if f <= epsilon - 1e-12 {
                prop_assert!(dissenters <= rule.together, "{dissenters} pass, {rule:?}");
            }
        }
    }
}
