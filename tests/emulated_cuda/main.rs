//! The emulated CUDA driver, through the driver's bindings: run by `scripts/emulated cargo test --features cuda --test emulated_cuda`.

mod arithmetic;
mod card;
