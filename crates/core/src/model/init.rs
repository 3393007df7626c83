//! Distributions of initial values.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// How many inputs an output of a layer sums over, and how many outputs an input reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fans {
    /// Terms of one output: `in`, times the area of the window for a convolution.
    pub fan_in: usize,
    /// Outputs that one input takes part in: `out`, times the area of the window.
    pub fan_out: usize,
}

impl Fans {
    /// Of a weight whose last two dimensions are `in` and `out`: linear `[in, out]`, convolution `[kh, kw, in, out]`.
    pub fn of(shape: &[usize]) -> Self {
        let (window, io) = shape.split_at(shape.len() - 2);
        let area: usize = window.iter().product();
        Self { fan_in: area * io[0], fan_out: area * io[1] }
    }
}

/// A named way to draw the initial values of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// Normal, variance `2 / fan_in`: He et al. 2015 for ReLU.
    KaimingNormal,
    /// Normal, variance `2 / fan_out` (Song et al. 2019, 3 x 3 kernels).
    FanOutNormal,
    /// Uniform in `+-sqrt(6 / ((1 + a^2) fan_in))`: He et al. 2015 for a leaky ReLU of slope `a`.
    KaimingUniform {
        /// Slope below zero; 0 for ReLU.
        a: f64,
    },
    /// Uniform in `+-sqrt(6 / (fan_in + fan_out))`: Glorot and Bengio 2010, the default weight of Keras.
    GlorotUniform,
    /// `he_normal` as Keras drew it until 2.1: normal of variance `2 / fan_in`, redrawn beyond two standard deviations.
    /// The cut leaves 0.88 of the standard deviation. Later versions of Keras scale it up again; the papers on trial
    /// that use it are older.
    HeNormal,
    /// `fan_in` rows of `fan_out` numbers, orthonormal and uniformly so: Saxe et al. 2014, Keras's default for recurrent
    /// kernels. For matrices with no more rows than columns.
    Orthogonal,
    /// Uniform in `+-1 / sqrt(fan_in)`, with the fan of the layer's weight: PyTorch's default bias.
    FanInUniform,
}

/// Standard deviation of a standard normal cut at +-2.
#[cfg(test)]
pub(crate) const CUT_NORMAL_DEVIATION: f64 = 0.879_625_661_034_239_8;

impl Init {
    /// PyTorch's default weight, [`Init::KaimingUniform`] with `a = sqrt(5)`: uniform in `+-1 / sqrt(fan_in)`.
    pub const PYTORCH: Init = Init::KaimingUniform { a: 2.236_067_977_499_79 };

    /// `count` values for a layer with these fans.
    pub fn draw(self, count: usize, fans: Fans, stream: &mut ChaCha8Rng) -> Vec<f64> {
        let (fan_in, fan_out) = (fans.fan_in as f64, fans.fan_out as f64);
        match self {
            Self::Zeros => vec![0.; count],
            Self::Ones => vec![1.; count],
            Self::KaimingNormal => normal(count, (2. / fan_in).sqrt(), f64::INFINITY, stream),
            Self::FanOutNormal => normal(count, (2. / fan_out).sqrt(), f64::INFINITY, stream),
            Self::HeNormal => normal(count, (2. / fan_in).sqrt(), 2., stream),
            Self::KaimingUniform { a } => uniform(count, (6. / ((1. + a * a) * fan_in)).sqrt(), stream),
            Self::GlorotUniform => uniform(count, (6. / (fan_in + fan_out)).sqrt(), stream),
            Self::FanInUniform => uniform(count, fan_in.sqrt().recip(), stream),
            Self::Orthogonal => orthonormal_rows(normal(count, 1., f64::INFINITY, stream), fans.fan_out),
        }
    }
}

fn uniform(count: usize, bound: f64, stream: &mut ChaCha8Rng) -> Vec<f64> {
    (0..count).map(|_| (2. * stream.random::<f64>() - 1.) * bound).collect()
}

/// Redrawn until within `cut` standard deviations.
fn normal(count: usize, deviation: f64, cut: f64, stream: &mut ChaCha8Rng) -> Vec<f64> {
    let mut draw = || {
        loop {
            let z: f64 = StandardNormal.sample(stream);
            if z.abs() <= cut {
                return z * deviation;
            }
        }
    };
    (0..count).map(|_| draw()).collect()
}

/// Gram and Schmidt on rows of `columns` numbers, each row twice: once leaves rounding of the size of the angle.
fn orthonormal_rows(mut matrix: Vec<f64>, columns: usize) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for row in 0..matrix.len() / columns {
        let (before, rest) = matrix.split_at_mut(row * columns);
        let row = &mut rest[..columns];
        for earlier in before.chunks_exact(columns).chain(before.chunks_exact(columns)) {
            let along = dot(row, earlier);
            row.iter_mut().zip(earlier).for_each(|(x, e)| *x -= along * e);
        }
        let length = dot(row, row).sqrt();
        row.iter_mut().for_each(|x| *x /= length);
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn orthogonal_rows_are_orthonormal() {
        let fans = Fans { fan_in: 5, fan_out: 20 };
        let rows = Init::Orthogonal.draw(100, fans, &mut Seed(3).stream("init/test"));
        for (i, a) in rows.chunks_exact(20).enumerate() {
            for (j, b) in rows.chunks_exact(20).enumerate() {
                let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-12, "{i} {j}: {product}");
            }
        }
    }

    /// Mean, standard deviation and largest magnitude of 40,000 values for a 3 x 3 convolution from 16 to 32 channels.
    fn moments(init: Init) -> (f64, f64, f64) {
        let fans = Fans::of(&[3, 3, 16, 32]);
        let values = init.draw(40_000, fans, &mut Seed(7).stream("init/test"));
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt(), values.iter().fold(0., |max, v| v.abs().max(max)))
    }

    #[test]
    fn fans_follow_the_weight_layout() {
        assert_eq!(Fans::of(&[784, 256]), Fans { fan_in: 784, fan_out: 256 });
        assert_eq!(Fans::of(&[3, 3, 16, 32]), Fans { fan_in: 144, fan_out: 288 });
        assert_eq!(Fans::of(&[1, 1, 64, 16]), Fans { fan_in: 64, fan_out: 16 });
    }

    /// A uniform law on +-b has standard deviation b / sqrt(3); fan_in is 144 and fan_out 288. Four standard errors of
    /// the mean are 4 sd / 200, of the standard deviation at most 4 sd / sqrt(2) / 200.
    #[test]
    fn values_have_the_moments_and_the_range_of_their_law() {
        let uniform = |bound: f64| (bound / 3f64.sqrt(), bound);
        let he = (2f64 / 144.).sqrt();
        for (init, (deviation, bound)) in [
            (Init::KaimingNormal, (he, 6. * he)),
            (Init::FanOutNormal, ((2f64 / 288.).sqrt(), 6. * he)),
            (Init::HeNormal, (he * CUT_NORMAL_DEVIATION, 2. * he)),
            (Init::KaimingUniform { a: 0. }, uniform((6f64 / 144.).sqrt())),
            (Init::PYTORCH, uniform(1. / 12.)),
            (Init::FanInUniform, uniform(1. / 12.)),
            (Init::GlorotUniform, uniform((6f64 / 432.).sqrt())),
        ] {
            let (mean, sd, largest) = moments(init);
            assert!(mean.abs() < 4. * deviation / 200., "{init:?}: mean {mean}");
            assert!((sd / deviation - 1.).abs() < 4. / 2f64.sqrt() / 200., "{init:?}: {sd}, not {deviation}");
            assert!(largest <= bound, "{init:?}: {largest} beyond {bound}");
            if init != Init::KaimingNormal && init != Init::FanOutNormal {
                assert!(largest > 0.999 * bound, "{init:?}: {largest} never comes near {bound}");
            }
        }
        assert_eq!(moments(Init::Zeros), (0., 0., 0.));
        assert_eq!(moments(Init::Ones), (1., 0., 1.));
    }
}
