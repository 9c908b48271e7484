"""LeRobot's own policies with random weights, small and without a download: SmolVLA, pi0, pi0.5, multi-task DiT."""

from pathlib import Path
from unittest.mock import patch

import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CONFIG_MAPPING,
    CLIPConfig,
    CLIPModel,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
)
from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

STATE, ACTION, CHUNK, EXECUTED, STEPS = 8, 4, 10, 6, 5
WORDS = [*map(chr, range(32, 127)), "\n"]
IMAGES = dict(image_token="<image>", fake_image_token="<fake_token_around_image>", global_image_token="<global-img>")


def features(cameras: int, size: int):
    seen = {"observation.state": PolicyFeature(FeatureType.STATE, (STATE,))}
    seen |= {f"observation.images.{k}": PolicyFeature(FeatureType.VISUAL, (3, size, size)) for k in range(cameras)}
    return dict(input_features=seen, output_features={"action": PolicyFeature(FeatureType.ACTION, (ACTION,))})


def letters(special: list[str], **options) -> PreTrainedTokenizerFast:
    """A tokenizer whose words are characters."""
    words = ["<pad>", "<unk>", *special, *WORDS]
    made = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", **options)


TEXT = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
TEXT |= dict(head_dim=16)


def smolvla(folder: Path, text=TEXT, **options):
    """With `text` for the sizes of its language model, which the expert's follow."""
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy

    tokenizer, edge = letters([*IMAGES.values()], extra_special_tokens=IMAGES), dict(longest_edge=64)
    images = SmolVLMImageProcessor(size=edge, max_image_size=edge, do_image_splitting=False)
    SmolVLMProcessor(images, tokenizer, SmolVLMVideoProcessor(), image_seq_len=4).save_pretrained(folder)
    text = text | dict(model_type="llama", vocab_size=len(tokenizer), pad_token_id=0, max_position_embeddings=512)
    eye = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    eye |= dict(image_size=64, patch_size=16)
    vlm = SmolVLMConfig(text_config=text, vision_config=eye, image_token_id=2, scale_factor=2, pad_token_id=0)
    vlm.save_pretrained(folder)
    sizes = dict(num_vlm_layers=text["num_hidden_layers"], chunk_size=CHUNK, n_action_steps=EXECUTED, num_steps=STEPS)
    sizes |= dict(vlm_model_name=str(folder), load_vlm_weights=False, resize_imgs_with_padding=(64, 64))
    config = SmolVLAConfig(device="cpu", push_to_hub=False, **sizes | features(2, 64) | options)
    return SmolVLAPolicy(config).eval()


class Small(dict):
    """CONFIG_MAPPING with a PaliGemma that has a small eye."""

    def __getitem__(self, name):
        made = CONFIG_MAPPING[name]
        if name != "paligemma":
            return made
        eye = dict(model_type="siglip_vision_model", hidden_size=32, num_hidden_layers=1)
        return lambda: made(vision_config=eye | dict(num_attention_heads=2, patch_size=14))


def pi(name: str, **options):
    """pi0 or pi0.5: their sizes are in their code, which is patched while they are made."""
    from lerobot.policies.pi0 import modeling_pi0
    from lerobot.policies.pi0.configuration_pi0 import PI0Config
    from lerobot.policies.pi05 import modeling_pi05
    from lerobot.policies.pi05.configuration_pi05 import PI05Config

    module, config_class = dict(pi0=(modeling_pi0, PI0Config), pi05=(modeling_pi05, PI05Config))[name]
    sizes = dict(device="cpu", chunk_size=CHUNK, n_action_steps=EXECUTED, num_inference_steps=STEPS, push_to_hub=False)
    gemma = lambda variant: modeling_pi0.GemmaConfig(64, depth=2, mlp_dim=128, num_heads=8, num_kv_heads=1, head_dim=16)
    with patch.object(module, "get_gemma_config", gemma), patch.object(module, "CONFIG_MAPPING", Small()):
        policy = getattr(module, f"{name.upper()}Policy")(config_class(**sizes, **features(2, 224) | options))
    projector = policy.model.paligemma_with_expert.paligemma.model.multi_modal_projector
    projector.linear = torch.nn.Linear(32, 64).to(projector.linear.weight.dtype)  # 2048 wide in their code
    return policy.eval()


def tiny_clip(folder: Path) -> str:
    """DiT's text and pictures are always read with weights, from something with clip in its name."""
    folder = folder / "clip"
    letters(["<eos>"], eos_token="<eos>", model_max_length=77).save_pretrained(folder)
    size = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    text = dict(**size, vocab_size=3 + len(WORDS), pad_token_id=0, bos_token_id=1, eos_token_id=2)
    CLIPModel(CLIPConfig(text_config=text, vision_config=dict(**size, image_size=64, patch_size=16))).save_pretrained(
        folder
    )
    return str(folder)


def dit(folder: Path, cameras=2, **options):
    from lerobot.policies.multi_task_dit.configuration_multi_task_dit import MultiTaskDiTConfig
    from lerobot.policies.multi_task_dit.modeling_multi_task_dit import MultiTaskDiTPolicy

    clip = tiny_clip(folder)
    sizes = dict(hidden_dim=64, num_layers=2, num_heads=4, timestep_embed_dim=64, horizon=CHUNK, n_obs_steps=2)
    sizes |= dict(n_action_steps=EXECUTED, num_integration_steps=STEPS, image_crop_shape=None)
    config = MultiTaskDiTConfig(
        objective="flow_matching", text_encoder_name=clip, vision_encoder_name=clip, device="cpu", push_to_hub=False,
        **sizes | features(cameras, 64) | options,
    )  # fmt: skip
    policy = MultiTaskDiTPolicy(config).eval()
    for x in policy.noise_predictor.parameters():  # its last layer is made of zeros
        if not x.any():
            torch.nn.init.normal_(x, std=0.02)
    return policy


def make(name: str, folder: Path, **options):
    torch.manual_seed(0)
    if name == "smolvla":
        return smolvla(folder, **options)
    return dit(folder, **options) if name == "dit" else pi(name, **options)


def batch(policy, n=2):
    """What a pre-processor would give: pi0's tokenizer is on the hub alone."""
    draw = torch.Generator().manual_seed(0)
    seen = {name: torch.rand(n, *x.shape, generator=draw) for name, x in policy.config.input_features.items()}
    tokens = torch.randint(2, 90, (n, 12), generator=draw)
    return seen | {
        "observation.language.tokens": tokens,
        "observation.language.attention_mask": torch.ones(n, 12, dtype=torch.bool),
    }
