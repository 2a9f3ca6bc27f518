//! Back-propagation through time as a user would write it for one cell: a loop over steps, one number at a time.

use deer_solver::Dynamics;
use deer_solver::cells::Gru;

/// The gradient of `Σ cotangents · states` of one sequence that starts at zero: adds those of the parameters to `params`
/// `[p]`. `inputs` `[T, m]`, `states` and `cotangents` `[T, n]`, all row-major.
pub(crate) fn backpropagate(
    gru: &Gru<f32>,
    inputs: &[f32],
    states: &[f32],
    cotangents: &[f32],
    params: &mut [f32],
) {
    let (n, m) = (gru.state_dim(), gru.input_dim());
    let (weight_ih, rest) = gru.params().split_at(3 * n * m);
    let (weight_hh, rest) = rest.split_at(3 * n * n);
    let (bias, bias_n) = rest.split_at(3 * n);
    let (of_weight_ih, rest) = params.split_at_mut(3 * n * m);
    let (of_weight_hh, rest) = rest.split_at_mut(3 * n * n);
    let (of_bias, of_bias_n) = rest.split_at_mut(3 * n);
    let zero = vec![0.0; n];
    let mut carry = vec![0.0f32; n];
    let mut before = vec![0.0f32; n];
    let mut sums = vec![0.0f32; 4 * n];
    for t in (0..states.len() / n).rev() {
        let h = if t > 0 { &states[(t - 1) * n..t * n] } else { &zero };
        let u = &inputs[t * m..(t + 1) * m];
        for i in 0..n {
            let of_input = |gate: usize| -> f32 {
                let row = &weight_ih[(gate * n + i) * m..][..m];
                bias[gate * n + i] + row.iter().zip(u).map(|(w, u)| w * u).sum::<f32>()
            };
            let of_state = |gate: usize| -> f32 {
                let row = &weight_hh[(gate * n + i) * n..][..n];
                row.iter().zip(h).map(|(w, h)| w * h).sum()
            };
            let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
            let (r, z) = (sigmoid(of_input(0) + of_state(0)), sigmoid(of_input(1) + of_state(1)));
            let hidden = of_state(2) + bias_n[i];
            let new = (of_input(2) + r * hidden).tanh();
            let cotangent = carry[i] + cotangents[t * n + i];
            let of_new = cotangent * (1.0 - z) * (1.0 - new * new);
            sums[i] = of_new * hidden * r * (1.0 - r);
            sums[n + i] = cotangent * (h[i] - new) * z * (1.0 - z);
            sums[2 * n + i] = of_new;
            sums[3 * n + i] = of_new * r;
            before[i] = cotangent * z;
        }
        for gate in 0..3 {
            for i in 0..n {
                let of_input = sums[gate * n + i];
                let of_state = sums[if gate == 2 { 3 * n + i } else { gate * n + i }];
                let row = gate * n + i;
                of_bias[row] += of_input;
                for (w, u) in of_weight_ih[row * m..][..m].iter_mut().zip(u) {
                    *w += of_input * u;
                }
                for j in 0..n {
                    of_weight_hh[row * n + j] += of_state * h[j];
                    before[j] += of_state * weight_hh[row * n + j];
                }
            }
        }
        for i in 0..n {
            of_bias_n[i] += sums[3 * n + i];
        }
        std::mem::swap(&mut carry, &mut before);
    }
}
