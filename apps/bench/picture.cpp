#include "picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>

namespace pit::bench {

namespace {

// Sizes in pixels.
constexpr double kPlotWidth = 330, kPlotHeight = 240, kLeft = 64, kTop = 78, kGapX = 74, kGapY = 84;
constexpr int kAcross = 3;

// Colours that colour-blind readers can tell apart (Okabe and Ito), with a mark each.
constexpr std::array kColours{"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                              "#e69f00", "#56b4e9", "#000000"};

std::string format(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string power_of_ten(double milliseconds) {
  std::array<char, 32> text{};
  const bool seconds = milliseconds >= 999, fractions = milliseconds < 0.999;
  std::snprintf(text.data(), text.size(),
                seconds     ? "%g s"
                : fractions ? "%g us"
                            : "%g ms",
                seconds     ? milliseconds / 1000
                : fractions ? milliseconds * 1000
                            : milliseconds);
  return text.data();
}

std::string escaped(const std::string &text) {
  std::string result;
  for (const char c : text) {
    result += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  }
  return result;
}

// Sparsity -> milliseconds, of one system in one diagram.
using Curve = std::map<double, double>;

struct Diagram {
  std::string micro, type;
  std::vector<std::pair<std::string, Curve>> curves;
};

class Picture {
 public:
  explicit Picture(const Results &results) {
    for (const Row &row : results.rows) {
      if (is_product(row)) threads_ = threads_ == 0 ? row.threads : std::min(threads_, row.threads);
    }
    for (const Row &row : results.rows) {
      if (is_product(row) && row.threads == threads_) add(row);
    }
  }

  std::string svg() {
    const auto count = static_cast<int>(diagrams_.size());
    const int across = std::max(1, std::min(count, kAcross));
    const int down = std::max(1, (count + kAcross - 1) / kAcross);
    const double width = kLeft + across * (kPlotWidth + kGapX);
    const double legend = kTop + down * (kPlotHeight + kGapY);
    const double height = legend + 24 * static_cast<double>((systems_.size() + 2) / 3) + 10;
    text_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + format(width) + "\" height=\"" +
            format(height) + "\" viewBox=\"0 0 " + format(width) + " " + format(height) +
            "\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"#222\">\n"
            "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
    write(kLeft, 28,
          "Time of sparse x dense, " + place_ +
              ", over the share of zero micro-tiles; index included",
          "start", 16);
    for (int i = 0; i < count; ++i) {
      draw(diagrams_[static_cast<std::size_t>(i)], kLeft + i % kAcross * (kPlotWidth + kGapX),
           kTop + i / kAcross * (kPlotHeight + kGapY));
    }
    for (std::size_t s = 0; s < systems_.size(); ++s) {
      const double x = kLeft + static_cast<double>(s % 3) * (kPlotWidth + kGapX);
      const double y = legend + 24 * static_cast<double>(s / 3);
      line(x, y - 4, x + 34, y - 4, colour(s), 2.5);
      mark(x + 17, y - 4, s);
      write(x + 42, y, systems_[s], "start", 13);
    }
    return text_ + "</svg>\n";
  }

 private:
  int threads_ = 0;
  std::string place_, text_;
  std::vector<Diagram> diagrams_;
  std::vector<std::string> systems_;
  std::vector<double> sparsities_;
  double least_ = 0, most_ = 0;  // milliseconds; the least is a power of ten

  static bool is_product(const Row &row) {
    return row.case_name.starts_with("spmm/") && row.total_us && row.sparsity;
  }
  // Systems that multiply zeros, too: the reference is dashed.
  static bool is_dense(const std::string &system) {
    return system.find("BLAS") != std::string::npos || system.find("dense") != std::string::npos;
  }
  static const char *colour(std::size_t system) { return kColours[system % kColours.size()]; }

  void add(const Row &row) {
    place_ = row.device.empty()
                 ? "on " + std::to_string(threads_) + (threads_ == 1 ? " thread" : " threads")
                 : row.device;
    auto diagram = std::find_if(diagrams_.begin(), diagrams_.end(), [&](const Diagram &d) {
      return d.micro == row.micro && d.type == row.type;
    });
    if (diagram == diagrams_.end())
      diagram = diagrams_.insert(diagrams_.end(), {row.micro, row.type, {}});
    auto &curves = diagram->curves;
    auto curve = std::find_if(curves.begin(), curves.end(),
                              [&](const auto &c) { return c.first == row.system; });
    if (curve == curves.end()) curve = curves.insert(curves.end(), {row.system, {}});
    const double time = *row.total_us / 1000;
    curve->second[*row.sparsity] = time;
    if (std::find(systems_.begin(), systems_.end(), row.system) == systems_.end()) {
      systems_.push_back(row.system);
    }
    if (std::find(sparsities_.begin(), sparsities_.end(), *row.sparsity) == sparsities_.end()) {
      sparsities_.push_back(*row.sparsity);
      std::sort(sparsities_.begin(), sparsities_.end());
    }
    const double below = std::pow(10, std::floor(std::log10(time)));
    least_ = least_ == 0 ? below : std::min(least_, below);
    most_ = std::max({most_, 1.3 * time, 10 * least_});
  }

  // Places in a diagram. The sparsities are equally far apart: they would crowd at the right.
  double x_of(double sparsity) const {
    const auto place = std::find(sparsities_.begin(), sparsities_.end(), sparsity);
    const double steps = std::max<double>(1, static_cast<double>(sparsities_.size()) - 1);
    return 14 + (kPlotWidth - 28) * static_cast<double>(place - sparsities_.begin()) / steps;
  }
  double y_of(double time) const {
    return kPlotHeight * (1 - std::log(time / least_) / std::log(most_ / least_));
  }

  void write(double x, double y, const std::string &text, const char *anchor, int size) {
    text_ += "<text x=\"" + format(x) + "\" y=\"" + format(y) + "\" text-anchor=\"" + anchor +
             "\" font-size=\"" + std::to_string(size) + "\">" + escaped(text) + "</text>\n";
  }
  void line(double x1, double y1, double x2, double y2, const char *stroke, double width) {
    text_ += "<line x1=\"" + format(x1) + "\" y1=\"" + format(y1) + "\" x2=\"" + format(x2) +
             "\" y2=\"" + format(y2) + "\" stroke=\"" + stroke + "\" stroke-width=\"" +
             format(width) + "\"/>\n";
  }
  // Systems differ by the shape of their marks, too.
  void mark(double x, double y, std::size_t system) {
    const std::string fill = std::string("\" fill=\"") + colour(system) + "\"/>\n";
    if (system % 3 == 0) {
      text_ += "<circle cx=\"" + format(x) + "\" cy=\"" + format(y) + "\" r=\"4" + fill;
    } else if (system % 3 == 1) {
      text_ += "<rect x=\"" + format(x - 3.5) + "\" y=\"" + format(y - 3.5) +
               "\" width=\"7\" height=\"7" + fill;
    } else {
      text_ += "<polygon points=\"" + format(x) + "," + format(y - 5) + " " + format(x + 4.5) +
               "," + format(y + 4) + " " + format(x - 4.5) + "," + format(y + 4) + fill;
    }
  }

  void draw(const Diagram &diagram, double left, double top) {
    write(left + kPlotWidth / 2, top - 10, "micro-tiles " + diagram.micro + ", " + diagram.type,
          "middle", 14);
    for (double time = least_; time <= most_ * 1.01; time *= 10) {
      const double y = top + y_of(time);
      line(left, y, left + kPlotWidth, y, "#ccc", 1);
      write(left - 6, y + 4, power_of_ten(time), "end", 12);
    }
    for (const double sparsity : sparsities_) {
      const double x = left + x_of(sparsity);
      line(x, top + kPlotHeight, x, top + kPlotHeight + 5, "#888", 1);
      write(x, top + kPlotHeight + 20, std::to_string(static_cast<int>(100 * sparsity + 0.5)) + "%",
            "middle", 12);
    }
    line(left, top, left, top + kPlotHeight, "#888", 1);
    line(left, top + kPlotHeight, left + kPlotWidth, top + kPlotHeight, "#888", 1);
    for (const auto &[system, curve] : diagram.curves) {
      const auto number = static_cast<std::size_t>(
          std::find(systems_.begin(), systems_.end(), system) - systems_.begin());
      std::string points;
      for (const auto &[sparsity, time] : curve) {
        points += format(left + x_of(sparsity)) + "," + format(top + y_of(time)) + " ";
      }
      text_ += "<polyline fill=\"none\" stroke=\"" + std::string(colour(number)) +
               "\" stroke-width=\"" + (system == "pit" ? "3.2" : "1.8") +
               (is_dense(system) ? "\" stroke-dasharray=\"6 4" : "") + "\" points=\"" + points +
               "\"/>\n";
      for (const auto &[sparsity, time] : curve) {
        mark(left + x_of(sparsity), top + y_of(time), number);
      }
    }
  }
};

}  // namespace

std::string picture(const Results &results) { return Picture(results).svg(); }

}  // namespace pit::bench
