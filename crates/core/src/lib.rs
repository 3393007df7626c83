//! What every paper on trial shares.
//!
//! Bytes become a [`data::Dataset`]; [`noise`] turns true labels into given ones; a [`model`] sees batches and is
//! trained with the pieces of [`train`]; [`experiment`] runs a paper's grid of cells; [`results`] reads the rows back;
//! [`stats`] and [`chart`] turn them into verdicts and figures; [`cli`] is the command line of every paper, [`tool`] what
//! tools for numbers of the user's own have in common.

pub mod chart;
pub mod cli;
pub mod data;
pub mod experiment;
pub mod model;
pub mod noise;
pub mod results;
pub mod seed;
pub mod stats;
pub mod tool;
pub mod train;

pub use seed::Seed;
