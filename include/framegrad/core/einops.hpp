// Patterns like "b t s d -> (b t) s d", read while compiling (the notation of Rogozhnikov 2022, einops).
//
// A pattern is names of axes on both sides of an arrow. (a b) is one axis made of two, the last fastest; 1 is an axis of
// size 1. A malformed pattern doesn't compile.
#pragma once

#include <string_view>

#include <framegrad/core/shape.hpp>

namespace fg::inline FRAMEGRAD_ABI {

template <std::size_t N>
struct FixedString {
  char text[N]{};
  consteval FixedString(const char (&s)[N]) {
    for (std::size_t i = 0; i < N; ++i) text[i] = s[i];
  }
  constexpr std::string_view view() const { return {text, N - 1}; }
};

/// The size of a named axis, where a pattern can't tell it: axis<"s">(256).
template <FixedString Name>
struct AxisSize {
  Index size;
  static constexpr std::string_view name() { return Name.view(); }
};
template <FixedString Name>
constexpr AxisSize<Name> axis(Index size) { return {size}; }

/// One side of a pattern: axes, each made of named parts (none: an axis of size 1).
struct PatternSide {
  int rank = 0;
  int parts[kMaxRank]{};              // how many names each axis has
  int names[kMaxRank][kMaxRank]{};    // indices into Pattern::names
};

struct Pattern {
  static constexpr int kMaxNames = 12;
  int name_count = 0;
  std::string_view names[kMaxNames]{};
  static constexpr int kMaxSides = 4;
  int side_count = 0;                 // the last is the result
  PatternSide sides[kMaxSides]{};

  constexpr int find(std::string_view name) const {
    for (int i = 0; i < name_count; ++i)
      if (names[i] == name) return i;
    return -1;
  }
  constexpr const PatternSide& result() const { return sides[side_count - 1]; }

  constexpr bool has(const PatternSide& side, int name) const {
    for (int a = 0; a < side.rank; ++a)
      for (int p = 0; p < side.parts[a]; ++p)
        if (side.names[a][p] == name) return true;
    return false;
  }
  constexpr bool same_names(const PatternSide& a, const PatternSide& b) const {
    for (int i = 0; i < name_count; ++i)
      if (has(a, i) != has(b, i)) return false;
    return true;
  }
};

/// Reads "a b, b c -> a c". Anything wrong is thrown, which stops the compiler.
consteval Pattern parse_pattern(std::string_view s) {
  Pattern p;
  p.side_count = 1;
  bool in_group = false, arrow = false;
  const auto new_axis = [&](PatternSide& side) {
    if (side.rank == kMaxRank) throw "a pattern has more than eight axes";
    ++side.rank;
  };
  for (std::size_t i = 0; i < s.size();) {
    PatternSide& side = p.sides[p.side_count - 1];
    const char c = s[i];
    if (c == ' ') { ++i; continue; }
    if (c == '(') {
      if (in_group) throw "a group inside a group";
      in_group = true, new_axis(side), ++i;
    } else if (c == ')') {
      if (!in_group) throw "a ) without (";
      in_group = false, ++i;
    } else if (c == ',' || c == '-') {
      if (c == '-' && (i + 1 >= s.size() || s[i + 1] != '>')) throw "a - that is no ->";
      if (in_group || arrow || p.side_count == Pattern::kMaxSides) throw "a pattern is sides, divided by commas, an arrow and the result";
      arrow = c == '-';
      i += c == '-' ? 2 : 1;
      ++p.side_count;
    } else if (c == '1') {
      if (!in_group) new_axis(side);
      ++i;
    } else {
      std::size_t end = i;
      while (end < s.size() && (s[end] == '_' || (s[end] >= '0' && s[end] <= '9') || (s[end] >= 'a' && s[end] <= 'z') || (s[end] >= 'A' && s[end] <= 'Z'))) ++end;
      if (end == i) throw "a character that is part of no pattern";
      const std::string_view name = s.substr(i, end - i);
      int at = p.find(name);
      if (at < 0) {
        if (p.name_count == Pattern::kMaxNames) throw "a pattern has more than twelve names";
        at = p.name_count++;
        p.names[at] = name;
      }
      if (p.has(side, at)) throw "a name stands twice on one side";
      if (!in_group) new_axis(side);
      const int a = side.rank - 1;
      side.names[a][side.parts[a]++] = at;
      i = end;
    }
  }
  if (in_group || !arrow) throw "a pattern needs an arrow, and a ) for every (";
  return p;
}

/// The pattern of a literal, kept for the program's life.
template <FixedString S>
inline constexpr Pattern pattern_of = parse_pattern(S.view());

/// Sizes of all names from what is given and from the sizes of an operand; unknown ones stay −1. Throws ShapeError.
inline void resolve_sizes(const Pattern& p, const PatternSide& side, const Shape& sizes, Index* known, std::string_view op) {
  check_shape(sizes.rank() == side.rank, op, "x is ", sizes, ", the pattern has ", side.rank, " axes");
  for (int a = 0; a < side.rank; ++a) {
    Index product = 1;
    int open = -1;
    for (int i = 0; i < side.parts[a]; ++i) {
      const int n = side.names[a][i];
      if (known[n] < 0) {
        check_shape(open < 0, op, "the sizes of ", p.names[open < 0 ? n : open], " and ", p.names[n], " are both open: give one with axis<>()");
        open = n;
      } else {
        product *= known[n];
      }
    }
    if (open >= 0) known[open] = product ? sizes[a] / product : 0, product *= known[open];
    check_shape(product == sizes[a], op, "axis ", a, " of ", sizes, " should be ", product);
  }
}

}  // namespace fg::inline FRAMEGRAD_ABI
