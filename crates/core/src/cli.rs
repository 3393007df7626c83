//! The command line of every paper.
