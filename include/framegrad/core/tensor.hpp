// Tensor — one representation, three views of it.
//
//   AnyTensor      dtype, sizes, strides, storage, graph node: what graph, Params, optimizers and io hold
//   Tensor<T>      knows its scalar type: what an op is built from
//   Tensor<T, R>   knows its rank too: what users and model files write
//
// They add no members to one another. A tensor is a handle: copying it shares the memory. Views (slices, permutations,
// splits of an axis) share memory and cost nothing in either direction of the graph: a view keeps its base's node, and
// its gradient is written into the same view of the base's gradient.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include <framegrad/core/shape.hpp>
#include <framegrad/core/storage.hpp>

namespace fg::inline FRAMEGRAD_ABI {

inline constexpr int kAnyRank = -1;

template <class T, int R = kAnyRank> class Tensor;

class Node;  // autograd/graph.hpp

class AnyTensor {
 public:
  AnyTensor() = default;

  /// Described, not allocated: what an op's `infer` writes.
  static AnyTensor described(Dtype dtype, const Shape& sizes, const Strides& strides) {
    AnyTensor t;
    t.dtype_ = dtype, t.defined_ = true;
    t.geometry_ = {sizes, strides, 0};
    return t;
  }
  /// Uninitialised memory for a dense tensor in the given order of axes (row-major if no strides are given).
  static AnyTensor empty(Dtype dtype, const Shape& sizes, Device device = kCpu) { return empty(dtype, sizes, row_major(sizes), device); }
  static AnyTensor empty(Dtype dtype, const Shape& sizes, const Strides& strides, Device device) {
    for (const Index n : sizes) check_shape(n >= 0, "empty", "negative size in ", sizes);
    AnyTensor t = described(dtype, sizes, strides);
    t.allocate(device);
    return t;
  }
  static AnyTensor over(std::shared_ptr<Storage> storage, Dtype dtype, Geometry geometry) {
    AnyTensor t;
    t.storage_ = std::move(storage), t.dtype_ = dtype, t.geometry_ = geometry, t.defined_ = true;
    return t;
  }

  bool defined() const { return defined_; }
  bool allocated() const { return storage_ != nullptr; }
  void allocate(Device device) { storage_ = std::make_shared<Storage>(count() * item_bytes(dtype_), device); }

  Dtype dtype() const { return dtype_; }
  Device device() const { return storage_ ? storage_->device() : kCpu; }
  bool is_meta() const { return storage_ && storage_->device().kind == Device::Kind::meta; }
  int rank() const { return geometry_.rank(); }
  Index count() const { return geometry_.count(); }
  Index bytes() const { return count() * item_bytes(dtype_); }
  const Shape& sizes() const { return geometry_.sizes; }
  const Strides& strides() const { return geometry_.strides; }
  const Shape& shape() const { return geometry_.sizes; }
  Index size(int axis) const { return geometry_.sizes[checked_axis(axis, rank(), "size")]; }
  Index stride(int axis) const { return geometry_.strides[checked_axis(axis, rank(), "stride")]; }
  const Geometry& geometry() const { return geometry_; }
  bool is_dense() const { return geometry_.is_dense(); }
  bool is_row_major() const { return geometry_.is_row_major(); }
  const std::shared_ptr<Storage>& storage() const { return storage_; }

  /// Address of the first element. Whoever writes through it calls touch() afterwards if the tensor may have been saved for backward.
  void* raw() const { return static_cast<char*>(storage_->data()) + geometry_.offset * item_bytes(dtype_); }
  void touch() const { storage_->touch(); }

  /// The same memory seen with another geometry; keeps the graph node, so gradients flow to the base.
  AnyTensor viewed(const Geometry& g) const {
    AnyTensor t = *this;
    t.geometry_ = g;
    return t;
  }

  // Views. Axes may be counted from the end.
  AnyTensor permute(const std::array<int, kMaxRank>& axes) const {
    Geometry g = geometry_;
    for (int i = 0; i < rank(); ++i) g.sizes[i] = sizes()[axes[i]], g.strides[i] = strides()[axes[i]];
    return viewed(g);
  }
  AnyTensor transpose(int a, int b) const {
    a = checked_axis(a, rank(), "transpose"), b = checked_axis(b, rank(), "transpose");
    Geometry g = geometry_;
    std::swap(g.sizes[a], g.sizes[b]), std::swap(g.strides[a], g.strides[b]);
    return viewed(g);
  }
  /// Elements begin, begin+step, … below end along an axis.
  AnyTensor slice(int axis, Index begin, Index end, Index step = 1) const {
    axis = checked_axis(axis, rank(), "slice");
    check_shape(begin >= 0 && begin <= end && end <= sizes()[axis] && step >= 1, "slice", "[", begin, ", ", end, ") by ", step, " of axis ", axis, " of ", sizes());
    Geometry g = geometry_;
    g.offset += begin * g.strides[axis];
    g.sizes[axis] = (end - begin + step - 1) / step;
    g.strides[axis] *= step;
    return viewed(g);
  }
  AnyTensor select(int axis, Index i) const {
    axis = checked_axis(axis, rank(), "select");
    check_shape(i >= 0 && i < sizes()[axis], "select", "index ", i, " of axis ", axis, " of ", sizes());
    Geometry g = geometry_;
    g.offset += i * g.strides[axis];
    g.sizes.erase(axis), g.strides.erase(axis);
    return viewed(g);
  }
  AnyTensor unsqueeze(int axis) const {
    axis = checked_axis(axis, rank() + 1, "unsqueeze");
    Geometry g = geometry_;
    g.strides.insert(axis, axis < rank() ? g.sizes[axis] * g.strides[axis] : 1);
    g.sizes.insert(axis, 1);
    return viewed(g);
  }
  AnyTensor squeeze(int axis) const {
    axis = checked_axis(axis, rank(), "squeeze");
    check_shape(sizes()[axis] == 1, "squeeze", "axis ", axis, " of ", sizes(), " is not 1");
    return select(axis, 0);
  }

  // Graph. A tensor without node is a constant.
  bool requires_grad() const { return node_ != nullptr; }
  const std::shared_ptr<Node>& node() const { return node_; }
  std::uint32_t node_output() const { return node_output_; }
  void attach(std::shared_ptr<Node> node, std::uint32_t output) { node_ = std::move(node), node_output_ = output; }
  std::shared_ptr<Node> leave_graph() { return std::move(node_); }
  /// The same memory without the graph.
  AnyTensor detach() const {
    AnyTensor t = *this;
    t.node_.reset();
    return t;
  }

  /// Seen as Tensor<T> or Tensor<T, R>; throws DtypeError or ShapeError if it is none.
  template <class T, int R = kAnyRank> Tensor<T, R> as() const { return Tensor<T, R>(*this); }

 private:
  std::shared_ptr<Storage> storage_;
  std::shared_ptr<Node> node_;
  Geometry geometry_;
  std::uint32_t node_output_ = 0;
  Dtype dtype_ = Dtype::f32;
  bool defined_ = false;
};

template <class T>
class Tensor<T, kAnyRank> : public AnyTensor {
 public:
  using Scalar = T;
  Tensor() = default;
  explicit Tensor(const AnyTensor& t) : Tensor(AnyTensor(t)) {}
  explicit Tensor(AnyTensor&& t) : AnyTensor(std::move(t)) {
    check_dtype(!defined() || dtype() == dtype_of<T>, "Tensor", "holds ", dtype(), ", asked for as ", dtype_of<T>);
  }
  T* data() const { return static_cast<T*>(raw()); }
  Tensor detach() const { return Tensor(AnyTensor::detach()); }
};

template <class T, int R>
class Tensor : public Tensor<T> {
 public:
  Tensor() = default;
  explicit Tensor(const AnyTensor& t) : Tensor(Tensor<T>(t)) {}
  explicit Tensor(AnyTensor&& t) : Tensor(Tensor<T>(std::move(t))) {}
  Tensor(const Tensor<T>& t) : Tensor(Tensor<T>(t)) {}
  Tensor(Tensor<T>&& t) : Tensor<T>(std::move(t)) {
    check_shape(!this->defined() || this->rank() == R, "Tensor", "is ", this->sizes(), ", asked for with rank ", R);
  }
  /// Another rank doesn't compile: `as<T, R>()` is the way to check one at run time.
  template <int Q> requires(Q != kAnyRank && Q != R)
  Tensor(const Tensor<T, Q>&) = delete;
  /// const auto [B, T, C] = x.shape();
  std::array<Index, std::size_t(R)> shape() const {
    std::array<Index, std::size_t(R)> s{};
    for (int i = 0; i < R; ++i) s[std::size_t(i)] = this->sizes()[i];
    return s;
  }
  Tensor detach() const { return Tensor(AnyTensor::detach()); }

  /// One element, by its index. For a device tensor, bring it to the CPU first.
  template <class... I> requires(sizeof...(I) == std::size_t(R))
  T& operator()(I... index) const {
    check<DeviceError>(this->device().kind == Device::Kind::cpu, "Tensor", "an element is read of a tensor on ", this->device(), ": bring it over with to(x, kCpu)");
    const Index at[] = {Index(index)..., 0};
    Index offset = 0;
    for (int i = 0; i < R; ++i) {
      check_shape(at[i] >= 0 && at[i] < this->sizes()[i], "Tensor", "index ", at[i], " at axis ", i, " of ", this->sizes());
      offset += at[i] * this->strides()[i];
    }
    return this->data()[offset];
  }
  /// The value of a tensor of one element; waits for a GPU that has it.
  T item() const {
    check_shape(this->count() == 1, "item", "tensor is ", this->sizes(), ", one element is needed");
    check<DeviceError>(!this->is_meta(), "item", "the tensor has no memory");
    if constexpr (kWithCuda)
      if (this->device().kind == Device::Kind::cuda) {
        const cuda::DeviceScope scope(this->device().index);
        T value;
        cuda::copy_to_host(&value, this->data(), Index(sizeof(T)));
        return value;
      }
    return *this->data();
  }
};

namespace detail {
/// The same tensor over a copy of its memory on the host, or itself if it is there.
inline AnyTensor on_host(const AnyTensor& t) {
  if constexpr (kWithCuda)
    if (t.allocated() && t.device().kind == Device::Kind::cuda) {
      const cuda::DeviceScope scope(t.device().index);
      const auto host = std::make_shared<Storage>(t.storage()->bytes(), kCpu);
      cuda::copy_to_host(host->data(), t.storage()->data(), host->bytes());
      return AnyTensor::over(host, t.dtype(), t.geometry());
    }
  return t;
}
}  // namespace detail

// What `infer` writes: shapes, which apply allocates.
/// A tensor of these sizes, row-major.
template <class T> Tensor<T> of_shape(const Shape& sizes) { return Tensor<T>(AnyTensor::described(dtype_of<T>, sizes, row_major(sizes))); }
/// A dense tensor of x's sizes in x's order of axes.
template <class T> Tensor<T> like(const AnyTensor& x) { return Tensor<T>(AnyTensor::described(dtype_of<T>, x.sizes(), dense_strides(x.sizes(), x.geometry()))); }
template <class T> Tensor<T> like(const Tensor<T>& x) { return like<T>(static_cast<const AnyTensor&>(x)); }
/// As like(x), with another size of the last axis.
template <class T> Tensor<T> like_rows(const Tensor<T>& x, Index last) {
  Shape sizes = x.sizes();
  sizes[sizes.rank() - 1] = last;
  return Tensor<T>(AnyTensor::described(dtype_of<T>, sizes, dense_strides(sizes, x.geometry())));
}

// Making tensors.
template <class T, int R> Tensor<T, R> empty(const Index (&sizes)[R], Device device = kCpu) {
  return Tensor<T, R>(AnyTensor::empty(dtype_of<T>, Shape(std::span<const Index>(sizes)), device));
}
template <class T, int R> Tensor<T, R> full(const Index (&sizes)[R], T value, Device device = kCpu) {
  auto t = empty<T, R>(sizes, device);
  if (device.kind == Device::Kind::cpu) std::fill_n(t.data(), t.count(), value);
  if constexpr (kWithCuda)
    if (device.kind == Device::Kind::cuda) {
      const cuda::DeviceScope scope(device.index);
      const AnyTensor one = AnyTensor::empty(dtype_of<T>, Shape{}, device);
      cuda::copy_to_device(one.raw(), &value, Index(sizeof(T)));
      const Strides repeated = Shape::filled(R, 0);
      cuda::copy_strided(dtype_of<T>, t.raw(), t.strides().begin(), dtype_of<T>, one.raw(), repeated.begin(), t.sizes().begin(), R, false);
    }
  return t;
}
template <class T, int R> Tensor<T, R> zeros(const Index (&sizes)[R], Device device = kCpu) { return full<T, R>(sizes, T(0), device); }
template <class T, int R> Tensor<T, R> ones(const Index (&sizes)[R], Device device = kCpu) { return full<T, R>(sizes, T(1), device); }
template <class T> Tensor<T, 0> scalar(T value) {
  Tensor<T, 0> t(AnyTensor::empty(dtype_of<T>, Shape{}));
  *t.data() = value;
  return t;
}
/// The values, copied, row-major.
template <class T, int R> Tensor<T, R> tensor(const Index (&sizes)[R], std::span<const T> values) {
  auto t = empty<T, R>(sizes);
  check_shape(t.count() == Index(values.size()), "tensor", values.size(), " values for ", t.sizes());
  std::copy(values.begin(), values.end(), t.data());
  return t;
}
template <class T, int R> Tensor<T, R> tensor(const Index (&sizes)[R], std::initializer_list<T> values) {
  return tensor<T, R>(sizes, std::span<const T>(values.begin(), values.size()));
}
/// 0, 1, …, n−1.
template <class T> Tensor<T, 1> arange(Index n) {
  auto t = empty<T>({n});
  for (Index i = 0; i < n; ++i) t.data()[i] = T(float(i));
  return t;
}

/// A tensor over the user's memory, with strides in elements; `deleter` runs when the last handle goes.
template <class T, int R>
Tensor<T, R> wrap(T* data, const Index (&sizes)[R], const Index (&strides)[R], std::function<void()> deleter = {}) {
  Geometry g{Shape(std::span<const Index>(sizes)), Shape(std::span<const Index>(strides)), 0};
  Index last = 0;
  for (int i = 0; i < R; ++i) {
    check_shape(g.sizes[i] >= 0 && g.strides[i] >= 0, "wrap", "sizes ", g.sizes, ", strides ", g.strides, ": none may be negative");
    last += (g.sizes[i] - 1) * g.strides[i];
  }
  const Index bytes = g.count() == 0 ? 0 : (last + 1) * Index(sizeof(T));
  return Tensor<T, R>(AnyTensor::over(std::make_shared<Storage>(data, bytes, std::move(deleter)), dtype_of<T>, g));
}
template <class T, int R>
Tensor<T, R> wrap(T* data, const Index (&sizes)[R], std::function<void()> deleter = {}) {
  const Strides s = row_major(Shape(std::span<const Index>(sizes)));
  Index strides[R];
  std::copy(s.begin(), s.end(), strides);
  return wrap<T, R>(data, sizes, strides, std::move(deleter));
}

}  // namespace fg::inline FRAMEGRAD_ABI
