//! When the deficit is on (section 2), and which epochs several courses have in common.
//!
//! A course is a list of steps, one an epoch. Two courses whose first k steps are equal have the same network after k
//! epochs, because every random number hangs on the seed and the epoch. So courses are sorted, each starts where it leaves
//! an earlier one, and the network is remembered at these places.

use crate::config::Arm;

/// One epoch of a course. The order of the fields sorts the clean branch before the trunk with the deficit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// Whether the deficit is on.
    pub deficit: bool,
    /// Epoch that the order of samples, the augmentation and the noise are drawn for.
    pub time: usize,
    /// Epoch of the learning rate.
    pub rate: usize,
}

impl Arm {
    /// Its epochs in order.
    pub fn steps(&self) -> Vec<Step> {
        let plain = |deficit: bool, time: usize| Step { deficit, time, rate: time };
        match *self {
            Self::Removal { removal, clean } => (0..removal + clean).map(|t| plain(t < removal, t)).collect(),
            Self::Window { onset, length, end } => {
                (0..end).map(|t| plain((onset..onset + length).contains(&t), t)).collect()
            }
            Self::LateStart { start, clean } => (start..start + clean).map(|t| plain(false, t)).collect(),
            Self::Restart { removal, clean } => (0..removal + clean)
                .map(|t| Step { rate: if t < removal { t } else { t - removal }, ..plain(t < removal, t) })
                .collect(),
        }
    }

    /// Clean epochs after the deficit, of a course that removes one (or never has it).
    pub fn clean_after_removal(&self) -> Option<usize> {
        match *self {
            Self::Removal { clean, .. } => Some(clean),
            _ => None,
        }
    }

    /// Whether no deficit is on at any time and the schedule is the usual one.
    pub fn is_control(&self) -> bool {
        matches!(self, Self::Removal { removal: 0, .. })
    }
}

/// A course as it is trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which course.
    pub arm: Arm,
    /// Its epochs.
    pub steps: Vec<Step>,
    /// Epochs that an earlier course has trained for it.
    pub shared: usize,
    /// Numbers of epochs after which later courses leave this one or one before.
    pub forks: Vec<usize>,
}

/// Courses in the order in which they are trained.
pub fn plan(arms: &[Arm]) -> Vec<Run> {
    let mut sorted: Vec<(Vec<Step>, Arm)> = arms.iter().map(|arm| (arm.steps(), *arm)).collect();
    sorted.sort();
    sorted.dedup_by(|a, b| a.1 == b.1);
    let common = |a: &[Step], b: &[Step]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let shared: Vec<usize> =
        (0..sorted.len()).map(|i| if i == 0 { 0 } else { common(&sorted[i - 1].0, &sorted[i].0) }).collect();
    let run = |(i, (steps, arm)): (usize, (Vec<Step>, Arm))| {
        let mut forks = vec![];
        let mut least = usize::MAX;
        for &at in &shared[i + 1..] {
            // A later course leaves this one here only if none in between has left it earlier.
            least = least.min(at);
            if least == at && at > shared[i] {
                forks.push(at);
            }
        }
        forks.sort_unstable();
        forks.dedup();
        Run { arm, steps, shared: shared[i], forks }
    };
    sorted.into_iter().enumerate().map(run).collect()
}

/// Epochs trained for a plan.
pub fn epochs(plan: &[Run]) -> usize {
    plan.iter().map(|run| run.steps.len() - run.shared).sum()
}

/// For each epoch of the course `index`, the course that trained it.
pub fn trained_by(plan: &[Run], index: usize) -> Vec<usize> {
    let mut by: Vec<usize> = vec![];
    for (i, run) in plan.iter().enumerate().take(index + 1) {
        // Sorted courses: what course i shares, it shares with its neighbour before.
        by.truncate(run.shared);
        by.resize(run.steps.len(), i);
    }
    by
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn removal(removal: usize) -> Arm {
        Arm::Removal { removal, clean: 10 }
    }

    /// Trunk of 6 epochs, three branches of 10; the control shares nothing with blurred courses.
    #[test]
    fn a_removal_curve_costs_its_trunk_and_its_branches() {
        let plan = plan(&[removal(6), removal(0), removal(4), removal(2)]);
        assert_eq!(plan.iter().map(|r| r.arm).collect::<Vec<_>>(), [removal(0), removal(2), removal(4), removal(6)]);
        assert_eq!(plan.iter().map(|r| r.shared).collect::<Vec<_>>(), [0, 0, 2, 4]);
        assert_eq!(plan.iter().map(|r| r.forks.clone()).collect::<Vec<_>>(), [vec![], vec![2], vec![4], vec![]]);
        assert_eq!(epochs(&plan), 6 + 4 * 10);
        assert_eq!(trained_by(&plan, 3)[..6], [1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn windows_share_the_clean_trunk_with_the_control() {
        let window = |onset| Arm::Window { onset, length: 4, end: 20 };
        let plan = plan(&[window(0), window(4), window(8), Arm::Removal { removal: 0, clean: 20 }]);
        assert!(plan[0].arm.is_control());
        // Latest onset first: each leaves the control where its window opens.
        assert_eq!(plan.iter().map(|r| r.shared).collect::<Vec<_>>(), [0, 8, 4, 0]);
        assert_eq!(plan[0].forks, [4, 8]);
        assert_eq!(epochs(&plan), 20 + 12 + 16 + 20);
    }

    #[test]
    fn controls_change_the_rate_and_nothing_else() {
        let steps = Arm::Restart { removal: 2, clean: 3 }.steps();
        assert_eq!(steps.iter().map(|s| s.rate).collect::<Vec<_>>(), [0, 1, 0, 1, 2]);
        assert_eq!(steps.iter().map(|s| s.time).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        // A late start sees the epochs that the clean phase after a removal sees, at the same rates.
        let late = Arm::LateStart { start: 2, clean: 10 }.steps();
        assert_eq!(late, removal(2).steps()[2..]);
    }

    proptest! {
        /// Following the plan from remembered places gives every course its own epochs, and no epoch is trained twice.
        #[test]
        fn every_course_is_whole(cases in proptest::collection::vec((0usize..4, 0usize..6, 0usize..4), 1..8)) {
            let arm = |(kind, a, b): (usize, usize, usize)| match kind {
                0 => Arm::Removal { removal: a, clean: 1 + b },
                1 => Arm::Window { onset: a, length: b, end: 10 },
                2 => Arm::LateStart { start: a, clean: 1 + b },
                _ => Arm::Restart { removal: a, clean: 1 + b },
            };
            let arms: Vec<Arm> = cases.into_iter().map(arm).collect();
            let plan = plan(&arms);
            // What the network has seen, in place of the network.
            let mut remembered: Vec<(usize, Vec<Step>)> = vec![(0, vec![])];
            let mut trained = 0;
            for (i, run) in plan.iter().enumerate() {
                remembered.retain(|(at, _)| *at <= run.shared);
                let found = remembered.iter().find(|(at, _)| *at == run.shared);
                let mut seen = found.expect("remembered").1.clone();
                for (at, &step) in run.steps.iter().enumerate().skip(run.shared) {
                    prop_assert_eq!(trained_by(&plan, i)[at], i);
                    seen.push(step);
                    trained += 1;
                    if run.forks.contains(&seen.len()) {
                        remembered.push((seen.len(), seen.clone()));
                    }
                }
                prop_assert_eq!(&seen, &run.steps);
                for (at, by) in trained_by(&plan, i).into_iter().enumerate() {
                    prop_assert_eq!(plan[by].steps[..=at].to_vec(), run.steps[..=at].to_vec());
                }
            }
            let mut prefixes: Vec<Vec<Step>> =
                arms.iter().flat_map(|a| { let s = a.steps(); (1..=s.len()).map(move |n| s[..n].to_vec()) }).collect();
            prefixes.sort();
            prefixes.dedup();
            prop_assert_eq!(trained, prefixes.len());
            prop_assert_eq!(trained, epochs(&plan));
        }
    }
}
