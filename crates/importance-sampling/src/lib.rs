//! Katharopoulos and Fleuret, *Not All Samples Are Created Equal: Deep Learning with Importance Sampling*, ICML 2018, on
//! trial.
//!
//! The claim: draw a large uniform pre-sample, score it with a forward pass by a bound on each sample's gradient norm
//! ([`scores`]), train on a part of it drawn by score and weighted back to an unbiased gradient ([`sampling`]), and do so
//! only while a running estimate says that it pays; then training loss and test error fall faster per second. [`training`]
//! is the method with its rivals ([`history`], [`control_variates`]) and an account of every forward pass, [`analysis`]
//! measures what the bound is worth as a stand-in for the gradient norm, and [`claims`] gives the verdicts.

pub mod analysis;
pub mod claims;
pub mod config;
pub mod control_variates;
pub mod experiments;
pub mod figures;
pub mod history;
mod learner;
mod paper;
mod readings;
pub mod sampling;
pub mod scores;
pub mod task;
pub mod tau_tool;
pub mod training;

pub use paper::ImportanceSampling;
