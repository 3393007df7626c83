//! One step of SELFIE: which samples of a batch are trained on, and with which labels (section 3 of the paper).

use retrial_core::train::co_teaching::small_loss;

use crate::config::{Padding, Reuse};
use crate::history::History;

/// What a batch is reduced to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chosen {
    /// Positions in the batch, ascending: R u C.
    pub rows: Vec<usize>,
    /// Label that each of them is trained with.
    pub labels: Vec<u32>,
    /// |R|.
    pub refurbished: usize,
}

/// |C| = ceil(|M| (1 - tau)).
pub fn small_loss_count(batch: usize, tau: f64) -> usize {
    // 1 - 0.4 is a little more than 0.6: a product that should be whole must not be rounded up.
    let count = batch as f64 * (1. - tau);
    (count - 1e-9).ceil().clamp(0., batch as f64) as usize
}

/// What SELFIE remembers of the samples. A restart clears the history and keeps the refurbished labels.
pub struct Refurbisher {
    /// H.
    pub history: History,
    /// Latest refurbished label of every sample that ever had one.
    pub corrected: Vec<Option<u32>>,
    epsilon: f64,
    reuse: Reuse,
}

impl Refurbisher {
    /// For `n` samples of `classes` classes.
    pub fn new(n: usize, classes: usize, q: usize, padding: Padding, epsilon: f64, reuse: Reuse) -> Self {
        Self { history: History::new(n, classes, q, padding), corrected: vec![None; n], epsilon, reuse }
    }

    /// R u C of the batch of `samples` whose labels are `given` and whose losses against them are `losses`, all in the
    /// same order. The history is that before this visit.
    pub fn choose(&mut self, samples: &[u32], given: &[u32], losses: &[f32], tau: f64) -> Chosen {
        let mut clean = vec![false; samples.len()];
        for row in small_loss(losses, small_loss_count(samples.len(), tau)) {
            clean[row] = true;
        }
        let mut chosen = Chosen::default();
        for (row, &x) in samples.iter().enumerate() {
            let now = self.history.refurbished(x, self.epsilon);
            let known = &mut self.corrected[x as usize];
            if now.is_some() {
                *known = now;
            }
            // A sample in R is trained with its refurbished label whether or not it is in C too.
            let in_r = now.is_some() || self.reuse == Reuse::Always && known.is_some();
            let label = match (in_r, clean[row]) {
                (true, _) => *known,
                (false, true) => Some(known.unwrap_or(given[row])),
                (false, false) => None,
            };
            if let Some(label) = label {
                chosen.rows.push(row);
                chosen.labels.push(label);
                chosen.refurbished += usize::from(in_r);
            }
        }
        chosen
    }

    /// tau of a later run in the code of 2020: at most the share of samples that were never refurbished.
    pub fn lowered(&self, tau: f64) -> f64 {
        let never = self.corrected.iter().filter(|label| label.is_none()).count();
        tau.min(never as f64 / self.corrected.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_small_loss_set_has_the_published_size() {
        for (batch, tau, count) in
            [(128, 0.4, 77), (128, 0., 128), (128, 0.1, 116), (10, 0.4, 6), (5, 0.2, 4), (7, 1., 0)]
        {
            assert_eq!(small_loss_count(batch, tau), count, "{batch} {tau}");
        }
    }

    fn taught(reuse: Reuse) -> Refurbisher {
        let mut r = Refurbisher::new(4, 3, 2, Padding::None, 0.05, reuse);
        // Sample 3 is sure of class 2, sample 1 of class 0; sample 0 hesitates, sample 2 is new.
        for (sample, class) in [(3, 2), (3, 2), (1, 0), (1, 0), (0, 1), (0, 2)] {
            r.history.push(sample, class);
        }
        r
    }

    #[test]
    fn refurbished_labels_override_small_losses() {
        let mut r = taught(Reuse::Always);
        // C = the two smallest losses, samples 3 and 0. Sample 3 is in both, 1 in R only, 2 in neither.
        let chosen = r.choose(&[3, 1, 2, 0], &[1, 1, 1, 1], &[0.1, 0.9, 0.8, 0.2], 0.5);
        assert_eq!(chosen, Chosen { rows: vec![0, 1, 3], labels: vec![2, 0, 1], refurbished: 2 });
        assert_eq!(r.corrected, [None, Some(0), None, Some(2)]);
        assert_eq!(r.lowered(0.8), 0.5);
        assert_eq!(r.lowered(0.4), 0.4);
    }

    #[test]
    fn both_ways_of_re_use() {
        for (reuse, small, large) in [(Reuse::Always, Some(2), Some(2)), (Reuse::SmallLoss, Some(2), None)] {
            for (losses, expected) in [([0.1, 0.9], small), ([0.9, 0.1], large)] {
                let mut r = taught(reuse);
                r.choose(&[3], &[1], &[0.1], 0.);
                // Now it is uncertain.
                r.history.push(3, 0);
                let chosen = r.choose(&[3, 2], &[1, 1], &losses, 0.5);
                let label = chosen.rows.iter().position(|&row| row == 0).map(|i| chosen.labels[i]);
                assert_eq!(label, expected, "{reuse:?} {losses:?}");
                assert_eq!(chosen.refurbished, usize::from(reuse == Reuse::Always));
            }
        }
    }

    proptest! {
        /// A negative epsilon refurbishes nothing: the choice is C with given labels, and at tau = 0 the whole batch.
        #[test]
        fn without_refurbishing_only_small_losses_are_left(
            losses in prop::collection::vec(0f32..3., 1..30), tau in 0f64..1.,
        ) {
            let n = losses.len();
            let samples: Vec<u32> = (0..n as u32).rev().collect();
            let given: Vec<u32> = samples.iter().map(|x| x % 3).collect();
            let mut r = Refurbisher::new(n, 3, 2, Padding::ClassZero, -1., Reuse::Always);
            let chosen = r.choose(&samples, &given, &losses, tau);
            prop_assert_eq!(chosen.rows.len(), small_loss_count(n, tau));
            prop_assert!(chosen.rows.iter().zip(&chosen.labels).all(|(&row, &label)| given[row] == label));
            let all = r.choose(&samples, &given, &losses, 0.);
            prop_assert_eq!(all.rows, (0..n).collect::<Vec<_>>());
            prop_assert_eq!(all.labels, given);
        }
    }
}
