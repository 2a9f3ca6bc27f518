// sin, cos, tan.
//
// |x| = k π + r with |r| <= π/2 (cos: k + ½; tan: k π/2 + r), then an odd polynomial in r with the sign of (−1)^k.
#pragma once
#include "real.cuh"

// Largest |x| that is reduced by subtraction: it keeps 2k + 1 below 2^13 (2^20).
template <class R> constexpr R NEAR = SINGLE<R> ? R(1e4) : R(1e6);
// Half of NEAR's exponent shift: the low bit of the sum is that of k.
template <class R> constexpr R INTEGER_SHIFT = SINGLE<R> ? R(12582912.0) : R(6755399441055744.0);

// a − k π with π in three parts; `unit` is 1 or ½, a factor of π.
template <class R> INLINE R subtract_pi(R a, R k, R unit) {
  R r = fma(k, -unit * pick<R>(3.141592502593994, 3.141592653589793), a);
  r = fma(k, -unit * pick<R>(1.5099578831723193e-7, 1.224646799147353e-16), r);
  return fma(k, -unit * pick<R>(1.078060505991553e-14, 2.1657133478438278e-32), r);
}

// w[i] of a table of words that never leaves registers, i from `first` on, by halving the choice.
template <int STEP, int LENGTH, int COUNT, class Word> INLINE void halve(u32 first, Word (&w)[LENGTH]) {
#pragma unroll
  for (int i = 0; i < LENGTH - STEP; ++i)
    if (i < COUNT + STEP - 1) w[i] = choose((first & STEP) != 0, w[i + STEP], w[i]);
  if constexpr (STEP > 1) halve<STEP / 2, LENGTH, COUNT>(first, w);
}

// `COUNT` words of a table's bits from `position` on.
template <int STEP, class Word, int LENGTH, int COUNT> INLINE void window(Word (&w)[LENGTH], u32 position, Word (&out)[COUNT]) {
  constexpr u32 WIDTH = 8 * sizeof(Word);
  halve<STEP, LENGTH, COUNT + 1>(position / WIDTH, w);
  const u32 shift = position % WIDTH;
#pragma unroll
  for (int i = 0; i < COUNT; ++i) out[i] = w[i] << shift | w[i + 1] >> 1 >> (WIDTH - 1 - shift);
}

// a 2^e / π = K + F/2^64 (f32) or K + F/2^128 (f64), K mod 2 in `odd`: the method of Payne and Hanek (1983).
//
// Bits of 1/π whose product with a is a multiple of 2 are left out, and so are those below 2^−94 (2^−190) of it.
INLINE void far_quotient(float a, u32 e, u32 &odd, u64 &fraction) {
  u32 table[8] = {0, 0x517cc1b7, 0x27220a94, 0xfe13abe8, 0xfa9a6ee0, 0x6db14acc, 0x9e21c820, 0xff28b1d5};
  const u32 m = (bits(a) & 0x7fffffu) | 0x800000u;
  u32 w[3];
  window<4>(table, (bits(a) >> 23) - 127 - 23 + e + 31, w);
  const u64 t = (u64(m * w[0]) << 32) + u64(m) * w[1] + __umulhi(m, w[2]);
  odd = u32(t >> 63);
  fraction = t << 1;
}
INLINE void far_quotient(double a, u32 e, u32 &odd, u64 &high, u64 &low) {
  u64 table[21] = {0,
                         0x517cc1b727220a94ull, 0xfe13abe8fa9a6ee0ull, 0x6db14acc9e21c820ull, 0xff28b1d5ef5de2b0ull,
                         0xdb92371d2126e970ull, 0x0324977504e8c90eull, 0x7f0ef58e5894d39full, 0x74411afa975da242ull,
                         0x74ce38135a2fbf20ull, 0x9cc8eb1cc1a99cfaull, 0x4e422fc5defc941dull, 0x8ffc4bffef02cc07ull,
                         0xf79788c5ad05368full, 0xb69b3f6793e584dbull, 0xa7a31fb34f2ff516ull, 0xba93dd63f5f2f8bdull,
                         0x9e839cfbc5294975ull, 0x35fdafd88fc6ae84ull, 0x2b0198237e3db5d5ull, 0xf867de104d7a1b0eull};
  const u64 m = (bits(a) & 0xfffffffffffffull) | 0x10000000000000ull;
  u64 w[3];
  window<16>(table, u32(bits(a) >> 52) - 1023 - 52 + e + 63, w);
  const u64 middle = m * w[1];
  const u64 bottom = middle + __umul64hi(m, w[2]);
  const u64 top = m * w[0] + __umul64hi(m, w[1]) + (bottom < middle);
  odd = u32(top >> 63);
  high = top << 1 | bottom >> 63;
  low = bottom << 1;
}

// r and the parity of k of a = (k + offset) π / 2^e + r, |r| <= π / 2^{e+1}, offset 0 or ½; NaN for ∞ and NaN.
template <class R> struct Angle { R r; u32 odd; };

INLINE Angle<float> far_angle(float a, u32 e, bool offset) {
  u32 odd;
  u64 fraction;
  far_quotient(a, e, odd, fraction);
  if (offset) {
    odd ^= u32(~fraction >> 63);
    fraction ^= 1ull << 63;
  }
  odd ^= u32(fraction >> 63);
  const double unit = e ? 8.515303950216386e-20 : 1.7030607900432772e-19;  // π / 2^{e+64}
  const float r = float(double(i64(fraction)) * unit);
  return {a < infinity(a) ? r : a - a, odd};
}
INLINE Angle<double> far_angle(double a, u32 e, bool offset) {
  u32 odd;
  u64 high, low;
  far_quotient(a, e, odd, high, low);
  if (offset) {
    odd ^= u32(~high >> 63);
    high ^= 1ull << 63;
  }
  const bool negative = i64(high) < 0;
  odd ^= u32(high >> 63);
  if (negative) {
    high = ~high;
    low = ~low;
  }
  const int zeros = __clzll(i64(high));
  const u64 digits = high << zeros | low >> 1 >> (63 - zeros);
  // π / 2^{e+64+zeros} times the digits in two parts, neither of which is rounded.
  const double unit = from_bits(u64(1023 - 64 - int(e) - zeros) << 52);
  const double first = double(digits & ~2047ull) * unit, second = double(digits & 2047ull) * unit;
  const double r = fma(first, 3.141592653589793, fma(first, 1.2246467991473532e-16, second * 3.141592653589793));
  return {a < infinity(a) ? (negative ? -r : r) : a - a, odd};
}

// sin r = r + r³ S(r²) for |r| <= π/2, relative error 2^−35 and 2^−61.6. Near π/2 the rounding of S's last step is the larger
// part of the error: it is Horner's.
INLINE float odd_polynomial(float r) {
  const float z = r * r;
  float s = fma(fma(z, -2.3887749e-8f, 2.752532e-6f), z, -0.00019840867f);
  s = fma(fma(s, z, 0.008333327f), z, -0.16666666f);
  return fma(r * z, s, r);
}
INLINE double odd_polynomial(double r) {
  const double c[7] = {0.008333333333333193,  -0.0001984126984120885,   2.755731921107211e-6,  -2.5052106866681215e-8,
                       1.605893939083619e-10, -7.642983107297691e-13, 2.7210848642335853e-15};
  const double z = r * r;
  const double s = fma(polynomial(z, z * z, c), z, -0.16666666666666666);
  return fma(r * z, s, r);
}

// cos r = 1 − r²/2 + r⁴ C(r²) for |r| <= π/4; the coefficients of Cephes' sincosf.c and fdlibm's k_cos.c.
INLINE float even_polynomial(float r) {
  const float z = r * r;
  const float c = fma(fma(z, 2.443315711809948e-5f, -1.388731625493765e-3f), z, 4.166664568298827e-2f);
  return fma(z * z, c, fma(z, -0.5f, 1.0f));
}
INLINE double even_polynomial(double r) {
  const double c[6] = {4.16666666666666019037e-2,   -1.38888888888741095749e-3, 2.48015872894767294178e-5,
                       -2.75573143513906633035e-7, 2.08757232129817482790e-9, -1.13596475577881948265e-11};
  const double z = r * r, z2 = z * z;
  const double half = 0.5 * z, w = 1.0 - half;
  return w + ((1.0 - w) - half + z2 * polynomial(z, z2, c));
}

template <class R> INLINE R flip(R x, u32 odd) { return from_bits(bits(x) ^ Bits<R>(odd) << (8 * sizeof(R) - 1)); }

template <class R> INLINE R sine(R x) {
  const R a = fabs(x);
  const R sum = fma(a, R(0.3183098861837907), INTEGER_SHIFT<R>);
  Angle<R> t = {subtract_pi(a, sum - INTEGER_SHIFT<R>, R(1)), u32(bits(sum))};
  if (!(a <= NEAR<R>)) t = far_angle(a, 0, false);
  return flip(from_bits(bits(odd_polynomial(t.r)) ^ (bits(x) & SIGN<R>)), t.odd);
}

template <class R> INLINE R cosine(R x) {
  const R a = fabs(x);
  const R sum = fma(a, R(0.3183098861837907), R(-0.5)) + INTEGER_SHIFT<R>;
  Angle<R> t = {subtract_pi(a, sum - INTEGER_SHIFT<R> + R(0.5), R(1)), u32(bits(sum))};
  if (!(a <= NEAR<R>)) t = far_angle(a, 0, true);
  // cos((k + ½) π + r) = −(−1)^k sin r
  return flip(-odd_polynomial(t.r), t.odd);
}

template <class R> INLINE R tangent(R x) {
  const R a = fabs(x);
  const R sum = fma(a, R(0.6366197723675814), INTEGER_SHIFT<R>);
  Angle<R> t = {subtract_pi(a, sum - INTEGER_SHIFT<R>, R(0.5)), u32(bits(sum))};
  if (!(a <= NEAR<R>)) t = far_angle(a, 1, false);
  const R s = odd_polynomial(t.r), c = even_polynomial(t.r);
  // tan(r + π/2) = −1 / tan r
  const bool odd = t.odd & 1;
  const R y = quotient(odd ? -c : s, odd ? s : c);
  return from_bits(bits(y) ^ (bits(x) & SIGN<R>));
}
