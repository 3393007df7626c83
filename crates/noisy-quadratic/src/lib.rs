//! Chen et al. 2019 on trial: is test accuracy quadratic in the noise ratio?

pub mod fit_tool;
pub mod fits;
pub mod laws;
pub mod neighbours;
pub mod predict_tool;
