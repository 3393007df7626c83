//! Chen, Liao, Chen and Zhang, *Understanding and Utilizing Deep Neural Networks Trained with Noisy Labels*, ICML 2019,
//! on trial.
//!
//! The claim: a network that has memorised noisy labels agrees with equally noisy held-out labels at the rate
//! `(1 - e)^2 + e^2 / (c - 1)`, a parabola in the noise ratio `e`. [`memorise`] trains such networks, [`controls`] puts
//! nearest neighbours beside them, [`laws`] and [`fits`] hold the formula against its rivals, [`incv`] and
//! [`co_teaching`] are the method that the paper builds on the formula, and [`claims`] gives the verdicts.

pub mod claims;
pub mod co_teaching;
pub mod config;
pub mod controls;
pub mod experiments;
pub mod figures;
pub mod fit_tool;
pub mod fits;
pub mod incv;
pub mod laws;
mod learner;
pub mod memorise;
pub mod neighbours;
mod paper;
pub mod predict_tool;
mod readings;
pub mod task;

pub use paper::NoisyQuadratic;
