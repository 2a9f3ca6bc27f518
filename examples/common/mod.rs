//! What the examples and the benches share.

// Each of them takes what it needs.
#![allow(dead_code)]

pub(crate) mod adam;
pub(crate) mod backprop;
pub(crate) mod cli;
pub(crate) mod data;
pub(crate) mod figure;
pub(crate) mod machine;
pub(crate) mod plain;
pub(crate) mod race;
pub(crate) mod svg;
