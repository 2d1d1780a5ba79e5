// Adapters that PEFT made (tests/data/adapters, tests/model/make_adapters.py), merged here: the
// network gives the logits that PEFT's adapted network gives.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <set>
#include <string>

#include "model/adapter.h"
#include "model/config/json_reader.h"
#include "model/huggingface/safetensors_file.h"
#include "model/merge.h"
#include "model/quantize.h"
#include "tests/base/temporary_folder.h"
#include "trainer/networks/network.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

at::Tensor Golden(const model::SafetensorsFile& file, const std::string& name) {
  const auto& entry = file.entries().at(name);
  at::Tensor tensor = at::empty(entry.shape, entry.dtype == "I64" ? at::kLong : at::kFloat);
  EXPECT_EQ(tensor.nbytes(), entry.data.size());
  std::memcpy(tensor.mutable_data_ptr(), entry.data.data(), entry.data.size());
  return tensor;
}

class PeftAdapters : public ::testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    for (const auto& entry : fs::directory_iterator(fs::path(CLOISTER_TEST_DATA) / "adapters")) {
      if (fs::is_directory(entry.path())) folders_.insert(entry.path());
    }
  }

  // The model of tests/data/models that the adapter was made for.
  static fs::path BaseOf(const fs::path& folder) {
    const auto config = model::ReadJsonObject(folder / "adapter_config.json").value();
    return fs::path(CLOISTER_TEST_DATA) / "models" /
           config.at("base_model_name_or_path").get<std::string>();
  }

  static double Difference(const fs::path& merged, const model::SafetensorsFile& golden) {
    const at::NoGradGuard no_grad;
    const auto files = model::ModelFiles::Open(merged);
    EXPECT_TRUE(files) << files.error().message;
    const auto architecture = (*files)->architecture().value();
    const Network network(architecture, LoadWeights(**files, architecture).value());
    const at::Tensor logits = network.Logits(network.Hidden(Golden(golden, "input_ids"), nullptr));
    return (logits - Golden(golden, "logits")).abs().max().item<double>();
  }

  std::set<fs::path> folders_;
};

TEST_F(PeftAdapters, MergeToWhatPeftComputes) {
  ASSERT_GE(folders_.size(), 8u);
  TemporaryFolder temporary;
  for (const fs::path& folder : folders_) {
    SCOPED_TRACE(folder.string());
    const fs::path base = BaseOf(folder);
    const auto golden = model::SafetensorsFile::Open(folder / "golden.safetensors").value();
    for (const std::string suffix : {"", ".gguf"}) {
      const fs::path output = temporary / (folder.filename().string() + suffix);
      const auto written = model::Merge(base, folder, output, std::nullopt);
      ASSERT_TRUE(written) << written.error().message;
      EXPECT_LE(Difference(output, golden), 5e-5) << suffix;
    }
    // Logits that the adapter left as they were would show.
    EXPECT_GT(Difference(base, golden), 1e-2);
  }
}

}  // namespace
}  // namespace cloister::trainer
