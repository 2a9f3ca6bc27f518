//! Pages of the manual.

#[doc = include_str!("../docs/writing-a-step.md")]
pub mod writing_a_step {}

#[doc = include_str!("../docs/methods.md")]
pub mod methods {}

#[doc = include_str!("../docs/derivatives.md")]
pub mod derivatives {}

#[doc = include_str!("../docs/odes-and-daes.md")]
pub mod odes_and_daes {}

#[doc = include_str!("../docs/trusting-the-answer.md")]
pub mod trusting_the_answer {}

#[doc = include_str!("../docs/gpu.md")]
#[cfg(feature = "cuda")]
pub mod gpu {}

#[doc = include_str!("../docs/choosing-a-method.md")]
pub mod choosing_a_method {}
