//! Byrd and Lipton, *What is the Effect of Importance Weighting in Deep Learning?*, ICML 2019, on trial.
//!
//! The claim: class weights in the loss tilt the predictions of a deep network early in training, and the tilt fades once
//! the network separates its training data; L2 regularisation and batch norm keep some of it, dropout does not.
//! [`weighting`] says how a weight enters a batch, [`plane`] holds the theory against points in the plane, [`images`]
//! trains cats against dogs, [`label_shift`] estimates weights from unlabelled images, [`equivalence`] replaces "looks the
//! same" by a test, and [`claims`] gives the verdicts.

pub mod claims;
pub mod config;
pub mod equivalence;
pub mod equivalence_tool;
pub mod experiments;
pub mod figures;
pub mod geometry;
pub mod images;
pub mod label_shift;
mod paper;
pub mod plane;
mod readings;
mod tables;
pub mod weighting;

pub use paper::ImportanceWeighting;
