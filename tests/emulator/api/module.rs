//! Modules: PTX is parsed, and all of its kernels are decoded, when it is loaded.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::slice;
use std::sync::Arc;

use super::{in_context, put};
use crate::codes::Code;
use crate::decode::{self, Addresses};
use crate::driver::{Driver, Function, Module};
use crate::memory::Allocation;
use crate::ptx::{self, Initial, Operand, Refusal, Space, Type, Variable};
use crate::settings::settings;

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadData(module: *mut usize, image: *const c_void) -> c_int {
    cuModuleLoadDataEx(module, image, 0, std::ptr::null(), std::ptr::null_mut())
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadDataEx(
    module: *mut usize,
    image: *const c_void,
    count: c_uint,
    options: *const c_int,
    values: *mut *mut c_void,
) -> c_int {
    super::fail_if_told!("cuModuleLoadDataEx");
    let mut options = Options::new(count, options, values);
    in_context(|driver, context| {
        let text = image_text(image.cast())?;
        load(driver, context, module, &text, &mut options)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoad(module: *mut usize, path: *const c_char) -> c_int {
    in_context(|driver, context| {
        if path.is_null() {
            return Err(Code::InvalidValue);
        }
        // SAFETY: the caller gives a string that ends with a zero.
        let path = unsafe { CStr::from_ptr(path) }.to_string_lossy();
        let text = std::fs::read_to_string(&*path).map_err(|_| Code::FileNotFound)?;
        let mut options = Options::new(0, std::ptr::null(), std::ptr::null_mut());
        load(driver, context, module, &text, &mut options)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleUnload(module: usize) -> c_int {
    in_context(|driver, _| {
        let module_of = driver.modules.remove(&module).ok_or(Code::InvalidHandle)?;
        driver.functions.retain(|_, function| function.module != module);
        for variable in module_of.variables.values() {
            driver.release(variable.base)?;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleGetFunction(
    function: *mut usize,
    module: usize,
    name: *const c_char,
) -> c_int {
    in_context(|driver, _| {
        let name = name_of(name)?;
        let found = driver.modules.get(&module).ok_or(Code::InvalidHandle)?;
        if let Some(&handle) = found.functions.get(&name) {
            return put(function, handle);
        }
        let kernel = Arc::clone(found.kernels.get(&name).ok_or(Code::NotFound)?);
        let handle = driver.handle();
        let max_dynamic_shared =
            super::device::SHARED_PER_BLOCK.saturating_sub(kernel.shared_bytes);
        driver
            .functions
            .insert(handle, Function { module, kernel, max_dynamic_shared, carveout: -1 });
        if let Some(found) = driver.modules.get_mut(&module) {
            found.functions.insert(name, handle);
        }
        put(function, handle)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleGetGlobal_v2(
    address: *mut u64,
    bytes: *mut usize,
    module: usize,
    name: *const c_char,
) -> c_int {
    in_context(|driver, _| {
        let name = name_of(name)?;
        let found = driver.modules.get(&module).ok_or(Code::InvalidHandle)?;
        let variable = found.variables.get(&name).ok_or(Code::NotFound)?;
        if !address.is_null() {
            put(address, variable.base)?;
        }
        if bytes.is_null() { Ok(()) } else { put(bytes, variable.bytes) }
    })
}

fn name_of(name: *const c_char) -> Result<String, Code> {
    if name.is_null() {
        return Err(Code::InvalidValue);
    }
    // SAFETY: the caller gives a string that ends with a zero.
    Ok(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}

/// The PTX text at `image`; an image of machine code has no text.
fn image_text(image: *const c_char) -> Result<String, Code> {
    if image.is_null() {
        return Err(Code::InvalidValue);
    }
    // SAFETY: an image has at least four bytes.
    let start = unsafe { image.cast::<[u8; 4]>().read_unaligned() };
    if start == *b"\x7fELF" || start == 0xba55_ed50_u32.to_le_bytes() {
        return Err(Code::InvalidImage);
    }
    // SAFETY: an image that is no machine code is text that ends with a zero.
    let text = unsafe { CStr::from_ptr(image) };
    text.to_str().map(str::to_owned).map_err(|_| Code::InvalidPtx)
}

/// The options of a load: of interest are the buffers of its logs.
struct Options<'a> {
    names: &'a [c_int],
    values: &'a mut [*mut c_void],
}

impl Options<'_> {
    fn new(count: c_uint, names: *const c_int, values: *mut *mut c_void) -> Self {
        if count == 0 || names.is_null() || values.is_null() {
            return Self { names: &[], values: &mut [] };
        }
        // SAFETY: the caller gives `count` options and as many values.
        unsafe {
            Self {
                names: slice::from_raw_parts(names, count as usize),
                values: slice::from_raw_parts_mut(values, count as usize),
            }
        }
    }

    fn find(&self, name: c_int) -> Option<usize> {
        self.names.iter().position(|&other| other == name)
    }

    /// Writes a log to the buffer of option `name`, whose size is the value of the next option; that takes the length.
    fn log(&mut self, name: c_int, text: &str) {
        let (Some(buffer), Some(size)) = (self.find(name), self.find(name + 1)) else {
            return;
        };
        let room = self.values[size] as usize;
        let to: *mut u8 = self.values[buffer].cast();
        if to.is_null() || room == 0 {
            return;
        }
        let bytes = text.len().min(room - 1);
        // SAFETY: the caller gives a buffer of `room` bytes, and one more than `bytes` are written.
        unsafe {
            to.copy_from_nonoverlapping(text.as_ptr(), bytes);
            to.add(bytes).write(0);
        }
        self.values[size] = bytes as *mut c_void;
    }
}

const INFORMATION: c_int = 3;
const ERRORS: c_int = 5;

fn load(
    driver: &mut Driver,
    context: usize,
    module: *mut usize,
    text: &str,
    options: &mut Options,
) -> Result<(), Code> {
    options.log(INFORMATION, "");
    let mut variables = HashMap::new();
    match build(driver, context, text, &mut variables) {
        Ok(kernels) => {
            options.log(ERRORS, "");
            let handle = driver.handle();
            driver
                .modules
                .insert(handle, Module { context, kernels, variables, functions: HashMap::new() });
            put(module, handle)
        }
        Err(failure) => {
            for variable in variables.values() {
                driver.release(variable.base)?;
            }
            match failure {
                Failure::Code(code) => Err(code),
                Failure::Refused(refusal) => {
                    let line = refusal.line;
                    let reason = &refusal.reason;
                    options.log(
                        ERRORS,
                        &format!("ptxas application ptx input, line {line}; error   : {reason}\nptxas fatal   : Ptx assembly aborted due to errors\n"),
                    );
                    Err(if refusal.too_new {
                        Code::UnsupportedPtxVersion
                    } else {
                        Code::InvalidPtx
                    })
                }
            }
        }
    }
}

enum Failure {
    Code(Code),
    Refused(Refusal),
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self::Code(code)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

type Kernels = HashMap<String, Arc<crate::program::Kernel>>;

fn build(
    driver: &mut Driver,
    context: usize,
    text: &str,
    variables: &mut HashMap<String, Arc<Allocation>>,
) -> Result<Kernels, Failure> {
    let tree = ptx::parse(text, settings().ptx_version())?;
    let mut addresses = Addresses::new();
    let in_memory =
        || tree.variables.iter().filter(|v| matches!(v.space, Space::Global | Space::Constant));
    for variable in in_memory() {
        if variable.is_extern {
            return Err(Refusal::at(
                variable.line,
                format!("Unresolved extern variable '{}'", variable.name),
            )
            .into());
        }
        let constant = variable.space == Space::Constant;
        let allocation = driver.allocate(context, variable.bytes.max(1), constant)?;
        addresses.insert(variable.name.clone(), (allocation.base, constant));
        if variables.insert(variable.name.clone(), allocation).is_some() {
            return Err(Refusal::at(
                variable.line,
                format!("Duplicate definition of variable '{}'", variable.name),
            )
            .into());
        }
    }
    for variable in in_memory() {
        variables[&variable.name].write(0, &initial_bytes(variable, &addresses)?);
    }
    let lines = Arc::new(text.lines().map(str::to_owned).collect::<Vec<_>>());
    let mut kernels = HashMap::new();
    for function in tree.functions.iter().filter(|function| function.is_entry) {
        let kernel = decode::kernel(&tree, function, &addresses, Arc::clone(&lines))?;
        kernels.insert(function.name.clone(), Arc::new(kernel));
    }
    Ok(kernels)
}

/// A variable's bytes at the start: zeros after what is given.
fn initial_bytes(variable: &Variable, addresses: &Addresses) -> Result<Vec<u8>, Refusal> {
    let mut bytes = vec![0; variable.bytes.max(1)];
    let size = variable.ty.bytes();
    for (element, initial) in bytes.chunks_mut(size).zip(&variable.initial) {
        let value = match initial {
            Initial::Address(name, offset) => {
                let (address, _) = addresses.get(name).ok_or_else(|| {
                    Refusal::at(variable.line, format!("Unknown symbol '{name}'"))
                })?;
                address.wrapping_add_signed(*offset)
            }
            Initial::Value(Operand::Integer(x)) => *x as u64,
            Initial::Value(Operand::Single(x)) if variable.ty != Type::F64 => u64::from(*x),
            Initial::Value(Operand::Single(x)) => f64::from(f32::from_bits(*x)).to_bits(),
            Initial::Value(Operand::Double(x)) if variable.ty == Type::F32 => {
                u64::from((f64::from_bits(*x) as f32).to_bits())
            }
            Initial::Value(Operand::Double(x)) => *x,
            Initial::Value(_) => 0,
        };
        element.copy_from_slice(&value.to_le_bytes()[..size]);
    }
    Ok(bytes)
}
