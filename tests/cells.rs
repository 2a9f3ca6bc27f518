//! The cells against reference data, their Jacobians against differences, their constructors.

mod common;

use common::golden::{self, Case, Check};
use deer_solver::cells::{DiagonalGru, DiagonalLstm, Elman, Gru, Lem, Lstm};
use deer_solver::scalar::{Dual, Parameter, Real};
use deer_solver::{Dynamics, Error, Structure};
use ndarray::{Array1, Array2, Axis, concatenate, s};

/// One step on plain numbers.
fn step<D: Dynamics>(dynamics: &D, x: &[D::Real], u: &[D::Real]) -> Vec<D::Real> {
    let mut next = vec![D::Real::default(); dynamics.state_dim() + dynamics.scratch_dim()];
    dynamics.step::<D::Real>(Parameter::from_slice(dynamics.params()), x, u, &mut next);
    next.truncate(dynamics.state_dim());
    next
}

/// The plain loop against the reference's states.
struct PlainLoop {
    tolerance: f64,
}

impl<R: Real> Check<R> for PlainLoop {
    fn check<D: Dynamics<Real = R>>(&mut self, case: &Case<D>) {
        let mut x = case.x0.to_vec();
        let mut worst = 0.0_f64;
        for (u, expected) in case.inputs.rows().into_iter().zip(case.states.rows()) {
            x = step(&case.dynamics, &x, &u.to_vec());
            for (x, expected) in x.iter().zip(expected) {
                worst = worst.max((x.to_f64() - expected.to_f64()).abs());
            }
        }
        assert!(worst <= self.tolerance, "{}: off by {worst:e}", case.name);
    }
}

#[test]
fn plain_loops_equal_the_reference() {
    golden::each::<f64>(&mut PlainLoop { tolerance: 1e-12 });
    golden::each::<f32>(&mut PlainLoop { tolerance: 2e-6 });
}

/// The Jacobian of `step` by central differences, `[n, n]`.
fn by_differences<D: Dynamics<Real = f64>>(dynamics: &D, x: &[f64], u: &[f64]) -> Array2<f64> {
    let n = dynamics.state_dim();
    let mut jacobian = Array2::zeros((n, n));
    for j in 0..n {
        let delta = 1e-5;
        let shifted = |by: f64| {
            let mut x = x.to_vec();
            x[j] += by;
            Array1::from(step(dynamics, &x, u))
        };
        let column = (shifted(delta) - shifted(-delta)) / (2.0 * delta);
        jacobian.column_mut(j).assign(&column);
    }
    jacobian
}

/// The Jacobian of `step` by dual numbers, `[n, n]`.
fn by_duals<D: Dynamics<Real = f64>>(dynamics: &D, x: &[f64], u: &[f64]) -> Array2<f64> {
    let n = dynamics.state_dim();
    let constant = |v: &[f64]| v.iter().map(|&v| Dual::new(v, [0.0])).collect::<Vec<_>>();
    let mut jacobian = Array2::zeros((n, n));
    for j in 0..n {
        let mut x = constant(x);
        x[j].tangents[0] = 1.0;
        let mut next = vec![Dual::new(0.0, [0.0]); n + dynamics.scratch_dim()];
        let params = Parameter::from_slice(dynamics.params());
        dynamics.step(params, &x, &constant(u), &mut next);
        for i in 0..n {
            jacobian[[i, j]] = next[i].tangents[0];
        }
    }
    jacobian
}

fn largest_difference(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |largest, d| if d <= largest { largest } else { d })
}

/// Jacobian and diagonal of a cell at some point against differences, duals and `step`.
fn check_jacobian<D: Dynamics<Real = f64>>(name: &str, dynamics: &D) {
    let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
    let x: Vec<f64> = (0..n).map(|i| (1.3 * i as f64 + 0.4).sin()).collect();
    let u: Vec<f64> = (0..m).map(|i| (2.1 * i as f64 + 0.9).cos()).collect();
    let params = Parameter::from_slice(dynamics.params());
    let value = step(dynamics, &x, &u);
    let structure = dynamics.structure();

    // NaN on entry: whatever is not written stays one.
    let mut next = vec![f64::NAN; n + dynamics.scratch_dim()];
    let mut compact = vec![f64::NAN; structure.entries(n)];
    assert!(dynamics.jacobian(params, &x, &u, &mut next, &mut compact), "{name}");
    assert_eq!(next[..n], value, "{name}: value beside the Jacobian");
    let size = structure.block_size(n).max(1);
    let mut dense = Array2::<f64>::zeros((n, n));
    for (block, entries) in compact.chunks(size * size).enumerate() {
        for (at, &entry) in entries.iter().enumerate() {
            let row = structure.component(n, block, at / size);
            let column = structure.component(n, block, at % size);
            dense[[row, column]] = entry;
        }
    }
    let error = largest_difference(&dense, &by_differences(dynamics, &x, &u));
    assert!(error < 1e-9, "{name}: off by {error:e} from differences");
    let error = largest_difference(&dense, &by_duals(dynamics, &x, &u));
    assert!(error < 1e-14, "{name}: off by {error:e} from duals");

    let mut next = vec![f64::NAN; n + dynamics.scratch_dim()];
    let mut diagonal = vec![f64::NAN; n];
    assert!(dynamics.jacobian_diagonal(params, &x, &u, &mut next, &mut diagonal), "{name}");
    assert_eq!(next[..n], value, "{name}: value beside the diagonal");
    for i in 0..n {
        assert!((diagonal[i] - dense[[i, i]]).abs() < 1e-14, "{name}: diagonal entry {i}");
    }
}

#[test]
fn jacobians_equal_differences_and_duals() {
    for hidden in [0, 1, 2, 3, 5, 17] {
        for input in [0, 1, 3] {
            let name = |cell| format!("{cell} of {hidden} units and {input} inputs");
            check_jacobian(&name("GRU"), &Gru::random(input, hidden, 1));
            check_jacobian(&name("LSTM"), &Lstm::random(input, hidden, 2));
            check_jacobian(&name("Elman"), &Elman::random(input, hidden, 3));
            check_jacobian(&name("LEM"), &Lem::random(input, hidden, 4).with_dt(0.5));
            check_jacobian(&name("diagonal GRU"), &DiagonalGru::random(input, hidden, 5));
            check_jacobian(&name("diagonal LSTM"), &DiagonalLstm::random(input, hidden, 6));
        }
    }
}

/// A diagonal matrix for each row of `diagonals`, one below the other.
fn stacked_diagonals(diagonals: Array2<f64>) -> Array2<f64> {
    let matrices: Vec<_> =
        diagonals.rows().into_iter().map(|d| Array2::from_diag(&d.to_owned())).collect();
    concatenate(Axis(0), &matrices.iter().map(|m| m.view()).collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_diagonal_lstm_without_peepholes_is_an_lstm_with_coupled_gates() {
    let (m, n) = (2, 3);
    let mut diagonal = DiagonalLstm::<f64>::random(m, n, 7);
    let peepholes = 3 * n * m + 3 * n..3 * n * m + 5 * n;
    diagonal.params_mut()[peepholes].fill(0.0);
    assert!(diagonal.peephole().iter().all(|&p| p == 0.0));
    // σ(−x) = 1 − σ(x): the input gate has the negative weights of the forget gate.
    let gates = |f_o_g: Array2<f64>, rows: usize| {
        let gate = |k: usize| f_o_g.slice(s![k * rows..(k + 1) * rows, ..]).to_owned();
        let i = -gate(0);
        let arrays = [i, gate(0), gate(2), gate(1)];
        concatenate(Axis(0), &arrays.each_ref().map(|a| a.view())).unwrap()
    };
    let bias = diagonal.bias().insert_axis(Axis(1)).to_owned();
    let lstm = Lstm::from_equinox(
        gates(diagonal.weight_ih().to_owned(), n).view(),
        gates(stacked_diagonals(diagonal.weight_hh().to_owned()), n).view(),
        gates(bias, n).column(0),
    )
    .unwrap();
    let x = [0.3, -0.8, 0.5, -0.2, 0.9, 0.1];
    for (a, b) in step(&diagonal, &x, &[0.7, -1.1]).iter().zip(step(&lstm, &x, &[0.7, -1.1])) {
        assert!((a - b).abs() < 1e-15, "{a} and {b}");
    }
}

#[test]
fn a_diagonal_gru_is_a_gru_that_takes_in_what_it_kept() {
    let (m, n) = (2, 3);
    let diagonal = DiagonalGru::<f64>::random(m, n, 8);
    // Rows z, r, n to r, −z, n: 1 − σ(x) = σ(−x).
    let gates = |z_r_n: Array2<f64>| {
        let gate = |k: usize| z_r_n.slice(s![k * n..(k + 1) * n, ..]).to_owned();
        let arrays = [gate(1), -gate(0), gate(2)];
        concatenate(Axis(0), &arrays.each_ref().map(|a| a.view())).unwrap()
    };
    let gru = Gru::from_equinox(
        gates(diagonal.weight_ih().to_owned()).view(),
        gates(stacked_diagonals(diagonal.weight_hh().to_owned())).view(),
        gates(diagonal.bias().insert_axis(Axis(1)).to_owned()).column(0),
        Array1::zeros(n).view(),
    )
    .unwrap();
    let x = [0.3, -0.8, 0.5];
    for (a, b) in step(&diagonal, &x, &[0.7, -1.1]).iter().zip(step(&gru, &x, &[0.7, -1.1])) {
        assert!((a - b).abs() < 1e-15, "{a} and {b}");
    }
}

#[test]
fn torch_and_equinox_arrays_make_the_same_cell() {
    let (m, n) = (3, 4);
    let ramp = |len: usize| Array1::from_iter((0..len).map(|i| (i as f64).sin()));
    let (ih, hh) = (ramp(4 * n * m), ramp(4 * n * n));
    let matrix = |of: &Array1<f64>, rows: usize, columns: usize| {
        of.slice(s![..rows * columns]).to_owned().into_shape_with_order((rows, columns)).unwrap()
    };

    let (bias_ih, bias_hh) = (ramp(3 * n), ramp(3 * n) * 0.5 + 0.1);
    let mut bias = &bias_ih + &bias_hh;
    bias.slice_mut(s![2 * n..]).assign(&bias_ih.slice(s![2 * n..]));
    let (weight_ih, weight_hh) = (matrix(&ih, 3 * n, m), matrix(&hh, 3 * n, n));
    let torch = Gru::from_torch(weight_ih.view(), weight_hh.view(), bias_ih.view(), bias_hh.view())
        .unwrap();
    let equinox = Gru::from_equinox(
        weight_ih.view(),
        weight_hh.view(),
        bias.view(),
        bias_hh.slice(s![2 * n..]),
    )
    .unwrap();
    assert_eq!(torch, equinox);
    assert_eq!(torch.weight_ih(), weight_ih);
    assert_eq!(torch.weight_hh(), weight_hh);
    assert_eq!(torch.bias(), bias);
    assert_eq!(torch.bias_n(), bias_hh.slice(s![2 * n..]));
    // Column-major arrays are the same weights.
    let (by_columns_ih, by_columns_hh) = (
        weight_ih.t().as_standard_layout().to_owned(),
        weight_hh.t().as_standard_layout().to_owned(),
    );
    let reordered =
        Gru::from_torch(by_columns_ih.t(), by_columns_hh.t(), bias_ih.view(), bias_hh.view());
    assert_eq!(torch, reordered.unwrap());

    let (bias_ih, bias_hh) = (ramp(4 * n), ramp(4 * n) * 0.5 + 0.1);
    let (weight_ih, weight_hh) = (matrix(&ih, 4 * n, m), matrix(&hh, 4 * n, n));
    let torch =
        Lstm::from_torch(weight_ih.view(), weight_hh.view(), bias_ih.view(), bias_hh.view());
    let bias = &bias_ih + &bias_hh;
    let equinox = Lstm::from_equinox(weight_ih.view(), weight_hh.view(), bias.view());
    assert_eq!(torch.unwrap(), equinox.unwrap());

    let (bias_ih, bias_hh) = (ramp(n), ramp(n) * 0.5 + 0.1);
    let (weight_ih, weight_hh) = (matrix(&ih, n, m), matrix(&hh, n, n));
    let torch =
        Elman::from_torch(weight_ih.view(), weight_hh.view(), bias_ih.view(), bias_hh.view());
    let bias = &bias_ih + &bias_hh;
    let new = Elman::new(weight_ih.view(), weight_hh.view(), bias.view());
    assert_eq!(torch.unwrap(), new.unwrap());
}

/// The message of a shape error.
fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Shape { .. }));
    error.to_string()
}

#[test]
fn shape_errors_name_the_argument() {
    let matrix = |rows: usize, columns: usize| Array2::<f64>::zeros((rows, columns));
    let vector = |len: usize| Array1::<f64>::zeros(len);
    let gru = |ih: Array2<f64>, hh: Array2<f64>, bias: Array1<f64>, bias_n: Array1<f64>| {
        Gru::from_equinox(ih.view(), hh.view(), bias.view(), bias_n.view())
    };
    assert_eq!(
        message(gru(matrix(5, 3), matrix(6, 2), vector(6), vector(2))),
        "weight_ih: expected shape [3·hidden, input] = [6, 3], got [5, 3]"
    );
    assert_eq!(
        message(gru(matrix(6, 3), matrix(7, 2), vector(6), vector(2))),
        "weight_hh: expected shape [3·hidden, hidden] = [6, 2], got [7, 2]"
    );
    assert_eq!(
        message(gru(matrix(6, 3), matrix(6, 2), vector(2), vector(2))),
        "bias: expected shape [3·hidden] = [6], got [2]"
    );
    assert_eq!(
        message(gru(matrix(6, 3), matrix(6, 2), vector(6), vector(6))),
        "bias_n: expected shape [hidden] = [2], got [6]"
    );
    let torch = Lstm::from_torch(
        matrix(8, 3).view(),
        matrix(8, 2).view(),
        vector(8).view(),
        vector(2).view(),
    );
    assert_eq!(message(torch), "bias_hh: expected shape [4·hidden] = [8], got [2]");
    let diagonal = DiagonalLstm::new(
        matrix(6, 1).view(),
        matrix(3, 2).view(),
        matrix(3, 2).view(),
        vector(6).view(),
    );
    assert_eq!(message(diagonal), "peephole: expected shape [gates, hidden] = [2, 2], got [3, 2]");
    let diagonal = DiagonalGru::new(matrix(6, 1).view(), matrix(6, 2).view(), vector(6).view());
    assert_eq!(message(diagonal), "weight_hh: expected shape [gates, hidden] = [3, 2], got [6, 2]");
    let elman = Elman::new(matrix(2, 1).view(), matrix(2, 2).view(), vector(3).view());
    assert_eq!(message(elman), "bias: expected shape [hidden] = [2], got [3]");
    let lem = Lem::new(
        matrix(8, 1).view(),
        vector(8).view(),
        matrix(6, 2).view(),
        vector(6).view(),
        matrix(2, 3).view(),
        vector(2).view(),
        1.0,
    );
    assert_eq!(message(lem), "weight_z: expected shape [hidden, hidden] = [2, 2], got [2, 3]");
}

#[test]
fn random_weights_are_reproducible() {
    let (m, n) = (3, 16);
    macro_rules! check {
        ($($cell:ident)*) => {$(
            let cell = $cell::<f64>::random(m, n, 5);
            assert_eq!(cell, $cell::random(m, n, 5));
            assert_ne!(cell, $cell::random(m, n, 6));
            let bound = 0.25;
            assert!(cell.params().iter().all(|p| p.abs() <= bound));
            assert!(cell.params().iter().any(|p| *p > 0.9 * bound));
            assert!(cell.params().iter().any(|p| *p < -0.9 * bound));
            let rounded: Vec<f32> = cell.params().iter().map(|&p| p as f32).collect();
            assert_eq!($cell::<f32>::random(m, n, 5).params(), rounded);
            assert_eq!(cell.hidden(), n);
            for (m, n) in [(0, 0), (0, 2), (2, 0)] {
                let cell = $cell::<f64>::random(m, n, 5);
                step(&cell, &vec![0.0; cell.state_dim()], &vec![0.0; m]);
            }
        )*};
    }
    check!(Gru Lstm Elman Lem DiagonalGru DiagonalLstm);
    // The stream of ChaCha8 is fixed: so are these.
    let first = Gru::<f64>::random(m, n, 5).params()[0];
    assert_eq!(Lstm::<f64>::random(m, n, 5).params()[0], first);
    assert_eq!(DiagonalLstm::<f64>::random(1, 2, 0).structure().entries(4), 8);
    assert_eq!(Gru::<f64>::random(1, 2, 0).structure(), Structure::Dense);
}
