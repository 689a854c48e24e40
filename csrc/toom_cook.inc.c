/* The transforms of Toom-Cook: y = output @ ((kernel @ g) * (input @ x)), see npcnn/toom_cook.py.
 *
 * Four outputs of a 1-D convolution with 3 (5) taps come from 6 (8) values, one per point, and as many
 * products.  Here are the sums before and behind those products.  They run over channels, which lie
 * side by side, so each is a handful of vector additions and multiplications by constants.
 *
 * The points come in pairs +-a.  The rows of their tables differ only in the sign of the odd
 * coefficients, so a pair costs one sum over the even and one over the odd.  The compiler knows every
 * coefficient: multiplications by 1 and terms with 0 vanish.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64.
 */

#define TOOM_COOK_OUTPUTS 4
#define TOOM_COOK_MOST_POINTS 8

/* sum += coefficient * v, for a coefficient the compiler knows. */
#undef ADD_TERM
#define ADD_TERM(sum, coefficient, v)                                                                 \
    do {                                                                                              \
        if ((coefficient) == 1)                                                                       \
            sum += (v);                                                                               \
        else if ((coefficient) != 0)                                                                  \
            sum += (REAL)(coefficient) * (v);                                                         \
    } while (0)

/* The terms with even (first = 0) or odd (first = 1) powers of one row of a table. */
ALWAYS_INLINE vec NAME(every_second)(const int first, const int terms, const double *row, const vec *term)
{
    vec sum = {0};
    UNROLL for (int k = first; k < terms; k += 2)
        ADD_TERM(sum, row[k], term[k]);
    return sum;
}

/* values = table @ terms: from pixels to points. */
ALWAYS_INLINE void NAME(to_points)(const int points, const int terms, const double *table,
                                   const vec *term, vec *value)
{
    const double *infinity = table + (points - 1) * terms;
    value[0] = NAME(every_second)(0, terms, table, term) + NAME(every_second)(1, terms, table, term);
    UNROLL for (int p = 1; p < points - 1; p += 2) {
        const vec even = NAME(every_second)(0, terms, table + p * terms, term);
        const vec odd = NAME(every_second)(1, terms, table + p * terms, term);
        value[p] = even + odd;
        value[p + 1] = even - odd;
    }
    value[points - 1] = NAME(every_second)(0, terms, infinity, term) + NAME(every_second)(1, terms, infinity, term);
}

/* outputs = table @ values: from points to pixels. */
ALWAYS_INLINE void NAME(from_points)(const int points, const int outputs, const double *table,
                                     const vec *value, vec *output)
{
    vec sum[TOOM_COOK_MOST_POINTS], difference[TOOM_COOK_MOST_POINTS];
    UNROLL for (int p = 1; p < points - 1; p += 2) {
        sum[p] = value[p] + value[p + 1];
        difference[p] = value[p] - value[p + 1];
    }
    UNROLL for (int i = 0; i < outputs; i++) {
        vec total = {0};
        ADD_TERM(total, table[i * points], value[0]);
        UNROLL for (int p = 1; p < points - 1; p += 2) {
            if (i % 2 == 0)
                ADD_TERM(total, table[i * points + p], sum[p]);
            else
                ADD_TERM(total, table[i * points + p], difference[p]);
        }
        ADD_TERM(total, table[i * points + points - 1], value[points - 1]);
        output[i] = total;
    }
}

/* Load or store `count` numbers; a whole vector of them where `whole`, which the compiler knows. */
ALWAYS_INLINE vec NAME(load)(const int whole, const REAL *from, ptrdiff_t count)
{
    if (whole)
        return *(const vec_unaligned *)from;
    REAL padded[VECTOR_LENGTH] = {0};
    for (ptrdiff_t c = 0; c < count; c++)
        padded[c] = from[c];
    return *(const vec_unaligned *)padded;
}

ALWAYS_INLINE void NAME(store)(const int whole, REAL *to, vec v, ptrdiff_t count)
{
    if (whole) {
        *(vec_unaligned *)to = v;
        return;
    }
    REAL padded[VECTOR_LENGTH];
    *(vec_unaligned *)padded = v;
    for (ptrdiff_t c = 0; c < count; c++)
        to[c] = padded[c];
}

/* v[p] = table[p] @ x for up to a vector of channels.  `inside` says that all the pixels exist. */
ALWAYS_INLINE void NAME(split_vector)(const int whole, const int inside, const int points, const int terms,
                                      const double *table, const REAL *x, ptrdiff_t x_step,
                                      ptrdiff_t begin, ptrdiff_t end, ptrdiff_t count,
                                      REAL *v, ptrdiff_t v_step)
{
    vec term[TOOM_COOK_MOST_POINTS], value[TOOM_COOK_MOST_POINTS];
    UNROLL for (int k = 0; k < terms; k++) {
        term[k] = (vec){0};
        if (inside || (k >= begin && k < end))
            term[k] = NAME(load)(whole, x + k * x_step, count);
    }
    NAME(to_points)(points, terms, table, term, value);
    UNROLL for (int p = 0; p < points; p++)
        NAME(store)(whole, v + p * v_step, value[p], count);
}

/* v[p] = table[p] @ x over `count` numbers side by side, for the pixels begin <= k < end; the others are 0. */
ALWAYS_INLINE void NAME(split)(const int points, const int terms, const double *table,
                               const REAL *x, ptrdiff_t x_step, ptrdiff_t begin, ptrdiff_t end,
                               ptrdiff_t count, REAL *v, ptrdiff_t v_step)
{
    const int inside = begin == 0 && end == terms;
    ptrdiff_t c = 0;
    if (inside)
        for (; c + VECTOR_LENGTH <= count; c += VECTOR_LENGTH)
            NAME(split_vector)(1, 1, points, terms, table, x + c, x_step, begin, end, VECTOR_LENGTH, v + c, v_step);
    for (; c + VECTOR_LENGTH <= count; c += VECTOR_LENGTH)
        NAME(split_vector)(1, 0, points, terms, table, x + c, x_step, begin, end, VECTOR_LENGTH, v + c, v_step);
    if (c < count)
        NAME(split_vector)(0, 0, points, terms, table, x + c, x_step, begin, end, count - c, v + c, v_step);
}

/* The inputs of one tile, at their points. */
static void NAME(toom_cook_input)(int taps, const REAL *x, ptrdiff_t x_step, ptrdiff_t begin, ptrdiff_t end,
                                  ptrdiff_t count, REAL *v, ptrdiff_t v_step)
{
    if (taps == 3)
        NAME(split)(6, 6, toom_cook_input_3[0], x, x_step, begin, end, count, v, v_step);
    else
        NAME(split)(8, 8, toom_cook_input_5[0], x, x_step, begin, end, count, v, v_step);
}

/* The output gradients of one tile, at their points, for the gradient of the weights. */
static void NAME(toom_cook_gradient)(int taps, const REAL *dy, ptrdiff_t dy_step, ptrdiff_t end,
                                     ptrdiff_t count, REAL *v, ptrdiff_t v_step)
{
    if (taps == 3)
        NAME(split)(6, TOOM_COOK_OUTPUTS, toom_cook_gradient_3[0], dy, dy_step, 0, end, count, v, v_step);
    else
        NAME(split)(8, TOOM_COOK_OUTPUTS, toom_cook_gradient_5[0], dy, dy_step, 0, end, count, v, v_step);
}

/* The first `lines` outputs of one tile from the products at the points, then bias and ReLU, for up to a
 * vector of channels. */
ALWAYS_INLINE void NAME(join_vector)(const int whole, const int points, const double *table,
                                     const REAL *m, ptrdiff_t m_step, ptrdiff_t count,
                                     REAL *y, ptrdiff_t y_step, ptrdiff_t lines, const REAL *bias, int relu)
{
    vec value[TOOM_COOK_MOST_POINTS], output[TOOM_COOK_OUTPUTS];
    UNROLL for (int p = 0; p < points; p++)
        value[p] = NAME(load)(whole, m + p * m_step, count);
    NAME(from_points)(points, TOOM_COOK_OUTPUTS, table, value, output);
    const vec bias_vec = bias ? NAME(load)(whole, bias, count) : (vec){0};
    UNROLL for (int i = 0; i < TOOM_COOK_OUTPUTS; i++) {
        output[i] += bias_vec;
        if (relu)
            output[i] = NAME(relu_vec)(output[i]);
        if (i < lines)
            NAME(store)(whole, y + i * y_step, output[i], count);
    }
}

ALWAYS_INLINE void NAME(join)(const int points, const double *table, const REAL *m, ptrdiff_t m_step,
                              ptrdiff_t count, REAL *y, ptrdiff_t y_step, ptrdiff_t lines,
                              const REAL *bias, int relu)
{
    ptrdiff_t c = 0;
    for (; c + VECTOR_LENGTH <= count; c += VECTOR_LENGTH)
        NAME(join_vector)(1, points, table, m + c, m_step, VECTOR_LENGTH, y + c, y_step, lines,
                          bias ? bias + c : NULL, relu);
    if (c < count)
        NAME(join_vector)(0, points, table, m + c, m_step, count - c, y + c, y_step, lines,
                          bias ? bias + c : NULL, relu);
}

static void NAME(toom_cook_output)(int taps, const REAL *m, ptrdiff_t m_step, ptrdiff_t count,
                                   REAL *y, ptrdiff_t y_step, ptrdiff_t lines, const REAL *bias, int relu)
{
    if (taps == 3)
        NAME(join)(6, toom_cook_output_3[0], m, m_step, count, y, y_step, lines, bias, relu);
    else
        NAME(join)(8, toom_cook_output_5[0], m, m_step, count, y, y_step, lines, bias, relu);
}
