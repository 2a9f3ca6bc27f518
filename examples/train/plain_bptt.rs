//! Training steps by back-propagation through time, written by hand: one step of time after the other, forward and
//! back, and one sequence after the other on each thread. This is what the library is compared with.
//!
//! Matrices are laid out so that the inner loops run over consecutive numbers, which the compiler turns into vector
//! instructions; gates are kept from the way forward, not computed again. `f32` throughout.

use crate::model::{Model, Score, Step};
use crate::task::Labelled;
use crate::threads::share;
use deer_solver::Dynamics;
use ndarray::Axis;
use std::time::{Duration, Instant};

/// The weights as the loops read them; `n` units, `m` inputs.
struct Weights {
    n: usize,
    m: usize,
    /// `[m, 3n]`
    input_columns: Vec<f32>,
    /// `[n, 3n]`
    state_columns: Vec<f32>,
    /// `[3n, n]`
    state_rows: Vec<f32>,
    /// `[3n]`
    bias: Vec<f32>,
    /// `[n]`
    bias_n: Vec<f32>,
}

impl Weights {
    fn of(model: &Model) -> Self {
        let gru = &model.gru;
        let (ih, hh) = (gru.weight_ih(), gru.weight_hh());
        Self {
            n: gru.hidden(),
            m: gru.input_dim(),
            input_columns: ih.t().iter().copied().collect(),
            state_columns: hh.t().iter().copied().collect(),
            state_rows: hh.iter().copied().collect(),
            bias: gru.bias().to_vec(),
            bias_n: gru.bias_n().to_vec(),
        }
    }
}

/// What a thread needs: the way forward that is gone back, and sums of gradients.
#[derive(Clone, Debug, Default)]
struct Worker {
    /// `[T + 1, n]`, from the initial state.
    states: Vec<f32>,
    /// `[T, 4n]`: r, z, n, and the factor of r in n.
    gates: Vec<f32>,
    gru: Vec<f32>,
    readout: Vec<f32>,
    forward: Duration,
    backward: Duration,
}

/// One worker for each thread. Their memory is used again.
#[derive(Debug)]
pub(crate) struct PlainBptt {
    workers: Vec<Worker>,
}

impl PlainBptt {
    pub(crate) fn new(threads: usize) -> Self {
        Self { workers: vec![Worker::default(); threads.max(1)] }
    }

    /// Loss, and its gradient.
    pub(crate) fn step(&mut self, model: &Model, batch: &Labelled) -> Step {
        let weights = Weights::of(model);
        let [gru_size, readout_size] = model.sizes();
        let steps = batch.inputs.len_of(Axis(1));
        for worker in &mut self.workers {
            worker.states.resize((steps + 1) * weights.n, 0.0);
            worker.gates.resize(steps * 4 * weights.n, 0.0);
            worker.gru = vec![0.0; gru_size];
            worker.readout = vec![0.0; readout_size];
            (worker.forward, worker.backward) = Default::default();
        }
        let weight = 1.0 / batch.len() as f32;
        let sequences = batch.inputs.as_slice().unwrap_or_default().chunks_exact(steps * weights.m);
        let items = sequences.zip(batch.labels.iter().copied()).collect();
        let scores = share(&mut self.workers, items, |worker, (inputs, label)| {
            let started = Instant::now();
            let means = forward(&weights, inputs, &mut worker.states, &mut worker.gates);
            worker.forward += started.elapsed();

            let started = Instant::now();
            let mut cotangent = vec![0.0; weights.n];
            let readout = &mut worker.readout;
            let score = model.readout.pull(&means, label, weight, readout, &mut cotangent);
            // Of the mean over time each state has an equal part.
            cotangent.iter_mut().for_each(|x| *x /= steps as f32);
            let (states, gates) = (&worker.states, &worker.gates);
            backward(&weights, inputs, states, gates, &cotangent, &mut worker.gru);
            worker.backward += started.elapsed();
            score
        });
        let mut total = Score::default();
        for score in scores {
            total.loss += score.loss;
            total.correct += score.correct;
        }
        let mut gradient = vec![0.0; gru_size + readout_size];
        for worker in &self.workers {
            add(&mut gradient[..gru_size], 1.0, &worker.gru);
            add(&mut gradient[gru_size..], 1.0, &worker.readout);
        }
        let slowest = |time: fn(&Worker) -> Duration| self.workers.iter().map(time).max();
        Step {
            loss: total.loss / batch.len() as f64,
            correct: total.correct,
            gradient,
            forward: slowest(|worker| worker.forward).unwrap_or_default(),
            backward: slowest(|worker| worker.backward).unwrap_or_default(),
        }
    }
}

/// `to += factor · from`.
#[inline(always)]
fn add(to: &mut [f32], factor: f32, from: &[f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

/// `sums += matrix · x`, the matrix by its columns.
#[inline(always)]
fn add_product(sums: &mut [f32], columns: &[f32], x: &[f32]) {
    for (column, &x) in columns.chunks_exact(sums.len()).zip(x) {
        add(sums, x, column);
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Fills `states` and `gates`. Returns the means of the states over time.
fn forward(weights: &Weights, inputs: &[f32], states: &mut [f32], gates: &mut [f32]) -> Vec<f32> {
    let (n, m) = (weights.n, weights.m);
    let mut h = vec![0.0; n];
    let mut sums = vec![0.0; 3 * n];
    let mut input_n = vec![0.0; n];
    let mut totals = vec![0.0f64; n];
    states[..n].fill(0.0);
    let steps = inputs.chunks_exact(m).zip(states[n..].chunks_exact_mut(n));
    for ((u, state), gates) in steps.zip(gates.chunks_exact_mut(4 * n)) {
        sums.copy_from_slice(&weights.bias);
        add_product(&mut sums, &weights.input_columns, u);
        input_n.copy_from_slice(&sums[2 * n..]);
        sums[2 * n..].copy_from_slice(&weights.bias_n);
        add_product(&mut sums, &weights.state_columns, &h);
        for i in 0..n {
            let (r, z, hidden_n) = (sigmoid(sums[i]), sigmoid(sums[n + i]), sums[2 * n + i]);
            let candidate = (input_n[i] + r * hidden_n).tanh();
            h[i] = candidate + z * (h[i] - candidate);
            totals[i] += f64::from(h[i]);
            gates[i] = r;
            gates[n + i] = z;
            gates[2 * n + i] = candidate;
            gates[3 * n + i] = hidden_n;
        }
        state.copy_from_slice(&h);
    }
    let steps = inputs.len() / m;
    totals.into_iter().map(|total| (total / steps as f64) as f32).collect()
}

/// Adds to the gradient of the GRU's parameters; `cotangent` is that of every state.
fn backward(
    weights: &Weights,
    inputs: &[f32],
    states: &[f32],
    gates: &[f32],
    cotangent: &[f32],
    gradient: &mut [f32],
) {
    let (n, m) = (weights.n, weights.m);
    let (of_inputs, gradient) = gradient.split_at_mut(3 * n * m);
    let (of_states, gradient) = gradient.split_at_mut(3 * n * n);
    let (of_bias, of_bias_n) = gradient.split_at_mut(3 * n);
    // Of the state; of the sums in r, z and the factor of r; of the sums in r, z and n.
    let mut carry = vec![0.0; n];
    let mut of_products = vec![0.0; 3 * n];
    let mut of_sums = vec![0.0; 3 * n];
    let steps = inputs.chunks_exact(m).zip(states.chunks_exact(n)).zip(gates.chunks_exact(4 * n));
    for ((u, before), gates) in steps.rev() {
        for i in 0..n {
            let (r, z) = (gates[i], gates[n + i]);
            let (candidate, hidden_n) = (gates[2 * n + i], gates[3 * n + i]);
            let total = carry[i] + cotangent[i];
            let of_n = total * (1.0 - z) * (1.0 - candidate * candidate);
            let of_z = total * (before[i] - candidate) * z * (1.0 - z);
            let of_r = of_n * hidden_n * r * (1.0 - r);
            (of_products[i], of_products[n + i], of_products[2 * n + i]) = (of_r, of_z, of_n * r);
            (of_sums[i], of_sums[n + i], of_sums[2 * n + i]) = (of_r, of_z, of_n);
            carry[i] = total * z;
        }
        add_product(&mut carry, &weights.state_rows, &of_products);
        for (row, &factor) in of_states.chunks_exact_mut(n).zip(&of_products) {
            add(row, factor, before);
        }
        for (row, &factor) in of_inputs.chunks_exact_mut(m).zip(&of_sums) {
            add(row, factor, u);
        }
        add(of_bias, 1.0, &of_sums);
        add(of_bias_n, 1.0, &of_products[2 * n..]);
    }
}
