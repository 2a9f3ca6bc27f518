//! The elementary functions in twice the precision of `f64`, slow and simple: what the errors of
//! the fast ones are measured against.

/// The unevaluated sum of two numbers, the second below half a unit of the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct DoubleDouble {
    pub(super) high: f64,
    pub(super) low: f64,
}

impl DoubleDouble {
    const ONE: Self = Self { high: 1.0, low: 0.0 };

    fn new(x: f64) -> Self {
        Self { high: x, low: 0.0 }
    }

    /// x + y without error.
    fn two_sum(x: f64, y: f64) -> Self {
        let high = x + y;
        let right = high - x;
        Self { high, low: (x - (high - right)) + (y - right) }
    }

    /// x · y without error.
    fn two_product(x: f64, y: f64) -> Self {
        let high = x * y;
        Self { high, low: x.mul_add(y, -high) }
    }

    fn add(self, other: Self) -> Self {
        let high = Self::two_sum(self.high, other.high);
        let low = Self::two_sum(self.low, other.low);
        let sum = Self::two_sum(high.high, high.low + low.high);
        Self::two_sum(sum.high, sum.low + low.low)
    }

    fn mul(self, other: Self) -> Self {
        let product = Self::two_product(self.high, other.high);
        let cross = self.high.mul_add(other.low, self.low * other.high);
        Self::two_sum(product.high, product.low + cross)
    }

    fn neg(self) -> Self {
        Self { high: -self.high, low: -self.low }
    }

    fn div(self, other: Self) -> Self {
        let first = self.high / other.high;
        let rest = self.add(other.mul(Self::new(first)).neg());
        let second = rest.high / other.high;
        let rest = rest.add(other.mul(Self::new(second)).neg());
        Self::two_sum(first, second).add(Self::new(rest.high / other.high))
    }

    /// Times 2ᵏ, in two steps so that neither factor overflows.
    fn scale(self, k: f64) -> Self {
        let half = (k / 2.0).trunc();
        let (first, second) = (half.exp2(), (k - half).exp2());
        Self { high: self.high * first * second, low: self.low * first * second }
    }

    /// Error of `y` in units of the last place of this number.
    pub(super) fn ulps(self, y: f64) -> f64 {
        let exponent = (self.high.to_bits() >> 52 & 0x7ff).max(1);
        let unit = f64::from_bits(exponent << 52) * f64::EPSILON;
        // The unit of a small number is subnormal: a difference has no rounding error there.
        (((y - self.high) - self.low) / unit).abs()
    }
}

/// eˣ − 1 by its series up to the power `terms` − 1.
fn series(x: DoubleDouble, terms: u32) -> DoubleDouble {
    let mut sum = x;
    let mut term = x;
    for j in 2..terms {
        term = term.mul(x).div(DoubleDouble::new(f64::from(j)));
        sum = sum.add(term);
    }
    sum
}

/// `k` and eʳ − 1 of x = k·ln 2 + r.
fn reduced(x: DoubleDouble) -> (f64, DoubleDouble) {
    let k = (x.high / std::f64::consts::LN_2).round();
    let r = x
        .add(DoubleDouble::new(-k * LN_2[0]))
        .add(DoubleDouble::two_product(-k, LN_2[1]))
        .add(DoubleDouble::new(-k * LN_2[2]));
    (k, series(r, 26))
}

const LN_2: [f64; 3] = [0.693147180559663, 2.8235290563031577e-13, 1.94704509238075e-31];
const PI: [f64; 4] =
    [3.1415926534682512, 1.2154201012607932e-10, 4.044532497422333e-21, 1.69568553207378e-31];

pub(super) fn exp(x: f64) -> DoubleDouble {
    let (k, em1) = reduced(DoubleDouble::new(x.max(-1000.0)));
    em1.add(DoubleDouble::ONE).scale(k)
}

pub(super) fn exp_m1(x: f64) -> DoubleDouble {
    if x.abs() < 1e-20 {
        return DoubleDouble::new(x);
    }
    let (k, em1) = reduced(DoubleDouble::new(x.max(-100.0)));
    if k > 200.0 {
        return exp(x);
    }
    em1.scale(k).add(DoubleDouble::two_sum(k.exp2(), -1.0))
}

pub(super) fn sinh(x: f64) -> DoubleDouble {
    let sinh = if x.abs() > 50.0 {
        let (k, em1) = reduced(DoubleDouble::new(x.abs()));
        em1.add(DoubleDouble::ONE).scale(k - 1.0)
    } else if x.abs() < 1e-20 {
        DoubleDouble::new(x.abs())
    } else {
        let em1 = exp_m1(x.abs());
        em1.add(em1.div(em1.add(DoubleDouble::ONE))).scale(-1.0)
    };
    if x < 0.0 { sinh.neg() } else { sinh }
}

pub(super) fn cosh(x: f64) -> DoubleDouble {
    if x.abs() > 50.0 {
        return sinh(x.abs());
    }
    let exp = exp(x.abs());
    exp.add(DoubleDouble::ONE.div(exp)).scale(-1.0)
}

pub(super) fn tanh(x: f64) -> DoubleDouble {
    if x.abs() < 1e-20 {
        return DoubleDouble::new(x);
    }
    let em1 = exp_m1(2.0 * x.clamp(-30.0, 30.0));
    em1.div(em1.add(DoubleDouble::new(2.0)))
}

pub(super) fn sigmoid(x: f64) -> DoubleDouble {
    DoubleDouble::ONE.div(exp((-x).clamp(-100.0, 709.0)).add(DoubleDouble::ONE))
}

pub(super) fn softplus(x: f64) -> DoubleDouble {
    let u = exp(-x.abs());
    let log = if u.high < 1e-9 {
        // ln(1 + u) = u − u²/2 + u³/3
        let u2 = u.mul(u);
        u.add(u2.scale(-1.0).neg()).add(DoubleDouble::new(u.high * u2.high / 3.0))
    } else {
        log(DoubleDouble::ONE.add(u))
    };
    log.add(DoubleDouble::new(x.max(0.0)))
}

pub(super) fn ln(x: f64) -> DoubleDouble {
    log(DoubleDouble::new(x))
}

/// One step of Newton's iteration for eʸ = x: y + t − t²/2 with t = x·e⁻ʸ − 1.
fn log(x: DoubleDouble) -> DoubleDouble {
    let y = x.high.ln();
    let (k, em1) = reduced(DoubleDouble::new(-y));
    let t = x.scale(k).mul(em1.add(DoubleDouble::ONE)).add(DoubleDouble::new(-1.0));
    DoubleDouble::new(y).add(t).add(DoubleDouble::new(-0.5 * t.high * t.high))
}

pub(super) fn sin(x: f64) -> DoubleDouble {
    let k = (x / PI[0]).round();
    let sine = sin_reduced(x, k);
    if k.rem_euclid(2.0) == 0.0 { sine } else { sine.neg() }
}

pub(super) fn cos(x: f64) -> DoubleDouble {
    let k = (x / PI[0] - 0.5).round();
    let sine = sin_reduced(x, k + 0.5);
    if k.rem_euclid(2.0) == 0.0 { sine.neg() } else { sine }
}

/// sin(x − k·π) by its series.
fn sin_reduced(x: f64, k: f64) -> DoubleDouble {
    let r = DoubleDouble::two_sum(x, -k * PI[0])
        .add(DoubleDouble::new(-k * PI[1]))
        .add(DoubleDouble::new(-k * PI[2]))
        .add(DoubleDouble::two_product(-k, PI[3]));
    let square = r.mul(r).neg();
    let mut sum = r;
    let mut term = r;
    for j in 1..15 {
        let divisor = f64::from(2 * j * (2 * j + 1));
        term = term.mul(square).div(DoubleDouble::new(divisor));
        sum = sum.add(term);
    }
    sum
}
