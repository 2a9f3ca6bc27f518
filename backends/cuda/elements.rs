//! Elements of scans that stay on a device.

use super::Cuda;
use super::driver::{Buffer, Number};
use super::scan::{self, DeviceScan, Sequences};
use crate::error::Result;
use crate::scalar::Real;
use crate::scan::ScanOp;
use std::marker::PhantomData;

/// Elements of scans on a device, `[T · width]` flat, or `[batch, T, width]`, from [`Cuda::elements`]: scanned there as often as one likes, and
/// [fetched](Self::fetch) at the end.
///
/// A scan returns as soon as the device has been asked for it; what is asked for next happens after it.
#[derive(Debug)]
pub struct DeviceElements<R> {
    cuda: Cuda,
    buffer: Buffer,
    /// Numbers.
    len: usize,
    precision: PhantomData<R>,
}

impl<R: Real> DeviceElements<R> {
    pub(super) fn upload(cuda: &Cuda, elements: &[R]) -> Result<Self> {
        // Their room may be needed.
        cuda.drop_states();
        let buffer = cuda.device.upload(Number::wrap(elements))?;
        Ok(Self { cuda: cuda.clone(), buffer, len: elements.len(), precision: PhantomData })
    }

    /// Numbers in all elements together.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Inclusive scan in place, as [`Cuda::scan`].
    ///
    /// # Errors
    /// As [`Cuda::scan`].
    pub fn scan<Op: ScanOp<R> + DeviceScan>(&mut self, op: &Op) -> Result<()> {
        self.run(op, 1, false)
    }

    /// Inclusive scan from the end, in place, as [`Cuda::scan_reverse`].
    ///
    /// # Errors
    /// As [`Cuda::scan`].
    pub fn scan_reverse<Op: ScanOp<R> + DeviceScan>(&mut self, op: &Op) -> Result<()> {
        self.run(op, 1, true)
    }

    /// Inclusive scan of each of `batch` sequences of one length, in place, as [`Cuda::scan_batch`].
    ///
    /// # Errors
    /// As [`Cuda::scan_batch`].
    pub fn scan_batch<Op: ScanOp<R> + DeviceScan>(&mut self, op: &Op, batch: usize) -> Result<()> {
        self.run(op, batch, false)
    }

    /// The same from the end of each, as [`Cuda::scan_batch_reverse`].
    ///
    /// # Errors
    /// As [`Cuda::scan_batch`].
    pub fn scan_batch_reverse<Op: ScanOp<R> + DeviceScan>(
        &mut self,
        op: &Op,
        batch: usize,
    ) -> Result<()> {
        self.run(op, batch, true)
    }

    fn run<Op: ScanOp<R> + DeviceScan>(
        &mut self,
        op: &Op,
        batch: usize,
        backwards: bool,
    ) -> Result<()> {
        let Cuda { device, modules, .. } = &self.cuda;
        let sequences = Sequences { batch, backwards };
        scan::scan::<R, Op>(device, modules, op, &mut self.buffer, self.len, sequences)
    }

    /// A copy on the device.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) where the device fails or has no memory for it.
    pub fn try_clone(&self) -> Result<Self> {
        let bytes = self.len * size_of::<R>();
        self.cuda.drop_states();
        let mut buffer = self.cuda.device.allocate(bytes)?;
        buffer.copy(&self.buffer, 0, bytes)?;
        Ok(Self { cuda: self.cuda.clone(), buffer, len: self.len, precision: PhantomData })
    }

    /// Waits until the device has done all that was asked for.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) where the device fails.
    pub fn wait(&self) -> Result<()> {
        self.cuda.device.wait("scanning")
    }

    /// The elements on the host.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) where the device fails.
    pub fn fetch(&self) -> Result<Vec<R>> {
        let mut elements = vec![R::default(); self.len];
        self.read(&mut elements)?;
        Ok(elements)
    }

    /// Copies the elements to as many numbers.
    pub(super) fn read(&self, elements: &mut [R]) -> Result<()> {
        self.buffer.read(0, Number::wrap_mut(elements))
    }
}
