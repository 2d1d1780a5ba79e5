#pragma once

// Inside trainer/recipe/ only: what is trained, what it is trained on, and on which device.
//
//   lora   an adapter on the model's weights as they are; also where 'lora' stands alone
//   qlora  an adapter on weights in blocks of 4 or 8 bits, which 'quantization' names
//   full   every weight

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "trainer/recipe/recipe.h"
#include "trainer/recipe/schema.h"

namespace cloister::trainer {

std::string_view MethodName(const Recipe& recipe);
std::string_view QuantizationName(BaseWeights base);  // of qlora

// Of the keys 'method', 'quantization' and 'lora', a phrase each: what is missing, unknown, or may
// not stand beside another.
std::vector<std::string> MethodFaults(const FlatRecipe& flat);

// Of a recipe without faults.
void ReadMethod(const FlatRecipe& flat, Recipe& recipe);
// 'training.device'; kInvalidArgument for a name that no device has.
base::Status ReadDevice(const FlatRecipe& flat, Recipe& recipe);

}  // namespace cloister::trainer
