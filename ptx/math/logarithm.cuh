// ln x and ln(1 + e^x).
#pragma once
#include "exponential.cuh"

// k ln 2 + ln(1 + f) for 1 + f in [√½, √2).
INLINE float log1p_reduced(float f, float k) {
  // ln(1 + f) = f − f²/2 + f³ P(f), relative error 2^−27.3.
  const float c[8] = {0.3333333170601415f,  -0.2500082102352095f,  0.2000122713198911f, -0.1662335789063502f,
                      0.14201752233467155f, -0.13160171810159269f, 0.1276161157712614f, -0.07634564210383009f};
  const float f2 = f * f;
  const float p = polynomial(f, f2, c);
  const float tail = fma(f2, -0.5f, fma(k, LN_2_LOW<float>, p * (f2 * f)));
  return fma(k, LN_2_HIGH<float>, f + tail);
}
INLINE double log1p_reduced(double f, double k) {
  // s = f / (2 + f), ln(1 + f) = f − f²/2 + s (f²/2 + R(s²)); the coefficients of fdlibm's e_log.c, relative error 2^−58.4.
  const double c[7] = {0.6666666666666735,  0.3999999999940942,  0.2857142874366239, 0.22222198432149784,
                       0.1818357216161805, 0.15313837699209373, 0.14798198605106586};
  const double s = quotient(f, f + 2.0);
  const double s2 = s * s, half = 0.5 * (f * f);
  const double r = polynomial(s2, s2 * s2, c) * s2;
  const double tail = fma(s, half + r, k * LN_2_LOW<double>) - half;
  return fma(k, LN_2_HIGH<double>, f + tail);
}

// x = 2^k (1 + f) with 1 + f in [√½, √2).
template <class R> INLINE R logarithm(R x) {
  // A subnormal number is scaled into the normal range first.
  const bool small = x < pick<R>(1.1754943508222875e-38, 2.2250738585072014e-308);
  const R normal = small ? x * pick<R>(16777216.0, 18014398509481984.0) : x;
  // The pattern less that of √½ has k + bias in the exponent's place, the fraction of (1 + f) / √½ below it.
  const R root = R(0.7071067811865476);
  const Bits<R> shifted = bits(normal) + (bits(R(1)) - bits(root));
  const R k = R(i32(shifted >> FRACTION<R>) - BIAS<R> - (small ? (SINGLE<R> ? 24 : 54) : 0));
  const R f = from_bits((shifted & ((Bits<R>(1) << FRACTION<R>)-1)) + bits(root)) - R(1);
  const R y = log1p_reduced(f, k);
  const R nan = infinity(x) - infinity(x);
  const R rest = x == R(0) ? -infinity(x) : x < R(0) ? nan : x;
  // ∞ and NaN are their own logarithms.
  return x > R(0) && x < infinity(x) ? y : rest;
}

// ln(1 + e^x) = max(x, 0) + ln(1 + e^−|x|).
template <class R> INLINE R soft_plus(R x) {
  const R u = fused_exponential(-fabs(x));
  // 1 + u lies in [1, 2]: above √2 it is 2 (1 + f) with f = (u − 1)/2.
  const bool high = u >= R(0.41421356237309503);
  const R half = computed(fma(u, R(0.5), R(-0.5)));
  const R f = high ? half : u;
  return fmax(x, R(0)) + log1p_reduced(f, high ? R(1) : R(0));
}
