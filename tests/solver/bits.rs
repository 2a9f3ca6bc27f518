//! The same bits from any number of threads.

use crate::common::reference::bits;
use crate::maps::{Map, Noise, methods, with_block};
use deer_solver::cells::{DiagonalLstm, Elman, Gru};
use deer_solver::{Cpu, Dynamics, Problem};
use ndarray::{Array2, Array3};

/// Long enough for many groups of lanes in each sweep.
fn same_bits<D: Dynamics>(what: &str, dynamics: &D, batch: usize, steps: usize, max_sweeps: usize) {
    let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
    let mut noise = Noise::new(5);
    let x0 = Array2::from_shape_vec((batch, n), noise.vec(batch * n, 0.5)).unwrap();
    let inputs =
        Array3::from_shape_vec((batch, steps, m), noise.vec(batch * steps * m, 1.0)).unwrap();
    let problem = Problem::batch(dynamics, x0.view(), inputs.view()).unwrap();
    let pools = [1, 2, 5].map(|threads| Cpu::with_threads(threads).unwrap());
    for solver in methods() {
        for block in [None, Some(7)] {
            // Sweeps that have not closed in show a difference best.
            let solver = with_block(&solver, block).max_sweeps(max_sweeps);
            let [one, others @ ..] =
                pools.each_ref().map(|cpu| solver.solve(&problem, cpu).unwrap());
            for (other, threads) in others.iter().zip([2, 5]) {
                let what = format!("{what}, {}, block {block:?}, {threads} threads", solver.method);
                assert_eq!(one.report().history, other.report().history, "{what}");
                assert_eq!(one.terminations(), other.terminations(), "{what}");
                assert!(bits(one.states()) == bits(other.states()), "{what}");
            }
        }
    }
}

#[test]
fn threads_do_not_change_bits() {
    same_bits("gru", &Gru::<f64>::random(2, 5, 1), 1, 3001, 3);
    same_bits("elman 17", &Elman::<f64>::random(1, 17, 2), 2, 700, 3);
    same_bits("diagonal lstm", &DiagonalLstm::<f64>::random(2, 3, 3), 3, 1501, 2);
    same_bits("chaotic tanh, f32", &Map::<f32>::tanh(4, 2.5, 4), 2, 2003, 4);
}
