#include "trainer/report/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "trainer/report/markup.h"

namespace cloister::trainer {
namespace {

constexpr double kWidth = 460, kHeight = 230;
constexpr double kLeft = 58, kRight = 20, kTop = 14, kBottom = 40;
constexpr std::size_t kMostPoints = 400;  // drawn of a curve
constexpr std::size_t kMostMarkers = 40;  // points that are marked one by one

std::string Number(double value, const char* format = "%.6g") {
  char text[32];
  std::snprintf(text, sizeof text, format, value == 0 ? 0.0 : value);
  return text;
}

std::string Place(double value) { return Number(value, "%.1f"); }

std::vector<Point> Thinned(std::span<const Point> points) {
  if (points.size() <= kMostPoints) return {points.begin(), points.end()};
  std::vector<Point> thin = {points.front()};
  const std::span<const Point> inner = points.subspan(1, points.size() - 2);
  const std::size_t size = (inner.size() + kMostPoints - 1) / kMostPoints;
  for (std::size_t first = 0; first < inner.size(); first += size) {
    const auto part = inner.subspan(first, std::min(size, inner.size() - first));
    double sum = 0;
    for (const Point& point : part) sum += point.value;
    thin.push_back({part[part.size() / 2].step, sum / static_cast<double>(part.size())});
  }
  thin.push_back(points.back());
  return thin;
}

// Where steps and values stand in the picture.
class Scale {
 public:
  Scale(std::span<const Curve> curves, bool from_zero) {
    for (const Curve& curve : curves) {
      for (const Point& point : curve.points) {
        const auto step = static_cast<double>(point.step);
        x_low = std::min(x_low, step);
        x_high = std::max(x_high, step);
        y_low = std::min(y_low, point.value);
        y_high = std::max(y_high, point.value);
      }
    }
    if (from_zero) y_low = std::min(y_low, 0.0);
    const double room =
        y_high > y_low ? (y_high - y_low) * 0.06 : std::max(std::abs(y_high) * 0.1, 1e-12);
    if (!from_zero || y_low < 0) y_low -= room;
    y_high += room;
    if (x_high <= x_low) x_high = x_low + 1;
  }

  double X(double step) const {
    return kLeft + (step - x_low) / (x_high - x_low) * (kWidth - kLeft - kRight);
  }
  double Y(double value) const {
    return kHeight - kBottom - (value - y_low) / (y_high - y_low) * (kHeight - kTop - kBottom);
  }

  double x_low = std::numeric_limits<double>::infinity(), x_high = -x_low;
  double y_low = x_low, y_high = -x_low;
};

std::string Text(double x, double y, const char* anchor, const std::string& text) {
  return "<text x=\"" + Place(x) + "\" y=\"" + Place(y) + "\" text-anchor=\"" + anchor + "\">" +
         HtmlText(text) + "</text>";
}

std::string Axes(const Scale& scale, const std::string& of_steps) {
  std::string svg;
  for (const double value : Ticks(scale.y_low, scale.y_high, 5)) {
    const std::string y = Place(scale.Y(value));
    svg += "<line class=\"grid\" x1=\"" + Place(kLeft) + "\" x2=\"" + Place(kWidth - kRight) +
           "\" y1=\"" + y + "\" y2=\"" + y + "\"/>";
    svg += Text(kLeft - 8, scale.Y(value) + 4, "end", Number(value));
  }
  for (const double step : Ticks(scale.x_low, scale.x_high, 6)) {
    if (step != std::floor(step)) continue;
    svg += Text(scale.X(step), kHeight - kBottom + 18, "middle", Number(step, "%.10g"));
  }
  const std::string base = Place(kHeight - kBottom);
  svg += "<line class=\"axis\" x1=\"" + Place(kLeft) + "\" x2=\"" + Place(kWidth - kRight) +
         "\" y1=\"" + base + "\" y2=\"" + base + "\"/>";
  return svg + Text((kLeft + kWidth - kRight) / 2, kHeight - 4, "middle", of_steps);
}

std::string CurveSvg(const Scale& scale, const Curve& curve, std::size_t number) {
  const std::vector<Point> points = Thinned(curve.points);
  const std::string series = "s" + std::to_string(number + 1);
  std::string path;
  for (const Point& point : points) {
    path += (path.empty() ? "" : " ") + Place(scale.X(static_cast<double>(point.step))) + "," +
            Place(scale.Y(point.value));
  }
  std::string svg = "<polyline class=\"line " + series + "\" points=\"" + path + "\"/>";
  if (points.size() > kMostMarkers) return svg;
  for (const Point& point : points) {
    svg += "<circle class=\"dot " + series + "\" r=\"3.5\" cx=\"" +
           Place(scale.X(static_cast<double>(point.step))) + "\" cy=\"" +
           Place(scale.Y(point.value)) + "\"><title>" + HtmlText(curve.name) + ", step " +
           std::to_string(point.step) + ": " + Number(point.value) + "</title></circle>";
  }
  return svg;
}

}  // namespace

std::vector<double> Ticks(double low, double high, int count) {
  const double rough = (high - low) / std::max(count, 1);
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = power;
  for (const double factor : {2.0, 5.0, 10.0}) {
    if (step < rough) step = power * factor;
  }
  std::vector<double> ticks;
  for (double at = std::ceil(low / step); at * step <= high; ++at) ticks.push_back(at * step);
  return ticks.empty() ? std::vector<double>{low} : ticks;
}

std::string ChartHtml(const ChartOptions& options, std::span<const Curve> curves) {
  std::vector<Curve> drawn;
  for (const Curve& curve : curves) {
    if (!curve.points.empty()) drawn.push_back(curve);
  }
  if (drawn.empty()) return {};
  const Scale scale(drawn, options.from_zero);
  std::string html = "<figure><figcaption>" + HtmlText(options.title);
  if (drawn.size() > 1) {
    for (std::size_t i = 0; i < drawn.size(); ++i) {
      html += "<span class=\"key k" + std::to_string(i + 1) + "\">" + HtmlText(drawn[i].name) +
              "</span>";
    }
  }
  std::string label = options.title;
  for (const Curve& curve : drawn) {
    label += "; " + curve.name + " from " + Number(curve.points.front().value) + " to " +
             Number(curve.points.back().value);
  }
  html += "</figcaption><svg viewBox=\"0 0 460 230\" role=\"img\" aria-label=\"" + HtmlText(label) +
          "\">" + Axes(scale, options.of_steps);
  for (std::size_t i = 0; i < drawn.size(); ++i) html += CurveSvg(scale, drawn[i], i);
  return html + "</svg></figure>\n";
}

}  // namespace cloister::trainer
