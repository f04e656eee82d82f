// What tests of instrumented kernels share: device memory, and the report of a launch.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "cuda/launch.cuh"
#include "cuda/simt/memory.hpp"

using namespace fg::cuda;

/// Registered memory with unused bytes around it.
class Device {
 public:
  explicit Device(int floats) : memory_(new float[std::size_t(floats) + 128]), data_(memory_.get() + 64) {
    data_ += (64 - reinterpret_cast<std::uintptr_t>(data_) % 64) / 4;  // aligned to 64
    for (int i = 0; i < floats; ++i) data_[i] = float(i);
    fg::simt::memory().add(data_, std::size_t(floats) * sizeof(float));
  }
  ~Device() { fg::simt::memory().remove(data_); }
  operator float*() { return data_; }

 private:
  std::unique_ptr<float[]> memory_;
  float* data_;
};

template <class... P, class... A>
std::string report_of(void (*kernel)(P...), Grid grid, A&&... args) {
  try {
    launch(kernel, grid, static_cast<P>(args)...);
  } catch (const fg::simt::Fault& e) {
    return e.what();
  }
  return "(nothing)";
}
inline void expect_in(const std::string& s, std::initializer_list<std::string> parts) {
  std::size_t found = 0;
  for (const auto& part : parts) {
    found = s.find(part, found);
    ASSERT_NE(found, std::string::npos) << "no \"" << part << "\", or not in this order, in: " << s;
  }
}
/// The line of a kernel in the test's own file.
inline std::string at(int line) { return "_test.cpp:" + std::to_string(line) + " in "; }
