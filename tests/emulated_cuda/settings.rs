//! Settings are read once, so that each is tested in a process of its own.

use std::process::Command;

use cust::CudaFlags;
use cust::device::{Device, DeviceAttribute};
use cust::error::CudaError;
use cust::memory::{DeviceBuffer, LockedBuffer};
use cust::module::Module;

use crate::card::{Card, at, download, kernel, refused};

/// Runs an ignored test of this file with the setting, and returns what it wrote on standard error.
#[track_caller]
fn with(setting: &str, value: &str, test: &str) -> String {
    let program = std::env::current_exe().expect("this program");
    let run = Command::new(program)
        .args(["--ignored", "--exact", "--nocapture", &format!("settings::{test}")])
        .env(format!("EMULATED_CUDA_{setting}"), value)
        .output()
        .expect("a run");
    let (out, error) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && out.contains("1 passed"), "{out}\n{error}");
    error.into_owned()
}

#[test]
fn each_setting() {
    with("DEVICES", "0", "no_devices");
    with("DEVICES", "3", "three_devices");
    with("VERSION", "10020", "an_old_driver");
    with("MEMORY", "1048576", "a_small_device");
    with("PROCESSORS", "7", "seven_processors");
    with("CAPABILITY", "75", "an_older_device");
    with("FAIL", "cuMemAllocHost_v2=2", "no_locked_memory");
    let told = with("FAIL", "cuInit", "three_devices_or_one");
    assert!(told.contains("EMULATED_CUDA_FAIL") && told.contains("`cuInit`"), "{told}");
    with("RESIDENT", "2", "two_blocks_at_a_time");
    let told = with("STATISTICS", "1", "two_blocks_at_a_time");
    assert!(told.contains("emulated CUDA: k: 1 launches, "), "{told}");
    let file = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("launched");
    let _ = std::fs::remove_file(&file);
    for _ in 0..2 {
        with("LAUNCHED", &file.to_string_lossy(), "two_blocks_at_a_time");
    }
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "k\nk\n");
    let told = with("LAUNCHED", env!("CARGO_TARGET_TMPDIR"), "two_blocks_at_a_time");
    assert!(told.contains("EMULATED_CUDA_LAUNCHED"), "{told}");
    let told = with("PROCESSORS", "many", "three_devices_or_one");
    assert!(told.contains("EMULATED_CUDA_PROCESSORS") && told.contains("`many`"), "{told}");
}

#[test]
#[ignore = "run by another test, with a setting"]
fn no_devices() {
    assert_eq!(cust::init(CudaFlags::empty()), Err(CudaError::NoDevice));
}

#[test]
#[ignore = "run by another test, with a setting"]
fn three_devices() {
    let _card = Card::new();
    assert_eq!(Device::num_devices(), Ok(3));
    assert!(Device::get_device(2).is_ok());
    assert_eq!(Device::get_device(3).err(), Some(CudaError::InvalidDevice));
}

#[test]
#[ignore = "run by another test, with a setting"]
fn three_devices_or_one() {
    let _card = Card::new();
    assert!(Device::num_devices().is_ok());
}

#[test]
#[ignore = "run by another test, with a setting"]
fn an_old_driver() {
    let _card = Card::new();
    let (code, log) = refused(&kernel(""));
    assert_eq!(code, 222);
    assert!(log.contains("current version is '6.5'"), "{log}");
    Module::from_ptx(kernel("").replace(".version 7.0", ".version 6.5"), &[]).expect("a module");
}

#[test]
#[ignore = "run by another test, with a setting"]
fn a_small_device() {
    let _card = Card::new();
    let half = DeviceBuffer::<u8>::zeroed(600_000).expect("a buffer");
    assert_eq!(DeviceBuffer::<u8>::zeroed(600_000).err(), Some(CudaError::OutOfMemory));
    drop(half);
    DeviceBuffer::<u8>::zeroed(600_000).expect("the memory that was given back");
}

#[test]
#[ignore = "run by another test, with a setting"]
fn seven_processors() {
    let _card = Card::new();
    let device = Device::get_device(0).expect("device 0");
    assert_eq!(device.get_attribute(DeviceAttribute::MultiprocessorCount), Ok(7));
}

#[test]
#[ignore = "run by another test, with a setting"]
fn an_older_device() {
    let _card = Card::new();
    let device = Device::get_device(0).expect("device 0");
    let found = [DeviceAttribute::ComputeCapabilityMajor, DeviceAttribute::ComputeCapabilityMinor]
        .map(|attribute| device.get_attribute(attribute));
    assert_eq!(found, [Ok(7), Ok(5)]);
    let (code, _) = refused(&kernel("").replace("sm_70", "sm_80"));
    assert_eq!(code, 218);
}

#[test]
#[ignore = "run by another test, with a setting"]
fn no_locked_memory() {
    let _card = Card::new();
    assert_eq!(LockedBuffer::new(&0u8, 4096).err(), Some(CudaError::OutOfMemory));
    DeviceBuffer::<u8>::zeroed(4096).expect("a buffer");
}

#[test]
#[ignore = "run by another test, with a setting"]
fn two_blocks_at_a_time() {
    // Counts the blocks that have begun and not ended.
    let text = kernel(
        ".reg .u32 %r<4>; .reg .pred %p; atom.global.add.u32 %r0, [%a], 1; add.u32 %r0, %r0, 1;\n\
         red.global.max.u32 [%a+4], %r0; mov.u32 %r1, 0;\n\
         again: add.u32 %r1, %r1, 1; setp.lt.u32 %p, %r1, 2000; @%p bra again;\n\
         atom.global.add.u32 %r0, [%a], -1;",
    );
    let card = Card::new();
    let module = Module::from_ptx(&text, &[]).expect("a module");
    let counts = card.upload(&[0u32; 2]);
    card.run(&module, 50, 1, 0, &[at(&counts)]).expect("a run");
    let [left, most] = download(&counts)[..] else {
        panic!("two counts");
    };
    let asked = std::env::var("EMULATED_CUDA_RESIDENT").is_ok();
    assert!(left == 0 && if asked { most == 2 } else { most >= 4 }, "{left} {most}");
}
