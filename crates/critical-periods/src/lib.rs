//! Achille, Rovere and Soatto, *Critical Learning Periods in Deep Networks*, ICLR 2019, on trial.
//!
//! The claim: images that are blurred during the first epochs lower the final accuracy for good, as an eye that is covered
//! early loses sight. [`deficit`] spoils the images, [`course`] says when, [`trial`] trains a curve of such courses and
//! shares what they have in common, [`fisher`] reads the Fisher information of the weights on the way, and [`claims`] gives
//! the verdicts, with controls for late starts and for the learning rate.

pub mod claims;
pub mod config;
pub mod course;
pub mod deficit;
pub mod experiments;
pub mod figures;
pub mod fisher;
mod paper;
pub mod readings;
pub mod sensitivity_tool;
pub mod task;
pub mod trial;

pub use paper::CriticalPeriods;
