// f32 and f64 in registers: their bits, powers of two, polynomials, quotients.
#pragma once
#include "../device.cuh"

template <class R> constexpr bool SINGLE = sizeof(R) == 4;

// The constant of the precision.
template <class R> __device__ constexpr R pick(double single, double wide) { return R(SINGLE<R> ? single : wide); }

INLINE u32 bits(float x) { return __float_as_uint(x); }
INLINE u64 bits(double x) { return u64(__double_as_longlong(x)); }
INLINE float from_bits(u32 x) { return __uint_as_float(x); }
INLINE double from_bits(u64 x) { return __longlong_as_double(i64(x)); }

template <class R> using Bits = decltype(bits(R()));
template <class R> constexpr int FRACTION = SINGLE<R> ? 23 : 52;
template <class R> constexpr int BIAS = SINGLE<R> ? 127 : 1023;
template <class R> constexpr Bits<R> SIGN = Bits<R>(1) << (8 * sizeof(R) - 1);

INLINE float infinity(float) { return from_bits(0x7f800000u); }
INLINE double infinity(double) { return from_bits(0x7ff0000000000000ull); }

// By value: a choice between two variables would choose between their addresses.
template <class T> INLINE T choose(bool condition, T yes, T no) { return condition ? yes : no; }

// Keeps the computation of `x` out of a branch: the compiler would make one of a choice between two results.
INLINE float computed(float x) { asm("" : "+f"(x)); return x; }
INLINE double computed(double x) { asm("" : "+d"(x)); return x; }

// The sign of `y` on `x` >= 0.
template <class R> INLINE R with_sign(R x, R y) { return from_bits(bits(x) | (bits(y) & SIGN<R>)); }

// min and max of the hardware drop a NaN; these keep a NaN in `x`.
template <class R> INLINE R at_most(R x, R end) { return x > end ? end : x; }
template <class R> INLINE R at_least(R x, R end) { return x < end ? end : x; }

// ½·3·2^FRACTION + bias. Adding it to a number of moderate size rounds that to an integer k, and leaves k + bias in the low bits
// of the sum.
template <class R> constexpr R EXPONENT_SHIFT = SINGLE<R> ? R(12582912.0 + 127.0) : R(6755399441055744.0 + 1023.0);

// 2^k of the sum k + EXPONENT_SHIFT, for -bias < k <= bias; 0 for k = -bias, infinity for k = bias + 1.
template <class R> INLINE R power_of_two(R sum) { return from_bits(bits(sum) << FRACTION<R>); }

// x * 2^k of the sum k + EXPONENT_SHIFT, |k| < 2 * bias - 2, rounded once where the result is subnormal and 1 <= |x| < 2.
template <class R> INLINE R scale(R x, R sum) {
  const i32 k = i32(bits(sum)) - i32(bits(EXPONENT_SHIFT<R>));
  const i32 half = k >> 1;
  const R first = from_bits(Bits<R>(half + BIAS<R>) << FRACTION<R>);
  const R second = from_bits(Bits<R>(k - half + BIAS<R>) << FRACTION<R>);
  return x * first * second;
}

template <class R, int N> INLINE R pair(R x, const R (&c)[N], int j) { return j + 1 < N ? fma(x, c[j + 1], c[j]) : c[j]; }

// sum of c[j] x^j with x2 = x²: pairs c[j] + c[j + 1] x, then Horner's rule in x².
template <class R, int N> INLINE R polynomial(R x, R x2, const R (&c)[N]) {
  R sum = pair(x, c, (N - 1) / 2 * 2);
#pragma unroll
  for (int j = (N - 1) / 2 * 2 - 2; j >= 0; j -= 2) sum = fma(sum, x2, pair(x, c, j));
  return sum;
}

// 1 / d for normal d whose reciprocal is normal, within 0.51 ulp; 0 where it is subnormal, NaN for a NaN.
INLINE float reciprocal(float d) {
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(d));
  return fma(fma(-d, r, 1.0f), r, r);
}
INLINE double reciprocal(double d) {
  double r;
  asm("rcp.approx.ftz.f64 %0, %1;" : "=d"(r) : "d"(d));
  double e = fma(-d, r, 1.0);
  e = fma(e, e, e);
  r = fma(e, r, r);
  return fma(fma(-d, r, 1.0), r, r);
}

// n / d within 0.51 ulp, under the conditions of `reciprocal` and where n / d is normal or n < d / 2^24 is exact.
INLINE float quotient(float n, float d) {
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(d));
  const float q = n * r;
  return fma(fma(-q, d, n), r, q);
}
INLINE double quotient(double n, double d) {
  double r;
  asm("rcp.approx.ftz.f64 %0, %1;" : "=d"(r) : "d"(d));
  double e = fma(-d, r, 1.0);
  e = fma(e, e, e);
  r = fma(e, r, r);
  const double q = n * r;
  return fma(fma(-q, d, n), r, q);
}
