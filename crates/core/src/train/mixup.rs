//! mixup (Zhang et al. 2018): convex combinations of a batch with itself in another order.

use candle_core::{Result, Tensor, bail};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution};

/// What is drawn for one batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixup {
    /// Share of the sample itself, from Beta(alpha, alpha); one number for the batch.
    pub share: f32,
    /// For each place in the batch, the place of its partner: a permutation.
    pub partner: Vec<u32>,
}

impl Mixup {
    /// For `n` samples; `alpha` of 0 leaves the batch alone.
    ///
    /// # Errors
    /// If `alpha` is negative or not finite.
    pub fn draw(alpha: f64, n: usize, stream: &mut ChaCha8Rng) -> Result<Self> {
        // The permutation first: it is the same whatever alpha.
        let mut partner: Vec<u32> = (0..n as u32).collect();
        partner.shuffle(stream);
        if alpha == 0. {
            return Ok(Self { share: 1., partner });
        }
        let Ok(beta) = Beta::new(alpha, alpha) else { bail!("mixup with alpha {alpha}") };
        Ok(Self { share: beta.sample(stream) as f32, partner })
    }
}

/// `share_i x_i + (1 - share_i) x_partner(i)`, of the shape of `x` `[n, ...]`; `share` has one number or `n`.
///
/// # Errors
/// If the numbers of shares, partners and samples do not fit, or a partner is no sample.
pub fn mix(x: &Tensor, partner: &[u32], share: &[f32]) -> Result<Tensor> {
    let n = x.dim(0)?;
    if partner.len() != n || ![1, n].contains(&share.len()) {
        bail!("{n} samples, {} partners, {} shares", partner.len(), share.len())
    }
    let mut dims = vec![1; x.rank()];
    dims[0] = share.len();
    let share = Tensor::from_slice(share, dims.as_slice(), x.device())?.to_dtype(x.dtype())?;
    let partner = x.index_select(&Tensor::from_slice(partner, n, x.device())?, 0)?;
    x.broadcast_mul(&share)? + partner.broadcast_mul(&(1. - share)?)?
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::Seed;

    /// Beta(32, 32) has mean 1/2 and standard deviation 1 / sqrt(4 (2 * 32 + 1)) = 0.0620.
    #[test]
    fn shares_have_the_moments_of_their_law() {
        let mut stream = Seed(1).stream("mixup");
        let shares: Vec<f64> =
            (0..20_000).map(|_| f64::from(Mixup::draw(32., 2, &mut stream).unwrap().share)).collect();
        let mean = shares.iter().sum::<f64>() / 20_000.;
        let sd = (shares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 20_000.).sqrt();
        assert!((mean - 0.5).abs() < 0.002 && (sd - 0.0620).abs() < 0.002, "{mean} {sd}");
        assert!(Mixup::draw(-1., 2, &mut stream).is_err());
    }

    #[test]
    fn batches_are_mixed_sample_by_sample() {
        let x = Tensor::new(&[[0f32, 10.], [1., 20.], [2., 40.]], &Device::Cpu).unwrap();
        let mixed = |share: &[f32]| mix(&x, &[1, 2, 0], share).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(mixed(&[0.5]), [[0.5, 15.], [1.5, 30.], [1., 25.]]);
        assert_eq!(mixed(&[1., 0., 0.25]), [[0., 10.], [2., 40.], [0.5, 17.5]]);
        assert!(mix(&x, &[0, 1], &[0.5]).is_err() && mix(&x, &[0, 1, 2], &[0.5, 0.5]).is_err());
        let none = Mixup::draw(0., 3, &mut Seed(1).stream("mixup")).unwrap();
        assert_eq!(
            mix(&x, &none.partner, &[none.share]).unwrap().to_vec2::<f32>().unwrap(),
            x.to_vec2::<f32>().unwrap()
        );
    }
}
