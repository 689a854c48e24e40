/* The micro-kernel: the matrix product that every convolution comes down to.
 *
 *     C[r, j] = relu( bias[j] + sum_t sum_k A_t[r, k] * B_t[k, j] )
 *
 * A is addressed by steps only - A_t[r, k] = a.numbers[r*a.row + k*a.depth + t*a.tap] - so one function serves
 * y = columns w, dw = columns^T dy (a.row = 1) and dcolumns = dy w^T, and the sum over the taps t of a 1-D convolution
 * needs no copy of the picture.  A row of B and of C is contiguous: B_t[k, j] = b.numbers[k*b.depth + j + t*b.tap]
 * (b.row is ignored), C[r, j] = c[r*c_row + j].  With `accumulate`, what C holds is added to the sum.
 *
 * Why it is fast: a tile of GEMM_ROWS rows by two vectors of C lives in registers while the sum
 * runs; each value of A that is loaded is multiplied by two vectors, each vector of B by
 * GEMM_ROWS values (Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008).
 *
 * B is read in whole vectors: its rows must be readable up to the next multiple of the vector
 * length.  C is written only inside its own columns.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64.
 */

/* Rows of B that are used at a time: a panel two vectors wide is then 32 KB (256 rows with AVX-512). */
#undef DEPTH_BLOCK
#define DEPTH_BLOCK (32768 / (2 * VECTOR_LENGTH * (ptrdiff_t)sizeof(REAL)))

/* The same factor, beginning `count` numbers further on. */
ALWAYS_INLINE npcnn_factor NAME(further_on)(npcnn_factor factor, ptrdiff_t count)
{
    factor.numbers = (const REAL *)factor.numbers + count;
    return factor;
}

/* One tile, in whole vectors; `rows` and `vectors` are known to the compiler, which unrolls every loop over them. */
ALWAYS_INLINE void NAME(gemm_tile)(
    const int rows, const int vectors, ptrdiff_t depth, ptrdiff_t taps, npcnn_factor a, npcnn_factor b,
    REAL *c, ptrdiff_t c_row, int accumulate, const REAL *bias, int relu)
{
    vec sum[GEMM_ROWS][2];
    UNROLL for (int v = 0; v < vectors; v++) {
        vec start = {0};
        if (bias)
            start = *(const vec_unaligned *)(bias + v * VECTOR_LENGTH);
        UNROLL for (int r = 0; r < rows; r++)
            sum[r][v] = start;
    }

    for (ptrdiff_t t = 0; t < taps; t++) {
        const REAL *b_row = (const REAL *)b.numbers + t * b.tap;
        /* Every third row has a pointer of its own; the two after it are that plus one or two
         * steps, which the processor's addressing adds for free. */
        const REAL *a_third[(GEMM_ROWS + 2) / 3];
        UNROLL for (int r = 0; r < rows; r += 3)
            a_third[r / 3] = (const REAL *)a.numbers + t * a.tap + r * a.row;

        for (ptrdiff_t k = 0; k < depth; k++) {
            vec b_vec[2];
            UNROLL for (int v = 0; v < vectors; v++)
                b_vec[v] = *(const vec_unaligned *)(b_row + v * VECTOR_LENGTH);
            b_row += b.depth;
            UNROLL for (int r = 0; r < rows; r++) {
                const REAL a_value = a_third[r / 3][(r % 3) * a.row];
                UNROLL for (int v = 0; v < vectors; v++)
                    sum[r][v] += a_value * b_vec[v];
            }
            UNROLL for (int r = 0; r < rows; r += 3)
                a_third[r / 3] += a.depth;
        }
    }

    if (accumulate) {
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vectors; v++)
                sum[r][v] += *(const vec_unaligned *)(c + r * c_row + v * VECTOR_LENGTH);
    }
    if (relu) {
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vectors; v++)
                sum[r][v] = NAME(relu_vec)(sum[r][v]);
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++)
            *(vec_unaligned *)(c + r * c_row + v * VECTOR_LENGTH) = sum[r][v];
}

/* All rows of one panel of columns of C, in the tallest tiles that fit. */
ALWAYS_INLINE void NAME(gemm_panel)(
    const int vectors, npcnn_sizes sizes, npcnn_factor a, npcnn_factor b,
    REAL *c, ptrdiff_t c_row, int accumulate, const REAL *bias, int relu)
{
#define TILES_OF(height)                                                                              \
    for (; sizes.rows - r >= (height); r += (height))                                                 \
        NAME(gemm_tile)(height, vectors, sizes.depth, sizes.taps, NAME(further_on)(a, r * a.row), b,  \
                        c + r * c_row, c_row, accumulate, bias, relu)
    ptrdiff_t r = 0;
    TILES_OF(GEMM_ROWS);
    TILES_OF(GEMM_ROWS * 2 / 3);
    TILES_OF(GEMM_ROWS / 2);
    TILES_OF(GEMM_ROWS / 3);
    TILES_OF(GEMM_ROWS / 4);
    TILES_OF(GEMM_ROWS / 6);
    TILES_OF(1);
#undef TILES_OF
}

/* A panel of at most two vectors, the last of which may not be whole: its rows of C are computed in whole vectors in
 * a buffer, GEMM_ROWS at a time, and copied from there. */
static void NAME(gemm_border)(npcnn_sizes sizes, npcnn_factor a, npcnn_factor b,
                              REAL *c, ptrdiff_t c_row, int accumulate, const REAL *bias, int relu)
{
    const size_t row_bytes = (size_t)sizes.cols * sizeof(REAL);
    REAL aside[GEMM_ROWS * 2 * VECTOR_LENGTH] = {0}, bias_aside[2 * VECTOR_LENGTH] = {0};
    if (bias)
        memcpy(bias_aside, bias, row_bytes);
    for (ptrdiff_t r = 0; r < sizes.rows; r += GEMM_ROWS) {
        npcnn_sizes here = sizes;
        here.rows = sizes.rows - r < GEMM_ROWS ? sizes.rows - r : GEMM_ROWS;
        for (ptrdiff_t i = 0; accumulate && i < here.rows; i++)
            memcpy(aside + i * 2 * VECTOR_LENGTH, c + (r + i) * c_row, row_bytes);
        if (sizes.cols > VECTOR_LENGTH)
            NAME(gemm_panel)(2, here, NAME(further_on)(a, r * a.row), b, aside, 2 * VECTOR_LENGTH,
                             accumulate, bias_aside, relu);
        else
            NAME(gemm_panel)(1, here, NAME(further_on)(a, r * a.row), b, aside, 2 * VECTOR_LENGTH,
                             accumulate, bias_aside, relu);
        for (ptrdiff_t i = 0; i < here.rows; i++)
            memcpy(c + (r + i) * c_row, aside + i * 2 * VECTOR_LENGTH, row_bytes);
    }
}

static void NAME(gemm)(npcnn_sizes sizes, npcnn_factor a, npcnn_factor b,
                       REAL *c, ptrdiff_t c_row, int accumulate, const REAL *bias, int relu)
{
    const ptrdiff_t panel = 2 * VECTOR_LENGTH;
    /* Deep products with one tap are cut into blocks, so that the panel of B stays in the L1 cache: the first block
     * starts from the bias, the others add to C, the last applies the ReLU. */
    const ptrdiff_t block = sizes.taps == 1 ? DEPTH_BLOCK : sizes.depth;

    for (ptrdiff_t j = 0; j < sizes.cols; j += panel) {
        npcnn_sizes here = sizes;
        /* What a short panel is added to is on its way from memory while the products are summed. */
        for (ptrdiff_t r = 0; accumulate && sizes.rows <= 4 * GEMM_ROWS && r < sizes.rows; r++) {
            PREFETCH(c + r * c_row + j);
            PREFETCH(c + r * c_row + j + VECTOR_LENGTH);
        }
        here.cols = sizes.cols - j < panel ? sizes.cols - j : panel;
        ptrdiff_t k = 0;
        do {
            here.depth = sizes.depth - k < block ? sizes.depth - k : block;
            const npcnn_factor a_here = NAME(further_on)(a, k * a.depth);
            const npcnn_factor b_here = NAME(further_on)(b, k * b.depth + j);
            const REAL *bias_here = bias && k == 0 ? bias + j : NULL;
#define BLOCK here, a_here, b_here, c + j, c_row, accumulate || k > 0, bias_here, relu && k + here.depth == sizes.depth
            if (here.cols == panel)
                NAME(gemm_panel)(2, BLOCK);
            else if (here.cols == VECTOR_LENGTH)
                NAME(gemm_panel)(1, BLOCK);
            else
                NAME(gemm_border)(BLOCK);
#undef BLOCK
            k += block;
        } while (k < sizes.depth);
    }
}
