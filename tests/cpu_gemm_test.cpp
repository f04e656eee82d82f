// gemm on every instruction set that the machine has, against sums in double: odd sizes, every layout, epilogues.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include <framegrad/cpu/gemm.hpp>

namespace {

using namespace fg;

template <class F>
void on_every_path(F f) {
  const cpu::Isa before = cpu::isa();
  for (int i = 0; i < cpu::kIsas; ++i) {
    if (!cpu::supported(cpu::Isa(i))) continue;
    SCOPED_TRACE(std::string(cpu::name_of(cpu::Isa(i))));
    cpu::set_isa(cpu::Isa(i));
    f();
  }
  cpu::set_isa(before);
}

/// A matrix inside a larger buffer whose other numbers are NaN: whoever reads them shows it.
template <class T>
struct Matrix {
  Index rows, columns, row_stride, column_stride;
  std::vector<T> data;

  Matrix(Index r, Index c, bool transposed, Index gap, Index step = 1) : rows(r), columns(c) {
    (transposed ? column_stride : row_stride) = (transposed ? r : c) * step + gap;
    (transposed ? row_stride : column_stride) = step;
    data.assign(std::size_t((transposed ? c : r) * (transposed ? column_stride : row_stride)), T(NAN));
  }
  void fill(std::mt19937& random) {
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < columns; ++j) at(i, j) = T(float(int(random() % 2001) - 1000) / 1000.0f);
  }
  T& at(Index i, Index j) { return data[std::size_t(i * row_stride + j * column_stride)]; }
  double value(Index i, Index j) const { return double(accum_t<T>(data[std::size_t(i * row_stride + j * column_stride)])); }
};

struct Layout {
  bool a_transposed, b_transposed;
  Index gap, step;
};

double activate_exactly(cpu::Activation f, double h) {
  switch (f) {
    case cpu::Activation::gelu_tanh: return 0.5 * h * (1 + std::tanh(std::sqrt(2 / M_PI) * (h + 0.044715 * h * h * h)));
    case cpu::Activation::gelu_erf: return 0.5 * h * (1 + std::erf(h / std::sqrt(2.0)));
    case cpu::Activation::silu: return h / (1 + std::exp(-h));
    case cpu::Activation::relu: return h > 0 ? h : 0;
    default: return h;
  }
}

/// Unit in the last place of a stored Out, and of the sums.
template <class Out> double rounding(double v) { return std::abs(v) * double(std::numeric_limits<Out>::epsilon()) * 0.5; }

template <class T, class Out>
void check_product(Index m, Index n, Index k, Layout layout, cpu::GemmOptions<Out> o = {}, bool with_bias = false, bool with_pre = false) {
  SCOPED_TRACE(text("m ", m, " n ", n, " k ", k, " aT ", layout.a_transposed, " bT ", layout.b_transposed, " gap ", layout.gap, " step ", layout.step));
  std::mt19937 random(std::uint32_t(m * 7919 + n * 131 + k));
  Matrix<T> a(m, k, layout.a_transposed, layout.gap, layout.step), b(k, n, layout.b_transposed, layout.gap, layout.step);
  Matrix<Out> c(m, n, false, 3), pre(m, n, false, 3), bias(1, n, false, 0);
  a.fill(random), b.fill(random), bias.fill(random);
  if (o.accumulate) c.fill(random);
  const Matrix<Out> before = c;
  if (with_bias) o.bias = bias.data.data();
  if (with_pre) o.pre_activation = pre.data.data();
  cpu::gemm<T, Out>(m, n, k, a.data.data(), a.row_stride, a.column_stride, b.data.data(), b.row_stride, b.column_stride, c.data.data(), c.row_stride, o);

  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) {
      double sum = 0, magnitude = 0;
      for (Index x = 0; x < k; ++x) {
        const double p = a.value(i, x) * b.value(x, j);
        sum += p, magnitude += std::abs(p);
      }
      double h = double(o.alpha) * sum;
      if (o.accumulate) h += before.value(i, j);
      if (with_bias) h += bias.value(0, j);
      // Each addition rounds: √k of them at random, 4 for the tail of that distribution and the epilogue's own.
      const double of_sums = (magnitude + 2) * double(std::numeric_limits<accum_t<T>>::epsilon()) * 4;
      const double f = activate_exactly(o.activation, h);
      const double bound = of_sums * (o.activation == cpu::Activation::none ? 1 : 3) + 1.01 * rounding<Out>(f);
      ASSERT_NEAR(c.value(i, j), f, bound) << i << " " << j;
      if (with_pre) { ASSERT_NEAR(pre.value(i, j), h, of_sums + 1.01 * rounding<Out>(h)) << i << " " << j; }
    }
    for (Index gap = 0; gap < 3; ++gap) ASSERT_TRUE(std::isnan(float(c.data[std::size_t(i * c.row_stride + n + gap)]))) << "written behind row " << i;
  }
}

constexpr Layout kLayouts[] = {{false, false, 0, 1}, {false, true, 0, 1}, {true, false, 0, 1}, {true, true, 0, 1},
                               {false, true, 5, 1},  {true, false, 5, 1}, {false, false, 1, 2}, {true, true, 4, 3}};

template <class T, class Out = T>
void check_sizes() {
  constexpr Index sizes[] = {1, 3, 17, 31, 33, 100};
  int turn = 0;
  for (const Index m : sizes)
    for (const Index n : sizes)
      for (const Index k : sizes) check_product<T, Out>(m, n, k, kLayouts[turn++ % 8]);
  for (const Layout l : kLayouts) {
    check_product<T, Out>(64, 96, 128, l);    // whole tiles on every path
    check_product<T, Out>(205, 67, 389, l);   // more than one block of rows
    check_product<T, Out>(37, 450, 70, l);    // and of columns
    check_product<T, Out>(33, 35, 1300, l);   // and of k
  }
}

TEST(CpuGemm, Float) { on_every_path(check_sizes<float>); }
TEST(CpuGemm, Double) { on_every_path(check_sizes<double>); }
TEST(CpuGemm, Bf16) { on_every_path(check_sizes<bf16>); }
TEST(CpuGemm, Half) { on_every_path(check_sizes<half>); }
TEST(CpuGemm, Bf16IntoFloat) { on_every_path(check_sizes<bf16, float>); }

template <class T, class Out = T>
void check_long_sums() {  // B packed for several blocks of rows, sums in several blocks of k
  check_product<T, Out>(401, 33, 1300, {false, false, 0, 1});
  check_product<T, Out>(401, 33, 1300, {true, true, 0, 1});
}

TEST(CpuGemm, LongSums) {
  on_every_path([] {
    check_long_sums<float>();
    check_long_sums<bf16>();
    check_long_sums<bf16, float>();
  });
}

template <class T, class Out = T>
void check_epilogues() {
  using cpu::Activation;
  for (const Activation f : {Activation::none, Activation::gelu_tanh, Activation::gelu_erf, Activation::silu, Activation::relu}) {
    for (const bool accumulate : {false, true}) {
      cpu::GemmOptions<Out> o;
      o.activation = f;
      o.accumulate = accumulate;
      o.alpha = accumulate ? accum_t<Out>(0.5f) : accum_t<Out>(1);
      check_product<T, Out>(35, 50, 40, {false, true, 0, 1}, o, true, !accumulate);
      check_product<T, Out>(64, 64, 600, {true, false, 0, 1}, o, false, accumulate);
    }
  }
  check_product<T, Out>(64, 80, 600, {false, true, 0, 1}, {}, true);  // a bias alone: what sums begin at
  cpu::GemmOptions<Out> add;
  add.accumulate = true;
  check_product<T, Out>(64, 64, 1300, {false, false, 0, 1}, add);
  check_product<T, Out>(64, 65, 64, {false, false, 0, 1}, add);
  add.activation = Activation::relu;
  check_product<T, Out>(5, 7, 0, {false, false, 0, 1}, add, true, true);  // an empty sum
}

TEST(CpuGemm, Epilogues) {
  on_every_path([] {
    check_epilogues<float>();
    check_epilogues<double>();
    check_epilogues<bf16>();
    check_epilogues<bf16, float>();
    check_epilogues<half>();
  });
}

template <class T, class Out = T>
std::vector<Out> product_with(int n_threads, Index m, Index n, Index k, bool a_transposed) {
  std::mt19937 random(5);
  Matrix<T> a(m, k, a_transposed, 0), b(k, n, true, 0);
  Matrix<Out> c(m, n, false, 0);
  a.fill(random), b.fill(random);
  set_threads(n_threads);
  cpu::gemm<T, Out>(m, n, k, a.data.data(), a.row_stride, a.column_stride, b.data.data(), b.row_stride, b.column_stride, c.data.data(), n);
  return c.data;
}

TEST(CpuGemm, SameBitsForAnyNumberOfThreads) {
  const int before = threads();
  on_every_path([] {
    for (const bool transposed : {false, true}) {
      const auto one = product_with<float>(1, 300, 200, 1500, transposed);
      const auto one_bf16 = product_with<bf16, float>(1, 300, 200, 1500, transposed);
      for (const int n : {2, 3, 7}) {
        EXPECT_EQ(product_with<float>(n, 300, 200, 1500, transposed), one) << n;
        EXPECT_EQ((product_with<bf16, float>(n, 300, 200, 1500, transposed)), one_bf16) << n;
      }
    }
  });
  set_threads(before);
}

TEST(CpuGemm, InfinityAndNanPass) {
  on_every_path([] {
    std::vector<float> a(20 * 20, 1.0f), b(20 * 20, 1.0f), c(20 * 20);
    a[3 * 20 + 7] = INFINITY;
    a[5 * 20 + 2] = NAN;
    cpu::GemmOptions<float> o;
    o.activation = cpu::Activation::relu;
    cpu::gemm<float>(20, 20, 20, a.data(), 20, 1, b.data(), 20, 1, c.data(), 20, o);
    EXPECT_EQ(c[3 * 20 + 19], INFINITY);
    EXPECT_TRUE(std::isnan(c[5 * 20]));
    EXPECT_EQ(c[4 * 20], 20.0f);
  });
}

template <class T>
void check_batch(bool a_transposed) {  // the next product's operands are fetched meanwhile: by rows or by panels
  const Index batch = 9, m = 20, n = 33, k = 58, a_row = a_transposed ? 1 : k, a_col = a_transposed ? m : 1;
  std::mt19937 random(3);
  Matrix<T> a(batch * m, k, false, 0), b(batch * k, n, false, 0), c(batch * m, n, false, 0), one(batch * m, n, false, 0);
  a.fill(random), b.fill(random);
  cpu::gemm_batched<T>(batch, m, n, k, a.data.data(), m * k, a_row, a_col, b.data.data(), k * n, n, 1, c.data.data(), m * n, n);
  for (Index i = 0; i < batch; ++i)
    cpu::gemm<T>(m, n, k, a.data.data() + i * m * k, a_row, a_col, b.data.data() + i * k * n, n, 1, one.data.data() + i * m * n, n);
  for (std::size_t i = 0; i < c.data.size(); ++i) ASSERT_EQ(accum_t<T>(c.data[i]), accum_t<T>(one.data[i])) << i;
}

TEST(CpuGemm, BatchesEqualSingleProducts) {
  on_every_path([] {
    for (const bool a_transposed : {false, true}) check_batch<float>(a_transposed), check_batch<bf16>(a_transposed);
  });
}

}  // namespace
