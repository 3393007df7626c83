//! Song, Kim and Lee, *SELFIE: Refurbishing Unclean Samples for Robust Deep Learning*, ICML 2019, on trial.
//!
//! The claim: a network trained on noisy labels does best if it keeps the labels of samples with small losses, replaces
//! those of samples on which its recent predictions agree ([`history`]), and leaves out the rest ([`refurbish`]).
//! [`train`] trains one network by this or another method, [`co_teaching`] two, [`active_bias`] weighs samples instead,
//! and [`claims`] gives the verdicts.

pub mod active_bias;
pub mod claims;
pub mod co_teaching;
pub mod config;
pub mod experiments;
pub mod figures;
pub mod history;
mod paper;
mod readings;
pub mod refurbish;
pub mod refurbish_tool;
pub mod task;
pub mod train;

pub use paper::Song2019;
