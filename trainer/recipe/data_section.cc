#include "trainer/recipe/data_section.h"

#include <yaml-cpp/yaml.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace cloister::trainer {
namespace {

struct Column {
  std::string_view name;
  std::string DataColumns::*member;
};
constexpr auto kColumns = std::to_array<Column>({{"instruction", &DataColumns::instruction},
                                                 {"input", &DataColumns::input},
                                                 {"output", &DataColumns::output},
                                                 {"system", &DataColumns::system},
                                                 {"text", &DataColumns::text},
                                                 {"unit", &DataColumns::unit}});

// Whether records of such a layout are looked at for the column.
bool Reads(const DataLayout& layout, const Column& column) {
  if (column.member == &DataColumns::unit) return layout.names_units();
  if (column.member == &DataColumns::text) {
    return layout.format == DataFormat::kText || layout.format == DataFormat::kCsv;
  }
  return layout.format == DataFormat::kInstruction ||
         (layout.format == DataFormat::kCsv && !layout.texts());
}

// A key's value; empty where it is absent or no text, which is said of every such key.
std::string Value(const FlatRecipe& flat, const std::string& path) {
  const auto found = flat.find(path);
  return found == flat.end() || !found->second.IsScalar() ? std::string() : found->second.Scalar();
}

std::string Path(const Column& column) { return "data.columns." + std::string(column.name); }

DataLayout ReadLayout(const FlatRecipe& flat) {
  DataLayout layout;
  layout.format = ParseFormat(Value(flat, "data.format")).value_or(DataFormat::kChat);
  for (const Column& column : kColumns) {
    const std::string name = Value(flat, Path(column));
    if (!name.empty()) layout.columns.*column.member = name;
  }
  return layout;
}

bool IsTrue(const FlatRecipe& flat, const std::string& path) {
  const auto found = flat.find(path);
  bool value = false;
  return found != flat.end() && YAML::convert<bool>::decode(found->second, value) && value;
}

// A row of several records has one mask of dropped inputs, and each record is to have its own.
void AddDropoutFault(const FlatRecipe& flat, std::vector<std::string>& faults) {
  const auto found = flat.find("lora.dropout");
  double dropout = 0;
  if (found == flat.end() || !YAML::convert<double>::decode(found->second, dropout)) return;
  if (dropout > 0 && IsTrue(flat, "data.packing")) {
    faults.emplace_back(
        "'data.packing' and 'lora.dropout' may not stand together: leave one of them out");
  }
}

void AddPrivacyFaults(const FlatRecipe& flat, const DataLayout& layout,
                      std::vector<std::string>& faults) {
  const auto section = flat.lower_bound("privacy");
  if (section == flat.end() || !section->first.starts_with("privacy")) return;
  if (IsTrue(flat, "data.packing")) {
    faults.emplace_back(
        "'data.packing' may not stand with 'privacy': records that share a row share roundings, "
        "and what a record adds to a private step must be its own, leave it out");
  }
  if (Value(flat, "privacy.unit") == "user" && !layout.names_units()) {
    faults.emplace_back(
        "'privacy.unit' user wants to know whose each record is, and lines of plain text do not "
        "say: give JSON objects with data.columns.text, or data.format csv");
  }
}

}  // namespace

std::vector<std::string> DataFaults(const FlatRecipe& flat) {
  std::vector<std::string> faults;
  const std::string format = Value(flat, "data.format");
  if (!format.empty() && !ParseFormat(format)) {
    faults.push_back("'data.format' is '" + format + "': write chat, instruction, text or csv");
    return faults;
  }
  const std::string truncation = Value(flat, "data.truncation");
  if (!flat.contains("data.truncation")) {
    faults.emplace_back(
        "'data.truncation' is missing: say what becomes of a record of more than data.max_tokens, "
        "right, left, skip or error");
  } else if (!truncation.empty() && !ParseTruncation(truncation)) {
    faults.push_back("'data.truncation' is '" + truncation + "': write right, left, skip or error");
  }
  const DataLayout layout = ReadLayout(flat);
  for (const Column& column : kColumns) {
    if (!flat.contains(Path(column)) || Reads(layout, column)) continue;
    faults.push_back("'" + Path(column) + "' does not go with 'data.format' " +
                     std::string(FormatName(layout.format)) +
                     (layout.format == DataFormat::kCsv ? " and a text column" : ""));
  }
  AddDropoutFault(flat, faults);
  AddPrivacyFaults(flat, layout, faults);
  return faults;
}

Recipe::Data ReadData(const FlatRecipe& flat) {
  const auto number = [&](const std::string& path) {
    const auto found = flat.find(path);
    return found == flat.end() ? std::int64_t{0} : found->second.as<std::int64_t>();
  };
  Recipe::Data data;
  data.train = Value(flat, "data.train");
  if (flat.contains("data.eval")) data.eval = Value(flat, "data.eval");
  data.eval_rows = number("data.eval_rows");
  data.max_tokens = number("data.max_tokens");
  data.layout = ReadLayout(flat);
  data.truncation = ParseTruncation(Value(flat, "data.truncation")).value();
  return data;
}

void WriteData(const Recipe& recipe, YAML::Node section) {
  const Recipe::Data& data = recipe.data;
  section["format"] = std::string(FormatName(data.layout.format));
  for (const Column& column : kColumns) {
    const std::string& name = data.layout.columns.*column.member;
    if (Reads(data.layout, column) && !name.empty()) {
      section["columns"][std::string(column.name)] = name;
    }
  }
  section["train"] = data.train.string();
  if (data.eval) section["eval"] = data.eval->string();
  section["eval_rows"] = data.eval_rows;
  section["max_tokens"] = data.max_tokens;
  section["truncation"] = std::string(TruncationName(data.truncation));
  section["packing"] = recipe.training.compute.packing;
}

}  // namespace cloister::trainer
