//! The command line.

use crate::common::cli::{count, positive, threads};
use clap::Parser;
use std::path::PathBuf;

/// Trains a GRU to tell which tone occurs most often in a long sequence, with gradients in parallel over time.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Seed of the weights, of the sequences and of their order
    #[arg(long, default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// Units of the GRU
    #[arg(long, default_value = "16", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) hiddensize: usize,
    /// Sequences of a batch
    #[arg(long, default_value = "16", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) batchsize: usize,
    /// Steps of a sequence, at least 512 [default: 17984]
    #[arg(long, value_parser = length, allow_negative_numbers = true)]
    length: Option<usize>,
    /// Tones to tell apart, 2 to 4
    #[arg(long, default_value = "4", value_parser = classes, allow_negative_numbers = true)]
    pub(crate) classes: usize,
    /// Sequences to train on; half as many are held out [default: 256]
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    sequences: Option<usize>,
    /// Times that all sequences are trained on [default: 12]
    #[arg(long, value_parser = count, allow_negative_numbers = true)]
    epochs: Option<usize>,
    /// Rate of learning
    #[arg(long, default_value = "0.02", value_parser = rate, allow_negative_numbers = true)]
    pub(crate) rate: f32,
    /// Steps of training also done by sequential back-propagation through time, for comparison [default: 5]
    #[arg(long, value_name = "STEPS", value_parser = count, allow_negative_numbers = true)]
    compare: Option<usize>,
    /// Threads of either way [default: all cores]
    #[arg(long, value_parser = threads, allow_negative_numbers = true)]
    pub(crate) threads: Option<usize>,
    /// Short sequences and two epochs: a look that takes a second, too little to learn
    #[arg(long)]
    pub(crate) quick: bool,
    /// Draw loss and accuracy
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
}

impl Options {
    fn or(&self, given: Option<usize>, quick: usize, usual: usize) -> usize {
        given.unwrap_or(if self.quick { quick } else { usual })
    }

    pub(crate) fn length(&self) -> usize {
        self.or(self.length, 2048, 17_984)
    }

    pub(crate) fn sequences(&self) -> usize {
        self.or(self.sequences, 64, 256)
    }

    pub(crate) fn heldout(&self) -> usize {
        self.sequences().div_ceil(2)
    }

    pub(crate) fn epochs(&self) -> usize {
        self.or(self.epochs, 2, 12)
    }

    pub(crate) fn compare(&self) -> usize {
        self.or(self.compare, 3, 5)
    }
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "expected a whole number from 0 to 2^64 - 1".to_owned())
}

fn length(text: &str) -> Result<usize, String> {
    match count(text)? {
        0..512 => Err("expected at least 512".to_owned()),
        length => Ok(length),
    }
}

fn classes(text: &str) -> Result<usize, String> {
    match count(text)? {
        classes @ 2..=4 => Ok(classes),
        _ => Err("expected 2 to 4".to_owned()),
    }
}

fn rate(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err("expected a number from 0 to 1, such as 0.02".to_owned()),
    }
}
