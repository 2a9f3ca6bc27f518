//! Cells off the shelf.
