//! A paper as a grid of cells, and what runs it.
