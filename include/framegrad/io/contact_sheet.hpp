// Contact sheet — films on one page: a row for each, frames at equal intervals from the first to the last, its caption below.
#pragma once

#include <framegrad/io/font.hpp>
#include <framegrad/io/png.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct SheetRow {
  Film film;
  std::string caption;
};

struct SheetOptions {
  Index frames = 8;      // in a row, at most
  Index scale = 4;       // pixels of the page for one of the film, along each side
  Index text_scale = 2;  // the same for the letters of 5×7
  Rgb paper = {250, 250, 248}, ink = {40, 40, 40};
};

/// Each pixel as factor×factor pixels.
inline Film enlarged(const Film& film, Index factor) {
  film.validate();
  check_shape(factor >= 1 && factor <= 1024, "enlarged", "a factor of ", factor);
  Film out = Film::filled(film.frames, film.height * factor, film.width * factor);
  for (Index t = 0; t < film.frames; ++t)
    for (Index y = 0; y < out.height; ++y)
      for (Index x = 0; x < out.width; ++x) out.set(t, y, x, film.at(t, y / factor, x / factor));
  return out;
}

/// rows → a page, a film of one frame. Throws ShapeError if there is no row or a film is not valid.
inline Film contact_sheet(const std::vector<SheetRow>& rows, const SheetOptions& options = {}) {
  check_shape(!rows.empty(), "contact_sheet", "there is no film");
  check_shape(options.frames > 0 && options.scale > 0 && options.text_scale > 0, "contact_sheet", options.frames, " frames at scale ",
              options.scale, " with text at scale ", options.text_scale, "; each needs to be positive");
  const Index gap = options.scale, margin = 4 * options.scale, letter = font::kAdvance * options.text_scale;
  Index width = 0;
  for (const SheetRow& row : rows) {
    row.film.validate();
    width = std::max(width, std::min(options.frames, row.film.frames) * (row.film.width * options.scale + gap) - gap);
  }
  width = std::max(width, 24 * letter);  // room for words under a single small frame

  Index height = margin;
  std::vector<std::vector<std::string>> lines;
  for (const SheetRow& row : rows) {
    lines.push_back(font::wrapped(row.caption, width / letter));
    height += row.film.height * options.scale + gap + Index(lines.back().size()) * font::kLine * options.text_scale + margin;
  }
  Film page = Film::filled(1, height, width + 2 * margin, options.paper);

  Index top = margin;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const Film& film = rows[r].film;
    const Index n = std::min(options.frames, film.frames);
    for (Index k = 0; k < n; ++k) {
      const Index t = n > 1 ? (k * (film.frames - 1) + (n - 1) / 2) / (n - 1) : 0;
      const Index left = margin + k * (film.width * options.scale + gap);
      for (Index y = 0; y < film.height * options.scale; ++y)
        for (Index x = 0; x < film.width * options.scale; ++x)
          page.set(0, top + y, left + x, film.at(t, y / options.scale, x / options.scale));
    }
    top += film.height * options.scale + 2 * gap;
    for (const std::string& line : lines[r]) {
      font::draw(page, 0, top, margin, line, options.ink, options.text_scale);
      top += font::kLine * options.text_scale;
    }
    top += margin - gap;
  }
  return page;
}

inline void write_contact_sheet(const std::string& path, const std::vector<SheetRow>& rows, const SheetOptions& options = {}) {
  write_png(path, contact_sheet(rows, options));
}

}  // namespace fg::inline FRAMEGRAD_ABI
