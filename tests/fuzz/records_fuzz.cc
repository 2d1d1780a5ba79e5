// A data file behind a byte that says what it is written as: any bytes are read or refused, by
// line, and what was read is read again.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "trainer/data/record_file.h"

namespace {

namespace trainer = cloister::trainer;

trainer::DataLayout LayoutOf(std::uint8_t choice) {
  trainer::DataLayout layout;
  layout.format = static_cast<trainer::DataFormat>(choice % 4);
  const bool text = choice / 4 % 2 == 1;
  if (text && layout.format >= trainer::DataFormat::kText) layout.columns.text = "text";
  return layout;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const int file = ::memfd_create("records", MFD_CLOEXEC);
  CLOISTER_CHECK(file >= 0);
  CLOISTER_CHECK(::write(file, data + 1, size - 1) == static_cast<ssize_t>(size - 1));
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  const auto records = trainer::RecordFile::Open(
      path, {.layout = LayoutOf(data[0]), .units = true, .index_memory = 200});
  if (records) {
    CLOISTER_CHECK(records->size() > 0);
    std::uint64_t line = 0;
    for (std::int64_t i = 0; i < records->size(); ++i) {
      CLOISTER_CHECK(records->Read(i).has_value());
      const auto entry = records->index().At(i);
      CLOISTER_CHECK(entry && entry->line > line && entry->offset + entry->size <= size);
      line = entry->line;
    }
  } else {
    CLOISTER_CHECK(records.error().message.starts_with(path + ":"));
  }
  ::close(file);
  return 0;
}
