//! Weights in safetensors files, against PyTorch's own files and outputs.
#![cfg(feature = "safetensors")]

use deer_solver::cells::{Elman, Gru, Lstm};
use deer_solver::scalar::{Parameter, Real, Scalar};
use deer_solver::{Dynamics, Result};
use safetensors::{Dtype, SafeTensors, serialize, tensor::TensorView};
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.safetensors"))
}

/// A tensor's numbers in the file `name`.
fn numbers(name: &str, tensor: &str) -> Vec<f64> {
    let bytes = std::fs::read(golden(name)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor(tensor).unwrap();
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x).into()).collect(),
        _ => data.as_chunks().0.iter().map(|&x| f64::from_le_bytes(x)).collect(),
    }
}

/// How far the loop's first `hidden` components are from PyTorch's outputs.
fn off<D: Dynamics>(cell: &D, hidden: usize, name: &str) -> f64 {
    let mut x = vec![D::Real::default(); cell.state_dim()];
    let (inputs, outputs) = (numbers(name, "input"), numbers(name, "output"));
    assert_eq!(outputs.len(), 20 * hidden);
    let mut worst = 0.0f64;
    for (u, expected) in inputs.chunks(cell.input_dim()).zip(outputs.chunks(hidden)) {
        let u: Vec<D::Real> = u.iter().map(|&u| D::Real::from_f64(u)).collect();
        let mut next = x.clone();
        cell.step::<D::Real>(Parameter::from_slice(cell.params()), &x, &u, &mut next);
        x = next;
        for (x, expected) in x.iter().zip(expected) {
            worst = worst.max((x.to_f64() - expected).abs());
        }
    }
    worst
}

#[test]
fn outputs_equal_pytorchs() -> Result<()> {
    let check = |name: &str, off: f64, tolerance| assert!(off <= tolerance, "{name}: {off:e}");
    let [gru, precise, lstm, elman, nested] =
        ["torch_gru", "torch_gru_f64", "torch_lstm", "torch_elman", "torch_elman_nested"];
    check("gru", off(&Gru::<f32>::load(golden(gru), "")?, 5, gru), 1e-6);
    check("widened", off(&Gru::<f64>::load(golden(gru), "")?, 5, gru), 1e-6);
    check("double", off(&Gru::<f64>::load(golden(precise), "")?, 5, precise), 1e-14);
    check("rounded", off(&Gru::<f32>::load(golden(precise), "")?, 5, precise), 1e-6);
    check("lstm", off(&Lstm::<f32>::load(golden(lstm), "")?, 5, lstm), 1e-6);
    check("elman", off(&Elman::<f32>::load(golden(elman), "")?, 5, elman), 1e-6);
    let cell = Elman::<f32>::load(golden(nested), "encoder.rnn.")?;
    check("nested, no biases", off(&cell, 5, nested), 1e-6);
    Ok(())
}

#[test]
fn what_is_written_is_read() -> Result<()> {
    let gru = Gru::<f64>::random(2, 7, 1);
    assert_eq!(Gru::from_safetensors(&gru.to_safetensors()?, "")?, gru);
    let lstm = Lstm::<f32>::random(0, 4, 2);
    assert_eq!(Lstm::from_safetensors(&lstm.to_safetensors()?, "")?, lstm);
    let elman = Elman::<f32>::random(3, 1, 3);
    let path = std::env::temp_dir().join(format!("deer-solver-{}", std::process::id()));
    elman.save(&path)?;
    let read = Elman::load(&path, "");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(read?, elman);
    Ok(())
}

#[test]
fn files_that_do_not_fit_are_errors() {
    let message = |result: Result<Gru<f32>>| result.unwrap_err().to_string();
    let bytes = std::fs::read(golden("torch_gru")).unwrap();
    assert_eq!(
        message(Gru::from_safetensors(&bytes, "rnn.")),
        "safetensors: expected a tensor `rnn.weight_ih_l0`, \
         got bias_hh_l0, bias_ih_l0, input, output, weight_hh_l0, weight_ih_l0"
    );
    assert_eq!(
        message(Gru::load(golden("torch_lstm"), "")),
        "weight_ih: expected shape [3·hidden, input] = [15, 3], got [20, 3]"
    );
    let missing = message(Gru::load("nowhere/at.all", ""));
    assert!(missing.starts_with("nowhere/at.all: reading failed: No such file"), "{missing}");
    let noise = message(Gru::from_safetensors(b"import numpy", ""));
    assert!(noise.starts_with("bytes: reading as safetensors failed: "), "{noise}");
    let cut = message(Gru::from_safetensors(&bytes[..bytes.len() - 1], ""));
    assert!(cut.starts_with("bytes: reading as safetensors failed: "), "{cut}");

    let file = |dtype, shape: &[usize], with_bias: bool| {
        let data = [0; 4 * 4 * 3];
        let view = TensorView::new(dtype, shape.to_vec(), &data).unwrap();
        let bias = TensorView::new(Dtype::F32, vec![3], &data[..12]).unwrap();
        let mut all = vec![("weight_ih_l0", view.clone()), ("weight_hh_l0", view)];
        all.extend(with_bias.then_some(("bias_ih_l0", bias)));
        Gru::<f32>::from_safetensors(&serialize(all, None).unwrap(), "")
    };
    assert_eq!(
        message(file(Dtype::I64, &[6], false)),
        "weight_ih_l0: expected numbers of type F32 or F64, got I64"
    );
    assert_eq!(
        message(file(Dtype::F32, &[12], false)),
        "weight_ih_l0: expected shape [gates·hidden, columns], got [12]"
    );
    assert_eq!(
        message(file(Dtype::F32, &[6, 2], true)),
        "safetensors: expected a tensor `bias_hh_l0`, got bias_ih_l0, weight_hh_l0, weight_ih_l0"
    );
    assert!(file(Dtype::F32, &[6, 2], false).is_ok());
}
