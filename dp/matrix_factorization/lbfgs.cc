#include "dp/matrix_factorization/lbfgs.h"

#include <cmath>
#include <deque>
#include <numeric>
#include <optional>
#include <utility>

namespace cloister::dp {
namespace {

using Vector = std::vector<double>;

constexpr std::size_t kHistory = 12;
constexpr double kSufficient = 1e-4;  // Armijo's share of the predicted decrease
constexpr int kMostHalvings = 40;

double Dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

void AddScaled(Vector& a, double factor, const Vector& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += factor * b[i];
}

struct Update {
  Vector step;
  Vector change;  // of the gradient
  double curvature = 0;
};

// Minus the inverse Hessian's estimate times the gradient: the two-loop recursion.
Vector Direction(const Vector& gradient, const std::deque<Update>& history) {
  Vector direction = gradient;
  std::vector<double> weights(history.size());
  for (std::size_t i = history.size(); i-- > 0;) {
    weights[i] = Dot(history[i].step, direction) / history[i].curvature;
    AddScaled(direction, -weights[i], history[i].change);
  }
  double scale = -1 / std::fmax(1, std::sqrt(Dot(gradient, gradient)));
  if (!history.empty()) {
    const Update& last = history.back();
    scale = -last.curvature / Dot(last.change, last.change);
  }
  for (double& entry : direction) entry *= scale;
  for (std::size_t i = 0; i < history.size(); ++i) {
    const double weight = Dot(history[i].change, direction) / history[i].curvature;
    AddScaled(direction, -weights[i] - weight, history[i].step);
  }
  return direction;
}

struct Point {
  Vector at;
  ValueAndGradient here;
};

}  // namespace

std::vector<double> MinimizeLbfgs(const std::function<ValueAndGradient(const Vector&)>& function,
                                  Vector start, double least_gain, int most_iterations) {
  const auto search = [&](const Point& from, const Vector& along) -> std::optional<Point> {
    const double slope = Dot(from.here.gradient, along);
    if (!(slope < 0)) return std::nullopt;
    double length = 1;
    for (int i = 0; i < kMostHalvings; ++i, length /= 2) {
      Point next{from.at, {}};
      AddScaled(next.at, length, along);
      next.here = function(next.at);
      if (next.here.value <= from.here.value + kSufficient * length * slope) return next;
    }
    return std::nullopt;
  };
  std::deque<Update> history;
  Point point{start, function(start)};
  for (int iteration = 0; iteration < most_iterations; ++iteration) {
    std::optional<Point> next = search(point, Direction(point.here.gradient, history));
    if (!next) {
      if (history.empty()) break;
      history.clear();  // once more along the gradient
      continue;
    }
    Update update{next->at, next->here.gradient, 0};
    AddScaled(update.step, -1, point.at);
    AddScaled(update.change, -1, point.here.gradient);
    update.curvature = Dot(update.step, update.change);
    const double gain = point.here.value - next->here.value;
    point = *std::move(next);
    if (gain < least_gain) break;
    if (update.curvature > 0) history.push_back(std::move(update));
    if (history.size() > kHistory) history.pop_front();
  }
  return point.at;
}

}  // namespace cloister::dp
