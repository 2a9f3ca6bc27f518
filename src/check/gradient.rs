//! The gradient of whole solutions.

use super::difference::{Change, Difference, differences};
use super::{Compared, Comparison, Quantity, unread};
use crate::backend::{Differentiate, Sweep};
use crate::dynamics::Dynamics;
use crate::error::Result;
use crate::graph::Graph;
use crate::problem::Problem;
use crate::scalar::Real;
use crate::solver::Solver;
use ndarray::{Array2, Array3, ArrayView2, ArrayView3};

/// Most entries of each kind that are compared.
const MOST: usize = 32;

/// Compares the gradient of `Σ cotangent · states`, `cotangent` `[B, T, n]`, by [`vjp`](crate::Solution::vjp) with
/// central differences of solutions: at most 32 entries of each of parameters, inputs and initial states, evenly spread,
/// among them the largest of each. Names parameters that the step never reads.
///
/// Solutions are found by `solver`, to rounding whatever its tolerance and with as many sweeps as that takes; six solves for
/// each entry where the recurrence is smooth. So take a short problem, of a few hundred steps. Where trajectories
/// separate (chaos), differences say nothing.
///
/// # Errors
/// Those of [`Solver::solve`] and [`Solution::vjp`](crate::Solution::vjp).
///
/// # Example
/// ```
/// # #[cfg(feature = "cpu")] {
/// use deer_solver::{cells::Gru, check, Cpu, Problem, Solver};
/// use ndarray::{Array1, Array2, Array3};
///
/// let gru = Gru::<f64>::random(2, 4, 0);
/// let (x0, inputs) = (Array1::zeros(4), Array2::ones((50, 2)));
/// let problem = Problem::new(&gru, x0.view(), inputs.view())?;
/// let ones = Array3::ones((1, 50, 4)); // of the sum of all states
/// let found = check::gradient(&problem, &Solver::auto(), ones.view(), &Cpu::new())?;
/// assert!(found.passed(1e-6), "{found}");
/// # }
/// # Ok::<(), deer_solver::Error>(())
/// ```
pub fn gradient<R: Real, D: Dynamics<Real = R>, B: Sweep<D> + Differentiate<R>>(
    problem: &Problem<'_, D>,
    solver: &Solver,
    cotangent: ArrayView3<'_, R>,
    backend: &B,
) -> Result<Comparison> {
    let mut solver = solver.clone().tolerance(0.0, R::EPSILON.to_f64());
    solver.max_sweeps = None;
    let gradient = solver.solve(problem, backend)?.vjp(problem, cotangent, backend)?;
    let mut found = unread(&Graph::trace(problem.dynamics())?);
    let (batch, n, m) = (problem.batch_size(), problem.state_dim(), problem.input_dim());
    let data = Data {
        dynamics: problem.dynamics(),
        params: problem.params().to_vec(),
        inputs: (0..batch).map(|b| problem.inputs(b).to_vec()).collect(),
        steps: (0..batch).map(|b| problem.steps(b)).collect(),
        initial: problem.initial_state().to_owned(),
    };

    let params = (0..data.params.len()).map(|index| Quantity::Param { index });
    let inputs = (0..batch).flat_map(|batch| {
        (0..data.steps[batch] * m).map(move |entry| Quantity::Input {
            batch,
            step: entry / m,
            index: entry % m,
        })
    });
    let initial =
        (0..batch * n).map(|entry| Quantity::InitialState { batch: entry / n, index: entry % n });
    let by_vjp = |quantity: &Quantity| match *quantity {
        Quantity::Param { index } => gradient.params[index].to_f64(),
        Quantity::Input { batch, step, index } => gradient.inputs[[batch, step, index]].to_f64(),
        Quantity::InitialState { batch, index } => gradient.initial_state[[batch, index]].to_f64(),
        _ => f64::NAN,
    };
    for all in [params.collect::<Vec<_>>(), inputs.collect(), initial.collect()] {
        for quantity in chosen(&all, by_vjp) {
            let change = |above: R, below: R| -> Result<Vec<Change>> {
                let above = data.with(quantity, above, &solver, backend)?;
                let below = data.with(quantity, below, &solver, backend)?;
                Ok(vec![data.change(quantity, cotangent, above, below)])
            };
            for Difference { value, spread, rounding } in differences(data.at(quantity), 1, change)?
            {
                found.add(Compared::new(quantity, by_vjp(&quantity), value, spread, rounding));
            }
        }
    }
    Ok(found)
}

/// Evenly spread ones, and the one of the largest `size`.
fn chosen(all: &[Quantity], size: impl Fn(&Quantity) -> f64) -> Vec<Quantity> {
    let count = all.len().min(MOST);
    let mut places: Vec<usize> = (0..count).map(|k| k * all.len() / count).collect();
    let largest =
        (0..all.len()).max_by(|&a, &b| size(&all[a]).abs().total_cmp(&size(&all[b]).abs()));
    if let Some(largest) = largest
        && !places.contains(&largest)
    {
        // In place of its neighbour.
        places[largest * count / all.len()] = largest;
    }
    places.into_iter().map(|place| all[place]).collect()
}

/// What a problem is made of.
struct Data<'a, D: Dynamics> {
    dynamics: &'a D,
    params: Vec<D::Real>,
    /// `B` × `[T_b, m]`
    inputs: Vec<Vec<D::Real>>,
    steps: Vec<usize>,
    /// `[B, n]`
    initial: Array2<D::Real>,
}

impl<R: Real, D: Dynamics<Real = R>> Data<'_, D> {
    /// The number itself.
    fn at(&self, quantity: Quantity) -> R {
        match quantity {
            Quantity::Param { index } => self.params[index],
            Quantity::Input { batch, step, index } => {
                self.inputs[batch][step * self.dynamics.input_dim() + index]
            }
            Quantity::InitialState { batch, index } => self.initial[[batch, index]],
            _ => R::default(),
        }
    }

    /// The states `[B, T, n]` with one number changed; none where they leave the finite numbers.
    fn with<B: Sweep<D>>(
        &self,
        quantity: Quantity,
        to: R,
        solver: &Solver,
        backend: &B,
    ) -> Result<Option<Array3<R>>> {
        let (mut params, mut initial) = (self.params.clone(), self.initial.clone());
        let m = self.dynamics.input_dim();
        let mut changed = None;
        match quantity {
            Quantity::Param { index } => params[index] = to,
            Quantity::Input { batch, step, index } => {
                let mut inputs = self.inputs[batch].clone();
                inputs[step * m + index] = to;
                changed = Some((batch, inputs));
            }
            Quantity::InitialState { batch, index } => initial[[batch, index]] = to,
            _ => {}
        }
        let views: Vec<ArrayView2<'_, R>> = (0..self.steps.len())
            .map(|b| {
                let inputs = match &changed {
                    Some((batch, inputs)) if *batch == b => inputs,
                    _ => &self.inputs[b],
                };
                ArrayView2::from_shape((self.steps[b], m), inputs)
                    .map_err(|_| crate::Error::shape("inputs", "[T, m]", &[inputs.len()]))
            })
            .collect::<Result<_>>()?;
        let problem =
            Problem::ragged(self.dynamics, initial.view(), &views)?.with_params(&params)?;
        let solution = solver.solve(&problem, backend)?;
        Ok(solution.converged().then(|| solution.into_states()))
    }

    /// `Σ cotangent · (above − below)` over the states that depend on `quantity`.
    fn change(
        &self,
        quantity: Quantity,
        cotangent: ArrayView3<'_, R>,
        above: Option<Array3<R>>,
        below: Option<Array3<R>>,
    ) -> Change {
        let (Some(above), Some(below)) = (above, below) else {
            return Change { change: f64::NAN, magnitude: 0.0 };
        };
        let mut total = Change::default();
        for (b, &steps) in self.steps.iter().enumerate() {
            let first = match quantity {
                Quantity::Input { batch, step, .. } if batch == b => step,
                Quantity::InitialState { batch, .. } if batch == b => 0,
                Quantity::Param { .. } => 0,
                _ => steps,
            };
            let all = ndarray::s![b, first..steps, ..];
            let weights = cotangent.slice(all);
            ndarray::Zip::from(weights).and(above.slice(all)).and(below.slice(all)).for_each(
                |weight, above, below| {
                    let (weight, above, below) = (weight.to_f64(), above.to_f64(), below.to_f64());
                    total.change += weight * (above - below);
                    total.magnitude += weight.abs() * above.abs().max(below.abs());
                },
            );
        }
        total
    }
}
