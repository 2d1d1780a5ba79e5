#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "model/adapter.h"
#include "model/model_files.h"
#include "tests/base/own_path.h"
#include "tests/trainer/loopback.h"
#include "tests/trainer/tiny_chat_model.h"

namespace cloister::trainer {

// Runs `cloister train` on several processes, on a tiny model and twenty records of its own.
class RanksCommand : public InOwnFolder {
 protected:
  void SetUp() override {
    InOwnFolder::SetUp();
    WriteTinyChatModel(folder_ / "model");
    WriteRecords("train.jsonl", 20, 0);
    WriteRecords("eval.jsonl", 3, 100);
  }
  void TearDown() override {
    for (const pid_t process : started_) ::kill(process, SIGKILL);
    for (const pid_t process : started_) ::waitpid(process, nullptr, 0);
    InOwnFolder::TearDown();
  }

  void WriteRecords(const std::string& name, int count, int first) const {
    std::ofstream data(folder_ / name);
    for (int i = first; i < first + count; ++i) {
      data << R"({"messages": [{"role": "user", "content": ")" << i
           << R"("}, {"role": "assistant", "content": "it is )" << i * i << "\"}]}\n";
    }
  }

  // A recipe whose results lie in `name`; `more` are lines, in which LEDGER is a file of its own.
  std::filesystem::path Recipe(const std::string& name, const std::string& training,
                               std::string more = {}) const {
    if (const std::size_t at = more.find("LEDGER"); at != std::string::npos) {
      more.replace(at, 6, (folder_ / (name + ".sqlite")).string());
    }
    const std::filesystem::path path = folder_ / (name + ".yaml");
    std::ofstream(path)
        << "model: " << (folder_ / "model").string() << "\noutput: " << (folder_ / name).string()
        << "\ndata: {train: " << (folder_ / "train.jsonl").string()
        << ", eval: " << (folder_ / "eval.jsonl").string()
        << ", max_tokens: 40, truncation: right}\nlora: {rank: 2, alpha: 4, targets: [q_proj, "
           "down_proj]}\noptimizer: {learning_rate: 1.0e-2}\ntraining: {threads: 1, "
        << training << "}\n"
        << more;
    return path;
  }

  using Variables = std::map<std::string, std::string>;
  // Starts the command; what it says goes to the files NAME.out and NAME.err.
  pid_t Start(const std::string& name, std::vector<std::string> words,
              const Variables& variables = {}) {
    const std::string program = std::string(CLOISTER_BIN_DIR) + "/cloister-train";
    words.insert(words.begin(), {program, "train", "--json"});
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::fflush(nullptr);
    const pid_t process = ::fork();
    if (process == 0) {
      for (const auto& [key, value] : variables) ::setenv(key.c_str(), value.c_str(), 1);
      if (std::freopen((folder_ / (name + ".out")).c_str(), "w", stdout) == nullptr ||
          std::freopen((folder_ / (name + ".err")).c_str(), "w", stderr) == nullptr) {
        ::_exit(99);
      }
      ::execv(program.c_str(), argv.data());
      ::_exit(98);
    }
    started_.insert(process);
    return process;
  }
  // Its exit code; -1 for none, after a minute or by a signal.
  int Wait(pid_t process) {
    const auto last = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    int status = 0;
    while (::waitpid(process, &status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() > last) return -1;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    started_.erase(process);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  int Run(const std::string& name, std::vector<std::string> words) {
    return Wait(Start(name, std::move(words)));
  }
  std::string Said(const std::string& name) const {
    return base::ReadFile(folder_ / (name + ".err")).value_or("");
  }
  std::vector<nlohmann::json> Events(const std::string& name, const std::string& kind) const {
    std::vector<nlohmann::json> events;
    std::ifstream file(folder_ / (name + ".out"));
    for (std::string line; std::getline(file, line);) {
      auto event = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (!event.is_discarded() && event["event"] == kind) events.push_back(std::move(event));
    }
    return events;
  }
  // Until it has shown a step.
  void AwaitStep(const std::string& name) const {
    const auto last = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (Events(name, "step").empty() && std::chrono::steady_clock::now() < last) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  // The losses that two runs of so many steps show, training's and held-out ones, are the same but
  // for roundings.
  void ExpectLossesOf(const std::string& name, const std::string& other, std::size_t steps) const {
    const auto own = Events(name, "step"), others = Events(other, "step");
    ASSERT_EQ(own.size(), steps);
    ASSERT_EQ(others.size(), steps);
    for (std::size_t i = 0; i < steps; ++i) EXPECT_NEAR(own[i]["loss"], others[i]["loss"], 1e-5);
    const auto evals = Events(name, "eval");
    ASSERT_EQ(evals.size(), 2);
    EXPECT_NEAR(evals[1]["loss"], Events(other, "eval")[1]["loss"], 1e-5);
  }
  std::vector<float> Adapter(const std::string& name) const {
    const auto files = model::ModelFiles::Open(folder_ / "model");
    const auto adapter = model::LoadAdapter(folder_ / name, (*files)->architecture().value());
    EXPECT_TRUE(adapter) << Said(name);
    return adapter ? adapter->parameters : std::vector<float>();
  }
  static float Furthest(const std::vector<float>& a, const std::vector<float>& b) {
    EXPECT_EQ(a.size(), b.size());
    float furthest = 0;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      furthest = std::max(furthest, std::abs(a[i] - b[i]));
    }
    return furthest;
  }
  static double MeanSquare(const std::vector<float>& a, const std::vector<float>& b) {
    EXPECT_EQ(a.size(), b.size());
    double sum = 0;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      sum += std::pow(double{a[i]} - double{b[i]}, 2);
    }
    return sum / static_cast<double>(a.size());
  }
  // Of the processes that `parent` started.
  static std::vector<pid_t> ChildrenOf(pid_t parent) {
    std::vector<pid_t> children;
    std::ifstream file("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) +
                       "/children");
    for (pid_t child = 0; file >> child;) children.push_back(child);
    return children;
  }
  // Of `count` processes that meet at a port that was free.
  static std::vector<Variables> Torchrun(int count) {
    const LoopbackSocket free = BindLoopback();
    ::close(free.descriptor);
    std::vector<Variables> ranks;
    for (int rank = 0; rank < count; ++rank) {
      ranks.push_back({{"RANK", std::to_string(rank)},
                       {"WORLD_SIZE", std::to_string(count)},
                       {"LOCAL_WORLD_SIZE", std::to_string(count)},
                       {"MASTER_ADDR", "127.0.0.1"},
                       {"MASTER_PORT", std::to_string(free.port)},
                       {"GLOO_SOCKET_IFNAME", "lo"}});
    }
    return ranks;
  }

  std::set<pid_t> started_;
};

}  // namespace cloister::trainer
