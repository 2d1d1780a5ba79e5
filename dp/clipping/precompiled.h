#pragma once

// What the LibTorch sources of this project share, compiled once.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
