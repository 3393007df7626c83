//! Figures.
use retrial_core::chart::Figure;
use retrial_core::results::{Error, Results, Table};
use crate::paper::ImportanceSampling;
/// t
pub fn tables(_: &Results<ImportanceSampling>) -> Result<Vec<Table>, Error> { Ok(vec![]) }
/// t
pub fn figures(_: &Results<ImportanceSampling>) -> Result<Vec<(String, Figure)>, Error> { Ok(vec![]) }
