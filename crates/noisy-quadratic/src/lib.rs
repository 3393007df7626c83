//! Chen et al. 2019 on trial: is test accuracy quadratic in the noise ratio?

pub mod fits;
pub mod laws;
pub mod neighbours;
