/* Activations, on vectors. `a` is the parameter. NaN passes through all of them. */

INLINE vec threshold(vec z) { return choose(less_equal(set1(0), z), set1(1), set1(0)); }
INLINE vec relu(vec z) { return choose(less_equal(z, set1(0)), set1(0), z); }
INLINE vec leaky_relu(vec z, vec a) { return choose(less(set1(0), z), z, a * z); }

INLINE vec elu(vec z, vec a) {
  const vec below = a * expm1_bounded(at_least(z, set1(-87))); /* not looked at for z > 0 */
  return choose(less(set1(0), z), z, below);
}

/* Above 0 and below it. */
#define SELU_ABOVE ((real)1.05070098735548049342)
#define SELU_BELOW ((real)1.75809934084737685994)
INLINE vec selu(vec z) {
  const vec below = SELU_BELOW * expm1_bounded(at_least(z, set1(-87)));
  return choose(less(set1(0), z), SELU_ABOVE * z, below);
}

INLINE vec silu(vec z) { return times_sigmoid(at_least(z, set1(-FURTHEST)), z); }

/* The argument of the sigmoid, 2 sqrt(2/pi) (z + 0.044715 z^3). */
#define GELU_SCALE ((real)1.59576912160573071176)
#define GELU_CUBIC ((real)0.044715)
INLINE vec gelu_tanh_inner(vec z) {
  return GELU_SCALE * z * fma_(z * z, set1(GELU_CUBIC), set1(1));
}
INLINE vec gelu_tanh(vec z) {
  const vec near = at_least(z, set1(-30)); /* the sigmoid is 0 from there, ... */
  return times_sigmoid(near, gelu_tanh_inner(at_most(near, set1(30)))); /* and 1 */
}
