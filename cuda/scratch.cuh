// Memory that a launcher needs between its kernels.
#pragma once

#include <framegrad/core/backend.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// Memory of this thread's stream for as long as it lives: what is queued before its end may use it. Null for no bytes.
class Scratch {
 public:
  explicit Scratch(Index bytes) : bytes_(bytes), device_(current_device()), p_(bytes ? allocate(bytes, device_) : nullptr) {}
  ~Scratch() {
    if (p_) release(p_, bytes_, device_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  template <class T>
  T* as() const { return static_cast<T*>(p_); }

 private:
  Index bytes_;
  int device_;
  void* p_;
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
