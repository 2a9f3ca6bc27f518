//! Adam: Kingma and Ba 2014, arXiv:1412.6980.

use deer_solver::Real;

const FIRST: f64 = 0.9;
const SECOND: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Running means of a gradient and of its square.
#[derive(Clone, Debug)]
pub(crate) struct Adam<R> {
    rate: R,
    steps: i32,
    first: Vec<R>,
    second: Vec<R>,
}

impl<R: Real> Adam<R> {
    pub(crate) fn new(count: usize, rate: R) -> Self {
        Self { rate, steps: 0, first: vec![R::default(); count], second: vec![R::default(); count] }
    }

    /// One step down.
    pub(crate) fn update<'p>(&mut self, params: impl Iterator<Item = &'p mut R>, gradient: &[R])
    where
        R: 'p,
    {
        self.steps = self.steps.saturating_add(1);
        let first_unbiased = R::from_f64(1.0 / (1.0 - FIRST.powi(self.steps)));
        let second_unbiased = R::from_f64(1.0 / (1.0 - SECOND.powi(self.steps)));
        let (to_first, to_second) = (R::from_f64(1.0 - FIRST), R::from_f64(1.0 - SECOND));
        let epsilon = R::from_f64(EPSILON);
        let means = self.first.iter_mut().zip(&mut self.second);
        for ((param, &g), (first, second)) in params.zip(gradient).zip(means) {
            *first += to_first * (g - *first);
            *second += to_second * (g * g - *second);
            let size = (*second * second_unbiased).sqrt() + epsilon;
            *param -= self.rate * *first * first_unbiased / size;
        }
    }
}
