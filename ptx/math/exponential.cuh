// e^x, e^x − 1, tanh, the logistic function, sinh, cosh.
//
// x = k ln 2 + r with |r| <= ½ ln 2, and e^r − 1 = r + r² P(r). The methods and coefficients are those of the crate's lanes.
#pragma once
#include "real.cuh"

// ln 2 in two parts; the first ends in zeros enough that its product with any k is exact.
template <class R> constexpr R LN_2_HIGH = SINGLE<R> ? R(0.693145751953125) : R(0.693147180559663);
template <class R> constexpr R LN_2_LOW = SINGLE<R> ? R(1.428606765330187e-6) : R(2.8235290563031577e-13);
template <class R> constexpr R LOG2_E = R(1.4426950408889634);
template <class R> constexpr R LN_2 = R(0.6931471805599453);

// x = k ln 2 + r; `sum` is k + EXPONENT_SHIFT.
template <class R> struct Reduced { R sum, k, r; };

template <class R> INLINE Reduced<R> reduce(R x) {
  const R sum = fma(x, LOG2_E<R>, EXPONENT_SHIFT<R>);
  const R k = sum - EXPONENT_SHIFT<R>;
  return {sum, k, fma(k, -LN_2_LOW<R>, fma(k, -LN_2_HIGH<R>, x))};
}

// factor * (e^{s r} − 1 − s r) / r² for |s r| <= ½ ln 2; s and factor are powers of two or their negatives.
INLINE float remainder(float r, float r2, float s, float factor) {
  const float f = factor * s * s;
  const float c[5] = {0.49999998132886614f * f, 0.16666542684803318f * f * s, 0.041667203928926484f * f * s * s,
                      0.00836664675021925f * f * s * s * s, 0.0013882496897006302f * f * s * s * s * s};
  return polynomial(r, r2, c);
}
INLINE double remainder(double r, double r2, double s, double factor) {
  const double f = factor * s * s, s2 = s * s, s4 = s2 * s2;
  const double c[10] = {0.5000000000000006 * f,
                        0.16666666666666588 * f * s,
                        0.04166666666657539 * f * s2,
                        0.008333333333390414 * f * s2 * s,
                        0.0013888888932051646 * f * s4,
                        0.0001984126971759819 * f * s4 * s,
                        2.4801504650478112e-5 * f * s4 * s2,
                        2.755740822351072e-6 * f * s4 * s2 * s,
                        2.7626298752229973e-7 * f * s4 * s4,
                        2.505377902078833e-8 * f * s4 * s4 * s};
  return polynomial(r, r2, c);
}

// e^x without approximate instructions.
template <class R> INLINE R fused_exponential(R x) {
  // The ends are beyond the range.
  const Reduced<R> t = reduce(at_most(at_least(x, pick<R>(-104, -746)), pick<R>(89, 710)));
  const R r2 = t.r * t.r;
  return scale(fma(remainder(t.r, r2, R(1), R(1)), r2, t.r) + R(1), t.sum);
}

// For f32 the CUDA library's own, with ex2.approx: half as long, twice the error.
INLINE float exponential(float x) { return expf(x); }
INLINE double exponential(double x) { return fused_exponential(x); }

// e^x − 1 = 2 (2^{k−1} (e^r − 1) + (2^{k−1} − ½)), half of it so that 2^{k−1} does not overflow first.
template <class R> INLINE R exponential_minus_one(R x) {
  const Reduced<R> t = reduce(at_most(at_least(x, R(-40)), pick<R>(89, 710)));
  const R r2 = t.r * t.r;
  const R em1 = fma(remainder(t.r, r2, R(1), R(1)), r2, t.r);
  const R half_power = power_of_two(t.sum - R(1));
  const R half = fma(half_power, em1, half_power - R(0.5));
  // Below, the result rounds to x; the half of a subnormal number is rounded, and zero has a sign.
  return fabs(x) < pick<R>(1e-10, 1e-20) ? x : half + half;
}

// tanh |x| = h / (1 − h) with h = ½ (1 − e^{−2|x|}). With −2|x| = k ln 2 − 2r: h = 2^k ½ (1 − e^{−2r}) + ½ (1 − 2^k).
template <class R> INLINE R hyperbolic_tangent(R x) {
  // From here on the result rounds to 1.
  const R a = at_most(fabs(x), pick<R>(9.02, 19.07));
  const R sum = fma(a, R(-2) * LOG2_E<R>, EXPONENT_SHIFT<R>);
  const R k = sum - EXPONENT_SHIFT<R>;
  // ln 2 is close to a number of f32, and |k| at most 26: an error of 0.1 ulp.
  const R r = SINGLE<R> ? fma(k, R(0.5) * LN_2<R>, a) : fma(k, R(0.5) * LN_2_LOW<R>, fma(k, R(0.5) * LN_2_HIGH<R>, a));
  const R r2 = r * r;
  const R power = power_of_two(sum);
  const R h = fma(power, fma(remainder(r, r2, R(-2), R(-0.5)), r2, r), fma(power, R(-0.5), R(0.5)));
  return with_sign(quotient(h, R(1) - h), x);
}

// 1 / (1 + e^−x); 0 where the result would be below the normal numbers.
template <class R> INLINE R logistic(R x) {
  // At the low end 1 + e^−x is still finite, at the high end e^−x is far below 1.
  const R a = at_most(at_least(x, pick<R>(-88, -709)), pick<R>(40, 80));
  const R sum = fma(a, -LOG2_E<R>, EXPONENT_SHIFT<R>);
  const R k = sum - EXPONENT_SHIFT<R>;
  // −x = k ln 2 − r
  const R r = fma(k, LN_2_LOW<R>, fma(k, LN_2_HIGH<R>, a));
  const R r2 = r * r;
  const R e = R(1) - fma(remainder(r, r2, R(-1), R(-1)), r2, r);
  return reciprocal(fma(e, power_of_two(sum), R(1)));
}

// h = ½ (e^|x| − 1) and q = h / (1 + 2h): sinh |x| = h + q, cosh x = 1 + h − q.
//
// From where the 1 is lost, h is ½ e^|x| with the exponent put in at the end, since e^|x| overflows before the results do, and
// q is lost too.
template <class R> struct HalfExponential { R h, q; };

template <class R> INLINE HalfExponential<R> half_exponential(R a) {
  const Reduced<R> t = reduce(at_most(a, pick<R>(90, 712)));
  const R r2 = t.r * t.r;
  const R em1 = fma(remainder(t.r, r2, R(1), R(1)), r2, t.r);
  const R half_power = power_of_two(t.sum - R(1));
  const R near = fma(half_power, em1, half_power - R(0.5));
  const R far = computed(scale(em1 + R(1), t.sum - R(1)));
  const R q = computed(quotient(near, near + near + R(1)));
  const bool lost = a >= pick<R>(20, 40);
  return {lost ? far : near, lost ? R(0) : q};
}

template <class R> INLINE R hyperbolic_sine(R x) {
  const R a = fabs(x);
  const HalfExponential<R> t = half_exponential(a);
  const R y = computed(with_sign(t.h + t.q, x));
  // Below, sinh x rounds to x, and the half of a subnormal number is rounded.
  return a < pick<R>(1e-10, 1e-20) ? x : y;
}

template <class R> INLINE R hyperbolic_cosine(R x) {
  const HalfExponential<R> t = half_exponential<R>(fabs(x));
  return t.h - t.q + R(1);
}
