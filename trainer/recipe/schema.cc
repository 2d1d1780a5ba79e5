#include "trainer/recipe/schema.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <sstream>

namespace cloister::trainer {
namespace {

constexpr std::size_t kMaxKeys = 200;
constexpr int kMaxDepth = 4;

std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

std::string_view LastWord(std::string_view path) { return path.substr(path.rfind('.') + 1); }

base::Status FlattenInto(FlatRecipe& flat, const std::string& prefix, const YAML::Node& node,
                         int depth, bool replace) {
  if (!node.IsMap()) {
    const bool fresh = replace ? flat.insert_or_assign(prefix, node).first != flat.end()
                               : flat.emplace(prefix, node).second;
    if (!fresh) {
      return base::Fail(base::Code::kInvalidArgument,
                        "key '" + prefix + "' stands twice: keep one");
    }
    return {};
  }
  if (node.size() == 0) {  // dropped, it would undo what its writer meant it to ask for
    return base::Fail(base::Code::kInvalidArgument,
                      prefix.empty()
                          ? "holds no key: see configs/ for what a recipe looks like"
                          : "section '" + prefix + "' is empty: give its keys, or leave it out");
  }
  for (const auto& item : node) {
    if (depth == kMaxDepth || flat.size() >= kMaxKeys || !item.first.IsScalar()) {
      return base::Fail(base::Code::kInvalidArgument,
                        "'" + prefix +
                            "' is nested too deeply, holds too many keys or a key that "
                            "is no word: see configs/ for what a recipe looks like");
    }
    const std::string key = item.first.Scalar();
    CLOISTER_RETURN_IF_ERROR(FlattenInto(flat, prefix.empty() ? key : prefix + "." + key,
                                         item.second, depth + 1, replace));
  }
  return {};
}

void Remove(FlatRecipe& flat, const std::string& path) {
  std::erase_if(flat, [&](const auto& item) {
    return item.first == path || item.first.compare(0, path.size() + 1, path + ".") == 0;
  });
}

base::Status Override(FlatRecipe& flat, const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return base::Fail(base::Code::kInvalidArgument,
                      "--set " + text + ": write --set section.key=value");
  }
  const std::string path = text.substr(0, equals);
  if (equals + 1 == text.size()) {
    return base::Fail(base::Code::kInvalidArgument,
                      "--set " + text + ": give a value after '=' (null removes the key)");
  }
  try {
    const YAML::Node value = YAML::Load(text.substr(equals + 1));
    if (value.IsNull()) {
      Remove(flat, path);
      return {};
    }
    return FlattenInto(flat, path, value, 1, /*replace=*/true);
  } catch (const YAML::Exception& error) {
    return base::Fail(base::Code::kInvalidArgument,
                      "--set " + text + ": no valid YAML (" + error.msg + "): mend the value");
  }
}

std::string Number(double value) {
  std::ostringstream stream;
  stream.precision(10);
  stream << value;
  return stream.str();
}

// What is wrong with a value; empty when nothing is.
std::string FaultOf(const Field& field, const YAML::Node& value) {
  const auto fault = [&](const std::string& needed) {
    return "'" + std::string(field.path) + "' must be " + needed;
  };
  switch (field.kind) {
    case Field::Kind::kText:
      return value.IsScalar() && !value.Scalar().empty() ? "" : fault("a text");
    case Field::Kind::kTextOrTexts:
      if (value.IsScalar() && !value.Scalar().empty()) return "";
      [[fallthrough]];
    case Field::Kind::kTexts: {
      const bool right = value.IsSequence() && value.size() > 0 &&
                         std::all_of(value.begin(), value.end(),
                                     [](const YAML::Node& item) { return item.IsScalar(); });
      return right ? "" : fault("a list of texts, as [a, b]");
    }
    case Field::Kind::kSwitch: {
      bool ignored = false;
      const bool right = value.IsScalar() && YAML::convert<bool>::decode(value, ignored);
      return right ? "" : fault("true or false");
    }
    case Field::Kind::kInteger:
    case Field::Kind::kReal:
      break;
  }
  const bool integer = field.kind == Field::Kind::kInteger;
  double number = std::numeric_limits<double>::quiet_NaN();
  std::int64_t whole = 0;
  if (!value.IsScalar() || (integer ? !YAML::convert<std::int64_t>::decode(value, whole)
                                    : !YAML::convert<double>::decode(value, number))) {
    return fault(integer ? "a whole number" : "a number");
  }
  if (integer) number = static_cast<double>(whole);
  const bool above = field.low_excluded ? number > field.low : number >= field.low;
  if (above && number <= field.high) return "";
  return fault((field.low_excluded ? "above " : "at least ") + Number(field.low) + " and at most " +
               Number(field.high));
}

}  // namespace

base::Result<FlatRecipe> Flatten(const std::string& text, std::span<const std::string> overrides) {
  FlatRecipe flat;
  try {
    const YAML::Node root = YAML::Load(text);
    if (!root.IsMap()) {
      return base::Fail(base::Code::kInvalidArgument,
                        "no YAML mapping: see configs/ for what a recipe looks like");
    }
    CLOISTER_RETURN_IF_ERROR(FlattenInto(flat, "", root, 0, /*replace=*/false));
  } catch (const YAML::Exception& error) {
    return base::Fail(base::Code::kInvalidArgument, "line " + std::to_string(error.mark.line + 1) +
                                                        ": no valid YAML (" + error.msg +
                                                        "): mend the line");
  }
  for (const std::string& text_of_override : overrides) {
    CLOISTER_RETURN_IF_ERROR(Override(flat, text_of_override));
  }
  return flat;
}

std::string_view NearestPath(std::string_view path, std::span<const Field> fields) {
  const auto distance = [&](const Field& field) {
    return std::min(EditDistance(path, field.path),
                    EditDistance(LastWord(path), LastWord(field.path)) + 1);
  };
  return std::min_element(fields.begin(), fields.end(),
                          [&](const Field& a, const Field& b) { return distance(a) < distance(b); })
      ->path;
}

std::vector<std::string> Faults(const FlatRecipe& recipe, std::span<const Field> fields) {
  std::vector<std::string> faults;
  for (const auto& [path, value] : recipe) {
    const auto field =
        std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.path == path; });
    const std::string section = path + ".";
    if (std::any_of(fields.begin(), fields.end(),
                    [&](const Field& f) { return f.path.starts_with(section); })) {
      faults.push_back("section '" + path + "' is " +
                       (value.IsNull() ? "empty" : "no mapping of keys"));
      continue;
    }
    if (field == fields.end()) {
      faults.push_back("unknown key '" + path + "', nearest is '" +
                       std::string(NearestPath(path, fields)) + "'");
      continue;
    }
    if (std::string fault = FaultOf(*field, value); !fault.empty()) {
      faults.push_back(std::move(fault));
    }
  }
  return faults;
}

}  // namespace cloister::trainer
