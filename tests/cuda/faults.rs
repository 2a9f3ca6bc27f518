//! What a device cannot do, and what its absence says.

use crate::cuda;
use crate::maps::{Kind, Map};
use deer_solver::cells::Gru;
use deer_solver::scalar::{Param, Scalar};
use deer_solver::{Cuda, CudaFault, Dynamics, Error, Problem, Solver};
use ndarray::{Array1, array};
use std::error::Error as _;
use std::process::Command;

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
    let message = Solver::elk(1.0).solve(&problem, &cuda()).unwrap_err().to_string();
    assert!(message.starts_with("backend: expected one with ELK, such as `Cpu`"), "{message}");
}

#[test]
fn a_state_too_large_for_a_thread_is_an_error() {
    let gru = Gru::<f32>::random(1, 129, 0);
    let x0 = Array1::zeros(129);
    let inputs = ndarray::Array2::zeros((300, 1));
    let problem = Problem::new(&gru, x0.view(), inputs.view()).unwrap();
    let message = Solver::jacobi().solve(&problem, &cuda()).unwrap_err().to_string();
    assert!(message.starts_with("problem: state_dim: expected at most 128"), "{message}");
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

fn fault(result: Result<Cuda, Error>) -> CudaFault {
    let error = result.unwrap_err();
    assert!(error.to_string().starts_with("cuda: opening device 0 failed"), "{error}");
    error.source().unwrap().downcast_ref::<CudaFault>().unwrap().clone()
}

/// Runs the test `name` of this program, which is ignored otherwise, with another environment: on the emulated driver
/// alone, which can be told what to lack.
fn emulated(name: &str, variable: &str, value: &str) {
    if !format!("{:?}", cuda()).contains("Emulated") {
        return;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--ignored", "--exact", &format!("faults::{name}")]);
    command.env(variable, value);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
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
    assert_eq!(fault.to_string(), "the driver is for CUDA 10.2, and 11.0 or newer is needed");
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
    let fault = error.source().unwrap().downcast_ref::<CudaFault>().unwrap();
    assert_eq!(*fault, CudaFault::OutOfMemory, "{error}");
}
