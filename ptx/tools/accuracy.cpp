// The largest errors of the mathematical functions, as Markdown: their PTX, turned into C++ by accuracy.py, against libm (f32) and
// libquadmath (f64).
//
// accuracy STRIDE POINTS: every STRIDEth f32, POINTS numbers of f64 (and pairs of both). The results of approximate instructions are
// rounded correctly in a first run, and moved by up to the error that the PTX manual states in a second.
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <quadmath.h>
#include <random>
#include <vector>

using u32 = uint32_t;
using i32 = int32_t;
using u64 = uint64_t;
using i64 = int64_t;
using Quad = __float128;

template <class To, class From> static To pattern(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To y;
  memcpy(&y, &x, sizeof y);
  return y;
}
static float from_bits(u32 x) { return pattern<float>(x); }
static double from_bits(u64 x) { return pattern<double>(x); }
static double from_words(u32 low, u32 high) { return pattern<double>(u64(high) << 32 | low); }
static void to_words(double x, u32 &low, u32 &high) {
  low = u32(pattern<u64>(x));
  high = u32(pattern<u64>(x) >> 32);
}
static void to_words(u64 x, u32 &low, u32 &high) { to_words(pattern<double>(x), low, high); }

// An untyped move keeps the bits, everything else the value.
static void assign(float &y, float x) { y = x; }
static void assign(double &y, double x) { y = x; }
static void assign(float &y, u32 x) { y = pattern<float>(x); }
static void assign(double &y, u64 x) { y = pattern<double>(x); }
static void assign(u32 &y, float x) { y = pattern<u32>(x); }
static void assign(u64 &y, double x) { y = pattern<u64>(x); }
static void assign(u32 &y, u32 x) { y = x; }
static void assign(u32 &y, i32 x) { y = u32(x); }
static void assign(u32 &y, i64 x) { y = u32(x); }
static void assign(u64 &y, u64 x) { y = x; }
static void assign(u64 &y, i64 x) { y = u64(x); }
static void assign(bool &y, bool x) { y = x; }

template <class R> static R opaque(R x) {
  asm volatile("" : "+x"(x));
  return x;
}
enum Rounding { rz = FE_TOWARDZERO, rm = FE_DOWNWARD, rp = FE_UPWARD };
template <Rounding MODE, class F> static auto rounded(F f) {
  fesetround(MODE);
  const auto x = opaque(f());
  fesetround(FE_TONEAREST);
  return x;
}
static u32 multiplied_hi(u32 x, u32 y) { return u32(u64(x) * y >> 32); }
static u64 multiplied_hi(u64 x, u64 y) { return u64((unsigned __int128)x * y >> 64); }
static u64 multiplied_wide(u32 x, u32 y) { return u64(x) * y; }
static float abs_of(float x) { return std::fabs(x); }
static double abs_of(double x) { return std::fabs(x); }
template <class T> static T neg_of(T x) { return -x; }
template <class T> static T not_of(T x) { return ~x; }
static u32 clz_of(u32 x) { return x ? u32(__builtin_clz(x)) : 32; }
static u32 clz_of(u64 x) { return x ? u32(__builtin_clzll(x)) : 64; }
static float min_of(float x, float y) { return std::fmin(x, y); }
static double min_of(double x, double y) { return std::fmin(x, y); }
static float max_of(float x, float y) { return std::fmax(x, y); }
static double max_of(double x, double y) { return std::fmax(x, y); }
template <class T> static T min_of(T x, T y) { return x < y ? x : y; }
template <class T> static T max_of(T x, T y) { return x < y ? y : x; }
template <class T> static T shl_by(T x, u32 n) { return n < 8 * sizeof(T) ? x << n : 0; }
template <class T> static T shr_by(T x, u32 n) { return n < 8 * sizeof(T) ? x >> n : x < 0 ? T(-1) : T(0); }
static float saturated(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
static float sqrt_rn(float x) { return std::sqrt(x); }
static double sqrt_rn(double x) { return std::sqrt(x); }
static float rcp_rn(float x) { return 1 / x; }
static double rcp_rn(double x) { return 1 / x; }

// Whether approximate instructions are moved.
static bool moved;

// From −1 to 1 by the bits of a number, often an end.
static double displacement(double x) {
  if (!moved) return 0;
  const u64 hash = (pattern<u64>(x) ^ pattern<u64>(x) >> 29) * 0x9e3779b97f4a7c15ull;
  const double y = double(i64(hash ^ hash >> 31)) * 0x1p-62;
  return y > 1 ? 1 : y < -1 ? -1 : y;
}
static float flushed(float x) { return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }

// An exact value, moved by up to `ulps`, rounded.
template <bool FTZ> static float approximate(double exact, double x, double ulps) {
  if (!std::isfinite(exact) || exact == 0) return float(exact);
  const double y = exact + displacement(x) * ulps * std::ldexp(1.0, std::ilogb(exact) - 23);
  return FTZ ? flushed(float(y)) : float(y);
}
template <bool FTZ> static float rcp_approx(float x) {
  if (FTZ) x = flushed(x);
  // The reciprocal of a power of two is exact.
  const bool power = (pattern<u32>(x) & 0x7fffffu) == 0;
  return approximate<FTZ>(1.0 / double(x), x, power ? 0.0 : 0.5);
}
template <bool FTZ> static float ex2_approx(float x) {
  if (FTZ) x = flushed(x);
  return approximate<FTZ>(std::exp2(double(x)), x, 1.5);
}
template <bool FTZ> static float lg2_approx(float x) {
  if (FTZ) x = flushed(x);
  const double exact = std::log2(double(x));
  if (!std::isfinite(exact)) return float(exact);
  return float(exact + displacement(x) * 0x1p-22 * std::fmax(1.0, std::fabs(exact)));
}
// The upper half of a number in, the upper half out, relative error 2^−20.
static double upper(double x) { return pattern<double>(pattern<u64>(x) & 0xffffffff00000000ull); }
static double upper_approximation(double exact, double x) {
  if (std::fabs(exact) < 0x1p-1022) return std::copysign(0.0, exact);
  return std::isfinite(exact) ? upper(exact + exact * displacement(x) * 0x1p-21) : exact;
}
template <bool FTZ> static double rcp_approx(double x) { return upper_approximation(1 / upper(x), x); }
template <bool FTZ> static double rsqrt_approx(double x) { return upper_approximation(1 / std::sqrt(upper(x)), x); }

template <class R> struct Macro {
  const char *name;
  int arguments, instructions;
  R (*function)(R, R);
};
#include FUNCTIONS

template <class W, W (*LIBM)(W)> static W one(W a, W) { return LIBM(a); }
template <class W> struct Reference {
  const char *name;
  W (*function)(W, W);
  double low, high;  // where it is not trivial
};
static double sigmoid(double x, double) { return 1 / (1 + std::exp(-x)); }
static double softplus(double x, double) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }
static double inverse(double x, double) { return 1 / x; }
static Quad sigmoid(Quad x, Quad) { return 1 / (1 + expq(-x)); }
static Quad softplus(Quad x, Quad) { return x > 0 ? x + log1pq(expq(-x)) : log1pq(expq(x)); }
static Quad inverse(Quad x, Quad) { return 1 / x; }
#define BOTH(NAME, LOW, HIGH) {#NAME, one<double, ::NAME>, LOW, HIGH}
static const Reference<double> LIBM[] = {
    BOTH(exp, -110, 92), BOTH(expm1, -30, 92), BOTH(log, 0, 4), BOTH(log1p, -1, 3), BOTH(sqrt, 0, 4), BOTH(cbrt, -9, 9),
    BOTH(sin, -60, 60), BOTH(cos, -60, 60), BOTH(tan, -60, 60), BOTH(atan, -9, 9), BOTH(sinh, -92, 92), BOTH(cosh, -92, 92),
    BOTH(tanh, -12, 12), {"sigmoid", sigmoid, -110, 40}, {"softplus", softplus, -110, 40}, {"recip", inverse, -4, 4},
    {"pow", ::pow, 0, 20}, {"atan2", ::atan2, -4, 4}, {"hypot", ::hypot, -4, 4}};
#define QUAD(NAME, LOW, HIGH) {#NAME, one<Quad, ::NAME##q>, LOW, HIGH}
static const Reference<Quad> QUADMATH[] = {
    QUAD(exp, -760, 720), QUAD(expm1, -50, 720), QUAD(log, 0, 4), QUAD(log1p, -1, 3), QUAD(sqrt, 0, 4), QUAD(cbrt, -9, 9),
    QUAD(sin, -60, 60), QUAD(cos, -60, 60), QUAD(tan, -60, 60), QUAD(atan, -9, 9), QUAD(sinh, -720, 720), QUAD(cosh, -720, 720),
    QUAD(tanh, -25, 25), {"sigmoid", sigmoid, -760, 50}, {"softplus", softplus, -760, 50}, {"recip", inverse, -4, 4},
    {"pow", ::powq, 0, 20}, {"atan2", ::atan2q, -4, 4}, {"hypot", ::hypotq, -4, 4}};

// Error in units of the last place of the exact value; infinite where one of the two is NaN, or a zero has the wrong sign.
template <class R, class W> static double ulps(R y, W exact, bool flushes) {
  constexpr int LARGEST = sizeof(R) == 4 ? 128 : 1024, SMALLEST = sizeof(R) == 4 ? -126 : -1022, DIGITS = sizeof(R) == 4 ? 23 : 52;
  if (exact != exact || y != y) return (exact != exact) == (y != y) ? 0 : INFINITY;
  const W end = W(std::ldexp(1.0, LARGEST - 1)) * 2;
  W given = y == R(INFINITY) ? end : y == R(-INFINITY) ? -end : W(y);
  exact = exact > end ? end : exact < -end ? -end : exact;
  if (exact == 0) return given == 0 && std::signbit(y) == std::signbit(double(exact)) ? 0 : INFINITY;
  int exponent = exact == end || exact == -end ? LARGEST : std::ilogb(double(exact)) + 1;
  if (sizeof(R) == 8 && double(exact) == 0) exponent = SMALLEST;
  if (exponent <= SMALLEST && flushes) return y >= 0 && y <= std::ldexp(R(1), SMALLEST) ? 0 : INFINITY;
  exponent = exponent - 1 < SMALLEST ? SMALLEST : exponent - 1;
  W difference = given > exact ? given - exact : exact - given;
  for (int scale = exponent - DIGITS; scale != 0;) {  // in steps that ldexp of a double can take
    const int step = scale > 1000 ? 1000 : scale < -1000 ? -1000 : scale;
    difference *= W(std::ldexp(1.0, -step));
    scale -= step;
  }
  return double(difference);
}

template <class R> struct Worst { double error = 0; R a = 0, b = 0; };

template <class R, class W> static void check(const Macro<R> &macro, const Reference<W> &reference, R a, R b, Worst<R> &worst) {
  const bool flushes = !strcmp(macro.name, "sigmoid");
  const double error = ulps(macro.function(a, b), reference.function(W(a), W(b)), flushes);
  if (!(error <= worst.error)) worst = {error, a, b};
}

template <class R, class W> static Worst<R> measure(const Macro<R> &macro, const Reference<W> &reference, u64 stride, u64 points) {
  Worst<R> worst;
  std::mt19937_64 random(1);
  const R least = sizeof(R) == 4 ? R(0x1p-126) : R(0x1p-1022), tiny = sizeof(R) == 4 ? R(0x1p-149) : R(0x1p-1074);
  std::vector<R> special = {0, R(0.25), R(1) / 3, R(0.5), 1, R(1.5), 2, 3, 4, 5, R(1e7) + 1, R(1e10), R(INFINITY), R(NAN), least, tiny, least - tiny, 1 / least};
  for (size_t i = special.size(); i-- > 0;) special.push_back(-special[i]);
  for (R a : special)
    for (R b : special) check(macro, reference, a, b, worst);
  auto any = [&] {
    if constexpr (sizeof(R) == 4) return from_bits(u32(random()));
    else return from_bits(u64(random()));
  };
  auto between = [&](double low, double high) { return R(low + (high - low) * double(random() >> 11) * 0x1p-53); };
  if (macro.arguments == 1 && sizeof(R) == 4) {
    for (u64 x = 0; x < 1ull << 32; x += stride) check<R, W>(macro, reference, R(from_bits(u32(x))), R(0), worst);
    return worst;
  }
  for (u64 i = 0; i < points; ++i) {
    if (macro.arguments == 1) {
      check(macro, reference, R(any()), R(0), worst);
      check(macro, reference, between(reference.low, reference.high), R(0), worst);
      check(macro, reference, between(-1, 1), R(0), worst);
    } else {
      check(macro, reference, R(any()), R(any()), worst);
      check(macro, reference, between(reference.low, reference.high), between(-40, 40), worst);
      check(macro, reference, between(0.9, 1.1), between(-1000, 1000), worst);
      check(macro, reference, R(std::fabs(any())), between(-2, 2), worst);
      const R a = any();
      check(macro, reference, a, R(a * between(-4, 4)), worst);
    }
  }
  return worst;
}

template <class R, class W, size_t N> static void table(const char *precision, const Macro<R> (&macros)[N], const Reference<W> (&references)[N], u64 stride, u64 points) {
  for (size_t i = 0; i < N; ++i) {
    if (strcmp(macros[i].name, references[i].name)) exit(2);
    Worst<R> worst[2];
    for (int k = 0; k < 2; ++k) {
      moved = k;
      worst[k] = measure(macros[i], references[i], stride, points);
    }
    printf("| `%s` %s | %d | %.2f | %.2f | %.9g", macros[i].name, precision, macros[i].instructions, worst[0].error, worst[1].error, double(worst[1].a));
    if (macros[i].arguments == 2) printf(", %.9g", double(worst[1].b));
    puts(" |");
    fflush(stdout);
  }
}

int main(int count, char **arguments) {
  if (count != 3) return fprintf(stderr, "accuracy STRIDE POINTS\n"), 2;
  const u64 stride = strtoull(arguments[1], nullptr, 10), points = strtoull(arguments[2], nullptr, 10);
  puts("| function | instructions | ulps | ulps, approximations moved | at |\n|---|---|---|---|---|");
  table("f32", F32, LIBM, stride, points);
  table("f64", F64, QUADMATH, stride, points);
}
