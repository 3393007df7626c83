//! What papers share of Co-teaching (Han et al. 2018): two networks, each trained on the samples of a batch that the
//! other finds easy, fewer of them as training goes on.

/// Share of a batch to forget in an epoch counted from 0: a line to `rate` over `ramp_epochs` (the paper's `T_k`), then
/// `rate`. The first epoch forgets already, `min(1, (e + 1) / T_k)`: Han et al. 2018 count epochs from 1, and so does the code
/// of Chen et al. 2019 and of Song et al. 2019.
pub fn forget_rate(rate: f64, epoch: u64, ramp_epochs: u64) -> f64 {
    let done = epoch + 1;
    if done >= ramp_epochs { rate } else { rate * done as f64 / ramp_epochs as f64 }
}

/// Positions of the `count` smallest losses (all, if there are fewer), smallest first. Equal losses keep their order; NaN
/// counts as larger than any number.
pub fn small_loss(losses: &[f32], count: usize) -> Vec<usize> {
    let key = |i: &usize| if losses[*i].is_nan() { (true, 0.) } else { (false, losses[*i]) };
    let mut order: Vec<usize> = (0..losses.len()).collect();
    order.sort_by(|a, b| key(a).partial_cmp(&key(b)).expect("NaN was set apart"));
    order.truncate(count);
    order
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ramp_rises_in_a_line_and_stays() {
        for (epoch, expected) in [(0, 0.04), (1, 0.08), (5, 0.24), (9, 0.4), (10, 0.4), (199, 0.4)] {
            assert_relative_eq!(forget_rate(0.4, epoch, 10), expected, max_relative = 1e-12);
        }
        assert_eq!(forget_rate(0.4, 0, 0), 0.4);
    }

    #[test]
    fn ties_keep_their_order_and_nan_comes_last() {
        let losses = [0.5, f32::NAN, 0.1, 0.5, -f32::NAN, f32::INFINITY, 0.1];
        assert_eq!(small_loss(&losses, 7), [2, 6, 0, 3, 5, 1, 4]);
        assert_eq!(small_loss(&losses, 3), [2, 6, 0]);
        assert_eq!(small_loss(&losses, 0), [0usize; 0]);
        assert_eq!(small_loss(&losses[..1], 9), [0]);
    }

    proptest! {
        #[test]
        fn nothing_left_out_is_smaller_than_what_was_chosen(
            losses in prop::collection::vec(0f32..2., 0..40), count in 0usize..50,
        ) {
            let chosen = small_loss(&losses, count);
            prop_assert_eq!(chosen.len(), count.min(losses.len()));
            let worst = chosen.iter().map(|&i| losses[i]).fold(f32::NEG_INFINITY, f32::max);
            for i in (0..losses.len()).filter(|i| !chosen.contains(i)) {
                prop_assert!(losses[i] >= worst);
            }
        }
    }
}
