// A private run that is killed at any instant, and goes on: no ledger row and no checkpoint is
// lost, no step is debited twice. CLOISTER_KILLS says how often (6).
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "dp/ledger/ledger.h"
#include "tests/base/own_path.h"
#include "tests/trainer/tiny_chat_model.h"
#include "trainer/checkpoint/checkpoint_folder.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr int kSteps = 300;

class KilledRun : public InOwnFolder {
 protected:
  void SetUp() override {
    InOwnFolder::SetUp();
    WriteTinyChatModel(folder_ / "model");
    std::ofstream data(folder_ / "train.jsonl");
    for (int i = 0; i < 20; ++i) {
      data << R"({"messages": [{"role": "user", "content": ")" << i
           << R"("}, {"role": "assistant", "content": "ok"}]})"
           << "\n";
    }
    std::ofstream(folder_ / "recipe.yaml")
        << "model: " << (folder_ / "model").string() << "\noutput: " << (folder_ / "out").string()
        << "\ndata: {train: " << (folder_ / "train.jsonl").string()
        << ", max_tokens: 40, truncation: right}\n"
        << "lora: {rank: 1, alpha: 1, targets: [q_proj]}\noptimizer: {learning_rate: 1.0e-3}\n"
        << "training: {steps: " << kSteps
        << ", threads: 1}\ncheckpoints: {folder: " << (folder_ / "checkpoints").string()
        << ", every: 3}\n"
        << "privacy: {noise_multiplier: 5, delta: 1.0e-3, clip_norm: 0.5, sampling_rate: 0.1, "
           "unit: record, neighbours: add-or-remove-one, nominal_units: 20, ledger: "
        << (folder_ / "ledger.sqlite").string() << ", budget_epsilon: 50, budget_delta: 0.01}\n";
  }

  // Starts the command, which writes its events into a file.
  pid_t Start(bool resume) const {
    const std::string program = std::string(CLOISTER_BIN_DIR) + "/cloister-train";
    const std::string recipe = (folder_ / "recipe.yaml").string();
    const std::string checkpoints = (folder_ / "checkpoints").string();
    std::vector<const char*> words = {program.c_str(), "train", "--json", "--config",
                                      recipe.c_str()};
    if (resume) words.insert(words.end(), {"--resume", checkpoints.c_str()});
    words.push_back(nullptr);
    fs::remove(folder_ / "events");  // those of the process before
    std::fflush(nullptr);
    const pid_t process = ::fork();
    if (process == 0) {
      if (std::freopen((folder_ / "events").c_str(), "w", stdout) == nullptr ||
          std::freopen((folder_ / "stderr").c_str(), "w", stderr) == nullptr) {
        ::_exit(99);
      }
      ::execv(program.c_str(), const_cast<char* const*>(words.data()));
      ::_exit(98);
    }
    return process;
  }

  // Steps that the command has shown, and whether its end; a line that was cut off is none.
  std::vector<std::int64_t> Shown() const {
    std::vector<std::int64_t> steps;
    std::ifstream file(folder_ / "events");
    for (std::string line; std::getline(file, line);) {
      const auto event = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (!event.is_discarded() && event["event"] == "step") steps.push_back(event["step"]);
    }
    return steps;
  }

  // Rounds of the job, ascending.
  std::vector<std::int64_t> Rounds(const std::string& job) const {
    std::vector<std::int64_t> rounds;
    const auto ledger = dp::Ledger::Open(folder_ / "ledger.sqlite");
    if (!ledger) return rounds;
    const auto rows = (*ledger)->Rows();
    for (const dp::Ledger::Row& row : rows.value()) {
      if (row.spend.key.job == job) rounds.push_back(row.spend.key.round);
    }
    std::sort(rounds.begin(), rounds.end());
    return rounds;
  }

  // The newest checkpoint's header, where one is there.
  std::optional<CheckpointHeader> Newest() const {
    auto folder = CheckpointFolder::Open(folder_ / "checkpoints", 2);
    if (!folder) return std::nullopt;
    auto file = folder->Newest();
    EXPECT_TRUE(file) << file.error().message;
    return file ? std::optional(file->header()) : std::nullopt;
  }
};

TEST_F(KilledRun, LosesNeitherLedgerRowsNorCheckpoints) {
  const char* const asked = std::getenv("CLOISTER_KILLS");
  const int kills = asked == nullptr ? 6 : std::atoi(asked);
  const std::uint64_t seed = 11;
  std::printf("seed %llu, %d kills\n", static_cast<unsigned long long>(seed), kills);
  std::mt19937_64 random(seed);
  std::int64_t before = 0;  // rounds that were debited
  int in_the_middle = 0;
  for (int kill = 0; kill < kills; ++kill) {
    const bool resume = Newest().has_value();
    const pid_t process = Start(resume);
    // Once the first step is shown; or, every fourth time, at any instant from the start.
    const auto start = std::chrono::steady_clock::now();
    const auto last = start + std::chrono::seconds(60);
    while (kill % 4 != 3 && Shown().empty() && std::chrono::steady_clock::now() < last &&
           ::waitpid(process, nullptr, WNOHANG) == 0) {
      std::this_thread::sleep_for(milliseconds(5));
    }
    std::this_thread::sleep_for(
        milliseconds(std::uniform_int_distribution(0, kill % 4 == 3 ? 700 : 80)(random)));
    ::kill(process, SIGKILL);
    ::waitpid(process, nullptr, 0);
    const std::vector<std::int64_t> shown = Shown();
    const std::optional<CheckpointHeader> newest = Newest();
    if (!newest) continue;  // killed before its first checkpoint: it starts anew
    const std::vector<std::int64_t> rounds = Rounds(newest->privacy->job);
    const auto debited = static_cast<std::int64_t>(rounds.size());
    for (std::int64_t i = 0; i < debited; ++i)
      ASSERT_EQ(rounds[static_cast<std::size_t>(i)], i + 1);
    ASSERT_LE(newest->step, debited);
    if (!shown.empty()) {
      ++in_the_middle;
      ASSERT_LE(shown.back(), debited);  // debited before anybody saw it
      ASSERT_EQ(shown.front(), before + 1);
      // But for the steps since the last one that is whole: another may be being written, which the
      // next one waits for.
      ASSERT_GE(newest->step, shown.back() - 7) << base::ReadFile(folder_ / "stderr").value();
    }
    before = debited;
    if (debited == kSteps) break;
  }
  EXPECT_GT(in_the_middle, kills / 2) << base::ReadFile(folder_ / "stderr").value();
  int status = 0;
  ASSERT_GT(::waitpid(Start(true), &status, 0), 0);
  ASSERT_EQ(status, 0) << base::ReadFile(folder_ / "stderr").value();
  const auto rounds = Rounds(Newest()->privacy->job);
  ASSERT_EQ(rounds.size(), static_cast<std::size_t>(kSteps));
  EXPECT_EQ(rounds.back(), kSteps);
  EXPECT_TRUE(fs::exists(folder_ / "out" / "adapter_model.safetensors"));
}

}  // namespace
}  // namespace cloister::trainer
