//! Arazo, Ortego, Albert, O'Connor and McGuinness, *Unsupervised Label Noise Modeling and Loss Correction*, ICML 2019, on
//! trial.
//!
//! The claim: while a network has not yet fitted wrong labels, its losses on them are larger; a mixture of two beta
//! distributions on the losses ([`mixture`]) tells how likely each label is wrong, and a training loss that trusts the
//! network instead of such labels ([`method`]), with mixup, withstands extreme noise. [`train`] runs it, [`claims`] gives
//! the verdicts.

pub mod claims;
pub mod config;
pub mod experiments;
pub mod figures;
pub mod fit_tool;
pub mod method;
pub mod mixture;
mod paper;
mod readings;
pub mod train;

pub use paper::LossCorrection;
