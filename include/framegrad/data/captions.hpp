// Caption lists: which videos, which part of each, and what is seen in it.
//
//   .tsv     fields between tabs, as they stand: a quotation mark is a letter
//   .csv     fields between commas; "…" may hold commas, line ends and "" for one quotation mark (RFC 4180)
//   .jsonl   an object a line
//
// A first line that names a path and a caption column is a header; without one, column 1 is the path and column 2 the
// caption. Known names: path, file, video or image; caption, text or prompt; start_s or start; end_s or end; crop. Others are
// passed over. A list is read whole or refused, with the line.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <framegrad/data/frames.hpp>
#include <framegrad/io/atomic_file.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct CaptionRow {
  std::string path, caption;
  double start_s = 0, end_s = std::numeric_limits<double>::infinity();   // the part of the video meant: [start, end)
  Crop crop = Crop::centre;
  Index line = 0;                                                        // in the list, from 1
};

enum class CaptionFormat { tsv, csv, jsonl };

namespace detail {

struct CaptionRecord {
  std::vector<std::string> fields;
  Index line = 0;
};

/// Cuts a csv or tsv text into records. Blank lines are passed over.
class CaptionTable {
 public:
  CaptionTable(std::string_view text, CaptionFormat format, const std::string& name)
      : text_(text), separator_(format == CaptionFormat::csv ? ',' : '\t'), quotes_(format == CaptionFormat::csv), name_(name) {}

  /// The next record, or nothing at the end.
  std::optional<CaptionRecord> next() {
    while (at_ < text_.size() && at_line_end()) take_line_end();
    if (at_ >= text_.size()) return std::nullopt;
    CaptionRecord record{{}, line_};
    for (;;) {
      record.fields.push_back(quotes_ && text_[at_] == '"' ? quoted() : plain());
      if (at_ < text_.size() && text_[at_] == separator_) {
        ++at_;
        if (at_ < text_.size()) continue;
        record.fields.emplace_back();   // the text ends in a separator
      }
      check<FileError>(at_ >= text_.size() || at_line_end(), name_, "line ", line_, ": text after a closing quotation mark");
      if (at_ < text_.size()) take_line_end();
      return record;
    }
  }

 private:
  bool at_line_end() const { return text_[at_] == '\n' || (text_[at_] == '\r' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n'); }
  void take_line_end() {
    at_ += text_[at_] == '\r' ? 2 : 1;
    ++line_;
  }
  std::string plain() {
    std::string field;
    while (at_ < text_.size() && text_[at_] != separator_ && !at_line_end()) field += text_[at_++];
    return field;
  }
  std::string quoted() {
    const Index opened = line_;
    std::string field;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        if (at_ + 1 >= text_.size() || text_[at_ + 1] != '"') {
          ++at_;
          return field;
        }
        ++at_;
      }
      line_ += text_[at_] == '\n';
      field += text_[at_];
    }
    throw FileError(fg::text(name_, ": line ", opened, ": a quotation mark is never closed"));
  }

  std::string_view text_;
  char separator_;
  bool quotes_;
  const std::string& name_;
  std::size_t at_ = 0;
  Index line_ = 1;
};

enum class CaptionColumn { path, caption, start, end, crop, other };

inline CaptionColumn caption_column(std::string name) {
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? char(c + 32) : c;
  if (name == "path" || name == "file" || name == "video" || name == "image") return CaptionColumn::path;
  if (name == "caption" || name == "text" || name == "prompt") return CaptionColumn::caption;
  if (name == "start_s" || name == "start") return CaptionColumn::start;
  if (name == "end_s" || name == "end") return CaptionColumn::end;
  return name == "crop" ? CaptionColumn::crop : CaptionColumn::other;
}

inline double caption_seconds(std::string_view field, const std::string& where) {
  double value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  check<FileError>(error == std::errc() && end == field.data() + field.size() && std::isfinite(value) && value >= 0, where, "\"", field,
                   "\" is not a time in seconds");
  return value;
}

/// Puts one field where it belongs. An empty time or crop means the default.
inline void set_caption_field(CaptionRow& row, CaptionColumn column, const std::string& field, const std::string& where) {
  switch (column) {
    case CaptionColumn::path: row.path = field; break;
    case CaptionColumn::caption: row.caption = field; break;
    case CaptionColumn::start: if (!field.empty()) row.start_s = caption_seconds(field, where); break;
    case CaptionColumn::end: if (!field.empty()) row.end_s = caption_seconds(field, where); break;
    case CaptionColumn::crop:
      try {
        row.crop = crop_of(field);
      } catch (const ConfigError& e) {
        throw FileError(text(where, ": ", e.what()));
      }
      break;
    case CaptionColumn::other: break;
  }
}

inline void check_caption_row(const CaptionRow& row, const std::string& where) {
  check<FileError>(!row.path.empty(), where, "the path is empty");
  check<FileError>(row.path.find('\0') == std::string::npos, where, "the path holds a zero byte");
  check<FileError>(row.start_s < row.end_s, where, "starts at ", row.start_s, " s and ends at ", row.end_s, " s");
}

/// What the columns of the first record are, or nothing if it is no header.
inline std::optional<std::vector<CaptionColumn>> caption_header(const CaptionRecord& record, const std::string& where) {
  std::vector<CaptionColumn> columns;
  for (const auto& field : record.fields) columns.push_back(caption_column(field));
  const auto count = [&](CaptionColumn c) { return std::count(columns.begin(), columns.end(), c); };
  if (count(CaptionColumn::path) == 0 || count(CaptionColumn::caption) == 0) return std::nullopt;
  for (const auto c : columns) check<FileError>(c == CaptionColumn::other || count(c) == 1, where, "two columns of the header mean the same");
  return columns;
}

inline std::vector<CaptionRow> table_captions(std::string_view text, CaptionFormat format, const std::string& name) {
  CaptionTable table(text, format, name);
  std::vector<CaptionColumn> columns;
  std::vector<CaptionRow> rows;
  while (const auto record = table.next()) {
    const std::string where = fg::text(name, ": line ", record->line);
    const auto& fields = record->fields;
    if (columns.empty()) {
      if (auto header = caption_header(*record, where)) {
        columns = std::move(*header);
        continue;
      }
      check<FileError>(fields.size() >= 2, where, "one column, needed are a path and a caption");
      columns.assign(fields.size(), CaptionColumn::other);
      columns[0] = CaptionColumn::path, columns[1] = CaptionColumn::caption;
    }
    check<FileError>(fields.size() == columns.size(), where, fields.size(), " fields, the first line has ", columns.size());
    CaptionRow row;
    row.line = record->line;
    for (std::size_t i = 0; i < columns.size(); ++i) set_caption_field(row, columns[i], fields[i], where);
    check_caption_row(row, where);
    rows.push_back(std::move(row));
  }
  return rows;
}

inline std::vector<CaptionRow> json_captions(std::string_view text, const std::string& name) {
  std::vector<CaptionRow> rows;
  Index line = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view one = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    const std::string where = fg::text(name, ": line ", ++line);
    if (one.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto object = nlohmann::json::parse(one, nullptr, false);
    check<FileError>(object.is_object(), where, "not a JSON object");
    CaptionRow row;
    row.line = line;
    for (const auto& [key, value] : object.items()) {
      const CaptionColumn column = caption_column(key);
      if (column == CaptionColumn::other || value.is_null()) continue;
      const bool time = column == CaptionColumn::start || column == CaptionColumn::end;
      check<FileError>(time ? value.is_number() : value.is_string(), where, key, " is of the wrong type: ", value.type_name());
      if (time) (column == CaptionColumn::start ? row.start_s : row.end_s) = value.template get<double>();
      else set_caption_field(row, column, value.template get_ref<const std::string&>(), where);
    }
    check<FileError>(row.start_s >= 0 && std::isfinite(row.start_s), where, "starts at ", row.start_s, " s");
    check<FileError>(object.contains("caption") || object.contains("text") || object.contains("prompt"), where, "no caption");
    check_caption_row(row, where);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace detail

/// The rows of a caption list held in memory; `name` stands in errors. Throws FileError with the line.
inline std::vector<CaptionRow> parse_captions(std::string_view text, CaptionFormat format, const std::string& name) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);   // a byte order mark
  return format == CaptionFormat::jsonl ? detail::json_captions(text, name) : detail::table_captions(text, format, name);
}

/// The rows of a .tsv, .csv or .jsonl file. Throws FileError if it can't be read, or with the line that is wrong.
inline std::vector<CaptionRow> read_captions(const std::string& path) {
  const std::string_view name = path;
  const bool tsv = name.ends_with(".tsv"), csv = name.ends_with(".csv");
  check<FileError>(tsv || csv || name.ends_with(".jsonl"), path, "a caption list needs to end in .tsv, .csv or .jsonl");
  const auto bytes = read_file(path);
  return parse_captions({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                        tsv ? CaptionFormat::tsv : csv ? CaptionFormat::csv : CaptionFormat::jsonl, path);
}

}  // namespace fg::inline FRAMEGRAD_ABI
