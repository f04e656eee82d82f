// Curves — numbers over steps as an SVG picture: the loss of a training, pale as measured and strong as smoothed.
//
//   smoothed   s_i = (Σ_{j ≤ i} a^{i−j} y_j) / (Σ_{j ≤ i} a^{i−j})       no bias towards the first value
//
// Values that are not finite, or not positive on a logarithmic axis, are left out; a curve is broken where they were.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <framegrad/io/atomic_file.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct Curve {
  std::string name;
  std::vector<double> x, y;
};

struct CurveOptions {
  std::string title = "", x_label = "step", y_label = "loss";
  bool log_y = true;
  double smoothing = 0.97;  // the a above; 0 draws the measured values alone
  int width = 900, height = 480;
};

namespace detail::curve {

/// printf("%.*g"), which no locale of the program's changes into commas.
inline std::string number(double v, int digits = 6) {
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.*g", digits, v);
  for (char& c : buffer)
    if (c == ',') c = '.';
  return buffer;
}

inline std::string escaped(std::string_view s) {
  std::string out;
  for (const char c : s) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '"') out += "&quot;";
    else if (c == '\t' || (c & 0xe0) != 0) out += c;  // XML has no other control characters
  }
  return out;
}

inline double step_of(double span, int about) {  // 1, 2 or 5 times a power of ten
  const double raw = span / about, power = std::pow(10.0, std::floor(std::log10(raw)));
  return power * (raw <= power ? 1 : raw <= 2 * power ? 2 : raw <= 5 * power ? 5 : 10);
}
inline std::vector<double> ticks(double low, double high, bool logarithmic) {
  std::vector<double> all;
  if (logarithmic) {
    const bool dense = std::log10(high / low) < 3;
    for (double power = std::pow(10.0, std::floor(std::log10(low))); power <= high; power *= 10)
      for (const double m : {1.0, 2.0, 5.0})
        if ((m == 1 || dense) && m * power >= low && m * power <= high) all.push_back(m * power);
    if (all.size() >= 2) return all;
    all.clear();
  }
  const double step = step_of(high - low, 6);
  for (double k = std::ceil(low / step); k * step <= high + step * 1e-9; ++k) all.push_back(k == 0 ? 0 : k * step);
  return all;
}

/// Maps numbers to pixels.
struct Axis {
  double low, high, begin, end;
  bool logarithmic = false;
  double operator()(double v) const {
    const auto f = [&](double u) { return logarithmic ? std::log(u) : u; };
    return begin + (end - begin) * (f(v) - f(low)) / (f(high) - f(low));
  }
};

}  // namespace detail::curve

/// The picture as text. Throws ConfigError if a curve has not one x for each y.
inline std::string curve_svg(const std::vector<Curve>& curves, const CurveOptions& options = {}) {
  using namespace detail::curve;
  const auto shown = [&](double x, double y) { return std::isfinite(x) && std::isfinite(y) && (!options.log_y || y > 0); };
  double x0 = 1e300, x1 = -1e300, y0 = 1e300, y1 = -1e300;
  for (const Curve& c : curves) {
    check<ConfigError>(c.x.size() == c.y.size(), "curve", "\"", c.name, "\" has ", c.x.size(), " x for ", c.y.size(), " y");
    for (std::size_t i = 0; i < c.x.size(); ++i)
      if (shown(c.x[i], c.y[i]))
        x0 = std::min(x0, c.x[i]), x1 = std::max(x1, c.x[i]), y0 = std::min(y0, c.y[i]), y1 = std::max(y1, c.y[i]);
  }
  if (x0 > x1) x0 = 0, x1 = 1, y0 = 0.1, y1 = 1;  // nothing to show: empty axes
  if (x0 == x1) x1 = x0 + 1;
  if (options.log_y) y0 /= 1.1, y1 *= 1.1;
  else if (y0 == y1) y0 -= 0.5, y1 += 0.5;
  const double W = options.width, H = options.height;
  const Axis ax{x0, x1, 70, W - 20}, ay{y0, y1, H - 50, options.title.empty() ? 20.0 : 40.0, options.log_y};

  std::string s = text("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", options.width, "\" height=\"", options.height,
                       "\" viewBox=\"0 0 ", options.width, " ", options.height,
                       "\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n",
                       "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
  const auto line = [&](double ax0, double ay0, double ax1, double ay1, const char* color) {
    s += text("<line x1=\"", number(ax0), "\" y1=\"", number(ay0), "\" x2=\"", number(ax1), "\" y2=\"", number(ay1), "\" stroke=\"", color,
              "\"/>\n");
  };
  const auto label = [&](double x, double y, const char* anchor, const std::string& words, const std::string& more = "") {
    s += text("<text x=\"", number(x), "\" y=\"", number(y), "\" text-anchor=\"", anchor, "\"", more, ">", escaped(words),
              "</text>\n");
  };
  for (const double v : ticks(y0, y1, options.log_y)) {
    line(ax.begin, ay(v), ax.end, ay(v), "#e4e4e4");
    label(ax.begin - 6, ay(v) + 4, "end", number(v, 4));
  }
  for (const double v : ticks(x0, x1, false)) {
    line(ax(v), ay.begin, ax(v), ay.begin + 5, "#333");
    label(ax(v), ay.begin + 18, "middle", number(v, 7));
  }
  line(ax.begin, ay.begin, ax.end, ay.begin, "#333"), line(ax.begin, ay.begin, ax.begin, ay.end, "#333");
  label((ax.begin + ax.end) / 2, H - 12, "middle", options.x_label);
  const double middle = (ay.begin + ay.end) / 2;
  label(16, middle, "middle", options.y_label, text(" transform=\"rotate(-90 16 ", number(middle), ")\""));
  if (!options.title.empty()) label((ax.begin + ax.end) / 2, 24, "middle", options.title, " font-size=\"15\"");

  // A pixel column can't show more than its mean: long curves are thinned to two points a column.
  const auto polyline = [&](const std::vector<double>& x, const std::vector<double>& y, const char* color, const char* more) {
    const std::size_t bucket = 1 + x.size() / std::size_t(2 * std::max(1, options.width));
    std::string points;
    const auto close = [&] {
      if (!points.empty()) s += text("<polyline points=\"", points, "\" fill=\"none\" stroke=\"", color, "\" ", more, "/>\n");
      points.clear();
    };
    for (std::size_t i = 0; i < x.size(); i += bucket) {
      double sx = 0, sy = 0, n = 0;
      for (std::size_t k = i; k < std::min(x.size(), i + bucket); ++k)
        if (shown(x[k], y[k])) sx += x[k], sy += y[k], n += 1;
      if (n == 0) close();
      else points += text(points.empty() ? "" : " ", number(ax(sx / n)), ",", number(ay(sy / n)));
    }
    close();
  };
  constexpr std::array<const char*, 6> colors = {"#1f6fb4", "#d1582a", "#2f9e44", "#8e44ad", "#b8860b", "#555555"};
  double name_y = ay.end + 14;
  for (std::size_t k = 0; k < curves.size(); ++k) {
    const Curve& c = curves[k];
    const char* color = colors[k % colors.size()];
    const bool smooth = options.smoothing > 0 && c.y.size() > 1;
    polyline(c.x, c.y, color, smooth ? "stroke-opacity=\"0.25\"" : "stroke-width=\"1.5\"");
    if (smooth) {
      std::vector<double> averaged(c.y.size(), std::nan(""));
      double sum = 0, weight = 0;
      for (std::size_t i = 0; i < c.y.size(); ++i) {
        if (!shown(c.x[i], c.y[i])) continue;
        sum = options.smoothing * sum + c.y[i], weight = options.smoothing * weight + 1;
        averaged[i] = sum / weight;
      }
      polyline(c.x, averaged, color, "stroke-width=\"2\"");
    }
    if (!c.name.empty()) label(ax.end - 6, name_y, "end", c.name, text(" style=\"fill:", color, "\"")), name_y += 16;
  }
  return s + "</svg>\n";
}

inline void write_curve(const std::string& path, const std::vector<Curve>& curves, const CurveOptions& options = {}) {
  write_file_atomically(path, curve_svg(curves, options));
}

}  // namespace fg::inline FRAMEGRAD_ABI
