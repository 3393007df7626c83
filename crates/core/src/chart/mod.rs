//! Charts that all papers use.
