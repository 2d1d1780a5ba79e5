#include "cli/command.h"
#include "cli/train/commands.h"

int main(int argc, char** argv) {
  return cloister::cli::Main(cloister::cli::TrainCommands(), "cloister-train", argc, argv);
}
