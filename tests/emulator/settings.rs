//! Settings by environment variables, read once.

use std::path::PathBuf;
use std::sync::OnceLock;

/// What the environment asks for.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `EMULATED_CUDA_DEVICES`, 1 unless told.
    pub(crate) devices: u32,
    /// `EMULATED_CUDA_MEMORY`: bytes of each device, 1 GiB unless told.
    pub(crate) memory: u64,
    /// `EMULATED_CUDA_CAPABILITY`: the compute capability, as `sm_80` writes it, 80 unless told.
    pub(crate) capability: u32,
    /// `EMULATED_CUDA_FAIL`: a function that fails, and its code.
    pub(crate) fail: Option<(String, i32)>,
    /// `EMULATED_CUDA_VERSION`: the driver's version, 12020 unless told.
    pub(crate) version: u32,
    /// `EMULATED_CUDA_SEED` of all schedules.
    pub(crate) seed: u64,
    /// `EMULATED_CUDA_RESIDENT`: blocks that run at a time; drawn for each launch unless told, never below 4.
    pub(crate) resident: Option<usize>,
    /// `EMULATED_CUDA_PROCESSORS`: multiprocessors, 4 unless told.
    pub(crate) processors: u32,
    /// `EMULATED_CUDA_SPILLS`: bytes of local memory that the kernels of modules with constant memory are said to need, 0 unless told.
    pub(crate) spills: usize,
    /// `EMULATED_CUDA_STATISTICS=1`: launches and instructions of each kernel on standard error at the end.
    pub(crate) statistics: bool,
    /// `EMULATED_CUDA_LAUNCHED`: a file to which the names of the kernels that were launched are appended at the end.
    pub(crate) launched: Option<PathBuf>,
}

pub(crate) fn settings() -> &'static Settings {
    static SETTINGS: OnceLock<Settings> = OnceLock::new();
    SETTINGS.get_or_init(|| Settings {
        devices: number("DEVICES").unwrap_or(1) as u32,
        memory: number("MEMORY").unwrap_or(1 << 30),
        capability: number("CAPABILITY").unwrap_or(80) as u32,
        fail: failure(),
        version: number("VERSION").unwrap_or(12020) as u32,
        seed: number("SEED").unwrap_or(1),
        resident: number("RESIDENT").map(|blocks| blocks.max(1) as usize),
        processors: number("PROCESSORS").unwrap_or(4).max(1) as u32,
        spills: number("SPILLS").unwrap_or(0) as usize,
        statistics: number("STATISTICS").unwrap_or(0) != 0,
        launched: std::env::var_os("EMULATED_CUDA_LAUNCHED").map(PathBuf::from),
    })
}

impl Settings {
    /// The latest PTX version that a driver of this version takes, as 70 for 7.0.
    pub(crate) fn ptx_version(&self) -> u32 {
        let (major, minor) = (self.version / 1000, self.version % 1000 / 10);
        match (major, minor) {
            (..10, _) => 60,
            (10, minor) => 63 + minor.min(2),
            (11, minor) => 70 + minor.min(8),
            (12, minor) => 80 + minor.min(9),
            _ => 90 + minor.min(9),
        }
    }
}

/// The variable of this name; one that is no number is told on standard error and left out.
fn number(name: &str) -> Option<u64> {
    let name = format!("EMULATED_CUDA_{name}");
    let text = std::env::var(&name).ok()?;
    let value = text.trim().parse().ok();
    if value.is_none() {
        eprintln!("emulated CUDA: {name}: expected a whole number, got `{text}`");
    }
    value
}

/// What `EMULATED_CUDA_FAIL` says; what is no function and code is told on standard error and left out.
fn failure() -> Option<(String, i32)> {
    let text = std::env::var("EMULATED_CUDA_FAIL").ok()?;
    let (function, code) = text.split_once('=').unwrap_or((&text, ""));
    let code = code.trim().parse().ok();
    if code.is_none() {
        eprintln!("emulated CUDA: EMULATED_CUDA_FAIL: expected FUNCTION=CODE, got `{text}`");
    }
    Some((function.trim().to_owned(), code?))
}
