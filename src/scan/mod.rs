//! Associative scans.
