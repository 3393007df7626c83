//! Learning rates over time.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The learning rate as a function of the epoch: `{"kind": "multi-step", "rate": 0.001, "steps": [[80, 0.1], [120, 0.1]]}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// Always the same.
    Constant {
        /// Learning rate.
        rate: f64,
    },
    /// Multiplied by each step's factor from that step's epoch on.
    MultiStep {
        /// Learning rate at the start.
        rate: f64,
        /// `(epoch, factor)`.
        steps: Vec<(f64, f64)>,
    },
    /// `rate * factor^epoch`.
    Exponential {
        /// Learning rate at the start.
        rate: f64,
        /// Factor of an epoch.
        factor: f64,
    },
    /// Half a cosine from `rate` to `last` over `epochs` epochs, then `last`: Loshchilov and Hutter 2017 without restarts.
    Cosine {
        /// Learning rate at the start.
        rate: f64,
        /// Epochs until `last` is reached.
        epochs: f64,
        /// Learning rate at the end.
        #[serde(default)]
        last: f64,
    },
    /// Another schedule, scaled during its first epochs by a line from `start` to 1.
    WarmUp {
        /// Epochs until the full rate.
        epochs: f64,
        /// Share of the rate at epoch 0.
        start: f64,
        /// What is warmed up. Its epochs are counted from the start of training, not from the end of the warm-up.
        then: Box<Schedule>,
    },
}

impl Schedule {
    /// Learning rate at an epoch, counted from 0; a fraction is a place within the epoch.
    pub fn rate(&self, epoch: f64) -> f64 {
        match self {
            Self::Constant { rate } => *rate,
            Self::MultiStep { rate, steps } => {
                steps.iter().filter(|(from, _)| epoch >= *from).fold(*rate, |rate, (_, factor)| rate * factor)
            }
            Self::Exponential { rate, factor } => rate * factor.powf(epoch),
            Self::Cosine { rate, epochs, last } => {
                if epoch >= *epochs {
                    return *last;
                }
                last + (rate - last) * (1. + (PI * epoch / epochs).cos()) / 2.
            }
            Self::WarmUp { epochs, start, then } => {
                let share = if epoch >= *epochs { 1. } else { start + (1. - start) * epoch / epochs };
                share * then.rate(epoch)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    #[test]
    fn constant_stays() {
        let schedule = Schedule::Constant { rate: 0.3 };
        assert_eq!([0., 0.5, 1e6].map(|e| schedule.rate(e)), [0.3; 3]);
    }

    /// Chen et al. 2019, theory check: 1e-3, from epoch 81 1e-4, from 121 1e-5, from 161 1e-6, from 181 5e-7.
    #[test]
    fn steps_take_effect_at_their_epoch_and_multiply() {
        let steps = vec![(81., 0.1), (121., 0.1), (161., 0.1), (181., 0.5)];
        let schedule = Schedule::MultiStep { rate: 1e-3, steps };
        for (epoch, rate) in [(0., 1e-3), (80.999, 1e-3), (81., 1e-4), (121., 1e-5), (180., 1e-6), (199., 5e-7)] {
            assert_relative_eq!(schedule.rate(epoch), rate, max_relative = 1e-12);
        }
        assert_eq!(Schedule::MultiStep { rate: 0.1, steps: vec![] }.rate(5.), 0.1);
    }

    #[test]
    fn exponential_is_a_power_and_continuous() {
        let schedule = Schedule::Exponential { rate: 0.05, factor: 0.97 };
        assert_eq!(schedule.rate(0.), 0.05);
        assert_relative_eq!(schedule.rate(2.), 0.05 * 0.97 * 0.97, max_relative = 1e-12);
        assert_relative_eq!(schedule.rate(0.5), 0.05 * 0.97f64.sqrt(), max_relative = 1e-12);
    }

    #[test]
    fn cosine_goes_from_rate_through_the_middle_to_last_and_stays() {
        let schedule = Schedule::Cosine { rate: 0.1, epochs: 10., last: 0.02 };
        for (epoch, rate) in [(0., 0.1), (5., 0.06), (10., 0.02), (10.001, 0.02), (50., 0.02)] {
            assert_relative_eq!(schedule.rate(epoch), rate, max_relative = 1e-12);
        }
        // A quarter of the way: cos(pi / 4).
        let quarter = 0.02 + 0.08 * (1. + std::f64::consts::FRAC_1_SQRT_2) / 2.;
        assert_relative_eq!(schedule.rate(2.5), quarter, max_relative = 1e-12);
        assert_eq!(Schedule::Cosine { rate: 0.1, epochs: 0., last: 0. }.rate(0.), 0.);
    }

    #[test]
    fn warm_up_is_a_line_into_the_schedule() {
        let then = Box::new(Schedule::MultiStep { rate: 0.4, steps: vec![(6., 0.1)] });
        let schedule = Schedule::WarmUp { epochs: 4., start: 0.25, then };
        for (epoch, rate) in [(0., 0.1), (2., 0.25), (4., 0.4), (5.9, 0.4), (6., 0.04)] {
            assert_relative_eq!(schedule.rate(epoch), rate, max_relative = 1e-12);
        }
        let none = Schedule::WarmUp { epochs: 0., start: 0., then: Box::new(Schedule::Constant { rate: 1. }) };
        assert_eq!(none.rate(0.), 1.);
    }

    #[test]
    fn configs_read_as_written_and_reject_unknown_fields() {
        let text = r#"{"kind":"warm-up","epochs":5.0,"start":0.1,"then":{"kind":"cosine","rate":0.1,"epochs":90.0,"last":0.0}}"#;
        let schedule: Schedule = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&schedule).unwrap(), text);
        let multi: Schedule = serde_json::from_str(r#"{"kind":"multi-step","rate":1,"steps":[[80,0.1]]}"#).unwrap();
        assert_eq!(multi, Schedule::MultiStep { rate: 1., steps: vec![(80., 0.1)] });
        assert!(serde_json::from_str::<Schedule>(r#"{"kind":"constant","rate":1,"factor":2}"#).is_err());
    }
}
