//! Page-locked memory of the host, through which large copies go.

use super::super::fault::Fault;
use super::{OUT_OF_MEMORY, checked, code_of};
use crate::error::Result;
use cust::event::{Event, EventFlags};
use cust::memory::LockedBuffer;

/// Bytes of one half.
pub(super) const STAGE: usize = 4 << 20;

/// Page-locked memory in two halves: while one is on its way, the other is filled.
pub(super) struct Stage {
    pub(super) halves: [LockedBuffer<u8>; 2],
    pub(super) free: [Event; 2],
}

impl Stage {
    pub(super) fn new(operation: &str) -> Result<Self> {
        let half = || {
            LockedBuffer::new(&0u8, STAGE).map_err(|error| match code_of(error) {
                OUT_OF_MEMORY => Fault::OutOfHostMemory { bytes: STAGE }.during(operation),
                code => Fault::of_code(code).during(operation),
            })
        };
        let event = || checked(Event::new(EventFlags::DISABLE_TIMING), operation);
        Ok(Self { halves: [half()?, half()?], free: [event()?, event()?] })
    }

    /// Copies what has come into a half.
    pub(super) fn take(&self, half: usize, piece: &mut [u8], operation: &str) -> Result<()> {
        checked(self.free[half].synchronize(), operation)?;
        piece.copy_from_slice(&self.halves[half].as_slice()[..piece.len()]);
        Ok(())
    }
}
