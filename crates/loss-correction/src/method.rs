//! The training losses of sections 3.2 and 3.3: every one is a cross-entropy against a mixture of given labels and the
//! network's own predictions.

use candle_core::{D, Result, Tensor};
use retrial_core::train::soft_cross_entropy;

use crate::config::{Correction, Phases};

/// Weight of the network's own word in static bootstrapping, soft and hard (Reed et al. 2015).
const STATIC_SOFT: f64 = 0.05;
const STATIC_HARD: f64 = 0.2;
/// Probabilities of a wrong label are kept this far from 0 and 1.
const INSIDE: f64 = 1e-4;

/// One row of numbers per sample.
pub type Rows = Vec<Vec<f64>>;

/// One-hot rows.
pub fn one_hot(labels: &[u32], classes: usize) -> Rows {
    labels
        .iter()
        .map(|&label| {
            let mut row = vec![0.; classes];
            row[label as usize] = 1.;
            row
        })
        .collect()
}

/// What the network itself says of each sample: its prediction (hard) or its distribution at a temperature (soft).
/// `logits`: `[b, c]`.
pub fn own_word(logits: &Tensor, correction: Correction, temperature: f64) -> Result<Rows> {
    let rows: Vec<Vec<f32>> = logits.to_vec2()?;
    let word = |z: &Vec<f32>| -> Vec<f64> {
        let top = (0..z.len()).fold(0, |top, j| if z[j] > z[top] { j } else { top });
        match correction {
            Correction::Hard | Correction::StaticHard => {
                let mut row = vec![0.; z.len()];
                row[top] = 1.;
                row
            }
            _ => {
                let powers: Vec<f64> = z.iter().map(|&v| (f64::from(v - z[top]) / temperature).exp()).collect();
                let sum: f64 = powers.iter().sum();
                powers.into_iter().map(|p| p / sum).collect()
            }
        }
    };
    Ok(rows.iter().map(word).collect())
}

/// How much of the network's own word replaces the label of each sample, given the probabilities that labels are wrong.
pub fn trust(correction: Correction, wrong: &[f64]) -> Vec<f64> {
    wrong
        .iter()
        .map(|&w| match correction {
            Correction::None => 0.,
            Correction::StaticSoft => STATIC_SOFT,
            Correction::StaticHard => STATIC_HARD,
            Correction::Soft | Correction::Hard => w.clamp(INSIDE, 1. - INSIDE),
            Correction::SoftToHard => 1.,
        })
        .collect()
}

/// `(1 - w) y + w z`, row by row.
pub fn corrected(labels: &Rows, own: &Rows, w: &[f64]) -> Rows {
    let row =
        |((y, z), &w): ((&Vec<f64>, &Vec<f64>), &f64)| y.iter().zip(z).map(|(y, z)| (1. - w) * y + w * z).collect();
    labels.iter().zip(own).zip(w).map(row).collect()
}

/// Targets of mixed images: `share_i t_i + (1 - share_i) t_partner(i)`; `share` has one number or one for each row.
pub fn mixed(targets: &Rows, partner: &[u32], share: &[f64]) -> Rows {
    let row = |(i, (own, &partner)): (usize, (&Vec<f64>, &u32))| {
        let share = share[if share.len() == 1 { 0 } else { i }];
        own.iter().zip(&targets[partner as usize]).map(|(p, q)| share * p + (1. - share) * q).collect()
    };
    targets.iter().zip(partner).enumerate().map(row).collect()
}

/// Dynamic mixup's share of each image: `(1 - w_p) / ((1 - w_p) + (1 - w_q))`.
pub fn dynamic_shares(wrong: &[f64], partner: &[u32]) -> Vec<f64> {
    let right = |i: usize| 1. - wrong[i].clamp(INSIDE, 1. - INSIDE);
    partner.iter().enumerate().map(|(i, &q)| right(i) / (right(i) + right(q as usize))).collect()
}

/// Mean cross-entropy of `logits` `[b, c]` against soft targets.
pub fn loss(logits: &Tensor, targets: &Rows) -> Result<Tensor> {
    let flat: Vec<f32> = targets.iter().flatten().map(|&t| t as f32).collect();
    soft_cross_entropy(logits, &Tensor::from_vec(flat, logits.shape(), logits.device())?)?.mean_all()
}

/// `sum_c p ln(p / mean softmax_c)` with `p = 1 / counted`: with all classes counted it is zero where the mean prediction of
/// the batch is uniform (section 3.3, after Tanaka et al. 2018). A scalar with gradient.
pub fn regulariser(logits: &Tensor, counted: usize) -> Result<Tensor> {
    let (classes, counted) = (logits.dim(D::Minus1)? as f64, counted as f64);
    let mean = candle_nn::ops::softmax(logits, 1)?.mean(0)?;
    (mean.log()?.mean_all()? + counted.ln())? * (-classes / counted)
}

/// The temperature of soft-to-hard bootstrapping at an epoch: from 1 at `soften` down a line to 0.001 at `hard`.
pub fn temperature(phases: &Phases, epoch: usize) -> f64 {
    let (from, to) = (phases.soften as f64, phases.hard as f64);
    1. - 0.999 * ((epoch as f64 - from) / (to - from)).clamp(0., 1.)
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;
    use candle_core::{Device, Var};

    use super::*;

    fn logits() -> Tensor {
        Tensor::new(&[[1f32, 0., -1.], [0.5, 2., 0.], [0., 0., 3.], [-1., 1., 1.5]], &Device::Cpu).unwrap()
    }

    fn gradient(loss: impl Fn(&Tensor) -> Tensor) -> Vec<f32> {
        let z = Var::from_tensor(&logits()).unwrap();
        let gradients = loss(z.as_tensor()).backward().unwrap();
        gradients.get(&z).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn the_regulariser_of_a_collapsed_mean() {
        let mean: Vec<f32> = [0.91f32].into_iter().chain([0.01; 9]).map(f32::ln).collect();
        let collapsed = Tensor::from_vec(mean, (1, 10), &Device::Cpu).unwrap();
        assert_abs_diff_eq!(regulariser(&collapsed, 10).unwrap().to_scalar::<f32>().unwrap(), 1.851499, epsilon = 1e-5);
        let uniform = Tensor::zeros((4, 10), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert_abs_diff_eq!(regulariser(&uniform, 10).unwrap().to_scalar::<f32>().unwrap(), 0., epsilon = 1e-6);
        // Twenty classes counted as ten: 20 / 10 ln(20 / 10).
        let more = Tensor::zeros((4, 20), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert_abs_diff_eq!(regulariser(&more, 10).unwrap().to_scalar::<f32>().unwrap(), 1.386294, epsilon = 1e-5);
    }

    #[test]
    fn the_temperature_falls_as_published() {
        let phases = Phases::of(300);
        for (epoch, t) in [(111, 1.), (112, 0.988648), (155, 0.5005), (199, 0.001), (300, 0.001)] {
            assert_abs_diff_eq!(temperature(&phases, epoch), t, epsilon = 1e-6);
        }
    }

    /// Labels surely right: the gradient is mixup's, plus the regulariser's. Surely wrong: given labels do not matter.
    #[test]
    fn limits_of_the_weights() {
        let (partner, share) = ([2u32, 0, 3, 1], [0.6]);
        let given = one_hot(&[0, 1, 2, 0], 3);
        let own = own_word(&logits(), Correction::Hard, 1.).unwrap();
        let dynamic = |labels: &Rows, w: f64| mixed(&corrected(labels, &own, &[w; 4]), &partner, &share);
        let right = gradient(|z| (loss(z, &dynamic(&given, 0.)).unwrap() + regulariser(z, 3).unwrap()).unwrap());
        let plain = gradient(|z| loss(z, &mixed(&given, &partner, &share)).unwrap());
        let pull = gradient(|z| regulariser(z, 3).unwrap());
        for ((right, plain), pull) in right.iter().zip(&plain).zip(&pull) {
            assert_abs_diff_eq!(*right, plain + pull, epsilon = 1e-6);
        }
        assert_eq!(dynamic(&given, 1.), dynamic(&one_hot(&[1, 1, 0, 2], 3), 1.));
    }

    /// `mixed` is the paper's two weighted losses in one: cross-entropy is linear in its target.
    #[test]
    fn mixed_targets_are_mixed_losses() {
        let (a, b) = (one_hot(&[0, 1, 2, 0], 3), one_hot(&[2, 0, 0, 1], 3));
        let both = loss(&logits(), &mixed(&a, &[2, 0, 3, 1], &[0.3])).unwrap().to_scalar::<f32>().unwrap();
        let one = |t: &Rows| loss(&logits(), t).unwrap().to_scalar::<f32>().unwrap();
        assert_abs_diff_eq!(both, 0.3 * one(&a) + 0.7 * one(&b), epsilon = 1e-6);
    }

    #[test]
    fn equally_sure_labels_give_the_mean_image() {
        assert_eq!(dynamic_shares(&[0.3, 0.3, 0.3], &[1, 2, 0]), [0.5; 3]);
        let shares = dynamic_shares(&[0., 1.], &[1, 0]);
        assert!(shares[0] > 0.999 && shares[1] < 0.001, "a wrong label's image almost disappears: {shares:?}");
    }

    #[test]
    fn own_words() {
        let hard = own_word(&logits(), Correction::Hard, 1.).unwrap();
        assert_eq!(hard, one_hot(&[0, 1, 2, 2], 3));
        let soft = own_word(&logits(), Correction::Soft, 1.).unwrap();
        let exact = 1f64.exp() / (1f64.exp() + 1. + (-1f64).exp());
        assert_abs_diff_eq!(soft[0][0], exact, epsilon = 1e-9);
        let cold = own_word(&logits(), Correction::SoftToHard, 0.001).unwrap();
        assert_abs_diff_eq!(cold[0][0], 1., epsilon = 1e-9);
        assert_eq!(trust(Correction::StaticHard, &[0.9]), [0.2]);
        assert_eq!(trust(Correction::Hard, &[1.]), [1. - 1e-4]);
    }
}
