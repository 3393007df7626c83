//! Label noise.
