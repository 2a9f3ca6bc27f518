// One kernel for each function of each precision, from which the build takes the instructions between the markers.
#include "math/exponential.cuh"
#include "math/logarithm.cuh"
#include "math/trigonometric.cuh"

INLINE void argument(float &x) { asm volatile("@argument %0;" : "=f"(x)); }
INLINE void argument(double &x) { asm volatile("@argument %0;" : "=d"(x)); }
INLINE void result(float x) { asm volatile("@result %0;" ::"f"(x)); }
INLINE void result(double x) { asm volatile("@result %0;" ::"d"(x)); }

template <class R> INLINE R square_root(R x) { return sqrt(x); }
INLINE float inverse(float x) { return __frcp_rn(x); }
INLINE double inverse(double x) { return __drcp_rn(x); }

#define ONE_OF(R, PRECISION, NAME, FUNCTION) \
  extern "C" __global__ void NAME##_##PRECISION() { \
    R a; \
    argument(a); \
    result(FUNCTION(a)); \
  }
#define TWO_OF(R, PRECISION, NAME, FUNCTION) \
  extern "C" __global__ void NAME##_##PRECISION() { \
    R a, b; \
    argument(a); \
    argument(b); \
    result(FUNCTION(a, b)); \
  }
#define FUNCTIONS(R, PRECISION) \
  ONE_OF(R, PRECISION, exp, exponential) \
  ONE_OF(R, PRECISION, expm1, exponential_minus_one) \
  ONE_OF(R, PRECISION, log, logarithm) \
  ONE_OF(R, PRECISION, log1p, log1p) \
  ONE_OF(R, PRECISION, sqrt, square_root) \
  ONE_OF(R, PRECISION, cbrt, cbrt) \
  ONE_OF(R, PRECISION, sin, sine) \
  ONE_OF(R, PRECISION, cos, cosine) \
  ONE_OF(R, PRECISION, tan, tangent) \
  ONE_OF(R, PRECISION, atan, atan) \
  ONE_OF(R, PRECISION, sinh, hyperbolic_sine) \
  ONE_OF(R, PRECISION, cosh, hyperbolic_cosine) \
  ONE_OF(R, PRECISION, tanh, hyperbolic_tangent) \
  ONE_OF(R, PRECISION, sigmoid, logistic) \
  ONE_OF(R, PRECISION, softplus, soft_plus) \
  ONE_OF(R, PRECISION, recip, inverse) \
  TWO_OF(R, PRECISION, pow, pow) \
  TWO_OF(R, PRECISION, atan2, atan2) \
  TWO_OF(R, PRECISION, hypot, hypot)

FUNCTIONS(float, f32)
FUNCTIONS(double, f64)
