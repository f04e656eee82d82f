// Tensors by name, outside a model: what a file holds, and what an optimizer or an EMA is made of.
//
// `restore` is the one place that copies by name. It is strict: everything that doesn't fit is listed in one error, and then
// nothing has been copied.
#pragma once

#include <unordered_map>

#include <framegrad/nn/params.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct NamedTensor {
  std::string name;
  AnyTensor tensor;
};
using NamedTensors = std::vector<NamedTensor>;

using NamePredicate = std::function<bool(const std::string& name)>;

/// The saved tensors of a model, in the order of making; they share the model's memory.
inline NamedTensors named_tensors(const Params& params) {
  NamedTensors found;
  for (const auto& s : params.slots())
    if (s->is_saved) found.push_back({s->name, s->value.detach()});
  return found;
}

struct RestoreOptions {
  NamePredicate allow_missing = {};     // names that may be absent from the source: they keep their content
  NamePredicate allow_unexpected = {};  // names of the source that may be left over
  bool convert = true;                  // between float, double, bf16 and half
};

/// What was allowed to differ.
struct Restored {
  std::vector<std::string> missing, unexpected;
};

namespace detail {
/// "; 3 missing: a, b, c", or nothing. A hundred names say enough.
inline std::string listed(std::string_view what, const std::vector<std::string>& names) {
  if (names.empty()) return {};
  std::string s = text("; ", names.size(), " ", what, ": ");
  for (std::size_t i = 0; i < names.size() && i < 100; ++i) s += (i ? ", " : "") + names[i];
  return names.size() > 100 ? s + ", …" : s;
}
}  // namespace detail

/// Checks that `from` fits `to`, names, sizes and types, before anything is copied. Throws FileError "origin: …" with all that doesn't.
/// Calls take(destination, source) for each pair in the order of `to`.
template <class F>
Restored match_names(const NamedTensors& to, const NamedTensors& from, std::string_view origin, const RestoreOptions& options, F&& take) {
  std::unordered_map<std::string_view, const AnyTensor*> sources;
  std::vector<std::string> twice, missing, unexpected, differing;
  for (const auto& [name, tensor] : from)
    if (!sources.emplace(name, &tensor).second) twice.push_back(name);

  Restored allowed;
  std::vector<const AnyTensor*> matched;
  for (const auto& [name, tensor] : to) {
    const auto it = sources.find(name);
    matched.push_back(it == sources.end() ? nullptr : it->second);
    if (it == sources.end()) {
      (options.allow_missing && options.allow_missing(name) ? allowed.missing : missing).push_back(name);
      continue;
    }
    const AnyTensor& source = *it->second;
    const bool converts = options.convert && is_floating_dtype(tensor.dtype()) && is_floating_dtype(source.dtype());
    if (!(source.sizes() == tensor.sizes()) || (source.dtype() != tensor.dtype() && !converts))
      differing.push_back(text(name, " (", source.dtype(), " ", source.sizes(), ", needed ", tensor.dtype(), " ", tensor.sizes(), ")"));
    sources.erase(it);
  }
  for (const auto& [name, tensor] : from)
    if (sources.count(name)) (options.allow_unexpected && options.allow_unexpected(name) ? allowed.unexpected : unexpected).push_back(name);

  const std::string wrong = detail::listed("missing", missing) + detail::listed("unexpected", unexpected) + detail::listed("of another shape or type", differing) +
                            detail::listed("given twice", twice);
  check<FileError>(wrong.empty(), origin, "the tensors don't fit", wrong);
  for (std::size_t i = 0; i < to.size(); ++i)
    if (matched[i]) take(i, *matched[i]);
  return allowed;
}

/// Copies `from` into the memory of `to`, name by name. Throws FileError with everything that is missing, unexpected or doesn't fit.
inline Restored restore(const NamedTensors& to, const NamedTensors& from, std::string_view origin, const RestoreOptions& options = {}) {
  return match_names(to, from, origin, options, [&](std::size_t i, const AnyTensor& source) { copy_into(to[i].tensor, source); });
}

}  // namespace fg::inline FRAMEGRAD_ABI
