//! Adam: Kingma and Ba 2014, arXiv:1412.6980.

const FIRST: f32 = 0.9;
const SECOND: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Running means of a gradient and of its square.
#[derive(Clone, Debug)]
pub(crate) struct Adam {
    rate: f32,
    steps: i32,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Adam {
    pub(crate) fn new(count: usize, rate: f32) -> Self {
        Self { rate, steps: 0, first: vec![0.0; count], second: vec![0.0; count] }
    }

    /// One step down.
    pub(crate) fn update<'p>(
        &mut self,
        params: impl Iterator<Item = &'p mut f32>,
        gradient: &[f32],
    ) {
        self.steps = self.steps.saturating_add(1);
        let first_unbiased = 1.0 / (1.0 - FIRST.powi(self.steps));
        let second_unbiased = 1.0 / (1.0 - SECOND.powi(self.steps));
        let means = self.first.iter_mut().zip(&mut self.second);
        for ((param, &g), (first, second)) in params.zip(gradient).zip(means) {
            *first += (1.0 - FIRST) * (g - *first);
            *second += (1.0 - SECOND) * (g * g - *second);
            let size = (*second * second_unbiased).sqrt() + EPSILON;
            *param -= self.rate * *first * first_unbiased / size;
        }
    }
}
