// Vocabulary — a word-level tokenizer: one id a word, for models whose captions come from a small grammar.
//
// Id 0 is padding, word i of the list has id i + 1. Text is split at white space and made lower-case (ASCII); commas and
// full stops are dropped. A word outside the list is refused, since a model can't know what it was never told.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <framegrad/core/error.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// "A large,  Red circle." → {"a", "large", "red", "circle"}
inline std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto close = [&] {
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  for (const char c : text) {
    if (c == ' ' || (c >= '\t' && c <= '\r')) close();
    else if (c != ',' && c != '.') word += c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
  }
  close();
  return words;
}

class Vocabulary {
 public:
  static constexpr std::int64_t kPad = 0;

  /// Throws ConfigError for a word that is empty, not lower-case, has white space in it or stands twice.
  explicit Vocabulary(std::vector<std::string> words) : words_(std::move(words)) {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      const auto split = split_words(words_[i]);
      check<ConfigError>(split.size() == 1 && split[0] == words_[i], "vocabulary", "\"", words_[i], "\" is not one lower-case word");
      check<ConfigError>(ids_.emplace(words_[i], std::int64_t(i) + 1).second, "vocabulary", "\"", words_[i], "\" stands twice");
    }
  }

  /// All words of the captions, in alphabetical order.
  static Vocabulary of_captions(const std::vector<std::string>& captions) {
    std::set<std::string> words;
    for (const auto& c : captions)
      for (auto& w : split_words(c)) words.insert(std::move(w));
    return Vocabulary({words.begin(), words.end()});
  }

  /// Ids in use, padding included: the rows of an embedding table.
  Index size() const { return Index(words_.size()) + 1; }
  const std::vector<std::string>& words() const { return words_; }

  /// text → ids [length], padded at the end. Throws ConfigError for an unknown word or too many of them.
  std::vector<std::int64_t> encode(std::string_view text, Index length) const {
    const auto split = split_words(text);
    check<ConfigError>(Index(split.size()) <= length, "caption", "\"", text, "\" has ", split.size(), " words, at most ", length, " fit");
    std::vector<std::int64_t> ids(std::size_t(length), kPad);
    for (std::size_t i = 0; i < split.size(); ++i) {
      const auto found = ids_.find(split[i]);
      check<ConfigError>(found != ids_.end(), "caption", "\"", split[i], "\" is unknown; known words are: ", listed());
      ids[i] = found->second;
    }
    return ids;
  }

  /// ids → text; padding is left out. Throws ConfigError for an id outside the vocabulary.
  std::string decode(const std::vector<std::int64_t>& ids) const {
    std::string text;
    for (const std::int64_t id : ids) {
      if (id == kPad) continue;
      check<ConfigError>(id > 0 && id < size(), "caption", "id ", id, " of a vocabulary of ", size());
      if (!text.empty()) text += ' ';
      text += words_[std::size_t(id - 1)];
    }
    return text;
  }

 private:
  std::string listed() const {
    std::string s;
    for (const auto& w : words_) (s += s.empty() ? "" : " ") += w;
    return s;
  }

  std::vector<std::string> words_;
  std::map<std::string, std::int64_t, std::less<>> ids_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
