// Seconds and peak memory of the trainer's gradient of random tokens, private (each example a pass
// of its own, clipped) and plain, on one model. A line of JSON.
//
//   train_step MODEL private|plain EXAMPLES TOKENS [rank=8] [threads=1] [repeats=3]
//              [checkpointing=0] [bf16=0]
//
// LoRA on q_proj and v_proj; the last two thirds of each example are its answer. The median of the
// time that passed and the least processor time (what counts on a machine with other work), after
// one run that does not count; the peak is of the whole process, weights and all.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "model/adapter.h"
#include "trainer/trainable_model.h"

namespace cloister {
namespace {

using trainer::Example;
using trainer::TrainableModel;

// Of the process, MiB: "VmRSS" now, "VmHWM" at most so far.
double Memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    double kib = 0;
    if (word == key + ":" && status >> kib) return kib / 1024;
  }
  return 0;
}

std::vector<Example> RandomExamples(std::int64_t count, std::int64_t tokens, std::int64_t vocab) {
  std::mt19937 random(1);
  std::uniform_int_distribution<std::int64_t> ids(0, vocab - 1);
  std::vector<Example> examples(static_cast<std::size_t>(count));
  for (Example& example : examples) {
    for (std::int64_t t = 0; t <= tokens; ++t) {
      example.ids.push_back(static_cast<model::TokenId>(ids(random)));
      example.answer.push_back(3 * t > tokens ? 1 : 0);
    }
  }
  return examples;
}

struct Job {
  std::string model;
  bool is_private = false;
  std::int64_t examples = 0, tokens = 0;
  std::map<std::string, std::int64_t> numbers = {
      {"rank", 8}, {"threads", 1}, {"repeats", 3}, {"checkpointing", 0}, {"bf16", 0}};
};

base::Status Measure(Job job) {
  CLOISTER_ASSIGN_OR_RETURN(const auto files, model::ModelFiles::Open(job.model));
  CLOISTER_ASSIGN_OR_RETURN(const auto architecture, files->architecture());
  trainer::SetThreads(job.numbers["threads"]);
  const model::LoraConfig lora = {
      .rank = job.numbers["rank"], .alpha = 16, .targets = {"q_proj", "v_proj"}};
  CLOISTER_ASSIGN_OR_RETURN(
      const auto loaded,
      TrainableModel::Load(*files, lora,
                           {.activation_checkpointing = job.numbers["checkpointing"] != 0,
                            .precision = job.numbers["bf16"] != 0 ? trainer::Precision::kBf16
                                                                  : trainer::Precision::kFp32}));
  const auto layout = model::AdapterLayout(lora, architecture);
  std::vector<float> parameters = model::InitialAdapter(layout, 0);
  for (float& value : parameters) value += 1e-3F;  // B is not zero
  CLOISTER_RETURN_IF_ERROR(loaded->SetParameters(parameters));
  const double before = Memory("VmRSS");
  const std::vector<Example> examples =
      RandomExamples(job.examples, job.tokens, architecture.vocab_size);
  std::vector<trainer::UnitExamples> units;
  for (const Example& example : examples) units.push_back({example});
  std::vector<double> seconds;
  double loss = 0, processor_seconds = HUGE_VAL;
  for (std::int64_t run = 0; run <= job.numbers["repeats"]; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    const std::clock_t begin_clock = std::clock();
    if (job.is_private) {
      CLOISTER_ASSIGN_OR_RETURN(
          const auto clipped,
          loaded->ClippedGradient(units,
                                  {.rule = {.clip_norms = {1.0}},
                                   .unit = dp::PrivacyUnit::kRecord,
                                   .neighbours = dp::Neighbours::kAddOrRemoveOne},
                                  {}));
      loss = clipped.private_loss;
    } else {
      CLOISTER_ASSIGN_OR_RETURN(const auto plain,
                                loaded->Gradient(examples, trainer::LossMean::kExample,
                                                 job.examples * (job.tokens + 1), {}));
      loss = plain.loss;
    }
    if (run == 0) continue;
    processor_seconds = std::min(processor_seconds,
                                 static_cast<double>(std::clock() - begin_clock) / CLOCKS_PER_SEC);
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::nth_element(seconds.begin(),
                   seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2),
                   seconds.end());
  std::cout << "{\"seconds\":" << seconds[seconds.size() / 2]
            << ",\"processor_seconds\":" << processor_seconds << ",\"loaded_mib\":" << before
            << ",\"peak_mib\":" << Memory("VmHWM") << ",\"loss\":" << loss << "}\n";
  return {};
}

int Main(const std::vector<std::string>& words) {
  if (words.size() < 4) {
    std::cerr << "usage: train_step MODEL private|plain EXAMPLES TOKENS [name=number]…\n";
    return 2;
  }
  Job job{words[0], words[1] == "private", std::atoll(words[2].c_str()),
          std::atoll(words[3].c_str())};
  for (std::size_t i = 4; i < words.size(); ++i) {
    const std::size_t equals = words[i].find('=');
    const auto found = job.numbers.find(words[i].substr(0, equals));
    if (equals == std::string::npos || found == job.numbers.end()) {
      std::cerr << "error: " << words[i] << ": no such setting\n";
      return 2;
    }
    found->second = std::atoll(words[i].c_str() + equals + 1);
  }
  if (const base::Status status = Measure(job); !status) {
    std::cerr << "error: " << status.error().message << "\n";
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace cloister

int main(int argc, char** argv) {
  return cloister::Main(std::vector<std::string>(argv + 1, argv + argc));
}
