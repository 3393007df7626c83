//! What tables, figures and verdicts read from finished cells. Accuracies are in per cent; a drop is in percentage points,
//! control minus course, both of one seed.

use std::collections::{BTreeMap, BTreeSet};

use retrial_core::results::{Error, Finished, Results};
use retrial_core::stats::{Interval, mean_t_interval};

use crate::CriticalPeriods;
use crate::config::Arm;
use crate::course::{plan, trained_by};
use crate::experiments::{BLUR, LATE, control_of, controls_of};
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

    /// Of some seeds alone.
    pub fn only(mut self, seeds: &BTreeSet<u64>) -> Self {
        for of_arm in self.0.values_mut() {
            of_arm.retain(|seed, _| seeds.contains(seed));
        }
        self.0.retain(|_, of_arm| !of_arm.is_empty());
        self
    }

    /// Courses without any deficit alone: controls and late starts.
    fn clean_courses(mut self) -> Self {
        self.0.retain(|arm, _| arm.is_control() || matches!(arm, Arm::LateStart { .. }));
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
        self.0.keys().filter_map(Arm::clean_after_removal).min()
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

    /// Lengths of the windows, the shortest first.
    pub fn window_lengths(&self) -> Vec<usize> {
        let length = |arm: &Arm| match arm {
            Arm::Window { length, .. } => Some(*length),
            _ => None,
        };
        self.0.keys().filter_map(length).collect::<BTreeSet<usize>>().into_iter().collect()
    }

    /// Windows of a length in order of their onset, and the control that is as long as they are.
    pub fn windows(&self, wanted: usize) -> Option<(Arm, Vec<(usize, Arm)>)> {
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

/// The courses of an experiment with the clean control, the late starts (C1) and the restarts (C3) that belong to it,
/// wherever these were trained.
pub fn with_controls(results: &PaperResults, experiment: &str) -> Curve {
    let own = Curve::of(results, experiment).and(Curve::of(results, &controls_of(experiment)));
    let base = if own.0.keys().any(Arm::is_control) { experiment } else { control_of(experiment) };
    let late = if base == BLUR { Curve::of(results, LATE) } else { Curve::default() };
    let shared = Curve::of(results, base).and(Curve::of(results, &controls_of(base))).and(late);
    shared.clean_courses().and(own)
}

/// Test accuracy of the control of each seed in per cent, by epoch.
pub fn learning_curves(results: &PaperResults, experiment: &str) -> Result<BTreeMap<u64, Vec<(usize, f64)>>, Error> {
    let mut curves = BTreeMap::new();
    for cell in results.finished(experiment) {
        let Some(control) = cell.config.arms.iter().find(|arm| arm.is_control()) else { continue };
        let name = control.to_string();
        let rows = cell.epochs::<Epoch>()?.into_iter().filter(|row| row.arm == name);
        let curve = rows.filter_map(|row| Some((row.epoch, 100. * row.test_accuracy?))).collect();
        curves.insert(cell.config.seed, curve);
    }
    Ok(curves)
}

/// The mean of [`learning_curves`] over seeds.
pub fn learning_curve(results: &PaperResults, experiment: &str) -> Result<Vec<(usize, f64)>, Error> {
    let mut sums: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
    for (epoch, accuracy) in learning_curves(results, experiment)?.into_values().flatten() {
        let sum = sums.entry(epoch).or_default();
        *sum = (sum.0 + accuracy, sum.1 + 1);
    }
    Ok(sums.into_iter().map(|(epoch, (sum, n))| (epoch, sum / n as f64)).collect())
}

/// Control C5: accuracy in per cent at the end of the deficit, before anything was trained on clean images, with the
/// statistics of batch norm as training left them, and taken anew from clean images.
pub fn at_removal(cell: &Finished<CriticalPeriods>, arm: Arm) -> Result<Option<(f64, f64)>, Error> {
    let Arm::Removal { removal, .. } = arm else { return Ok(None) };
    let plan = plan(&cell.config.arms);
    let Some(index) = plan.iter().position(|run| run.arm == arm) else { return Ok(None) };
    let Some(by) = removal.checked_sub(1).and_then(|at| trained_by(&plan, index).get(at).copied()) else {
        return Ok(None);
    };
    let by = plan[by].arm.to_string();
    let row = cell.epochs::<Epoch>()?.into_iter().find(|row| row.arm == by && row.epoch == removal);
    Ok(row.and_then(|row| Some((100. * row.stale_accuracy?, 100. * row.test_accuracy?))))
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

/// Monte-Carlo standard error of [`trace`], if all layers were as wrong the same way at once: layers are read from the same
/// draws and so are not independent, and the sum of their errors is an upper bound.
pub fn trace_error(layers: &[FisherRow]) -> Option<f64> {
    layers.iter().map(|layer| layer.standard_error).sum()
}

/// The same bound for [`scale_free_trace`].
pub fn scale_free_error(layers: &[FisherRow]) -> Option<f64> {
    layers.iter().map(|layer| layer.standard_error.map(|error| error * layer.square_norm)).sum()
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
