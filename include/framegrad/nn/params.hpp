// Params — every tensor of a model, by name.
//
// A layer asks for its tensors where it is made, and keeps handles:
//
//   Linear(Index in, Index out, Params p) : weight_(p.tensor<T, 2>("weight", {out, in}, init::xavier_uniform())) …
//   StditBlock(…, Params p) : attn_(c.hidden, c.heads, p / "attn") …
//
// so a name stands once, and equals the released checkpoint's key. A handle leads to a slot whose content can be replaced:
// loading, freezing, moving to another type or exchanging with an EMA are operations on names, of which layers see nothing.
// Initial values are Philox(seed, hash of the name): adding a block changes no other block's start.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <framegrad/autograd/copy.hpp>
#include <framegrad/autograd/graph.hpp>
#include <framegrad/core/philox.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// 64-bit FNV-1a of a name: the same number everywhere.
constexpr std::uint64_t hash_name(std::string_view name) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const char c : name) h = (h ^ std::uint8_t(c)) * 0x100000001b3u;
  return h;
}

/// Fills n values of a tensor of the given sizes; `key` chooses the random numbers.
using Init = std::function<void(double* values, const Shape& sizes, std::uint64_t key)>;

namespace init {
inline Init constant(double c) {
  return [c](double* v, const Shape& s, std::uint64_t) { std::fill_n(v, s.count(), c); };
}
inline Init zeros() { return constant(0); }
inline Init ones() { return constant(1); }
inline Init normal(double std) {
  return [std](double* v, const Shape& s, std::uint64_t key) {
    philox_fill_normal(key, 0, 0, v, s.count());
    for (Index i = 0; i < s.count(); ++i) v[i] *= std;
  };
}
/// U(−bound, bound)
inline Init uniform(double bound) {
  return [bound](double* v, const Shape& s, std::uint64_t key) {
    philox_fill_uniform(key, 0, 0, v, s.count());
    for (Index i = 0; i < s.count(); ++i) v[i] = (2 * v[i] - 1) * bound;
  };
}
/// U(−b, b) with b = √(6 / (fan_in + fan_out)) of the weight seen as [out, everything else] (Glorot and Bengio 2010, eq. 16).
inline Init xavier_uniform() {
  return [](double* v, const Shape& s, std::uint64_t key) {
    const double out = double(s[0]), in = double(s.count()) / out;
    uniform(std::sqrt(6.0 / (in + out)))(v, s, key);
  };
}
/// U(−b, b) with b = 1/√fan_in: what PyTorch gives convolutions and their biases. A bias passes its weight's fan_in.
inline Init fan_in_uniform(Index fan_in) { return uniform(1.0 / std::sqrt(double(fan_in))); }
}  // namespace init

/// One named tensor of a model.
struct Slot {
  std::string name;
  AnyTensor value;           // a variable, unless it is a buffer or frozen
  bool is_buffer = false;    // saved with the model, never trained
  bool is_saved = true;      // false for tables that are computed at start-up
  bool trainable() const { return value.requires_grad(); }
};

/// A layer's handle to its tensor; *handle is the tensor as it stands now.
template <class T, int R>
class Parameter {
 public:
  Parameter() = default;
  explicit Parameter(std::shared_ptr<Slot> slot) : slot_(std::move(slot)) {}
  Tensor<T, R> operator*() const { return Tensor<T, R>(slot_->value); }
  explicit operator bool() const { return slot_ != nullptr; }
  Slot& slot() const { return *slot_; }

 private:
  std::shared_ptr<Slot> slot_;
};

class Params {
 public:
  /// An empty store. Tensors made in it start from `seed`, the same on every device.
  explicit Params(std::uint64_t seed = 0, Device device = kCpu) : store_(std::make_shared<Store>()) { store_->seed = seed, store_->device = device; }
  /// A store that allocates nothing: for counting, and for forecasts.
  static Params meta() {
    Params p;
    p.store_->device = kMeta;
    return p;
  }

  /// The same store, with "child." put before every name.
  Params operator/(std::string_view child) const {
    Params p = *this;
    p.prefix_ += std::string(child) + ".";
    return p;
  }
  Params operator/(Index child) const { return *this / std::to_string(child); }

  /// Makes the tensor, or finds the one of that name. Throws ShapeError or DtypeError if it is there and differs.
  template <class T, int R>
  Parameter<T, R> tensor(std::string_view name, const Index (&sizes)[R], const Init& init) const {
    return Parameter<T, R>(make(name, dtype_of<T>, Shape(std::span<const Index>(sizes)), init, false));
  }
  /// A tensor that is saved with the model and never trained.
  template <class T, int R>
  Parameter<T, R> buffer(std::string_view name, const Index (&sizes)[R], const Init& init, bool saved = true) const {
    const auto slot = make(name, dtype_of<T>, Shape(std::span<const Index>(sizes)), init, true);
    slot->is_saved = saved;
    return Parameter<T, R>(slot);
  }

  /// All slots under this prefix, in the order of making.
  std::vector<std::shared_ptr<Slot>> slots() const {
    std::vector<std::shared_ptr<Slot>> found;
    for (const auto& s : store_->slots)
      if (s->name.starts_with(prefix_)) found.push_back(s);
    return found;
  }
  /// Those that a gradient reaches.
  std::vector<std::shared_ptr<Slot>> trainable() const {
    auto all = slots();
    std::erase_if(all, [](const auto& s) { return !s->trainable(); });
    return all;
  }
  /// The slot of this full name (prefix included), or null.
  std::shared_ptr<Slot> find(std::string_view name) const {
    const auto it = store_->by_name.find(std::string(name));
    return it == store_->by_name.end() ? nullptr : it->second;
  }
  /// Number of trained values.
  Index parameter_count() const {
    Index n = 0;
    for (const auto& s : slots())
      if (!s->is_buffer) n += s->value.count();
    return n;
  }

  Device device() const { return store_->device; }

  /// Moves every tensor of the store; its layers see the new memory at once. Gradients stay behind. Optimizers are made after it.
  void to(Device device) const {
    for (const auto& s : store_->slots) {
      const bool trained = s->trainable();
      s->value = fg::to(s->value.detach(), device);
      if (trained) s->value = variable(s->value, s->name);
    }
    store_->device = device;
  }

  /// Stops (or starts again) training what `chooses` says yes to.
  void freeze(const std::function<bool(const std::string& name)>& chooses, bool frozen = true) const {
    for (const auto& s : slots())
      if (!s->is_buffer && chooses(s->name)) s->value = frozen ? s->value.detach() : variable(s->value.detach(), s->name);
  }
  void zero_grad() const {
    for (const auto& s : trainable()) fg::zero_grad(s->value);
  }
  /// Names of trained tensors that no gradient has reached since zero_grad: a branch that was left out, or a mistake.
  std::vector<std::string> without_grad() const {
    std::vector<std::string> names;
    for (const auto& s : trainable())
      if (!grad(s->value).defined()) names.push_back(s->name);
    return names;
  }

 private:
  struct Store {
    std::uint64_t seed = 0;
    Device device = kCpu;
    std::vector<std::shared_ptr<Slot>> slots;
    std::map<std::string, std::shared_ptr<Slot>, std::less<>> by_name;
  };

  std::shared_ptr<Slot> make(std::string_view name, Dtype dtype, const Shape& sizes, const Init& init, bool is_buffer) const {
    const std::string full = prefix_ + std::string(name);
    if (const auto found = find(full)) {
      check_shape(found->value.sizes() == sizes, full, "is ", found->value.sizes(), ", asked for as ", sizes);
      check_dtype(found->value.dtype() == dtype, full, "is ", found->value.dtype(), ", asked for as ", dtype);
      return found;
    }
    AnyTensor value = AnyTensor::empty(dtype, sizes, store_->device == kMeta ? kMeta : kCpu);
    if (!value.is_meta()) {
      std::vector<double> values(std::size_t(sizes.count()));
      init(values.data(), sizes, hash_name(full) ^ (store_->seed * 0x9E3779B97F4A7C15u));
      cpu::convert_strided(dtype, value.raw(), value.geometry(), Dtype::f64, values.data(), value.strides(), false);
      value = fg::to(value, store_->device);
    }
    auto slot = std::make_shared<Slot>();
    slot->name = full;
    slot->is_buffer = is_buffer;
    slot->value = is_buffer || !is_floating_dtype(dtype) ? value : variable(value, full);
    store_->slots.push_back(slot);
    store_->by_name.emplace(full, slot);
    return slot;
  }

  std::shared_ptr<Store> store_;
  std::string prefix_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
