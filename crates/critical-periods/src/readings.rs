//! What tables, figures and verdicts read from finished cells. Accuracies are in per cent; a drop is in percentage points,
//! control minus course, both of one seed.

use std::collections::BTreeMap;

use retrial_core::results::{Error, Finished, Results};
use retrial_core::stats::{Interval, mean_t_interval};

use crate::CriticalPeriods;
use crate::config::Arm;
use crate::course::{plan, trained_by};
use crate::trial::{Epoch, FisherRow};

/// The paper's results at one profile.
pub type PaperResults = Results<CriticalPeriods>;

/// Final accuracies of an experiment in per cent: course, then seed.
#[derive(Clone, Debug, Default)]
pub struct Curve(pub BTreeMap<Arm, BTreeMap<u64, f64>>);

impl Curve {
    /// Of one experiment; empty if none of its cells has finished.
    pub fn of(results: &PaperResults, experiment: &str) -> Self {
        let mut curve = Self::default();
        for cell in results.finished(experiment) {
            for outcome in &cell.summary.outcomes {
                curve.0.entry(outcome.arm).or_default().insert(cell.config.seed, 100. * outcome.accuracy);
            }
        }
        curve
    }

    /// With the courses of another experiment beside its own.
    pub fn and(mut self, other: Self) -> Self {
        for (arm, seeds) in other.0 {
            self.0.entry(arm).or_default().extend(seeds);
        }
        self
    }

    /// Accuracies of a course, by seed.
    pub fn seeds(&self, arm: Arm) -> BTreeMap<u64, f64> {
        self.0.get(&arm).cloned().unwrap_or_default()
    }

    /// `a - b` of every seed that has both.
    pub fn paired(&self, a: Arm, b: Arm) -> BTreeMap<u64, f64> {
        let b = self.seeds(b);
        self.seeds(a).into_iter().filter_map(|(seed, a)| Some((seed, a - b.get(&seed)?))).collect()
    }

    /// The values of [`Self::paired`].
    pub fn differences(&self, a: Arm, b: Arm) -> Vec<f64> {
        self.paired(a, b).into_values().collect()
    }

    /// Mean and 95 % interval of [`Self::differences`].
    pub fn difference(&self, a: Arm, b: Arm) -> Option<Interval> {
        mean_t_interval(&self.differences(a, b), 0.95).ok()
    }

    /// Mean and 95 % interval of a course's accuracy.
    pub fn accuracy(&self, arm: Arm) -> Option<Interval> {
        mean_t_interval(&self.seeds(arm).into_values().collect::<Vec<_>>(), 0.95).ok()
    }

    /// Clean epochs after a removal: those of the shortest removal course.
    pub fn clean(&self) -> Option<usize> {
        let lengths = self.0.keys().filter_map(|arm| match arm {
            Arm::Removal { clean, .. } => Some(*clean),
            _ => None,
        });
        lengths.min()
    }

    /// Removal epochs in order, those of the longer training of C4 left out.
    pub fn removals(&self) -> Vec<usize> {
        let clean = self.clean();
        let of = |arm: &Arm| match arm {
            Arm::Removal { removal, clean: own } if Some(*own) == clean => Some(*removal),
            _ => None,
        };
        self.0.keys().filter_map(of).collect()
    }

    /// The course that removes the deficit after so many epochs.
    pub fn removal(&self, removal: usize) -> Arm {
        Arm::Removal { removal, clean: self.clean().unwrap_or(0) }
    }

    /// Windows of the shortest (or longest) length in order of their onset, and the control of the same length.
    pub fn windows(&self, longest: bool) -> Option<(Arm, Vec<(usize, Arm)>)> {
        let lengths = self.0.keys().filter_map(|arm| match arm {
            Arm::Window { length, .. } => Some(*length),
            _ => None,
        });
        let wanted = if longest { lengths.max() } else { lengths.min() }?;
        let windows: Vec<(usize, Arm)> = self
            .0
            .keys()
            .filter_map(|arm| match arm {
                Arm::Window { onset, length, .. } if *length == wanted => Some((*onset, *arm)),
                _ => None,
            })
            .collect();
        let Some((_, Arm::Window { end, .. })) = windows.first().copied() else { return None };
        Some((Arm::Removal { removal: 0, clean: end }, windows))
    }
}

/// Test accuracy of the control in per cent at each epoch, mean over seeds of `experiment`.
pub fn learning_curve(results: &PaperResults, experiment: &str) -> Result<Vec<(usize, f64)>, Error> {
    let mut sums: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
    for cell in results.finished(experiment) {
        let control = cell.config.arms.iter().find(|arm| arm.is_control());
        let Some(name) = control.map(ToString::to_string) else { continue };
        for row in cell.epochs::<Epoch>()?.into_iter().filter(|row| row.arm == name) {
            if let Some(accuracy) = row.test_accuracy {
                let sum = sums.entry(row.epoch).or_default();
                *sum = (sum.0 + 100. * accuracy, sum.1 + 1);
            }
        }
    }
    Ok(sums.into_iter().map(|(epoch, (sum, n))| (epoch, sum / n as f64)).collect())
}

/// First epoch from which the control, smoothed over three epochs, is within half a percentage point of its end.
pub fn plateau(curve: &[(usize, f64)]) -> Option<usize> {
    let smooth = |i: usize| {
        let near = &curve[i.saturating_sub(1)..(i + 2).min(curve.len())];
        near.iter().map(|(_, a)| a).sum::<f64>() / near.len() as f64
    };
    let end = smooth(curve.len().checked_sub(1)?);
    (0..curve.len()).find(|&i| (smooth(i) - end).abs() <= 0.5).map(|i| curve[i].0)
}

/// Fisher readings of one course of one cell, by epoch; epochs that another course trained for it are among them.
pub fn fisher(cell: &Finished<CriticalPeriods>, arm: Arm) -> Result<BTreeMap<usize, Vec<FisherRow>>, Error> {
    if cell.config.probe.is_none() {
        return Ok(BTreeMap::new());
    }
    let plan = plan(&cell.config.arms);
    let Some(index) = plan.iter().position(|run| run.arm == arm) else { return Ok(BTreeMap::new()) };
    let by: Vec<String> = trained_by(&plan, index).into_iter().map(|i| plan[i].arm.to_string()).collect();
    let mut readings: BTreeMap<usize, Vec<FisherRow>> = BTreeMap::new();
    for row in cell.table::<FisherRow>("fisher")? {
        if by.get(row.epoch - 1) == Some(&row.arm) {
            readings.entry(row.epoch).or_default().push(row);
        }
    }
    Ok(readings)
}

/// Sum over the layers.
pub fn trace(layers: &[FisherRow]) -> f64 {
    layers.iter().map(|layer| layer.trace).sum()
}

/// Sum over the layers of trace times squared norm of the weights, which the scale of weights leaves alone.
pub fn scale_free_trace(layers: &[FisherRow]) -> f64 {
    layers.iter().map(|layer| layer.trace * layer.square_norm).sum()
}

/// Share of each layer in the trace.
pub fn shares(layers: &[FisherRow]) -> Vec<f64> {
    let total = trace(layers);
    layers.iter().map(|layer| layer.trace / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plateau_is_where_the_smoothed_control_comes_near_its_end() {
        let curve: Vec<(usize, f64)> = [50., 60., 66., 69., 70., 70., 70.2, 69.9].into_iter().enumerate().collect();
        // Smoothed: 55, 58.7, 65, 68.3, 69.7, 70.1, 70.0, 70.05.
        assert_eq!(plateau(&curve), Some(4));
        assert_eq!(plateau(&[]), None);
    }

    #[test]
    fn drops_are_paired_by_seed_and_longer_training_is_no_point_of_the_curve() {
        let (control, blurred) = (Arm::Removal { removal: 0, clean: 10 }, Arm::Removal { removal: 4, clean: 10 });
        let longer = Arm::Removal { removal: 4, clean: 20 };
        let seeds = |values: &[(u64, f64)]| values.iter().copied().collect::<BTreeMap<u64, f64>>();
        let curve = Curve(BTreeMap::from([
            (control, seeds(&[(0, 80.), (1, 82.), (2, 84.)])),
            (blurred, seeds(&[(1, 79.), (0, 76.)])),
            (longer, seeds(&[(0, 70.)])),
        ]));
        assert_eq!(curve.differences(control, blurred), [4., 3.]);
        assert_eq!(curve.removals(), [0, 4]);
        assert_eq!(curve.removal(4), blurred);
        assert!(curve.difference(control, longer).is_none());
    }
}
