//! Rows on disk, reported numbers, claims and verdicts.
