#include "trainer/report/model_card.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>

#include "trainer/report/markup.h"

namespace cloister::trainer {
namespace {

// Hugging Face's names of licences are such words.
bool IsLicenseId(const std::string& license) {
  return !license.empty() && std::all_of(license.begin(), license.end(), [](unsigned char c) {
    return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '-' || c == '.';
  });
}

std::string FrontMatter(const RunSummary& summary) {
  YAML::Node front;
  front["base_model"] = summary.base_id;
  front["base_model_relation"] = summary.adapter ? "adapter" : "finetune";
  front["library_name"] = summary.adapter ? "peft" : "transformers";
  const std::string& license = summary.base.license;
  if (IsLicenseId(license)) {
    front["license"] = license;
  } else if (!license.empty()) {
    front["license"] = "other";
    front["license_name"] = license;
  }
  front["pipeline_tag"] = "text-generation";
  YAML::Node tags = front["tags"];
  tags.push_back("cloister");
  if (summary.adapter) tags.push_back("lora");
  if (summary.privacy) tags.push_back("differential-privacy");
  YAML::Emitter emitter;
  emitter << front;
  return "---\n" + std::string(emitter.c_str()) + "\n---\n\n";
}

std::string Row(const std::string& name, const std::string& markdown) {
  return "| " + name + " | " + markdown + " |\n";
}

std::string Code(const std::string& text) { return "<code>" + HtmlText(text) + "</code>"; }

std::string Stated(const std::string& text) {
  return text.empty() ? "not stated" : MarkdownText(text);
}

std::string Privacy(const RunSummary& summary) {
  std::string text = "## Privacy\n\n";
  if (summary.privacy) {
    const PrivacyStatement& privacy = *summary.privacy;
    text +=
        "| | |\n|---|---|\n" + Row("ε", Exact(privacy.epsilon) + " (" + privacy.accountant + ")");
    text += Row("δ", Exact(privacy.delta)) + Row("unit", MarkdownText(privacy.unit)) +
            Row("neighbours", MarkdownText(privacy.neighbours)) +
            Row("mechanism", MarkdownText(privacy.mechanism)) +
            Row("checked by", Code(privacy.command)) + "\n";
  }
  for (const std::string& sentence : summary.coverage) text += "- " + MarkdownText(sentence) + "\n";
  return text + "\n";
}

std::string Evaluation(const RunSummary& summary) {
  if (summary.figures.empty()) return {};
  std::string text =
      "## Evaluation\n\n| on held-out records | rows | before | after |\n|---|---:|---:|---:|\n";
  for (const RunSummary::Figure& figure : summary.figures) {
    text += "| " + MarkdownText(figure.name) + " | " + MarkdownText(figure.rows) + " | " +
            Readable(figure.before) + " | " + Readable(figure.after) + " |\n";
  }
  return text + "\n";
}

}  // namespace

std::string ModelCard(const RunSummary& summary) {
  const BaseModel& base = summary.base;
  std::string text = FrontMatter(summary) + "# " + MarkdownText(summary.name) + "\n\n" +
                     MarkdownText(summary.method) + ", on " + MarkdownText(base.name) +
                     ". Trained with Cloister; curves are in report.html.\n\n";
  text += "| | |\n|---|---|\n" + Row("base model", MarkdownText(base.name));
  if (!base.repository.empty()) text += Row("on Hugging Face", MarkdownText(base.repository));
  text += Row("licence of the base model", Stated(base.license));
  if (!base.sha256.empty()) text += Row("SHA-256 of the base model", Code(base.sha256));
  text += Row("training data", MarkdownText(summary.data_name)) +
          Row("licence of the data", Stated(summary.data_license)) +
          Row("hash of the data", (summary.data_hash.empty() ? "" : Code(summary.data_hash) + " ") +
                                      "(" + MarkdownText(summary.data_hash_kind) + ")") +
          "\n";
  text += Privacy(summary) + Evaluation(summary);
  return text + "## Recipe\n\n" + MarkdownCode(summary.recipe_yaml, "yaml");
}

}  // namespace cloister::trainer
