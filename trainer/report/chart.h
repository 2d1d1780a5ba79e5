#pragma once

#include <span>
#include <string>
#include <vector>

#include "trainer/report/run_history.h"

namespace cloister::trainer {

// One line of a chart. Where there are many points, each drawn one is the mean of neighbours; the
// first and the last stay as they are.
struct Curve {
  std::string name;
  std::span<const Point> points;
};

struct ChartOptions {
  std::string title;
  std::string of_steps = "step";  // what is counted to the right
  bool from_zero = false;         // whether the scale begins at 0
};

// A figure element with an inline SVG: at most two curves over their steps, coloured by the page's
// CSS variables --series-1 and --series-2. Empty where no curve has a point. Names are escaped.
std::string ChartHtml(const ChartOptions& options, std::span<const Curve> curves);

// Round numbers between `low` and `high`, about `count` of them and at least one.
std::vector<double> Ticks(double low, double high, int count);

}  // namespace cloister::trainer
