// Tensors handed to another library and taken from one: same memory, right owner, everything foreign checked.
#include <gtest/gtest.h>

#include <framegrad/io/dlpack.hpp>

namespace {

using namespace fg;

TEST(Dlpack, RoundTripSharesMemoryAndOwnership) {
  static bool freed;
  freed = false;
  float memory[6] = {1, 2, 3, 4, 5, 6};
  auto* managed = [&] {
    const auto x = wrap<float, 2>(memory, {2, 3}, [] { freed = true; });
    return to_dlpack(x.transpose(0, 1).slice(0, 1, 3));  // [2, 2], strides 1, 3, offset 1
  }();
  EXPECT_FALSE(freed);
  EXPECT_EQ(managed->tensor.data, memory + 1);
  EXPECT_EQ(managed->tensor.shape[0], 2);
  EXPECT_EQ(managed->tensor.strides[1], 3);
  {
    AnyTensor back = from_dlpack(managed);
    const Tensor<float, 1> view(back.select(0, 1));
    back = {};
    EXPECT_EQ(view(1), 6);
    view(1) = 60;
    EXPECT_FALSE(freed);
  }
  EXPECT_TRUE(freed);
  EXPECT_EQ(memory[5], 60);
}

TEST(Dlpack, EveryTypeAndNoStrides) {
  for (int i = 0; i <= int(Dtype::boolean); ++i) {
    const AnyTensor x = AnyTensor::empty(Dtype(i), {3, 4});
    auto* managed = to_dlpack(x);
    managed->tensor.strides = nullptr;
    const AnyTensor y = from_dlpack(managed);
    EXPECT_EQ(y.dtype(), Dtype(i));
    EXPECT_EQ(y.raw(), x.raw());
    EXPECT_TRUE(y.is_row_major());
  }
  EXPECT_EQ((Tensor<float, 0>(from_dlpack(to_dlpack(scalar<float>(5)))).item()), 5);
}

TEST(Dlpack, RefusalLeavesTheOwner) {
  const auto refused = [](auto change, auto error) {
    auto* managed = to_dlpack(empty<float>({2, 3}));
    change(managed->tensor);
    EXPECT_THROW(from_dlpack(managed), decltype(error));
    managed->deleter(managed);
  };
  refused([](dlpack::Tensor& t) { t.device.type = 2; }, DeviceError(""));
  refused([](dlpack::Tensor& t) { t.dtype.lanes = 4; }, DtypeError(""));
  refused([](dlpack::Tensor& t) { t.dtype.code = 5; }, DtypeError(""));
  refused([](dlpack::Tensor& t) { t.ndim = 9; }, ShapeError(""));
  refused([](dlpack::Tensor& t) { t.shape[0] = -1; }, ShapeError(""));
  refused([](dlpack::Tensor& t) { t.strides[0] = -3; }, ShapeError(""));
  refused([](dlpack::Tensor& t) { t.byte_offset = 2; }, ShapeError(""));
  EXPECT_THROW(from_dlpack(nullptr), Error);
  EXPECT_THROW(to_dlpack(AnyTensor()), DeviceError);
}

}  // namespace
