//! One seed, an independent stream of random numbers for every use.
//!
//! Streams are keyed by what they are used for (and, inside training, by the epoch), not by how many numbers were
//! drawn before. So two methods of the same seed see the same noise, initial weights and order of samples, and a
//! resumed run needs no generator state.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// The seed of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream for one use, for example `"noise"` or `"init/conv1.weight"`.
    pub fn stream(self, usage: &str) -> ChaCha8Rng {
        self.stream_at(usage, 0)
    }

    /// The stream for one use at one time, for example `("order", epoch)`.
    pub fn stream_at(self, usage: &str, time: u64) -> ChaCha8Rng {
        let mut hash = Sha256::new();
        hash.update(self.0.to_le_bytes());
        hash.update(time.to_le_bytes());
        hash.update(usage.as_bytes());
        ChaCha8Rng::from_seed(hash.finalize().into())
    }

    /// An independent seed derived from this one, for a part of a cell that trains a network of its own.
    pub fn derive(self, part: &str) -> Seed {
        use rand::RngExt;
        Seed(self.stream(part).random())
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_seed_use_and_time() {
        let draw = |seed: u64, usage: &str, time: u64| Seed(seed).stream_at(usage, time).random::<u64>();
        assert_eq!(draw(1, "noise", 0), draw(1, "noise", 0));
        let all = [draw(1, "noise", 0), draw(2, "noise", 0), draw(1, "order", 0), draw(1, "noise", 1)];
        for i in 0..all.len() {
            for j in 0..i {
                assert_ne!(all[i], all[j]);
            }
        }
    }

    /// Streams are part of every stored result: they must never change. The number comes from an independent ChaCha8, keyed
    /// with the SHA-256 of eight zero bytes (the seed), eight more (the time) and `noise`.
    #[test]
    fn streams_are_stable_across_versions() {
        assert_eq!(Seed(0).stream("noise").random::<u64>(), 11_415_599_271_257_777_927);
    }
}
