// Loading a released checkpoint into STDiT: its own, or that of PixArt-α, of which STDiT is the extension by a temporal axis.
//
//   PixArt-α (github.com/PixArt-alpha/PixArt-alpha, XL-2)   STDiT
//   x_embedder.proj.weight [D, C, 2, 2]                     [D, C, 1, 2, 2]
//   pos_embed                                               dropped: computed from the size of the latent
//   —                                                       blocks.i.attn_temp.*: keep what they start with
//   all else                                                the same names and shapes
//
// A fresh STDiT has attn_temp.proj = 0, so after the import it is PixArt applied frame by frame. Which of the two a file holds is
// read off its tensors, never off its name, and loading is strict: a PixArt file taken for STDiT's would miss all keys in silence.
#pragma once

#include <framegrad/nn/named_tensors.hpp>

namespace fg::inline FRAMEGRAD_ABI {

enum class StditLayout { stdit, pixart };

constexpr std::string_view name_of(StditLayout l) { return l == StditLayout::stdit ? "stdit" : "pixart"; }

namespace detail {
inline constexpr std::string_view kPatchWeight = "x_embedder.proj.weight";
inline bool is_position_table(const std::string& name) { return name == "pos_embed" || name == "pos_embed_temporal"; }
inline bool is_temporal_attention(const std::string& name) { return name.starts_with("blocks.") && name.find(".attn_temp.") != std::string::npos; }
}  // namespace detail

/// Which layout the tensors have: the patch weight's rank says it. Throws FileError "origin: …" if that weight is missing, is neither, or if
/// a temporal attention stands beside a patch weight without a temporal axis.
inline StditLayout stdit_layout(const NamedTensors& from, std::string_view origin) {
  const AnyTensor* patch = nullptr;
  const std::string* temporal = nullptr;
  for (const auto& [name, tensor] : from) {
    if (name == detail::kPatchWeight) patch = &tensor;
    if (detail::is_temporal_attention(name)) temporal = &name;
  }
  check<FileError>(patch != nullptr, origin, detail::kPatchWeight, " is missing: neither STDiT's nor PixArt's tensors");
  check<FileError>(patch->rank() == 5 || patch->rank() == 4, origin, detail::kPatchWeight, " is ", patch->sizes(), ", rank 5 (STDiT) or 4 (PixArt) is needed");
  check<FileError>(patch->rank() == 5 || !temporal, origin, detail::kPatchWeight, " is ", patch->sizes(), " as PixArt's, but ", temporal ? *temporal : std::string(), " is STDiT's");
  return patch->rank() == 5 ? StditLayout::stdit : StditLayout::pixart;
}

/// PixArt's tensors under STDiT's names and shapes; they share memory with `from`.
inline NamedTensors stdit_from_pixart(const NamedTensors& from) {
  NamedTensors to;
  for (const auto& [name, tensor] : from) {
    if (detail::is_position_table(name)) continue;
    to.push_back({name, name == detail::kPatchWeight ? tensor.unsqueeze(2) : tensor});
  }
  return to;
}

/// What was found in a checkpoint.
struct StditLoaded {
  StditLayout layout;
  std::vector<std::string> kept;     // tensors of the model that the file doesn't have: the temporal attention, from PixArt
};

/// Copies a checkpoint of either layout into the parameters of an STDiT, converting between float types. Throws FileError with all that is
/// missing, unexpected or mis-shaped, and has then copied nothing; tables of positions, which are computed, count as neither.
inline StditLoaded load_stdit(const Params& params, const NamedTensors& from, std::string_view origin = "checkpoint") {
  const StditLayout layout = stdit_layout(from, origin);
  RestoreOptions options;
  options.allow_unexpected = detail::is_position_table;
  if (layout == StditLayout::pixart) options.allow_missing = detail::is_temporal_attention;
  return {layout, restore(named_tensors(params), layout == StditLayout::pixart ? stdit_from_pixart(from) : from, origin, options).missing};
}

}  // namespace fg::inline FRAMEGRAD_ABI
