// Latents on disk: clips encoded once, with their captions, in one safetensors file.
//
//   "latents" [N,C,T,H,W]; metadata: "captions" (a JSON list of N texts), "codec", "scale" (the latents' deviation)
#pragma once

#include <framegrad/io/safetensors.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct LatentFile {
  Tensor<float, 5> latents;            // [N,C,T,H,W]
  std::vector<std::string> captions;   // N
  std::string codec = "pixels";        // or "taef2"
  double scale = 1;                    // latents divided by it have a deviation near 1
};

/// Throws FileError; a file of that name then stays as it was.
inline void save_latents(const std::string& path, const LatentFile& f) {
  check_shape(f.latents.size(0) == Index(f.captions.size()), "save_latents", f.latents.size(0), " latents, ", f.captions.size(), " captions");
  save_safetensors(path, {{"latents", f.latents.detach()}},
                   {{"captions", nlohmann::json(f.captions).dump()}, {"codec", f.codec}, {"scale", nlohmann::json(f.scale).dump()}});
}

/// Throws FileError for a file that isn't one of latents, or whose captions don't fit.
inline LatentFile load_latents(const std::string& path) {
  const Safetensors file(path);
  const auto& m = file.metadata();
  const auto value = [&](const char* key) -> const std::string& {
    const auto it = m.find(key);
    check<FileError>(it != m.end(), "load_latents", path, " has no \"", key, "\" in its metadata");
    return it->second;
  };
  LatentFile f;
  const AnyTensor t = file.tensor("latents");
  check<FileError>(t.rank() == 5 && is_floating_dtype(t.dtype()) && t.count() > 0, "load_latents", path, ": latents are ", t.dtype(), " ", t.sizes(), ", [N, C, T, H, W] is needed");
  f.latents = Tensor<float, 5>(converted(row_major_copy(t), Dtype::f32));
  const auto captions = nlohmann::json::parse(value("captions"), nullptr, false), scale = nlohmann::json::parse(value("scale"), nullptr, false);
  const bool texts = captions.is_array() && std::all_of(captions.begin(), captions.end(), [](const auto& c) { return c.is_string(); });
  check<FileError>(texts && Index(captions.size()) == f.latents.size(0), "load_latents", path, ": ", f.latents.size(0), " latents need as many captions");
  captions.get_to(f.captions);
  check<FileError>(scale.is_number() && scale.get<double>() > 0, "load_latents", path, ": scale is ", value("scale"));
  f.scale = scale.get<double>();
  f.codec = value("codec");
  return f;
}

}  // namespace fg::inline FRAMEGRAD_ABI
