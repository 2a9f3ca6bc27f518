//! What a device cannot do, and what its absence says.

use crate::cuda;
use crate::maps::{Kind, Map};
use deer_solver::cells::Gru;
use deer_solver::scalar::{Param, Scalar};
use deer_solver::{Cuda, CudaFault, Dynamics, Error, Problem, Solver, Tangents, diagnostics};
use ndarray::{Array1, array};
use std::error::Error as _;

#[test]
fn no_such_device_is_an_error() {
    let message = Cuda::new(1000).unwrap_err().to_string();
    assert!(message.starts_with("device: expected below"), "{message}");
}

#[test]
fn elk_and_error_bounds_are_left_to_the_cpu() {
    let map = Map::<f64>::new(Kind::Logistic, &[2.9]);
    let x0 = array![0.3];
    let problem = Problem::autonomous(&map, x0.view(), 300).unwrap();
    let cuda = cuda();
    let refuses = |solved: Result<(), Error>, what: &str| {
        let message = solved.unwrap_err().to_string();
        let expected = format!("backend: expected one with {what}, such as `Cpu`, got cuda, ");
        assert!(message.starts_with(&expected), "{message}");
    };
    refuses(Solver::elk(1.0).solve(&problem, &cuda).map(drop), "ELK");
    // Before any sweep.
    let bounded = Solver::jacobi().error_bound(true).observe(|_| panic!("a sweep was done"));
    refuses(bounded.solve(&problem, &cuda).map(drop), "error bounds and exponents");
    let solution = Solver::jacobi().solve(&problem, &cuda).unwrap();
    refuses(
        diagnostics::error_bound(&problem, &solution, &cuda).map(drop),
        "error bounds and exponents",
    );
    refuses(
        diagnostics::lyapunov_on(&problem, &solution, &cuda).map(drop),
        "error bounds and exponents",
    );
}

#[test]
fn too_many_steps_are_an_error_before_anything_is_allocated() {
    let map = Map::<f64>::new(Kind::Logistic, &[2.9]);
    let x0 = array![0.3];
    for steps in [1 << 31, 1 << 32, 1 << 40] {
        let problem = Problem::autonomous(&map, x0.view(), steps).unwrap();
        for solver in [Solver::auto(), Solver::sequential(), Solver::deer()] {
            let message = solver.solve(&problem, &cuda()).unwrap_err().to_string();
            let expected = "problem: steps: expected at most 2147483647 in a sequence on `Cuda` (solve pieces, ";
            assert!(message.starts_with(expected), "{message}");
            assert!(message.ends_with(&format!("or use `Cpu`), got {steps}")), "{message}");
        }
    }
}

#[test]
fn a_state_too_large_for_a_thread_is_an_error() {
    let expected = "problem: state_dim: expected at most 128";
    let map = Map::<f32>::tanh(129, 0.9, 0);
    let x0 = Array1::zeros(129);
    let inputs = ndarray::Array2::zeros((300, map.input_dim()));
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let message = Solver::jacobi().solve(&problem, &cuda()).unwrap_err().to_string();
    assert!(message.starts_with(expected), "{message}");
    // A cell of so many units has kernels for the loop and for cotangents, not for these.
    let gru = Gru::<f32>::random(1, 129, 0);
    let inputs = ndarray::Array2::zeros((30, 1));
    let problem = Problem::new(&gru, x0.view(), inputs.view()).unwrap();
    let message = Solver::deer().solve(&problem, &cuda()).unwrap_err().to_string();
    assert!(message.starts_with(expected), "{message}");
    let solution = Solver::sequential().solve(&problem, &cuda()).unwrap();
    let direction = Tangents::zeros(&problem);
    let message = solution.jvp(&problem, &direction, &cuda()).unwrap_err().to_string();
    assert!(message.starts_with(expected), "{message}");
}

/// Two sums, of 66 components and of 65: blocks that no one size below 131 holds.
struct Uneven;
impl Dynamics for Uneven {
    type Real = f64;
    fn state_dim(&self) -> usize {
        131
    }
    #[inline(always)]
    fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], _: &[S], next: &mut [S]) {
        let sums = [&x[..66], &x[66..]].map(|part| part.iter().copied().sum::<S>() * 0.01);
        for i in 0..131 {
            next[i] = sums[usize::from(i >= 66)];
        }
    }
}

#[test]
fn blocks_that_fit_no_common_size_are_an_error() {
    let x0 = Array1::zeros(131);
    let problem = Problem::autonomous(&Uneven, x0.view(), 300).unwrap();
    let message = Solver::jacobi().solve(&problem, &cuda()).unwrap_err().to_string();
    assert!(message.starts_with("problem: state_dim: expected at most 128"), "{message}");
    assert!(message.contains("own blocks fit into no smaller size that divides it"), "{message}");
    assert!(message.ends_with("got a block of 131 in a state of 131"), "{message}");
}

/// Components that do nothing alike.
struct Unlike;
impl Dynamics for Unlike {
    type Real = f64;
    fn state_dim(&self) -> usize {
        150
    }
    #[inline(always)]
    fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], _: &[S], next: &mut [S]) {
        for i in 0..150 {
            next[i] = x[i].powi(i as i32 + 2) * 0.5;
        }
    }
}

#[test]
fn too_many_kinds_of_parts_are_an_error() {
    let x0 = Array1::zeros(150);
    let problem = Problem::autonomous(&Unlike, x0.view(), 300).unwrap();
    let message = Solver::jacobi().solve(&problem, &cuda()).unwrap_err().to_string();
    assert!(message.contains("at most 32 kinds of them (use `Cpu`)"), "{message}");
}

#[test]
fn a_large_state_with_a_step_in_ptx_is_an_error() {
    let x0 = Array1::zeros(150);
    let problem = Problem::autonomous(&Unlike, x0.view(), 300).unwrap();
    let device = cuda().with_step("mov.f64 %x0, %x1;");
    let message = Solver::jacobi().solve(&problem, &device).unwrap_err().to_string();
    assert!(message.contains("at most 128 with a step in PTX"), "{message}");
}

#[test]
fn a_step_in_ptx_with_a_byte_0_is_an_error() {
    let map = Map::<f64>::new(Kind::Logistic, &[2.9]);
    let x0 = array![0.3];
    let problem = Problem::autonomous(&map, x0.view(), 300).unwrap();
    let device = cuda().with_step("mov.f64 %x0, \0%x1;");
    let message = Solver::jacobi().solve(&problem, &device).unwrap_err().to_string();
    let expected = "ptx: expected a text without a byte 0 (see `Cuda::with_step`), got one in the line `mov.f64 %x0,`";
    assert_eq!(message, expected);
}

#[test]
fn a_step_in_ptx_is_refused_with_what_the_compiler_says() {
    let map = Map::<f64>::new(Kind::Logistic, &[2.9]);
    let x0 = array![0.3];
    let problem = Problem::autonomous(&map, x0.view(), 300).unwrap();
    let device = cuda().with_step("move.f64 %x0, %x0;");
    let error = Solver::jacobi().solve(&problem, &device).unwrap_err();
    let CudaFault::Refused { log, .. } = cause(&error) else { panic!("{error}") };
    assert!(log.contains("move"), "{log}");
    let message = error.to_string();
    assert!(message.starts_with("cuda: compiling PTX failed: the driver refused"), "{message}");
}

#[test]
fn a_marker_without_instructions_is_no_fault_of_the_driver() {
    let (kernel, marker) = ("roll".to_owned(), "@turn;".to_owned());
    let message = CudaFault::Template { kernel, marker }.to_string();
    assert!(message.starts_with("the template of `roll` has the marker `@turn;`"), "{message}");
    assert!(message.contains("a mistake in deer-solver and not in the step"), "{message}");
}

#[test]
fn a_launch_that_is_too_large_says_what_to_do() {
    let message = CudaFault::TooLarge { blocks: 1 << 31 }.to_string();
    assert!(message.starts_with("2147483648 blocks of threads are more than"), "{message}");
    assert!(message.contains("solve or scan less at a time"), "{message}");
}

/// `x' = c x`, with `c` in the text of the kernels.
struct Baked(f64);
impl Dynamics for Baked {
    type Real = f64;
    fn state_dim(&self) -> usize {
        1
    }
    #[inline(always)]
    fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], _: &[S], next: &mut [S]) {
        next[0] = x[0] * self.0;
    }
}

#[test]
fn modules_are_let_go_when_there_are_many() {
    let cuda = cuda();
    let x0 = array![1.0];
    let solved = |c: f64| {
        let step = Baked(c);
        let problem = Problem::autonomous(&step, x0.view(), 2).unwrap();
        let solution = Solver::sequential().solve(&problem, &cuda).unwrap();
        assert_eq!(solution.states()[(0, 1, 0)], c * c);
    };
    for i in 0..300 {
        solved(f64::from(i) / 300.0);
    }
    assert_eq!(cuda.compiled_modules(), 256);
    // One that is there still, and one that is compiled again.
    solved(299.0 / 300.0);
    solved(0.0);
    assert_eq!(cuda.compiled_modules(), 256);
}

fn cause(error: &Error) -> CudaFault {
    let fault = error.source().unwrap().downcast_ref::<CudaFault>().unwrap();
    assert!(error.to_string().ends_with(&format!(" failed: {fault}")), "{error}");
    fault.clone()
}

fn fault(result: Result<Cuda, Error>) -> CudaFault {
    let error = result.unwrap_err();
    assert!(error.to_string().starts_with("cuda: opening device 0 failed: "), "{error}");
    cause(&error)
}

/// Runs one of the tests here with another environment.
fn emulated(name: &str, variable: &str, value: &str) {
    crate::emulated(&format!("faults::{name}"), variable, value);
}

#[test]
fn the_absence_of_a_driver_is_said() {
    emulated("without_a_driver", "LD_LIBRARY_PATH", "");
}

#[test]
#[ignore = "run by another test, without a driver"]
fn without_a_driver() {
    assert_eq!(fault(Cuda::new(0)), CudaFault::NoDriver);
}

#[test]
fn the_absence_of_a_device_is_said() {
    emulated("without_a_device", "EMULATED_CUDA_DEVICES", "0");
}

#[test]
#[ignore = "run by another test, without a device"]
fn without_a_device() {
    assert_eq!(fault(Cuda::new(0)), CudaFault::NoDevice);
}

#[test]
fn an_old_driver_is_said() {
    emulated("with_an_old_driver", "EMULATED_CUDA_VERSION", "10020");
}

#[test]
#[ignore = "run by another test, with an old driver"]
fn with_an_old_driver() {
    let fault = fault(Cuda::new(0));
    assert_eq!(fault, CudaFault::OldDriver { found: 10_020, needed: 11_000 });
    assert_eq!(
        fault.to_string(),
        "the driver is for CUDA 10.2, and one for 11.0 or newer is needed; update NVIDIA's driver, or use `Cpu`"
    );
}

#[test]
fn too_little_memory_is_said() {
    emulated("without_memory", "EMULATED_CUDA_MEMORY", "100000");
}

#[test]
#[ignore = "run by another test, with little memory"]
fn without_memory() {
    let map = Map::<f64>::new(Kind::Logistic, &[2.9]);
    let x0 = array![0.3];
    let problem = Problem::autonomous(&map, x0.view(), 100_000).unwrap();
    let error = Solver::jacobi().solve(&problem, &cuda()).unwrap_err();
    assert_eq!(cause(&error), CudaFault::OutOfMemory);
    let message = error.to_string();
    assert!(message.starts_with("cuda: allocating "), "{message}");
    assert!(message.contains("solve fewer sequences at a time, or fewer steps"), "{message}");
}

#[test]
fn memory_that_is_kept_makes_room() {
    emulated("with_kept_memory", "EMULATED_CUDA_MEMORY", "4000000");
}

#[test]
#[ignore = "run by another test, with little memory"]
fn with_kept_memory() {
    let cuda = cuda();
    let take = |numbers: usize| cuda.elements(&vec![1.0f32; numbers]).map(drop);
    // Kept when it is dropped; then in the way of what is larger.
    take(450_000).unwrap();
    take(700_000).unwrap();
    assert_eq!(cause(&take(1_100_000).unwrap_err()), CudaFault::OutOfMemory);
    take(700_000).unwrap();
}

#[test]
fn an_old_device_is_said() {
    emulated("with_an_old_device", "EMULATED_CUDA_CAPABILITY", "61");
}

#[test]
#[ignore = "run by another test, with an old device"]
fn with_an_old_device() {
    let fault = fault(Cuda::new(0));
    let name = "Emulated CUDA device".to_owned();
    assert_eq!(fault, CudaFault::OldDevice { name, found: 61, needed: 70 });
    assert_eq!(
        fault.to_string(),
        "Emulated CUDA device has compute capability 6.1, and 7.0 or newer is needed; use another device, or `Cpu`"
    );
}

#[test]
fn the_lack_of_locked_memory_is_said() {
    emulated("without_locked_memory", "EMULATED_CUDA_FAIL", "cuMemAllocHost_v2=2");
}

#[test]
#[ignore = "run by another test, without page-locked memory"]
fn without_locked_memory() {
    let cuda = cuda();
    // Small copies do without.
    cuda.elements(&[1.0f32; 64]).unwrap();
    let error = cuda.elements(&vec![1.0f32; 100_000]).unwrap_err();
    let CudaFault::OutOfHostMemory { bytes } = cause(&error) else { panic!("{error}") };
    let expected = format!(
        "cuda: copying to the device failed: the host gave no {bytes} bytes of page-locked memory"
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn codes_of_the_driver_are_said() {
    emulated("with_a_busy_device", "EMULATED_CUDA_FAIL", "cuDevicePrimaryCtxRetain=46");
    emulated("before_the_system_is_ready", "EMULATED_CUDA_FAIL", "cuInit=802");
    emulated("with_a_code_of_its_own", "EMULATED_CUDA_FAIL", "cuDevicePrimaryCtxRetain=12345");
    emulated("with_a_lost_device", "EMULATED_CUDA_FAIL", "cuStreamSynchronize=719");
    emulated("without_room_for_a_context", "EMULATED_CUDA_FAIL", "cuDevicePrimaryCtxRetain=2");
    emulated("without_room_for_a_module", "EMULATED_CUDA_FAIL", "cuModuleLoadDataEx=2");
    emulated("with_a_launch_refused", "EMULATED_CUDA_FAIL", "cuLaunchKernel=701");
}

/// What is said of a code that the opening of a device comes to.
fn said(wanted: i32) -> String {
    let fault = fault(Cuda::new(0));
    assert!(matches!(fault, CudaFault::Driver { code, .. } if code == wanted), "{fault:?}");
    fault.to_string()
}

#[test]
#[ignore = "run by another test, with a failing driver"]
fn with_a_busy_device() {
    assert_eq!(
        said(46),
        "CUDA_ERROR_DEVICE_UNAVAILABLE (46): CUDA-capable device(s) is/are busy or unavailable; another program may \
         have the device for itself: see `nvidia-smi`, or use `Cpu`"
    );
}

#[test]
#[ignore = "run by another test, with a failing driver"]
fn before_the_system_is_ready() {
    let said = said(802);
    assert!(said.starts_with("CUDA_ERROR_SYSTEM_NOT_READY (802): system not yet"), "{said}");
    assert!(said.contains("nvidia-fabricmanager"), "{said}");
}

#[test]
#[ignore = "run by another test, with a failing driver"]
fn with_a_code_of_its_own() {
    assert_eq!(said(12345), "unknown code (12345): the driver has no text for it");
}

/// What a solve on a device comes to that opens.
fn failed() -> Error {
    let map = Map::<f64>::new(Kind::Logistic, &[2.9]);
    let x0 = array![0.3];
    let problem = Problem::autonomous(&map, x0.view(), 300).unwrap();
    Solver::jacobi().solve(&problem, &Cuda::new(0).unwrap()).unwrap_err()
}

#[test]
#[ignore = "run by another test, with a failing driver"]
fn with_a_lost_device() {
    let message = failed().to_string();
    assert!(message.starts_with("cuda: copying from the device failed: "), "{message}");
    assert!(message.contains("CUDA_ERROR_LAUNCH_FAILED (719): unspecified launch"), "{message}");
    assert!(message.contains("takes no more work from this process"), "{message}");
}

#[test]
#[ignore = "run by another test, with a failing driver"]
fn without_room_for_a_context() {
    assert_eq!(fault(Cuda::new(0)), CudaFault::OutOfMemory);
}

#[test]
#[ignore = "run by another test, with a failing driver"]
fn without_room_for_a_module() {
    let error = failed();
    assert_eq!(cause(&error), CudaFault::OutOfMemory);
    assert!(error.to_string().starts_with("cuda: compiling PTX failed: "), "{error}");
}

#[test]
#[ignore = "run by another test, with a failing driver"]
fn with_a_launch_refused() {
    let message = failed().to_string();
    assert!(message.starts_with("cuda: launching `"), "{message}");
    assert!(message.contains("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES (701)"), "{message}");
}
