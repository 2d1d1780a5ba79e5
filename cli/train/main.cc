#include <malloc.h>

#include "cli/command.h"
#include "cli/train/commands.h"

int main(int argc, char** argv) {
  // Steps make and drop the same large tensors again and again: what is dropped is kept for the
  // next rather than given back to the system, which would clear and map each page anew.
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  return cloister::cli::Main(cloister::cli::TrainCommands(), "cloister-train", argc, argv);
}
