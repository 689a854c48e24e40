/* Activations and their gradients over flat arrays.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64, and MATH(tanh) is
 * tanhf or tanh.  The compiler turns the loops of relu and leaky_relu into vectors; sigmoid, SiLU and GELU are written
 * with them, around one exponential function.
 */

static void NAME(relu)(const REAL *x, REAL *y, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        y[i] = x[i] < 0 ? 0 : x[i];             /* this way round NaN stays NaN */
}

/* dx = dy where the ReLU let its input through.  y > 0 says where, so the input itself need not be kept. */
static void NAME(relu_backward)(const REAL *dy, const REAL *y, REAL *dx, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        dx[i] = y[i] > 0 ? dy[i] : 0;
}

static void NAME(leaky_relu)(const REAL *x, REAL slope, REAL *y, ptrdiff_t count)
{
    if (slope == 0) {                           /* 0 times -infinity would be NaN */
        NAME(relu)(x, y, count);
        return;
    }
    for (ptrdiff_t i = 0; i < count; i++)
        y[i] = x[i] < 0 ? slope * x[i] : x[i];
}

static void NAME(leaky_relu_backward)(const REAL *dy, const REAL *y, REAL slope, REAL *dx, ptrdiff_t count)
{
    if (slope == 0) {
        NAME(relu_backward)(dy, y, dx, count);
        return;
    }
    for (ptrdiff_t i = 0; i < count; i++)
        dx[i] = y[i] > 0 ? dy[i] : slope * dy[i];
}

static void NAME(tanh)(const REAL *x, REAL *y, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        y[i] = MATH(tanh)(x[i]);
}

static void NAME(tanh_backward)(const REAL *dy, const REAL *y, REAL *dx, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        dx[i] = dy[i] * ((1 - y[i]) * (1 + y[i]));
}

/* The bits of a vector as integers, and back. */
ALWAYS_INLINE mask NAME(bits)(vec v)
{
    mask bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

ALWAYS_INLINE vec NAME(from_bits)(mask bits)
{
    vec v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* exp(x) for x <= 0: with n the whole number next to x / ln 2 and r = x - n ln 2 it is 2^n exp(r), and for |r| up to
 * ln(2) / 2 so many terms of the series sum_k r^k / k! are enough.  Adding 1.5 * 2^(bits of the mantissa) rounds to n,
 * whose bits then are the lowest.  ln 2 is taken off in two parts, the first with so few digits that n times it is
 * exact.  Results below the smallest normal number are 0. */
ALWAYS_INLINE vec NAME(exp_below_0)(vec x)
{
    const int is_float = sizeof(REAL) == 4, terms = is_float ? 7 : 13, mantissa = is_float ? 23 : 52;
    const INTEGER bias = is_float ? 127 : 1023;
    const REAL least = (REAL)(is_float ? -87.0 : -708.0);
    const vec zero = {0}, rounding = zero + (REAL)(is_float ? 0x1.8p23 : 0x1.8p52);
    const REAL ln_2 = (REAL)(is_float ? 0x1.62e4p-1 : 0x1.62e42fee00000p-1);
    const REAL rest = (REAL)(is_float ? 0x1.7f7d1cf79abcap-20 : 0x1.a39ef35793c76p-33);
    const vec taken = NAME(select)(x >= least, x, zero);           /* not NaN either */
    const vec shifted = taken * (REAL)1.44269504088896340736 + rounding, n = shifted - rounding;
    const vec r = (taken - n * ln_2) - n * rest;
    vec sum = zero + 1;
    UNROLL for (int k = terms; k > 0; k--)
        sum = sum * (r * (REAL)(1.0 / k)) + 1;
    const vec power = NAME(from_bits)((NAME(bits)(shifted) - NAME(bits)(rounding) + bias) << mantissa);
    return NAME(select)(x < least, zero, NAME(select)(x == x, sum * power, x));
}

/* a * b, but 0 where b has vanished, however large a is: what the products below tend to far from 0. */
ALWAYS_INLINE vec NAME(vanishing)(vec a, vec b)
{
    return NAME(select)(b == 0, (vec){0}, a * b);
}

/* |x|, and NaN for NaN. */
ALWAYS_INLINE vec NAME(magnitude)(vec x)
{
    return NAME(select)(x < 0, -x, x);
}

/* The logistic function 1 / (1 + exp(-x)) and its derivative, from one exponential: that of -|x|, which never
 * overflows. */
ALWAYS_INLINE vec NAME(logistic)(vec x, vec *derivative)
{
    const vec e = NAME(exp_below_0)(-NAME(magnitude)(x)), part = 1 / (1 + e);
    *derivative = e * part * part;
    return NAME(select)(x < 0, e * part, part);
}

/* The share of its input that GELU lets through, and the derivative of that share times x.
 *
 * Exactly, it is the normal distribution function.  Left of 0 that is exp(-x^2 / 2) times a function which decreases
 * slowly: for float a polynomial in t = 1 / (1 + |x| / 4), fitted to 4e-8 of it; for double the C library's erfc,
 * which has it inside, gives the share itself.  Right of 0 it is 1 minus the share of -x.
 *
 * Its tanh form is (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), so the logistic
 * function computes it. */
ALWAYS_INLINE vec NAME(left_share)(vec distance, vec bell)
{
    static const double polynomial[] = {
        0.09973556672, 0.09973643159, 0.09346635606, 0.08160310054, 0.05897519417,
        0.06369897996, -0.03171729777, 0.09559686178, -0.08087719371, 0.01978198374,
    };
    if (sizeof(REAL) == 8) {
        REAL each[VECTOR_LENGTH];
        vec share;
        memcpy(each, &distance, sizeof each);
        for (int i = 0; i < VECTOR_LENGTH; i++)
            each[i] = MATH(erfc)((REAL)0.70710678118654752440 * each[i]) / 2;
        memcpy(&share, each, sizeof each);
        return share;
    }
    const vec t = 1 / (1 + distance / 4);
    vec sum = {0};
    UNROLL for (int k = (int)(sizeof polynomial / sizeof polynomial[0]) - 1; k >= 0; k--)
        sum = sum * t + (REAL)polynomial[k];
    return bell * (t * sum);
}

ALWAYS_INLINE vec NAME(gelu_share)(vec x, int tanh_form, vec *derivative_times_x)
{
    const REAL density_at_0 = (REAL)0.39894228040143267794;
    const REAL twice_sqrt_2_over_pi = (REAL)1.59576912160573071176, cubic = (REAL)0.044715;
    if (!tanh_form) {
        const vec bell = NAME(exp_below_0)((REAL)-0.5 * x * x), left = NAME(left_share)(NAME(magnitude)(x), bell);
        *derivative_times_x = NAME(vanishing)(x, density_at_0 * bell);
        return NAME(select)(x < 0, left, 1 - left);
    }
    vec derivative;
    const vec share = NAME(logistic)(x * (twice_sqrt_2_over_pi * (1 + cubic * x * x)), &derivative);
    *derivative_times_x = NAME(vanishing)(x * (twice_sqrt_2_over_pi * (1 + 3 * cubic * x * x)), derivative);
    return share;
}

ALWAYS_INLINE vec NAME(sigmoid_vec)(vec x)
{
    vec derivative;
    return NAME(logistic)(x, &derivative);
}

ALWAYS_INLINE vec NAME(silu_vec)(vec x)
{
    return NAME(vanishing)(x, NAME(sigmoid_vec)(x));
}

ALWAYS_INLINE vec NAME(silu_slope)(vec x)
{
    vec derivative;
    const vec share = NAME(logistic)(x, &derivative);
    return share + NAME(vanishing)(x, derivative);
}

ALWAYS_INLINE vec NAME(gelu_vec)(vec x, int tanh_form)
{
    vec unused;
    return NAME(vanishing)(x, NAME(gelu_share)(x, tanh_form, &unused));
}

ALWAYS_INLINE vec NAME(gelu_slope)(vec x, int tanh_form)
{
    vec derivative_times_x;
    const vec share = NAME(gelu_share)(x, tanh_form, &derivative_times_x);
    return share + derivative_times_x;
}

static void NAME(sigmoid)(const REAL *x, REAL *y, ptrdiff_t numbers)
{
    FOR_VECTORS(numbers, NAME(store)(y + c, NAME(sigmoid_vec)(NAME(load)(x + c, count)), count));
}

static void NAME(sigmoid_backward)(const REAL *dy, const REAL *y, REAL *dx, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        dx[i] = dy[i] * (y[i] * (1 - y[i]));
}

static void NAME(silu)(const REAL *x, REAL *y, ptrdiff_t numbers)
{
    FOR_VECTORS(numbers, NAME(store)(y + c, NAME(silu_vec)(NAME(load)(x + c, count)), count));
}

static void NAME(silu_backward)(const REAL *dy, const REAL *x, REAL *dx, ptrdiff_t numbers)
{
    FOR_VECTORS(numbers, NAME(store)(dx + c, NAME(load)(dy + c, count) * NAME(silu_slope)(NAME(load)(x + c, count)),
                                     count));
}

static void NAME(gelu)(const REAL *x, int tanh_form, REAL *y, ptrdiff_t numbers)
{
    if (tanh_form)
        FOR_VECTORS(numbers, NAME(store)(y + c, NAME(gelu_vec)(NAME(load)(x + c, count), 1), count));
    else
        FOR_VECTORS(numbers, NAME(store)(y + c, NAME(gelu_vec)(NAME(load)(x + c, count), 0), count));
}

static void NAME(gelu_backward)(const REAL *dy, const REAL *x, int tanh_form, REAL *dx, ptrdiff_t numbers)
{
#define GELU_SLOPES(tanh_form)                                                                        \
    FOR_VECTORS(numbers, NAME(store)(dx + c, NAME(load)(dy + c, count)                                \
                                     * NAME(gelu_slope)(NAME(load)(x + c, count), tanh_form), count))
    if (tanh_form)
        GELU_SLOPES(1);
    else
        GELU_SLOPES(0);
#undef GELU_SLOPES
}
