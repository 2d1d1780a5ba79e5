#include <array>
#include <string_view>

#include "model/config/config_families.h"

namespace cloister::model {
namespace {

constexpr std::array<std::string_view, 86> kWithoutEffect = {
    "architectures",
    "dtype",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "initializer_range",
    "attention_dropout",
    "hidden_dropout",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "resid_pdrop",
    "embd_pdrop",
    "pad_token_id",
    "sep_token_id",
    "unk_token_id",
    "seq_length",
    "decoder_start_token_id",
    "pretraining_tp",
    "_name_or_path",
    "name_or_path",
    "auto_map",
    "tokenizer_class",
    "processor_class",
    "output_router_logits",
    "router_aux_loss_coef",
    "router_z_loss_coef",
    "router_jitter_noise",
    "aux_loss_alpha",
    "seq_aux",
    "ep_size",
    "num_nextn_predict_layers",  // of extra layers that only propose tokens
    "num_mtp_layers",
    "quantization_config",  // of the weights: Fp8FromConfig reads it
    "compression_config",
    "unsloth_version",
    "unsloth_fixed",
    "unsloth_training_args",
    "model_name",
    "is_llama_config",
    "transformers.js_config",
    "max_sequence_length",
    "max_length",
    "min_length",
    "do_sample",
    "early_stopping",
    "num_beams",
    "num_beam_groups",
    "diversity_penalty",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "repetition_penalty",
    "length_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "bad_words_ids",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "suppress_tokens",
    "begin_suppress_tokens",
    "remove_invalid_values",
    "num_return_sequences",
    "output_scores",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "return_dict_in_generate",
    "use_return_dict",
    "torchscript",
    "use_bfloat16",
    "tf_legacy_loss",
    "pruned_heads",
    "chunk_size_feed_forward",
    "is_decoder",
    "is_encoder_decoder",
    "add_cross_attention",
    "cross_attention_hidden_size",
    "tie_encoder_decoder",
    "finetuning_task",
    "problem_type",
    "task_specific_params",
    "id2label",
    "label2id",
    "prefix",
};
// Which code runs, not what it computes.
constexpr std::array<std::string_view, 8> kImplementation = {
    "_attn_implementation",   "attn_implementation",     "_attn_implementation_autoset",
    "experts_implementation", "_experts_implementation", "_flash_attn_2_enabled",
    "use_flash_attention",    "gradient_checkpointing"};

}  // namespace

void IgnoreFieldsWithoutEffect(ConfigFields& fields) {
  fields.Ignore(kWithoutEffect);
  fields.Ignore(kImplementation);
}

}  // namespace cloister::model
