//! Loads, stores and atomic operations with their checks.

use std::sync::atomic::Ordering;

use super::fault::Problem;
use super::shared::Accessor;
use super::{Block, Machine};
use crate::decode::{GLOBAL_WINDOW, LOCAL_WINDOW, PARAMETER_WINDOW, SHARED_WINDOW};
use crate::lanes::{Registers, Slots, WARP};
use crate::program::{Access, Atomic, AtomicOperation, Base, Place};
use crate::ptx::Type;

/// A type in memory.
trait Element: Copy {
    const BYTES: usize;

    fn of(bytes: &[u8]) -> Self;
    fn write(self, bytes: &mut [u8]);
    /// In a register of 32 or 16 bits.
    fn word(self, register_bytes: u8) -> u32;
    fn long(self) -> u64;
    fn of_word(word: u32) -> Self;
    fn of_long(long: u64) -> Self;
}

macro_rules! element {
    ($($t:ty, $wide:ty;)+) => {$(
        impl Element for $t {
            const BYTES: usize = size_of::<$t>();

            #[inline(always)]
            fn of(bytes: &[u8]) -> Self {
                let mut own = [0; size_of::<$t>()];
                own.copy_from_slice(&bytes[..size_of::<$t>()]);
                Self::from_le_bytes(own)
            }

            #[inline(always)]
            fn write(self, bytes: &mut [u8]) {
                bytes[..size_of::<$t>()].copy_from_slice(&self.to_le_bytes());
            }

            #[inline(always)]
            fn word(self, register_bytes: u8) -> u32 {
                let extended = self as $wide as u32;
                if register_bytes == 2 { extended & 0xffff } else { extended }
            }

            #[inline(always)]
            fn long(self) -> u64 {
                self as $wide as u64
            }

            #[inline(always)]
            fn of_word(word: u32) -> Self {
                word as Self
            }

            #[inline(always)]
            fn of_long(long: u64) -> Self {
                long as Self
            }
        }
    )+};
}

element!(
    u8, u64;
    i8, i64;
    u16, u64;
    i16, i64;
    u32, u64;
    i32, i64;
    u64, u64;
);

/// A lane's problem.
type Checked<T> = Result<T, (Problem, u32)>;

/// Where an address turned out to be.
#[derive(Clone, Copy)]
enum Spot {
    /// In global memory, as it is.
    Global(u64),
    Shared(u64),
    Local(u64),
    Parameter(u64),
}

fn spot(place: Place, address: u64) -> Spot {
    match place {
        Place::Global | Place::Constant => Spot::Global(address),
        Place::Shared => Spot::Shared(address),
        Place::Local => Spot::Local(address),
        Place::Parameter => Spot::Parameter(address),
        Place::Generic => match address >> 48 << 48 {
            SHARED_WINDOW => Spot::Shared(address - SHARED_WINDOW),
            LOCAL_WINDOW => Spot::Local(address - LOCAL_WINDOW),
            PARAMETER_WINDOW => Spot::Parameter(address - PARAMETER_WINDOW),
            GLOBAL_WINDOW => Spot::Global(address),
            _ => Spot::Global(address),
        },
    }
}

#[inline(always)]
fn addresses(registers: &Registers, base: Base, offset: i64) -> [u64; WARP] {
    let mut out = [offset as u64; WARP];
    match base {
        Base::Absolute => {}
        Base::Word(slot) => {
            let row = &registers.words[slot as usize];
            for l in 0..WARP {
                out[l] = u64::from(row[l]).wrapping_add_signed(offset);
            }
        }
        Base::Long(slot) => {
            let row = &registers.longs[slot as usize];
            for l in 0..WARP {
                out[l] = row[l].wrapping_add_signed(offset);
            }
        }
    }
    out
}

impl Machine<'_> {
    pub(super) fn load(
        &mut self,
        block: &mut Block,
        w: usize,
        access: &Access,
        active: u32,
    ) -> Checked<()> {
        match access.ty {
            Type::B8 | Type::U8 => self.load_as::<u8>(block, w, access, active),
            Type::S8 => self.load_as::<i8>(block, w, access, active),
            Type::B16 | Type::U16 => self.load_as::<u16>(block, w, access, active),
            Type::S16 => self.load_as::<i16>(block, w, access, active),
            Type::S32 => self.load_as::<i32>(block, w, access, active),
            Type::B64 | Type::U64 | Type::S64 | Type::F64 => {
                self.load_as::<u64>(block, w, access, active)
            }
            _ => self.load_as::<u32>(block, w, access, active),
        }
    }

    pub(super) fn store(
        &mut self,
        block: &mut Block,
        w: usize,
        access: &Access,
        active: u32,
    ) -> Checked<()> {
        match access.ty.bytes() {
            1 => self.store_as::<u8>(block, w, access, active),
            2 => self.store_as::<u16>(block, w, access, active),
            8 => self.store_as::<u64>(block, w, access, active),
            _ => self.store_as::<u32>(block, w, access, active),
        }
    }

    /// By the number of elements, so that the bytes of an access are known where it is compiled.
    fn load_as<T: Element>(
        &mut self,
        block: &mut Block,
        w: usize,
        access: &Access,
        active: u32,
    ) -> Checked<()> {
        match access.elements {
            1 => self.load_elements::<T, 1>(block, w, access, active),
            2 => self.load_elements::<T, 2>(block, w, access, active),
            _ => self.load_elements::<T, 4>(block, w, access, active),
        }
    }

    fn store_as<T: Element>(
        &mut self,
        block: &mut Block,
        w: usize,
        access: &Access,
        active: u32,
    ) -> Checked<()> {
        match access.elements {
            1 => self.store_elements::<T, 1>(block, w, access, active),
            2 => self.store_elements::<T, 2>(block, w, access, active),
            _ => self.store_elements::<T, 4>(block, w, access, active),
        }
    }

    fn load_elements<T: Element, const N: usize>(
        &mut self,
        block: &mut Block,
        w: usize,
        access: &Access,
        active: u32,
    ) -> Checked<()> {
        let addresses = addresses(&block.warps[w].registers, access.base, access.offset);
        let bytes = N * T::BYTES;
        let mut hint = access.hint.load(Ordering::Relaxed);
        let mut buffer = [0u8; 16];
        let mut rest = active;
        while rest != 0 {
            let l = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            self.fetch(block, (w, l), access, addresses[l], &mut buffer[..bytes], &mut hint)
                .map_err(|problem| (problem, l as u32))?;
            let registers = &mut block.warps[w].registers;
            for (e, part) in buffer[..bytes].chunks_exact(T::BYTES).enumerate() {
                let slot = access.data[e] as usize;
                if slot == u32::MAX as usize {
                    continue;
                }
                let value = T::of(part);
                if access.long {
                    registers.longs[slot][l] = value.long();
                } else {
                    registers.words[slot][l] = value.word(access.register_bytes);
                }
            }
        }
        access.hint.store(hint, Ordering::Relaxed);
        Ok(())
    }

    fn store_elements<T: Element, const N: usize>(
        &mut self,
        block: &mut Block,
        w: usize,
        access: &Access,
        active: u32,
    ) -> Checked<()> {
        let addresses = addresses(&block.warps[w].registers, access.base, access.offset);
        let bytes = N * T::BYTES;
        let mut hint = access.hint.load(Ordering::Relaxed);
        let mut buffer = [0u8; 16];
        let mut rest = active;
        while rest != 0 {
            let l = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let registers = &block.warps[w].registers;
            for (e, part) in buffer[..bytes].chunks_exact_mut(T::BYTES).enumerate() {
                let slot = access.data[e] as usize;
                let value = if access.long {
                    T::of_long(registers.longs[slot][l])
                } else {
                    T::of_word(registers.words[slot][l])
                };
                value.write(part);
            }
            self.put(block, (w, l), access, addresses[l], &buffer[..bytes], &mut hint)
                .map_err(|problem| (problem, l as u32))?;
        }
        access.hint.store(hint, Ordering::Relaxed);
        Ok(())
    }

    /// Reads what a lane of a warp loads.
    #[inline(always)]
    fn fetch(
        &self,
        block: &mut Block,
        (w, lane): (usize, usize),
        access: &Access,
        address: u64,
        out: &mut [u8],
        hint: &mut u32,
    ) -> Result<(), Problem> {
        let bytes = out.len() as u64;
        if address & (bytes - 1) != 0 {
            return Err(Problem::Misaligned { address, bytes });
        }
        match spot(access.place, address) {
            Spot::Global(address) => {
                let Some((region, found)) = self.launch.regions.find(address, bytes, *hint) else {
                    return Err(self.outside(address, bytes));
                };
                *hint = found;
                let at = (address - region.base) as usize;
                // SAFETY: `find` says that the range is inside of the allocation, and so of its shadow.
                let shadow = unsafe { all_written(region.shadow().add(at), out.len()) };
                if !shadow {
                    return Err(Problem::Unwritten { space: "global", address });
                }
                // SAFETY: as above.
                unsafe { region.data().add(at).copy_to_nonoverlapping(out.as_mut_ptr(), out.len()) }
            }
            Spot::Shared(at) => {
                let at = inside("shared", at, bytes, block.shared.data.len())?;
                let warp = &block.warps[w];
                let who = Accessor { warp: warp.index, lane: lane as u32, strong: access.strong };
                block
                    .shared
                    .reads(at, out.len(), who, &warp.order)
                    .map_err(|hazard| Problem::Shared { address, hazard })?;
                out.copy_from_slice(&block.shared.data[at..at + out.len()]);
            }
            Spot::Local(at) => {
                let size = self.kernel.local_bytes;
                let at = inside("local", at, bytes, size)? + lane * size;
                let warp = &block.warps[w];
                if warp.local_written[at..at + out.len()].contains(&false) {
                    return Err(Problem::Unwritten { space: "local", address });
                }
                out.copy_from_slice(&warp.local[at..at + out.len()]);
            }
            Spot::Parameter(at) => {
                let at = inside("parameter", at, bytes, self.launch.parameters.len())?;
                out.copy_from_slice(&self.launch.parameters[at..at + out.len()]);
            }
        }
        Ok(())
    }

    /// Writes what a lane of a warp stores.
    #[inline(always)]
    fn put(
        &self,
        block: &mut Block,
        (w, lane): (usize, usize),
        access: &Access,
        address: u64,
        from: &[u8],
        hint: &mut u32,
    ) -> Result<(), Problem> {
        let bytes = from.len() as u64;
        if address & (bytes - 1) != 0 {
            return Err(Problem::Misaligned { address, bytes });
        }
        match spot(access.place, address) {
            Spot::Global(address) => {
                let Some((region, found)) = self.launch.regions.find(address, bytes, *hint) else {
                    return Err(self.outside(address, bytes));
                };
                if region.constant {
                    return Err(Problem::ReadOnly { address });
                }
                *hint = found;
                let at = (address - region.base) as usize;
                // SAFETY: `find` says that the range is inside of the allocation, and so of its shadow.
                unsafe {
                    region.data().add(at).copy_from_nonoverlapping(from.as_ptr(), from.len());
                    region.shadow().add(at).write_bytes(0xff, from.len());
                }
            }
            Spot::Shared(at) => {
                let at = inside("shared", at, bytes, block.shared.data.len())?;
                let warp = &block.warps[w];
                let who = Accessor { warp: warp.index, lane: lane as u32, strong: access.strong };
                block
                    .shared
                    .writes(at, from.len(), who, &warp.order)
                    .map_err(|hazard| Problem::Shared { address, hazard })?;
                block.shared.data[at..at + from.len()].copy_from_slice(from);
            }
            Spot::Local(at) => {
                let size = self.kernel.local_bytes;
                let at = inside("local", at, bytes, size)? + lane * size;
                let warp = &mut block.warps[w];
                warp.local[at..at + from.len()].copy_from_slice(from);
                warp.local_written[at..at + from.len()].fill(true);
            }
            Spot::Parameter(_) => return Err(Problem::ReadOnly { address }),
        }
        Ok(())
    }

    #[cold]
    fn outside(&self, address: u64, bytes: u64) -> Problem {
        let near = self.launch.regions.nearest(address).map(|region| (region.base, region.bytes));
        Problem::Outside { space: "global", address, bytes, near }
    }

    /// One lane after the other, in random order of the first.
    pub(super) fn atomic(
        &mut self,
        block: &mut Block,
        w: usize,
        atomic: &Atomic,
        slots: &Slots,
        active: u32,
    ) -> Checked<()> {
        let access = &atomic.access;
        let addresses = addresses(&block.warps[w].registers, access.base, access.offset);
        let bytes = access.ty.bytes();
        let first = self.random.below(32) as usize;
        let mut changed = false;
        let mut hint = access.hint.load(Ordering::Relaxed);
        for l in (first..WARP).chain(0..first).filter(|l| active >> l & 1 != 0) {
            let problem = |problem| (problem, l as u32);
            let mut buffer = [0u8; 8];
            self.fetch(block, (w, l), access, addresses[l], &mut buffer[..bytes], &mut hint)
                .map_err(problem)?;
            let old = u64::from_le_bytes(buffer);
            let registers = &block.warps[w].registers;
            let read = |slot: u32| {
                if bytes == 8 {
                    registers.longs[slot as usize][l]
                } else {
                    u64::from(registers.words[slot as usize][l])
                }
            };
            let new = updated(
                atomic.operation,
                access.ty,
                old,
                read(slots.b),
                read(if atomic.operation == AtomicOperation::Swap { slots.c } else { slots.b }),
            );
            changed |= new != old;
            self.put(block, (w, l), access, addresses[l], &new.to_le_bytes()[..bytes], &mut hint)
                .map_err(problem)?;
            if !atomic.discard {
                let registers = &mut block.warps[w].registers;
                if bytes == 8 {
                    registers.longs[slots.d as usize][l] = old;
                } else {
                    registers.words[slots.d as usize][l] = old as u32;
                }
            }
        }
        if changed {
            self.progress();
        } else {
            self.spins += 1;
        }
        Ok(())
    }
}

/// Whether all shadow bytes say that the byte was written. `bytes` is 1, 2, 4, 8 or 16.
///
/// # Safety
/// `bytes` bytes can be read at `shadow`.
#[inline(always)]
unsafe fn all_written(shadow: *const u8, bytes: usize) -> bool {
    // SAFETY: the caller's promise; none of the reads wants an alignment.
    unsafe {
        match bytes {
            4 => shadow.cast::<u32>().read_unaligned() == u32::MAX,
            8 => shadow.cast::<u64>().read_unaligned() == u64::MAX,
            16 => shadow.cast::<u128>().read_unaligned() == u128::MAX,
            _ => (0..bytes).all(|i| shadow.add(i).read() == 0xff),
        }
    }
}

#[inline(always)]
fn inside(space: &'static str, at: u64, bytes: u64, size: usize) -> Result<usize, Problem> {
    if at.checked_add(bytes).is_some_and(|end| end <= size as u64) {
        return Ok(at as usize);
    }
    Err(Problem::Outside { space, address: at, bytes, near: Some((0, size)) })
}

fn updated(operation: AtomicOperation, ty: Type, old: u64, b: u64, c: u64) -> u64 {
    match (operation, ty) {
        (AtomicOperation::Add, Type::F32) => {
            u64::from((f32::from_bits(old as u32) + f32::from_bits(b as u32)).to_bits())
        }
        (AtomicOperation::Add, Type::F64) => (f64::from_bits(old) + f64::from_bits(b)).to_bits(),
        (AtomicOperation::Add, Type::U64) => old.wrapping_add(b),
        (AtomicOperation::Add, _) => u64::from((old as u32).wrapping_add(b as u32)),
        (AtomicOperation::Min, Type::S32) => u64::from((old as i32).min(b as i32) as u32),
        (AtomicOperation::Max, Type::S32) => u64::from((old as i32).max(b as i32) as u32),
        (AtomicOperation::Min, Type::S64) => (old as i64).min(b as i64) as u64,
        (AtomicOperation::Max, Type::S64) => (old as i64).max(b as i64) as u64,
        (AtomicOperation::Min, _) => old.min(b),
        (AtomicOperation::Max, _) => old.max(b),
        (AtomicOperation::And, _) => old & b,
        (AtomicOperation::Or, _) => old | b,
        (AtomicOperation::Xor, _) => old ^ b,
        (AtomicOperation::Increment, _) => {
            if old >= b {
                0
            } else {
                old + 1
            }
        }
        (AtomicOperation::Decrement, _) => {
            if old == 0 || old > b {
                b
            } else {
                old - 1
            }
        }
        (AtomicOperation::Exchange, _) => b,
        (AtomicOperation::Swap, _) => {
            if old == b {
                c
            } else {
                old
            }
        }
    }
}
