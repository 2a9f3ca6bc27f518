//! The reference data of `tests/golden`, each file as a recurrence with its solution and gradients.

use deer_solver::Dynamics;
use deer_solver::cells::{Elman, Gru, Lem, Lstm};
use deer_solver::scalar::{Param, Real, Scalar};
use ndarray::{Array, Array1, Array2, Array3, Axis, Dimension, concatenate, s};
use ndarray_npy::NpzReader;
use std::cell::RefCell;
use std::fs::File;
use std::path::Path;

/// A recurrence, its data, its states, and derivatives of the loss `Σ weights · states`.
#[derive(Debug)]
#[allow(dead_code, reason = "a test reads what it checks")]
pub(crate) struct Case<D: Dynamics> {
    pub(crate) name: &'static str,
    pub(crate) dynamics: D,
    /// `[n]`.
    pub(crate) x0: Array1<D::Real>,
    /// `[T, m]`.
    pub(crate) inputs: Array2<D::Real>,
    /// `[T, n]`, without `x0`.
    pub(crate) states: Array2<D::Real>,
    /// `[T, n]`.
    pub(crate) weights: Array2<D::Real>,
    /// In the order of the parameters; NaN where the reference has no such parameter.
    pub(crate) grad_params: Array1<D::Real>,
    /// `[n]`.
    pub(crate) grad_x0: Array1<D::Real>,
    /// `[T, m]`.
    pub(crate) grad_inputs: Array2<D::Real>,
}

/// What to do with each case.
pub(crate) trait Check<R: Real> {
    fn check<D: Dynamics<Real = R>>(&mut self, case: &Case<D>);
}

/// All cases, one after the other.
#[allow(dead_code, reason = "not every test runs all")]
pub(crate) fn each<R: Real>(check: &mut impl Check<R>) {
    check.check(&gru_n5::<R>());
    check.check(&gru_difficult::<R>());
    check.check(&gru_demo::<R>());
    check.check(&lstm::<R>());
    check.check(&elman::<R>());
    check.check(&lem::<R>());
    check.check(&tree::<R>());
}

pub(crate) fn gru_n5<R: Real>() -> Case<Gru<R>> {
    let file = Archive::open("gru_n5");
    file.case(gru(&file, ""), gru(&file, "grad_"))
}

/// Large weights. In single precision against the reference's own single precision.
pub(crate) fn gru_difficult<R: Real>() -> Case<Gru<R>> {
    let file = Archive::open("gru_difficult");
    let file = Archive { prefix: if R::SINGLE { "f32_" } else { "" }, ..file };
    file.case(gru(&file, ""), gru(&file, "grad_"))
}

/// A [`Gru`] from one array for each gate, or its gradient.
fn gru<R: Real>(file: &Archive, prefix: &str) -> Gru<R> {
    let get = |name: &str| file.get(&format!("{prefix}{name}"));
    let stack = |names: [&str; 3]| {
        let gates = names.map(get);
        concatenate(Axis(0), &gates.each_ref().map(|gate| gate.view())).unwrap()
    };
    let [bias_r, bias_z, bias_n] = ["bhr", "bhz", "bhn"].map(get_vector(file, prefix));
    let none = Array1::from_elem(bias_n.len(), absent(prefix));
    let bias = concatenate(Axis(0), &[bias_r.view(), bias_z.view(), none.view()]).unwrap();
    Gru::from_equinox(
        stack(["Wir", "Wiz", "Win"]).view(),
        stack(["Whr", "Whz", "Whn"]).view(),
        bias.view(),
        bias_n.view(),
    )
    .unwrap()
}

pub(crate) fn gru_demo<R: Real>() -> Case<Gru<R>> {
    let file = Archive::open("gru_demo_default_b0");
    let cell = |prefix| {
        let vector = get_vector(&file, prefix);
        Gru::from_equinox(
            file.get(&format!("{prefix}weight_ih")).view(),
            file.get(&format!("{prefix}weight_hh")).view(),
            vector("bias").view(),
            vector("bias_n").view(),
        )
        .unwrap()
    };
    file.case(cell(""), cell("grad_"))
}

pub(crate) fn lstm<R: Real>() -> Case<Lstm<R>> {
    let file = Archive::open("lstm_state4");
    let cell = |prefix| {
        Lstm::from_equinox(
            file.get(&format!("{prefix}weight_ih")).view(),
            file.get(&format!("{prefix}weight_hh")).view(),
            get_vector(&file, prefix)("bias").view(),
        )
        .unwrap()
    };
    file.case(cell(""), cell("grad_"))
}

pub(crate) fn elman<R: Real>() -> Case<Elman<R>> {
    let file = Archive::open("elman_n3_T300");
    let cell = |prefix| {
        let weight_hh: Array2<R> = file.get(&format!("{prefix}Wh"));
        let bias = Array1::from_elem(weight_hh.nrows(), absent(prefix));
        let weight_ih: Array2<R> = file.get(&format!("{prefix}Wx"));
        Elman::new(weight_ih.view(), weight_hh.view(), bias.view()).unwrap()
    };
    file.case(cell(""), cell("grad_"))
}

pub(crate) fn lem<R: Real>() -> Case<Lem<R>> {
    let file = Archive::open("lem_n4_dt0p5");
    let cell = |prefix| {
        let vector = get_vector(&file, prefix);
        Lem::new(
            file.get(&format!("{prefix}inp2hid_W")).view(),
            vector("inp2hid_b").view(),
            file.get(&format!("{prefix}hid2hid_W")).view(),
            vector("hid2hid_b").view(),
            file.get(&format!("{prefix}transform_z_W")).view(),
            vector("transform_z_b").view(),
            R::from_f64(0.5),
        )
        .unwrap()
    };
    file.case(cell(""), cell("grad_"))
}

/// `z'_i = logσ(b_i + Σ_k z_k W_ki)`: weights that differ in each step are inputs, `[b, W]`.
#[derive(Debug)]
pub(crate) struct Tree<R>(std::marker::PhantomData<R>);

impl<R: Real> Dynamics for Tree<R> {
    type Real = R;
    fn state_dim(&self) -> usize {
        2
    }
    fn input_dim(&self) -> usize {
        6
    }
    #[inline(always)]
    fn step<S: Scalar<Real = R>>(&self, _: &[Param<S>], z: &[S], u: &[S], next: &mut [S]) {
        let (b, w) = u.split_at(2);
        for i in 0..2 {
            let sum = b[i] + z[0] * w[i] + z[1] * w[2 + i];
            next[i] = -(-sum).softplus();
        }
    }
}

pub(crate) fn tree<R: Real>() -> Case<Tree<R>> {
    let file = Archive::open("logsigmoid_tree");
    let inputs = |prefix: &str| {
        let b: Array2<R> = file.get(&format!("{prefix}b"));
        let w: Array3<R> = file.get(&format!("{prefix}w_layer"));
        let w = w.into_shape_with_order((b.nrows(), 4)).unwrap();
        concatenate(Axis(1), &[b.view(), w.view()]).unwrap()
    };
    Case {
        name: file.name,
        dynamics: Tree(std::marker::PhantomData),
        x0: file.get("y0"),
        inputs: inputs(""),
        states: file.get("y"),
        weights: file.get("w"),
        grad_params: Array1::zeros(0),
        grad_x0: file.get("grad_y0"),
        grad_inputs: inputs("grad_"),
    }
}

/// A bias that the reference does not have is zero, and its gradient unknown.
fn absent<R: Real>(prefix: &str) -> R {
    R::from_f64(if prefix.is_empty() { 0.0 } else { f64::NAN })
}

fn get_vector<R: Real>(file: &Archive, prefix: &str) -> impl Fn(&str) -> Array1<R> {
    move |name| file.get(&format!("{prefix}{name}"))
}

/// An archive, of which the arrays are read whose names begin with `prefix`.
pub(crate) struct Archive {
    name: &'static str,
    prefix: &'static str,
    reader: RefCell<NpzReader<File>>,
}

impl Archive {
    pub(crate) fn open(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let file = File::open(folder.join(name).with_extension("npz")).unwrap();
        Self { name, prefix: "", reader: RefCell::new(NpzReader::new(file).unwrap()) }
    }

    /// The array `name`, rounded to `R`.
    pub(crate) fn get<R: Real, D: Dimension>(&self, name: &str) -> Array<R, D> {
        let name = format!("{}{name}", self.prefix);
        let mut reader = self.reader.borrow_mut();
        if name.starts_with("f32_") {
            let array: Array<f32, D> = reader.by_name(&name).unwrap();
            array.mapv(|v| R::from_f64(v.into()))
        } else {
            let array: Array<f64, D> = reader.by_name(&name).unwrap();
            array.mapv(R::from_f64)
        }
    }

    fn case<D: Dynamics>(&self, dynamics: D, gradient: D) -> Case<D> {
        let states: Array2<D::Real> = self.get("y");
        // The loss has one set of weights, in double precision.
        let weights = Self::open(self.name).get("w");
        assert_eq!(states.slice(s![.., 0]).len(), weights.nrows());
        Case {
            name: self.name,
            dynamics,
            x0: self.get("y0"),
            inputs: self.get("x"),
            states,
            weights,
            grad_params: Array1::from(gradient.params().to_vec()),
            grad_x0: self.get("grad_y0"),
            grad_inputs: self.get("grad_x"),
        }
    }
}
