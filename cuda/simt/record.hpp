// Work on a stream that runs at once, or is kept in a list while one is set: what stands for a CUDA graph.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

using Recording = std::vector<std::function<void()>>;

/// Where this thread's work goes; null: it runs.
inline Recording*& recording() {
  static thread_local Recording* list = nullptr;
  return list;
}

/// Work in the order of the stream. It holds pointers and sizes: what it captures by reference is gone when it runs.
template <class F>
void queue(F&& work) {
  if (Recording* list = recording()) list->emplace_back(std::forward<F>(work));
  else work();
}

}  // namespace fg::inline FRAMEGRAD_ABI::simt
