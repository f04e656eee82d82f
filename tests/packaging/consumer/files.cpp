// A network's size without its memory, and the header of a file that isn't one.
#include <framegrad/io/safetensors.hpp>
#include <framegrad/models/stdit.hpp>

int main() {
  const auto params = fg::Params::meta();
  const fg::Stdit<float> model(fg::StditConfig{}, params);
  return params.parameter_count() > 0 ? 0 : 1;
}
