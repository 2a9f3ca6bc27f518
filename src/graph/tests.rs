//! Graphs of random expressions and of cells against the step itself, central differences, and each other.

use super::adjoint::{Adjoint, Right, Step};
use super::program::Program;
use super::{Graph, Op};
use crate::cells::by_hand::{PullBack, PulledBack};
use crate::cells::{ByHand, DiagonalGru, DiagonalLstm, Elman, Gru, Lem, Lstm};
use crate::dynamics::{Dynamics, Structure};
use crate::scalar::dispatch::{Kernel, dispatch};
use crate::scalar::{Constant, InstructionSet, Isa, Lanes, Param, Parameter, Scalar};
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

const N: usize = 3;
const M: usize = 2;
const P: usize = 4;

/// A step made of random operations on what is there already.
#[derive(Clone, Debug)]
struct Random {
    operations: Vec<(u8, [usize; 4])>,
    params: [f64; P],
}

impl Dynamics for Random {
    type Real = f64;
    fn state_dim(&self) -> usize {
        N
    }
    fn input_dim(&self) -> usize {
        M
    }
    fn params(&self) -> &[f64] {
        &self.params
    }
    #[inline(always)]
    fn step<S: Scalar<Real = f64>>(&self, p: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
        let mut known: Vec<S> = x.iter().chain(u).copied().collect();
        known.push(S::from_f64(0.5));
        known.push(S::from_f64(1.0));
        for &(operation, operands) in &self.operations {
            let [a, b, c, d] = operands.map(|operand| known[operand % known.len()]);
            let param = p[operands[1] % P];
            known.push(match operation % 28 {
                0 => a + b,
                1 => a - b,
                2 => a * b,
                3 => a / (b * b + 1.0),
                4 => a * param,
                5 => a + param,
                6 => a.mul_add_param(param, c),
                7 => a.mul_add(b, c),
                8 => a.select(b, c, d),
                9 => a.max(b),
                10 => a.min(b),
                11 => a.tanh(),
                12 => a.sigmoid(),
                13 => a.sin(),
                14 => a.cos(),
                15 => a.softplus(),
                16 => (a * a + 0.5).sqrt(),
                17 => (a * a + 0.5).ln(),
                18 => a.tanh().exp(),
                19 => a.powi(2),
                20 => -a,
                21 => Constant(1.0) - a,
                22 => a.abs(),
                23 => a.relu(),
                24 => (a * a + 0.5).powf(b.tanh()),
                25 => a.atan2(b * b + 0.5),
                26 => (a * a + 1.0).recip(),
                _ => a.hypot(b + 3.0).ln_1p(),
            });
        }
        for (next, known) in next.iter_mut().zip(known.iter().rev()) {
            *next = known.tanh();
        }
    }
}

fn random() -> impl Strategy<Value = Random> {
    let operation = (any::<u8>(), [0..64usize, 0..64, 0..64, 0..64]);
    (prop::collection::vec(operation, N..40), [-2.0..2.0, -2.0..2.0, -2.0..2.0, -2.0..2.0])
        .prop_map(|(operations, params)| Random { operations, params })
}

fn numbers(count: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-1.5..1.5, count)
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs()))
}

/// One step of a program in every lane of the machine's widest vectors; lane `l` of `leaves` is given by `lane`.
struct Run<'a> {
    program: &'a Program,
    table: Vec<f64>,
    leaves: &'a dyn Fn(usize) -> Vec<f64>,
}

impl Kernel for Run<'_> {
    type Output = Vec<Vec<f64>>;
    #[inline(always)]
    fn run<I: Isa>(self) -> Self::Output {
        let lanes = Lanes::<f64, I, 2>::LANES;
        let mut slots = self.program.prepare::<f64, I, 2>(&self.table);
        for lane in 0..lanes {
            for (slot, value) in slots.iter_mut().zip((self.leaves)(lane)) {
                slot.set_lane(lane, value);
            }
        }
        self.program.run(&self.table, &mut slots);
        let output = |lane: usize| {
            self.program.outputs().iter().map(|&slot| slots[slot as usize].lane(lane)).collect()
        };
        (0..lanes).map(output).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn graphs_agree_with_the_step_and_with_each_other(
        step in random(), x in numbers(N), u in numbers(M), t in numbers(N + M + P), v in numbers(N),
    ) {
        let graph = Graph::trace(&step).unwrap();
        let value = graph.evaluate(&x, &u, &step.params, &[]);
        let mut next = [0.0; N];
        step.step::<f64>(Parameter::from_slice(&step.params), &x, &u, &mut next);
        prop_assert_eq!(&value, &next.to_vec());

        // Forward against central differences, in places where the step is smooth.
        let forward = graph.forward().evaluate(&x, &u, &step.params, &t);
        prop_assert_eq!(&forward[..N], &next[..]);
        let moved = |by: f64| {
            let at: Vec<f64> = x.iter().chain(&u).chain(&step.params).zip(&t).map(|(a, t)| a + by * t).collect();
            graph.evaluate(&at[..N], &at[N..N + M], &at[N + M..], &[])
        };
        let [a, b, c, d] = [1e-5, -1e-5, 2e-5, -2e-5].map(moved);
        for i in 0..N {
            let (near, far) = ((a[i] - b[i]) / 2e-5, (c[i] - d[i]) / 4e-5);
            // Two differences that disagree lie across a kink, or where higher derivatives are large.
            if (near - far).abs() < 1e-6 && ((a[i] - 2.0 * value[i] + b[i]) / 1e-10).abs() < 1e3 {
                prop_assert!(close(forward[N + i], near, 1e-4), "{} {}", forward[N + i], near);
            }
        }

        // Reverse is the transpose of forward.
        let reverse = graph.reverse().evaluate(&x, &u, &step.params, &v);
        let left: f64 = (0..N).map(|i| v[i] * forward[N + i]).sum();
        let right: f64 = reverse[N..].iter().zip(&t).map(|(a, b)| a * b).sum();
        prop_assert!(close(left, right, 1e-9), "{left} {right}");

        // Programs do what the graphs say, in every lane.
        let forward_graph = graph.forward();
        let program = Program::new(&forward_graph, N + M);
        let leaves = |lane: usize| {
            let shift = lane as f64 / 16.0;
            x.iter().chain(&u).chain(&t[..N + M]).map(|a| a + shift).collect::<Vec<f64>>()
        };
        let table = program.table(&step.params, &t[N + M..]);
        let run = Run { program: &program, table, leaves: &leaves };
        for (lane, got) in dispatch(InstructionSet::detect(), run).into_iter().enumerate() {
            let at = leaves(lane);
            let seeds = [&at[N + M..], &t[N + M..]].concat();
            let expected = forward_graph.evaluate(&at[..N], &at[N..N + M], &step.params, &seeds);
            for (got, expected) in got.iter().zip(&expected) {
                prop_assert!(close(*got, *expected, 1e-9) || got.is_nan() && expected.is_nan(), "{got} {expected}");
            }
        }

        // The adjoint's products are the cotangents of θ.
        let adjoint = Adjoint::new(&graph);
        let leaves = |_: usize| x.iter().chain(&u).chain(&v).copied().collect::<Vec<f64>>();
        let program = program_of(&adjoint);
        let table = program.table(&step.params, &[]);
        let run = Run { program, table, leaves: &leaves };
        let got = dispatch(InstructionSet::detect(), run).swap_remove(1);
        let mut params = [0.0; P];
        for tile in &adjoint.tiles {
            for (&right, entries) in tile.rights.iter().zip(tile.params.chunks(tile.lefts.len())) {
                let right = match right {
                    Right::State(i) => x[i],
                    Right::Input(j) => u[j],
                    Right::Computed(k) => got[N + M + adjoint.lefts + k],
                    Right::One => 1.0,
                };
                for (&left, &param) in tile.lefts.iter().zip(entries) {
                    params[param] += got[N + M + left] * right;
                }
            }
        }
        for (got, expected) in got[..N + M].iter().chain(&params).zip(&reverse[N..]) {
            prop_assert!(close(*got, *expected, 1e-9), "{got} {expected}");
        }
    }
}

/// What is written by hand is what the graph's derivative says.
fn by_hand<D: Dynamics<Real = f64>, C: PullBack>(cell: &D, by_hand: C) {
    let (n, m) = (cell.state_dim(), cell.input_dim());
    let wave =
        |count: usize, rate: f64| (0..count).map(|k| (rate * k as f64 + 0.3).sin()).collect();
    let (x, u, cotangent): (Vec<f64>, Vec<f64>, Vec<f64>) =
        (wave(n, 0.7), wave(m, 1.3), wave(n, 2.1));
    let reverse = Graph::trace(cell).unwrap().reverse();
    let expected = reverse.evaluate(&x, &u, cell.params(), &cotangent);
    let mut got = vec![f64::NAN; n + n + m];
    let mut lefts = vec![f64::NAN; by_hand.lefts() + by_hand.computed()];
    let (next, rest) = got.split_at_mut(n);
    let (of_state, of_input) = rest.split_at_mut(n);
    let pulled = PulledBack { of_state, of_input, lefts: &mut lefts, next };
    by_hand.pull_back::<f64>(Parameter::from_slice(cell.params()), &x, &u, &cotangent, pulled);
    let products = by_hand.products();
    assert_eq!(products.len(), cell.params().len());
    for (left, right) in products {
        let right = match right {
            Right::State(i) => x[i],
            Right::Input(j) => u[j],
            Right::Computed(k) => lefts[by_hand.lefts() + k],
            Right::One => 1.0,
        };
        got.push(lefts[left] * right);
    }
    assert_eq!(got.len(), expected.len());
    for (k, (got, expected)) in got.iter().zip(&expected).enumerate() {
        assert!(close(*got, *expected, 1e-13), "n = {n}, m = {m}: {k}: {got} {expected}");
    }
}

#[test]
fn derivatives_by_hand_are_those_of_the_graph() {
    for (m, n) in [(2, 1), (1, 2), (0, 3), (3, 4), (4, 7), (1, 16), (6, 19)] {
        let gru = Gru::<f64>::random(m, n, 4);
        let elman = Elman::<f64>::random(m, n, 5);
        let lstm = Lstm::<f64>::random(m, n, 6);
        let lem = Lem::<f64>::random(m, n, 7).with_dt(0.6);
        let diagonal_gru = DiagonalGru::<f64>::random(m, n, 8);
        let diagonal_lstm = DiagonalLstm::<f64>::random(m, n, 9);
        for cell in [
            gru.by_hand(),
            elman.by_hand(),
            lstm.by_hand(),
            lem.by_hand(),
            diagonal_gru.by_hand(),
            diagonal_lstm.by_hand(),
        ] {
            match cell {
                Some(ByHand::Gru(dims)) => by_hand(&gru, dims),
                Some(ByHand::Elman(dims)) => by_hand(&elman, dims),
                Some(ByHand::Lstm(dims)) => by_hand(&lstm, dims),
                Some(ByHand::Lem(dims)) => by_hand(&lem, dims),
                Some(ByHand::DiagonalGru(dims)) => by_hand(&diagonal_gru, dims),
                Some(ByHand::DiagonalLstm(dims)) => by_hand(&diagonal_lstm, dims),
                None => panic!("no derivative by hand"),
            }
        }
    }
}

#[test]
fn structures_are_found() {
    let structure = |graph: Graph| super::structure::structure_of(&graph.sparsity());
    assert_eq!(structure(Graph::trace(&Gru::<f64>::random(2, 4, 0)).unwrap()), Structure::Dense);
    assert_eq!(structure(Graph::trace(&Elman::<f64>::random(2, 4, 0)).unwrap()), Structure::Dense);
    assert_eq!(structure(Graph::trace(&Lstm::<f64>::random(2, 3, 0)).unwrap()), Structure::Dense);
    assert_eq!(structure(Graph::trace(&Lem::<f64>::random(2, 2, 0)).unwrap()), Structure::Dense);
    let diagonal = DiagonalGru::<f64>::random(2, 4, 0);
    assert_eq!(structure(Graph::trace(&diagonal).unwrap()), Structure::Diagonal);
    let blocks = DiagonalLstm::<f64>::random(2, 4, 0);
    assert_eq!(structure(Graph::trace(&blocks).unwrap()), blocks.structure());
}

/// The rows of a network are one sum each, and its weights in no slot of their own.
#[test]
fn weights_are_factors_of_sums() {
    let n = 8;
    let gru = Gru::<f32>::random(2, n, 0);
    let graph = Graph::trace(&gru).unwrap();
    assert_eq!(graph.params_used().len(), gru.params().len());
    assert!(Program::new(&graph, 0).slots() < 6 * n, "{}", Program::new(&graph, 0).slots());
    let adjoint = Adjoint::new(&graph);
    assert_eq!((adjoint.lefts, adjoint.computed), (4 * n, 0));
    assert_eq!(
        adjoint.tiles.iter().map(|tile| tile.params.len()).sum::<usize>(),
        gru.params().len()
    );
    let program = program_of(&adjoint);
    assert!(program.slots() < 10 * n, "{}", program.slots());
}

fn program_of(adjoint: &Adjoint) -> &Program {
    match &adjoint.step {
        Step::Programs(programs) => &programs.program,
        Step::ByHand(cell) => panic!("{cell:?} has no program"),
    }
}

#[test]
fn arithmetic_on_constants_is_done_while_tracing() {
    struct Constants;
    impl Dynamics for Constants {
        type Real = f32;
        fn state_dim(&self) -> usize {
            1
        }
        fn step<S: Scalar<Real = f32>>(&self, _: &[Param<S>], x: &[S], _: &[S], next: &mut [S]) {
            let third = S::from_f64(1.0) / S::from_f64(3.0);
            let unused = x[0].exp();
            let _ = unused;
            next[0] = x[0] * third + x[0] * third;
        }
    }
    let graph = Graph::trace(&Constants).unwrap();
    assert_eq!(graph.nodes().len(), 4, "{graph}");
    assert!(graph.nodes().contains(&Op::Constant(f64::from(1.0f32 / 3.0))), "{graph}");
}

#[test]
fn impure_steps_are_errors() {
    struct Counting(AtomicUsize);
    impl Dynamics for Counting {
        type Real = f64;
        fn state_dim(&self) -> usize {
            1
        }
        fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], _: &[S], next: &mut [S]) {
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            next[0] = x[0] * count as f64;
        }
    }
    struct Unwritten;
    impl Dynamics for Unwritten {
        type Real = f64;
        fn state_dim(&self) -> usize {
            2
        }
        fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], _: &[S], next: &mut [S]) {
            next[0] = x[0];
        }
    }
    struct Reading;
    impl Dynamics for Reading {
        type Real = f64;
        fn state_dim(&self) -> usize {
            1
        }
        fn scratch_dim(&self) -> usize {
            1
        }
        fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], _: &[S], next: &mut [S]) {
            next[0] = x[0] + next[1];
        }
    }
    let message = |graph: crate::Result<Graph>| graph.unwrap_err().to_string();
    assert!(message(Graph::trace(&Counting(AtomicUsize::new(1)))).contains("run again"));
    assert!(message(Graph::trace(&Unwritten)).contains("not written"));
    assert!(message(Graph::trace(&Reading)).contains("not written"));
}

/// Steps of a cell on lanes, compiled.
struct Compiled<'a, D: Dynamics> {
    cell: &'a D,
    steps: usize,
}

impl<D: Dynamics> Kernel for Compiled<'_, D> {
    type Output = D::Real;
    #[inline(always)]
    fn run<I: Isa>(self) -> D::Real {
        let (n, m) = (self.cell.state_dim(), self.cell.input_dim());
        let params = Parameter::from_slice(self.cell.params());
        let mut x = vec![Lanes::<D::Real, I, 2>::from_f64(0.1); n];
        let u = vec![Lanes::<D::Real, I, 2>::from_f64(0.2); m];
        let mut next = vec![Lanes::<D::Real, I, 2>::from_f64(0.0); n + self.cell.scratch_dim()];
        for _ in 0..self.steps {
            self.cell.step(params, &x, &u, &mut next);
            x.copy_from_slice(&next[..n]);
        }
        x[0].lane(0)
    }
}

/// The same by a program.
struct Interpreted<'a, R> {
    program: &'a Program,
    table: &'a [R],
    steps: usize,
}

impl<R: crate::scalar::Real> Kernel for Interpreted<'_, R> {
    type Output = R;
    #[inline(always)]
    fn run<I: Isa>(self) -> R {
        let program = self.program;
        let mut slots = program.prepare::<R, I, 2>(self.table);
        slots[program.state()].fill(Lanes::from_f64(0.1));
        slots[program.input()].fill(Lanes::from_f64(0.2));
        for _ in 0..self.steps {
            program.run(self.table, &mut slots);
            for (state, &output) in program.state().zip(program.outputs()) {
                slots[state] = slots[output as usize];
            }
        }
        slots[program.state().start].lane(0)
    }
}

/// `cargo test --release --lib -- --ignored --nocapture programs_are_nearly_as_fast`
#[test]
#[ignore = "a measurement"]
fn programs_are_nearly_as_fast_as_compiled_steps() {
    for n in [1, 2, 4, 8, 16, 32] {
        let gru = times_compiled("gru", n, &Gru::<f32>::random(2, n, 0));
        assert!(gru < 2.0);
        times_compiled("diagonal gru", n, &DiagonalGru::<f32>::random(2, n, 0));
        times_compiled("diagonal lstm", n, &DiagonalLstm::<f32>::random(2, n, 0));
    }
}

/// How many times as long as a compiled step a program's takes.
fn times_compiled<D: Dynamics<Real = f32>>(name: &str, units: usize, cell: &D) -> f64 {
    let program = Program::new(&Graph::trace(cell).unwrap(), 0);
    let table = program.table(cell.params(), &[]);
    let set = InstructionSet::detect();
    let steps = 200_000 / (units * units + 20);
    let mut ratios = Vec::new();
    for _ in 0..21 {
        let started = std::time::Instant::now();
        let compiled = dispatch(set, Compiled { cell, steps });
        let middle = std::time::Instant::now();
        let table = &table;
        let interpreted = dispatch(set, Interpreted { program: &program, table, steps });
        ratios.push(middle.elapsed().as_secs_f64() / (middle - started).as_secs_f64());
        assert!((compiled - interpreted).abs() < 1e-5, "{compiled} {interpreted}");
    }
    ratios.sort_by(f64::total_cmp);
    println!("{name}, {units} units: {:.2} times the compiled step", ratios[10]);
    ratios[10]
}
