//! Statistics fixed in advance.
